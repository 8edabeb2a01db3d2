//===- Layers.cpp - references for what the frontend writes in linalg -------===//

#include "test/reference/Reference.h"

#include <cmath>

using namespace hadal::reference;

Reals hadal::reference::matmul(const Reals &x, const Reals &weights) {
  Reals result({x.dim(0), weights.dim(0)});
  for (int64_t t = 0; t < x.dim(0); ++t)
    for (int64_t n = 0; n < weights.dim(0); ++n)
      for (int64_t k = 0; k < x.dim(1); ++k)
        result(t, n) += x(t, k) * weights(n, k);
  return result;
}

Reals hadal::reference::matmulChain(const Reals &x, const Reals &weights) {
  Reals result({x.dim(0), weights.dim(0)});
  for (int64_t t = 0; t < x.dim(0); ++t)
    for (int64_t n = 0; n < weights.dim(0); ++n) {
      float sum = 0;
      for (int64_t k = 0; k < x.dim(1); ++k)
        sum = std::fmaf(static_cast<float>(x(t, k)), static_cast<float>(weights(n, k)), sum);
      result(t, n) = sum;
    }
  return result;
}

// Zhang and Sennrich, arXiv:1910.07467, eq. 4, with epsilon under the root: w * x / sqrt(mean(x^2)
// + epsilon).
Reals hadal::reference::rmsNorm(const Reals &x, const Reals &weights, double epsilon) {
  Reals result(x.shape);
  for (int64_t t = 0; t < x.dim(0); ++t) {
    double squares = 0;
    for (int64_t i = 0; i < x.dim(1); ++i)
      squares += x(t, i) * x(t, i);
    for (int64_t i = 0; i < x.dim(1); ++i)
      result(t, i) =
          weights(i) * x(t, i) / std::sqrt(squares / static_cast<double>(x.dim(1)) + epsilon);
  }
  return result;
}

// Shazeer, arXiv:2002.05202, eq. 6, without the projections: silu(gate) * up, silu(g) = g / (1 +
// exp(-g)).
Reals hadal::reference::swiglu(const Reals &gate, const Reals &up) {
  Reals result(gate.shape);
  for (int64_t i = 0; i < gate.size(); ++i)
    result.values[i] = gate.values[i] / (1 + std::exp(-gate.values[i])) * up.values[i];
  return result;
}

Reals hadal::reference::insertColumns(const Reals &part, Reals whole, int64_t from) {
  for (int64_t t = 0; t < part.dim(0); ++t)
    for (int64_t h = 0; h < part.dim(1); ++h)
      for (int64_t i = 0; i < part.dim(2); ++i)
        whole(t, h, from + i) = part(t, h, i);
  return whole;
}
