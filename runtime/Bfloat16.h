//===- Bfloat16.h - the upper half of an f32 ----------------------------===//

#ifndef HADAL_RUNTIME_BFLOAT16_H
#define HADAL_RUNTIME_BFLOAT16_H

#include <bit>
#include <cstdint>

namespace hadal {

/// The nearest one, ties to even. Of a finite number: what is too large becomes infinite.
inline uint16_t bfloat16Of(float value) {
  auto bits = std::bit_cast<uint32_t>(value);
  return static_cast<uint16_t>((bits + 0x7FFF + (bits >> 16 & 1)) >> 16);
}

/// The value of a code: exact.
inline float floatOf(uint16_t bfloat16) {
  return std::bit_cast<float>(static_cast<uint32_t>(bfloat16) << 16);
}

} // namespace hadal

#endif // HADAL_RUNTIME_BFLOAT16_H
