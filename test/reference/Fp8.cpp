//===- Fp8.cpp - references for fp8 -----------------------------------------===//

#include "test/reference/Reference.h"

#include <algorithm>
#include <cmath>

using namespace hadal::reference;

static int64_t ceilDiv(int64_t a, int64_t b) { return (a + b - 1) / b; }

/// Largest number, bits of a fraction, least normal exponent, sign, NaN.
struct FormatNumbers {
  double largest;
  int fraction, least;
  uint16_t sign, nan;
};
static FormatNumbers numbersOf(CodeFormat format) {
  switch (format) {
  case CodeFormat::E4M3: return {448, 3, -6, 0x80, 0x7f};
  case CodeFormat::E5M2: return {57344, 2, -14, 0x80, 0x7f};
  case CodeFormat::E5M6: return {65024, 6, -14, 0x800, 0x7ff};
  }
  return {};
}

// OCP OFP8 1.0, table 1: a sign, an exponent, a fraction. E4M3 has no infinities and one NaN a
// sign; the others are the upper bits of an IEEE half.
double hadal::reference::decode(CodeFormat format, uint16_t code) {
  auto [largest, fraction, least, signBit, nan] = numbersOf(format);
  int magnitude = code & (signBit - 1), field = magnitude >> fraction,
      mantissa = magnitude & ((1 << fraction) - 1);
  double sign = code & signBit ? -1 : 1;
  if (format == CodeFormat::E4M3 ? magnitude == nan : field == 31)
    return mantissa ? NAN : sign * INFINITY;
  if (field == 0)
    return sign * std::ldexp(mantissa, least - fraction);
  return sign * std::ldexp((1 << fraction) + mantissa, field - 1 + least - fraction);
}

// OCP OFP8 1.0, section 5.2, with saturation.
/// The code nearest to a magnitude, ties to the even one; beyond the largest number that one's.
static uint16_t encode(CodeFormat format, double magnitude) {
  auto [largest, fraction, least, sign, nan] = numbersOf(format);
  if (std::isnan(magnitude))
    return nan;
  magnitude = std::min(magnitude, largest);
  int exponent = magnitude == 0 ? least : std::max(std::ilogb(magnitude), least);
  // Units of the last place; one too many carries into the next binade's first.
  double units = std::nearbyint(std::ldexp(magnitude, fraction - exponent));
  return static_cast<uint16_t>(units + std::ldexp(exponent - least, fraction));
}

// DeepSeek-V3, arXiv:2412.19437, sections 3.3.2 and 3.3.3. A NaN or an infinity is the largest;
// here no scale is below 2^-126, and one of zeros is 1.
static double scaleOf(float amax, const CodeTiles &tiles) {
  if (amax == 0)
    return 1;
  float scale = amax / static_cast<float>(numbersOf(tiles.format).largest);
  if (std::isnan(scale) || std::isinf(scale))
    return scale;
  scale = std::max(scale, 0x1p-126f);
  return tiles.pow2 ? std::exp2(std::ceil(std::log2(static_cast<double>(scale)))) : scale;
}

namespace {
/// Where a row's scales stand, and how many rows of them there are.
struct Rows {
  Rows(int64_t count, const CodeTiles &tiles) {
    std::vector<int64_t> offsets = tiles.offsets;
    if (offsets.empty())
      offsets = {0, count};
    auto groups = static_cast<int64_t>(offsets.size()) - 1;
    for (int64_t g = 0; g < groups; ++g) {
      int64_t first = tiles.rows ? offsets[g] / tiles.rows + g : g;
      for (int64_t i = 0; i < offsets[g + 1] - offsets[g]; ++i)
        tileOf.push_back(tiles.rows ? first + i / tiles.rows : first);
    }
    this->count = !tiles.rows             ? groups
                  : tiles.offsets.empty() ? ceilDiv(count, tiles.rows)
                                          : count / tiles.rows + groups;
  }
  std::vector<int64_t> tileOf;
  int64_t count;
};
} // namespace

Quantized hadal::reference::quantize(const Reals &x, const CodeTiles &tiles) {
  size_t last = x.shape.size() - 1;
  int64_t experts = last == 2 ? x.dim(0) : 1, m = x.dim(last - 1), k = x.dim(last);
  int64_t width = tiles.columns ? tiles.columns : k, columns = ceilDiv(k, width);
  Rows rows(m, tiles);
  Quantized result{Integers(x.shape), Reals({experts, rows.count, columns})};
  for (int64_t e = 0; e < experts; ++e) {
    auto at = [&](int64_t i, int64_t j) { return (e * m + i) * k + j; };
    std::vector<float> most(static_cast<size_t>(rows.count * columns));
    for (int64_t i = 0; i < m; ++i)
      for (int64_t j = 0; j < k; ++j) {
        float &largest = most[rows.tileOf[i] * columns + j / width];
        float size = std::abs(static_cast<float>(x.values[at(i, j)]));
        if (std::isnan(size) || size > largest)
          largest = std::isnan(largest) ? largest : size;
      }
    for (int64_t t = 0; t < rows.count; ++t)
      for (int64_t c = 0; c < columns; ++c)
        result.scale(e, t, c) = scaleOf(most[t * columns + c], tiles);
    for (int64_t i = 0; i < m; ++i)
      for (int64_t j = 0; j < k; ++j) {
        auto value = static_cast<float>(x.values[at(i, j)]);
        auto divisor = static_cast<float>(result.scale(e, rows.tileOf[i], j / width));
        uint16_t sign = std::signbit(value) ? numbersOf(tiles.format).sign : 0;
        result.codes.values[at(i, j)] = encode(tiles.format, std::abs(value) / divisor) | sign;
      }
  }
  if (last == 1)
    result.scale.shape.erase(result.scale.shape.begin());
  return result;
}

Reals hadal::reference::dequantize(const Integers &codes, const Reals &scale,
                                   const CodeTiles &tiles) {
  size_t last = codes.shape.size() - 1;
  int64_t experts = last == 2 ? codes.dim(0) : 1, m = codes.dim(last - 1), k = codes.dim(last);
  int64_t width = tiles.columns ? tiles.columns : k, columns = ceilDiv(k, width);
  Rows rows(m, tiles);
  Reals result(codes.shape);
  for (int64_t e = 0; e < experts; ++e)
    for (int64_t i = 0; i < m; ++i)
      for (int64_t j = 0; j < k; ++j) {
        double s = scale.values[(e * rows.count + rows.tileOf[i]) * columns + j / width];
        int64_t at = (e * m + i) * k + j;
        result.values[at] =
            static_cast<float>(decode(tiles.format, static_cast<uint16_t>(codes.values[at])) * s);
      }
  return result;
}

/// Toward zero, to a multiple of 2^exponent.
static double cut(double value, int exponent) {
  return std::ldexp(std::trunc(std::ldexp(value, -exponent)), exponent);
}

// ISCA 2025, arXiv:2505.09343, section 3.1.1; SageAttention2, arXiv:2411.10958, section 3.4.
static float hopperStep(const double *a, const double *b, int64_t count, float sum) {
  constexpr int least = -6; // of either format
  int top = sum != 0 ? std::ilogb(sum) : -1000;
  for (int64_t i = 0; i < count; ++i)
    if (a[i] != 0 && b[i] != 0)
      top = std::max(top, std::max(std::ilogb(a[i]), least) + std::max(std::ilogb(b[i]), least));
  if (top == -1000)
    return 0;
  double exact = cut(sum, top - 13);
  for (int64_t i = 0; i < count; ++i)
    exact += cut(a[i] * b[i], top - 13);
  return exact == 0 ? 0.0f : static_cast<float>(cut(exact, std::ilogb(exact) - 13));
}

/// What a[i] * b[i], numbers of codes, amount to. Steps of Hopper's sum are counted from i = 0.
static float partOfCodes(const std::vector<double> &a, const std::vector<double> &b,
                         const CodeSums &how) {
  float sum = 0;
  auto size = static_cast<int64_t>(a.size());
  if (how.hopper)
    for (int64_t i = 0; i < size; i += 32)
      sum = hopperStep(&a[i], &b[i], std::min<int64_t>(32, size - i), sum);
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
    sum = std::fma(partOfCodes(a, b, how), scale, sum);
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

/// One element: `row` of x times output `n` of matrix `e`.
static float sumOfCodes(const CodeProduct &p, const CodeSums &how, int64_t row, int64_t e,
                        int64_t n) {
  int64_t size = p.x.dim(1), tile = p.transposed ? p.blockN : p.blockK,
          outputs = p.transposed ? p.blockK : p.blockN;
  tile = tile ? std::min(tile, size) : size;
  int64_t length = how.interval ? how.interval : tile, block = outputs ? n / outputs : 0;
  float sum = 0;
  for (int64_t t = 0; t * tile < size; ++t)
    for (int64_t begin = t * tile, end = std::min(begin + tile, size); begin < end;
         begin += length) {
      std::vector<double> a, b;
      for (int64_t k = begin; k < std::min(begin + length, end); ++k)
        a.push_back(p.x(row, k)),
            b.push_back(p.transposed ? p.weights(e, k, n) : p.weights(e, n, k));
      double ofWeights = p.transposed ? p.scale(e, t, block) : p.scale(e, block, t);
      float scale = static_cast<float>(p.xScale(row, t)) * static_cast<float>(ofWeights);
      sum = std::fma(partOfCodes(a, b, how), scale, sum);
    }
  return sum;
}

Reals hadal::reference::productOfCodes(const CodeProduct &p, const std::vector<int64_t> &offsets,
                                       const std::optional<Integers> &source, const CodeSums &how) {
  Reals result({offsets.back(), p.weights.dim(p.transposed ? 2 : 1)});
  for (size_t g = 0; g + 1 < offsets.size(); ++g)
    for (int64_t r = offsets[g]; r < offsets[g + 1]; ++r)
      for (int64_t n = 0; n < result.dim(1); ++n)
        result(r, n) = sumOfCodes(p, how, source ? source->values[static_cast<size_t>(r)] : r,
                                  static_cast<int64_t>(g) % p.weights.dim(0), n);
  return result;
}
