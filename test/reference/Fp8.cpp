//===- Fp8.cpp - references for fp8 -----------------------------------------===//

#include "test/reference/Reference.h"

#include <algorithm>
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

// OCP OFP8 1.0, table 1: the upper half of an IEEE half.
double hadal::reference::decodeE5M2(uint8_t code) {
  int exponent = code >> 2 & 31, mantissa = code & 3;
  double sign = code & 0x80 ? -1 : 1;
  if (exponent == 31)
    return mantissa ? NAN : sign * INFINITY;
  if (exponent == 0)
    return sign * std::ldexp(mantissa, -16);
  return sign * std::ldexp(4 + mantissa, exponent - 17);
}

/// Toward zero, to a multiple of 2^exponent.
static double cut(double value, int exponent) {
  return std::ldexp(std::trunc(std::ldexp(value, -exponent)), exponent);
}

// ISCA 2025, arXiv:2505.09343, section 3.1.1; SageAttention2, arXiv:2411.10958, section 3.4.
static float hopperStep(const double *a, const double *b, int64_t count, const CodeSums &how,
                        float sum) {
  int top = sum != 0 ? std::ilogb(sum) : -1000;
  for (int64_t i = 0; i < count; ++i)
    if (a[i] != 0 && b[i] != 0)
      top = std::max(top, std::max(std::ilogb(a[i]), how.leastLeft) +
                              std::max(std::ilogb(b[i]), how.leastRight));
  if (top == -1000)
    return 0;
  double exact = cut(sum, top - 13);
  for (int64_t i = 0; i < count; ++i)
    exact += cut(a[i] * b[i], top - 13);
  return exact == 0 ? 0.0f : static_cast<float>(cut(exact, std::ilogb(exact) - 13));
}

float hadal::reference::partOfCodes(const std::vector<double> &a, const std::vector<double> &b,
                                    const CodeSums &how, float sum) {
  auto size = static_cast<int64_t>(a.size());
  if (how.hopper)
    for (int64_t i = 0; i < size; i += 32)
      sum = hopperStep(&a[i], &b[i], std::min<int64_t>(32, size - i), how, sum);
  else
    for (int64_t i = 0; i < size; ++i)
      sum = std::fma(static_cast<float>(a[i]), static_cast<float>(b[i]), sum);
  return sum;
}

/// Rows [from, to), which are a group's, to one element of its matrix.
static float addGroup(const Reals &gradient, const Reals &gradientScale, const Reals &x,
                      const Reals &xScale, int64_t n, int64_t k, int64_t from, int64_t to,
                      int64_t scales, int64_t tile, const CodeSums &how, float sum) {
  int64_t length = how.interval ? how.interval : std::max<int64_t>(to - from, 1);
  for (int64_t begin = from; begin < to; begin += length) {
    std::vector<double> a, b;
    for (int64_t t = begin; t < std::min(begin + length, to); ++t)
      a.push_back(gradient(t, n)), b.push_back(x(t, k));
    int64_t at = tile ? scales + (begin - from) / tile : scales;
    float scale = static_cast<float>(gradientScale(at, n)) * static_cast<float>(xScale(at, k));
    sum = std::fma(hadal::reference::partOfCodes(a, b, how), scale, sum);
  }
  return sum;
}

Reals hadal::reference::weightGradientOfCodes(const Reals &gradient, const Reals &gradientScale,
                                              const Reals &x, const Reals &xScale,
                                              const std::vector<int64_t> &offsets, Reals init,
                                              int64_t tile, const CodeSums &how) {
  int64_t outputs = gradient.dim(1), columns = x.dim(1), matrix = outputs * columns,
          experts = init.size() / matrix;
  for (size_t g = 0; g + 1 < offsets.size(); ++g) {
    int64_t group = static_cast<int64_t>(g), scales = tile ? offsets[g] / tile + group : group;
    for (int64_t i = 0; i < matrix; ++i) {
      double &sum = init.values[group % experts * matrix + i];
      sum = addGroup(gradient, gradientScale, x, xScale, i / columns, i % columns, offsets[g],
                     offsets[g + 1], scales, tile, how, static_cast<float>(sum));
    }
  }
  return init;
}
