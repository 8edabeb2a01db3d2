//===- ProductCases.cpp - products and sums of training ---------------------===//

#include "test/exec/Compare.h"

#include <algorithm>

using namespace hadal;
using namespace hadal::compare;

static Case transposedMatmul() {
  return {"matmul_transposed",
          {"T", "N", "K", "products"},
          [](const Settings &s, Random &random, Inputs &inputs) {
            inputs.addRandom(random, {s.integer("T"), s.integer("N")});
            inputs.addRandom(random, {s.integer("N"), s.integer("K")});
          },
          [](const Settings &s, const Check &check) {
            check.close(0, reference::transposedMatmulChain(check.real(0), check.real(1)),
                        chainTolerance(s, s.integer("N")));
          }};
}

/// A product with an epilogue: a residual is added to it.
static Case residual() {
  return {"product_residual",
          {"T", "N", "K", "transposed", "products"},
          [](const Settings &s, Random &random, Inputs &inputs) {
            bool transposed = s.flag("transposed");
            inputs.addRandom(random, {s.integer("T"), s.integer(transposed ? "N" : "K")});
            inputs.addRandom(random, {s.integer("N"), s.integer("K")});
            inputs.addRandom(random, {s.integer("T"), s.integer(transposed ? "K" : "N")});
          },
          [](const Settings &s, const Check &check) {
            Reals wanted = s.flag("transposed")
                               ? reference::transposedMatmulChain(check.real(0), check.real(1))
                               : reference::matmulChain(check.real(0), check.real(1));
            Reals added = check.real(2);
            for (int64_t i = 0; i < wanted.size(); ++i)
              wanted.values[i] =
                  static_cast<float>(wanted.values[i]) + static_cast<float>(added.values[i]);
            check.close(0, wanted, chainTolerance(s, s.integer(s.flag("transposed") ? "N" : "K")));
          }};
}

static Case weightGradient() {
  return {"weight_gradient",
          {"T", "N", "K", "init", "products"},
          [](const Settings &s, Random &random, Inputs &inputs) {
            inputs.addRandom(random, {s.integer("T"), s.integer("N")});
            inputs.addRandom(random, {s.integer("T"), s.integer("K")});
            if (s.flag("init"))
              inputs.addRandom(random, {s.integer("N"), s.integer("K")});
          },
          [](const Settings &s, const Check &check) {
            Reals init = s.flag("init") ? check.real(2) : Reals({s.integer("N"), s.integer("K")});
            check.close(0, reference::weightGradientChain(check.real(0), check.real(1), init),
                        chainTolerance(s, s.integer("T")));
          }};
}

/// A plan of `choices` different experts a token, among the first `used`.
static reference::Plan drawPlan(const Settings &s, Random &random) {
  int64_t tokens = s.integer("T"), topK = s.integer("choices");
  Integers experts({tokens, topK});
  for (int64_t t = 0; t < tokens; ++t) {
    std::vector<int64_t> row = random.distinct(topK, s.integer("used", s.integer("E")));
    std::sort(row.begin(), row.end());
    for (int64_t k = 0; k < topK; ++k)
      experts(t, k) = row[k];
  }
  return reference::plan(experts, s.integer("E"));
}

static Case groupedTransposed() {
  return {
      "grouped_transposed",
      {"T", "E", "K", "N", "choices", "used", "source", "products"},
      [](const Settings &s, Random &random, Inputs &inputs) {
        reference::Plan plan = drawPlan(s, random);
        inputs.addRandom(random,
                         {s.flag("source") ? s.integer("T") : plan.source.dim(0), s.integer("N")});
        inputs.addRandom(random, {s.integer("E"), s.integer("N"), s.integer("K")});
        inputs.addIntegers(plan.offsets);
        inputs.addIntegers(plan.active);
        if (s.flag("source"))
          inputs.addIntegers(plan.source);
      },
      [](const Settings &s, const Check &check) {
        check.close(0,
                    reference::groupedTransposedChain(check.real(0), check.real(1),
                                                      check.integer(2), check.optionalInteger(4)),
                    chainTolerance(s, s.integer("N")));
      }};
}

static Case groupedWeightGradient() {
  return {"grouped_weight_gradient",
          {"T", "E", "K", "N", "choices", "used", "source", "init", "products"},
          [](const Settings &s, Random &random, Inputs &inputs) {
            reference::Plan plan = drawPlan(s, random);
            inputs.addRandom(
                random, {s.flag("source") ? s.integer("T") : plan.source.dim(0), s.integer("K")});
            inputs.addRandom(random, {plan.source.dim(0), s.integer("N")});
            inputs.addIntegers(plan.offsets);
            inputs.addIntegers(plan.active);
            Reals init({s.integer("E"), s.integer("N"), s.integer("K")});
            if (s.flag("init"))
              for (double &value : init.values)
                value = random.between(-1, 1);
            inputs.addReals(init); // zero where the program starts from zero itself
            if (s.flag("source"))
              inputs.addIntegers(plan.source);
          },
          [](const Settings &s, const Check &check) {
            check.close(0,
                        reference::groupedWeightGradientChain(check.real(0), check.real(1),
                                                              check.integer(2), check.real(4),
                                                              check.optionalInteger(5)),
                        chainTolerance(s, s.integer("T")));
          }};
}

/// The gradient of a norm's weight with something more in the payload.
static Case columnSum() {
  return {"column_sum",
          {"T", "H", "init"},
          [](const Settings &s, Random &random, Inputs &inputs) {
            inputs.addRandom(random, {s.integer("T"), s.integer("H")});
            inputs.addRandom(random, {s.integer("T"), s.integer("H")});
            inputs.addRandom(random, {s.integer("T")});
            inputs.addRandom(random, {s.integer("H")});
            if (s.flag("init"))
              inputs.addRandom(random, {s.integer("H")});
          },
          [](const Settings &s, const Check &check) {
            Reals gradient = check.real(0), x = check.real(1), scale = check.real(2),
                  shift = check.real(3);
            Reals sum = s.flag("init") ? check.real(4) : Reals({s.integer("H")});
            for (int64_t c = 0; c < x.dim(1); ++c)
              for (int64_t t = 0; t < x.dim(0); ++t) {
                // In f32 throughout: the order of the sum is promised, hence the bits.
                float term = static_cast<float>(gradient(t, c)) * static_cast<float>(x(t, c));
                term *= static_cast<float>(scale(t));
                term -= static_cast<float>(shift(c));
                term *= 0.5f;
                sum(c) = static_cast<float>(sum(c)) + term;
              }
            check.equal(0, sum);
          }};
}

static Case panelCopy() {
  return {"panel_copy",
          {"E", "N", "K", "element"},
          [](const Settings &s, Random &random, Inputs &inputs) {
            std::vector<int64_t> shape{s.integer("N"), s.integer("K")};
            if (s.integer("E", 0))
              shape.insert(shape.begin(), s.integer("E"));
            inputs.addRandom(random, shape,
                             s.text("element", "f32") == "bf16" ? ElementType::BF16
                                                                : ElementType::F32);
          },
          [](const Settings &, const Check &check) { check.equal(0, check.real(0)); }};
}

std::vector<Case> compare::productCases() {
  return {transposedMatmul(),      residual(),  weightGradient(), groupedTransposed(),
          groupedWeightGradient(), columnSum(), panelCopy()};
}
