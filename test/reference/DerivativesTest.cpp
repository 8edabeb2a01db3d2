//===- DerivativesTest.cpp - the adjoints' references against differences ---===//
//
// The references of adjoints are written from formulas. Here each is held against central
// differences, in f64, of the reference of the op itself, so that a wrong formula cannot be in both
// a kernel and its reference.
//
//===----------------------------------------------------------------------===//

#include "test/reference/Reference.h"

#include <cmath>
#include <functional>
#include <gtest/gtest.h>
#include <random>

using namespace hadal::reference;

static Reals draw(std::vector<int64_t> shape, double spread = 1) {
  static std::mt19937_64 bits(7);
  Reals values(std::move(shape));
  for (double &value : values.values)
    value = std::uniform_real_distribution<double>(-spread, spread)(bits);
  return values;
}

static double dot(const Reals &a, const Reals &b) {
  double sum = 0;
  for (int64_t i = 0; i < a.size(); ++i)
    sum += a.values[i] * b.values[i];
  return sum;
}

/// d loss / d x by differences of second order: with a step of 1e-5 the error is some 1e-10.
static void expectDerivative(const std::function<double()> &loss, Reals &x, const Reals &gradient) {
  ASSERT_EQ(x.shape, gradient.shape);
  for (int64_t i = 0; i < x.size(); ++i) {
    double here = x.values[i], step = 1e-5;
    x.values[i] = here + step;
    double more = loss();
    x.values[i] = here - step;
    double less = loss();
    x.values[i] = here;
    EXPECT_NEAR((more - less) / (2 * step), gradient.values[i], 1e-8) << "element " << i;
  }
}

static Integers boundaries(std::vector<int64_t> lengths) {
  Integers offsets({static_cast<int64_t>(lengths.size()) + 1});
  for (size_t b = 0; b < lengths.size(); ++b)
    offsets(b + 1) = offsets(b) + lengths[b];
  return offsets;
}

TEST(Derivatives, Attention) {
  Reals qNope = draw({8, 2, 3}), qRope = draw({8, 2, 4}), kNope = draw({8, 2, 3}),
        kRope = draw({8, 4}), v = draw({8, 2, 5});
  Reals g = draw({8, 2, 5});
  Integers offsets = boundaries({5, 0, 1, 2});
  auto loss = [&] { return dot(attention(qNope, qRope, kNope, kRope, v, offsets, 0.7), g); };
  AttentionGradients wanted = attentionGradients(qNope, qRope, kNope, kRope, v, offsets, g, 0.7);
  expectDerivative(loss, qNope, wanted.qNope);
  expectDerivative(loss, qRope, wanted.qRope);
  expectDerivative(loss, kNope, wanted.kNope);
  expectDerivative(loss, v, wanted.v);
  Reals shared(kRope.shape); // the key of all heads
  for (int64_t t = 0; t < 8; ++t)
    for (int64_t h = 0; h < 2; ++h)
      for (int64_t i = 0; i < 4; ++i)
        shared(t, i) += wanted.kRope(t, h, i);
  expectDerivative(loss, kRope, shared);
}

TEST(Derivatives, Rope) {
  for (bool interleave : {false, true}) {
    Reals x = draw({3, 2, 6}), cos = draw({3, 3}), sin = draw({3, 3}), g = draw({3, 2, 6});
    expectDerivative([&] { return dot(rope(x, cos, sin, interleave), g); }, x,
                     ropeAdjoint(g, cos, sin, interleave));
  }
}

TEST(Derivatives, Route) {
  for (bool softmax : {false, true})
    for (bool normalize : {false, true}) {
      Reals logits = draw({5, 8}, 3), bias({8}), g = draw({5, 3});
      RouteOptions options{1, 1, 3, normalize, 2.5, softmax};
      // The choice is held: a step must not move it.
      Integers chosen = route(logits, bias, options).experts;
      auto loss = [&] { return dot(route(logits, bias, options, chosen).weights, g); };
      expectDerivative(loss, logits, routeGradient(logits, chosen, g, normalize, 2.5, softmax));
    }
}

TEST(Derivatives, BalanceLoss) {
  for (bool softmax : {false, true}) {
    Reals logits = draw({9, 6}, 3), g = draw({4});
    Integers offsets = boundaries({4, 0, 1, 4});
    Balance first = balanceLoss(logits, offsets, 2, softmax);
    // Fractions are steps of the logits: constants but where they jump.
    auto loss = [&] { return dot(balanceLoss(logits, offsets, 2, softmax).loss, g); };
    expectDerivative(loss, logits,
                     balanceLossGradient(logits, offsets, first.fractions, g, softmax));
  }
}

// The reference of combine rounds to f32, so it is the linear map itself that is differentiated:
// sums of products.
TEST(Derivatives, Combine) {
  Integers experts({4, 2});
  experts.values = {0, 2, 1, 2, 0, 1, 1, 2};
  Integers position = plan(experts, 3).position;
  Reals rows = draw({8, 3}), weights = draw({4, 2}), g = draw({4, 3});
  auto loss = [&] {
    double sum = 0;
    for (int64_t t = 0; t < 4; ++t)
      for (int64_t k = 0; k < 2; ++k)
        for (int64_t i = 0; i < 3; ++i)
          sum += weights(t, k) * rows(position(t, k), i) * g(t, i);
    return sum;
  };
  CombineGradients wanted = combineGradients(rows, position, weights, g);
  expectDerivative(loss, rows, wanted.rows);
  expectDerivative(loss, weights, wanted.weights);
}
