//===- Fp8.cpp - references for fp8 -----------------------------------------===//

#include "test/reference/Reference.h"

#include <cmath>

using namespace hadal::reference;

// OCP OFP8 1.0, table 1: a sign, 4 bits of exponent with bias 7, 3 bits of mantissa; no infinities,
// one NaN a sign.
double hadal::reference::decodeE4M3(uint8_t code) {
  int exponent = code >> 3 & 15, mantissa = code & 7;
  double sign = code & 0x80 ? -1 : 1;
  if (exponent == 15 && mantissa == 7)
    return NAN;
  if (exponent == 0)
    return sign * std::ldexp(mantissa, -9);
  return sign * std::ldexp(8 + mantissa, exponent - 10);
}

uint8_t hadal::reference::encodeE4M3(double value) {
  if (std::isnan(value))
    return 0x7f;
  uint8_t best = 0;
  // Codes of one sign ascend with their values, so of two equally near ones the even one is found
  // either way round.
  for (int code = 0; code < 0x7f; ++code) {
    double distance = std::abs(std::abs(value) - decodeE4M3(static_cast<uint8_t>(code)));
    double nearest = std::abs(std::abs(value) - decodeE4M3(best));
    if (distance < nearest || (distance == nearest && code % 2 == 0))
      best = static_cast<uint8_t>(code);
  }
  return std::signbit(value) ? best | 0x80 : best;
}

static int64_t ceilDiv(int64_t a, int64_t b) { return (a + b - 1) / b; }

// DeepSeek-V3, arXiv:2412.19437, section 3.3.2: scale = max |x| / 448 over the block, here 1 for a
// block of zeros.
Quantized hadal::reference::quantize(const Reals &x, int64_t blockM, int64_t blockK) {
  int64_t m = x.dim(0), k = x.dim(1);
  Quantized result{Integers({m, k}), Reals({ceilDiv(m, blockM), ceilDiv(k, blockK)})};
  for (int64_t i = 0; i < m; ++i)
    for (int64_t j = 0; j < k; ++j) {
      double &most = result.scale(i / blockM, j / blockK);
      most = std::max(most, std::abs(x(i, j)));
    }
  for (double &scale : result.scale.values)
    scale = scale == 0 ? 1 : static_cast<float>(scale) / 448.0f;
  for (int64_t i = 0; i < m; ++i)
    for (int64_t j = 0; j < k; ++j) {
      float divisor = static_cast<float>(result.scale(i / blockM, j / blockK));
      result.codes(i, j) = encodeE4M3(static_cast<float>(x(i, j)) / divisor);
    }
  return result;
}

Reals hadal::reference::dequantize(const Integers &codes, const Reals &scale, int64_t blockM,
                                   int64_t blockK) {
  Reals result(codes.shape);
  bool stacked = codes.shape.size() == 3;
  int64_t experts = stacked ? codes.dim(0) : 1, m = codes.dim(stacked), k = codes.dim(1 + stacked);
  for (int64_t e = 0; e < experts; ++e)
    for (int64_t i = 0; i < m; ++i)
      for (int64_t j = 0; j < k; ++j) {
        double s = stacked ? scale(e, i / blockM, j / blockK) : scale(i / blockM, j / blockK);
        int64_t at = (e * m + i) * k + j;
        result.values[at] =
            static_cast<float>(decodeE4M3(static_cast<uint8_t>(codes.values[at])) * s);
      }
  return result;
}
