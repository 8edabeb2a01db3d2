//===- Products.cpp - references for the products that training adds --------===//

#include "test/reference/Reference.h"

#include <cmath>

using namespace hadal::reference;

static float chain(double a, double b, float sum) {
  return std::fmaf(static_cast<float>(a), static_cast<float>(b), sum);
}

// dX = dY W, the adjoint of Y = X W^T.
Reals hadal::reference::transposedMatmulChain(const Reals &gradient, const Reals &weights) {
  Reals result({gradient.dim(0), weights.dim(1)});
  for (int64_t t = 0; t < gradient.dim(0); ++t)
    for (int64_t k = 0; k < weights.dim(1); ++k) {
      float sum = 0;
      for (int64_t n = 0; n < weights.dim(0); ++n)
        sum = chain(gradient(t, n), weights(n, k), sum);
      result(t, k) = sum;
    }
  return result;
}

Reals hadal::reference::groupedTransposedChain(const Reals &gradient, const Reals &weights,
                                               const Integers &offsets,
                                               const std::optional<Integers> &source) {
  Reals result({source ? source->dim(0) : gradient.dim(0), weights.dim(2)});
  for (int64_t e = 0; e < weights.dim(0); ++e)
    for (int64_t r = offsets(e); r < offsets(e + 1); ++r)
      for (int64_t k = 0; k < weights.dim(2); ++k) {
        float sum = 0;
        for (int64_t n = 0; n < weights.dim(1); ++n)
          sum = chain(gradient(source ? (*source)(r) : r, n), weights(e, n, k), sum);
        result(r, k) = sum;
      }
  return result;
}

// dW = dY^T X, added to `init`.
Reals hadal::reference::weightGradientChain(const Reals &gradient, const Reals &x, Reals init) {
  for (int64_t n = 0; n < gradient.dim(1); ++n)
    for (int64_t k = 0; k < x.dim(1); ++k) {
      float sum = static_cast<float>(init(n, k));
      for (int64_t t = 0; t < gradient.dim(0); ++t)
        sum = chain(gradient(t, n), x(t, k), sum);
      init(n, k) = sum;
    }
  return init;
}

Reals hadal::reference::groupedWeightGradientChain(const Reals &rows, const Reals &gradient,
                                                   const Integers &offsets, Reals init,
                                                   const std::optional<Integers> &source) {
  for (int64_t e = 0; e < init.dim(0); ++e)
    for (int64_t n = 0; n < init.dim(1); ++n)
      for (int64_t k = 0; k < init.dim(2); ++k) {
        float sum = static_cast<float>(init(e, n, k));
        for (int64_t r = offsets(e); r < offsets(e + 1); ++r)
          sum = chain(gradient(r, n), rows(source ? (*source)(r) : r, k), sum);
        init(e, n, k) = sum;
      }
  return init;
}
