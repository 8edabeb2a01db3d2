//===- Finite.cpp - numbers that are infinite or none -------------------===//

#include "runtime/Finite.h"

#include <algorithm>
#include <cstring>

using namespace hadal;

static constexpr uint32_t infinity = 0x7F800000; // an exponent of ones

static uint32_t largestBits(std::span<const float> values) {
  uint32_t largest = 0;
  for (const float &value : values) {
    uint32_t bits;
    std::memcpy(&bits, &value, sizeof bits);
    largest = std::max(largest, bits & 0x7FFFFFFFu);
  }
  return largest;
}

bool hadal::allFinite(std::span<const float> values) {
  return isFiniteMagnitude(largestBits(values));
}

/// Whether the magnitude of every element, its bits but the sign's, is below `limit`.
template <typename Bits> static bool allBelow(const std::byte *data, uint64_t count, Bits limit) {
  constexpr Bits magnitude = static_cast<Bits>(~Bits(0)) >> 1;
  // In blocks: a loop without an exit becomes vectors.
  constexpr uint64_t block = 4096;
  for (uint64_t begin = 0; begin < count; begin += block) {
    uint64_t end = std::min(count, begin + block);
    Bits largest = 0;
    for (uint64_t i = begin; i < end; ++i) {
      Bits bits;
      std::memcpy(&bits, data + i * sizeof bits, sizeof bits);
      largest = std::max(largest, static_cast<Bits>(bits & magnitude));
    }
    if (largest >= limit)
      return false;
  }
  return true;
}

bool hadal::allFinite(ElementType element, const void *data, uint64_t count) {
  auto *bytes = static_cast<const std::byte *>(data);
  switch (element) {
  case ElementType::F32: return allBelow<uint32_t>(bytes, count, infinity);
  case ElementType::F64: return allBelow<uint64_t>(bytes, count, uint64_t(0x7FF) << 52);
  case ElementType::BF16: return allBelow<uint16_t>(bytes, count, 0x7F80);
  case ElementType::F16: return allBelow<uint16_t>(bytes, count, 0x7C00);
  case ElementType::F8E4M3: return allBelow<uint8_t>(bytes, count, 0x7F);
  case ElementType::F8E5M2: return allBelow<uint8_t>(bytes, count, 0x7C);
  case ElementType::F8E8M0: // no sign, one NaN
    return std::memchr(data, 0xFF, count) == nullptr;
  default: return true;
  }
}

bool hadal::hasFiniteMaximum(std::span<const float> logits) {
  bool isWrong = false, hasFinite = false;
  for (const float &value : logits) {
    uint32_t bits;
    std::memcpy(&bits, &value, sizeof bits);
    bool isFinite = (bits & 0x7FFFFFFFu) < infinity;
    hasFinite |= isFinite;
    isWrong |= !isFinite && bits != (infinity | 0x80000000u);
  }
  return hasFinite && !isWrong;
}

int64_t hadal::rowWithoutMaximum(const TensorView &logits) {
  int64_t rows = logits.shape[0], width = logits.shape[1];
  auto *first = static_cast<const float *>(logits.data);
  for (int64_t row = 0; row < rows; ++row)
    if (!hasFiniteMaximum({first + row * width, size_t(width)}))
      return row;
  return -1;
}
