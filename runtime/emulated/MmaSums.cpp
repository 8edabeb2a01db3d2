//===- MmaSums.cpp - how an emulated tensor core adds -------------------===//

#include "runtime/emulated/MmaSums.h"

#include "runtime/Bfloat16.h"

#include <algorithm>
#include <array>
#include <bit>
#include <limits>

// Two versions of a loop, for CPUs with and without fused multiply-add and 8 lanes.
#if defined(__x86_64__) && !defined(__FMA__)
#define HADAL_WIDE __attribute__((target_clones("arch=haswell", "default")))
#else
#define HADAL_WIDE
#endif

namespace hadal::emulated {

static constexpr uint32_t rows = 64, mostColumns = 256;

//===--- BF16 ------------------------------------------------------------------------------===//

HADAL_WIDE
static void chainBf16(const float *a, const float *b, float *d, uint32_t n) {
  for (uint32_t r = 0; r < rows; ++r)
    for (uint32_t k = 0; k < 16; ++k) {
      float x = a[r * 16 + k];
      for (uint32_t c = 0; c < n; ++c)
        d[r * n + c] = __builtin_fmaf(x, b[k * n + c], d[r * n + c]);
    }
}

void addBf16(const uint16_t *a, const uint16_t *b, float *d, uint32_t n) {
  static thread_local float wideA[rows * 16], wideB[16 * mostColumns];
  std::transform(a, a + rows * 16, wideA, floatOf);
  std::transform(b, b + 16 * n, wideB, floatOf);
  chainBf16(wideA, wideB, d, n);
}

//===--- E4M3 ------------------------------------------------------------------------------===//

static constexpr int16_t exponentOfZero = -1000;

namespace {
/// What a code stands for; NaN counts as 0 here.
struct E4m3 {
  float value = 0;
  int16_t exponent = exponentOfZero;
};
} // namespace

static bool isNan(int code) { return (code & 0x7f) == 0x7f; }

static std::array<E4m3, 256> makeE4m3() {
  std::array<E4m3, 256> table;
  for (int code = 0; code < 256; ++code) {
    int exponent = code >> 3 & 15, fraction = code & 7;
    float scale = std::bit_cast<float>(static_cast<uint32_t>(127 + (exponent ? exponent : 1) - 10)
                                       << 23); // 2^(exponent - bias - 3)
    float value = static_cast<float>(exponent ? fraction + 8 : fraction) * scale;
    if (!isNan(code))
      table[code].value = code & 0x80 ? -value : value;
    if (code & 0x7f)
      table[code].exponent = static_cast<int16_t>((exponent ? exponent : 1) - 7);
  }
  return table;
}

/// Where no accumulator or product is as large as 2^this, top stays here: the scale is a float.
static constexpr int lowestTop = -110;

/// One row of D: n columns.
HADAL_WIDE
static void addRow(const float *a, const int16_t *aExponents, const float *b,
                   const int16_t *bExponents, float *d, uint32_t n) {
  int16_t tops[mostColumns];
  for (uint32_t c = 0; c < n; ++c) {
    uint32_t bits = std::bit_cast<uint32_t>(d[c]) & 0x7fffffff;
    int exponent = static_cast<int>(bits >> 23) - 127;
    tops[c] = static_cast<int16_t>(exponent < lowestTop ? lowestTop : exponent);
  }
  for (uint32_t k = 0; k < 32; ++k)
    for (uint32_t c = 0; c < n; ++c) {
      auto exponent = static_cast<int16_t>(aExponents[k] + bExponents[k * n + c]);
      tops[c] = tops[c] < exponent ? exponent : tops[c];
    }
  float scales[mostColumns], sums[mostColumns];
  for (uint32_t c = 0; c < n; ++c) {
    scales[c] = std::bit_cast<float>(static_cast<uint32_t>(127 + 13 - tops[c]) << 23);
    sums[c] = static_cast<float>(static_cast<int>(d[c] * scales[c]));
  }
  // Each addend is a whole number below 2^16, and so all sums are exact.
  for (uint32_t k = 0; k < 32; ++k) {
    float x = a[k];
    for (uint32_t c = 0; c < n; ++c)
      sums[c] += static_cast<float>(static_cast<int>(x * b[k * n + c] * scales[c]));
  }
  for (uint32_t c = 0; c < n; ++c) {
    float cut = std::bit_cast<float>(std::bit_cast<uint32_t>(sums[c]) & ~uint32_t(0x3ff));
    d[c] = cut * std::bit_cast<float>(static_cast<uint32_t>(127 - 13 + tops[c]) << 23);
  }
}

static bool isFinite(float value) {
  return (std::bit_cast<uint32_t>(value) & 0x7f800000) != 0x7f800000;
}

void addE4m3(const uint8_t *a, const uint8_t *b, float *d, uint32_t n) {
  static const std::array<E4m3, 256> table = makeE4m3();
  static thread_local float aValues[32], bValues[32 * mostColumns];
  static thread_local int16_t aExponents[32], bExponents[32 * mostColumns];
  static thread_local bool columnIsNan[mostColumns];
  std::fill(columnIsNan, columnIsNan + n, false);
  for (uint32_t i = 0; i < 32 * n; ++i) {
    columnIsNan[i % n] |= isNan(b[i]);
    bValues[i] = table[b[i]].value;
    bExponents[i] = table[b[i]].exponent;
  }
  for (uint32_t r = 0; r < rows; ++r) {
    bool rowIsNan = false;
    for (uint32_t k = 0; k < 32; ++k) {
      uint8_t code = a[r * 32 + k];
      rowIsNan |= isNan(code);
      aValues[k] = table[code].value;
      aExponents[k] = table[code].exponent;
    }
    float *row = d + r * n;
    float kept[mostColumns]; // infinities and NaN, which no sum changes to a number
    for (uint32_t c = 0; c < n; ++c) {
      kept[c] = row[c];
      row[c] = isFinite(row[c]) ? row[c] : 0;
    }
    addRow(aValues, aExponents, bValues, bExponents, row, n);
    for (uint32_t c = 0; c < n; ++c) {
      if (!isFinite(kept[c]))
        row[c] = kept[c];
      if (rowIsNan || columnIsNan[c])
        row[c] = std::numeric_limits<float>::quiet_NaN();
    }
  }
}

} // namespace hadal::emulated
