//===- TensorMap.h - what a tensor map of the emulated device holds -----===//
//
// The 128 bytes of a CUtensorMap are opaque; here they hold what the map was encoded from.
//
//===--------------------------------------------------------------------===//

#ifndef HADAL_RUNTIME_EMULATED_TENSORMAP_H
#define HADAL_RUNTIME_EMULATED_TENSORMAP_H

#include "runtime/device/cuda/DriverTypes.h"

#include <cstdint>

namespace hadal::emulated {

struct TensorMap {
  static constexpr uint32_t tag = 0x70616d74;

  uint32_t magic = 0;
  uint8_t rank = 0, elementBytes = 0;
  uint8_t swizzle = 0; ///< CUtensorMapSwizzle
  uint8_t reserved = 0;
  uint64_t address = 0;
  uint64_t strides[4] = {}; ///< bytes from one element of dimension i + 1 to the next
  uint32_t sizes[5] = {};   ///< less one; the innermost dimension first
  uint16_t box[5] = {};     ///< elements

  uint64_t size(uint32_t dimension) const { return uint64_t(sizes[dimension]) + 1; }
  /// Of a row of the box.
  uint64_t rowBytes() const { return uint64_t(box[0]) * elementBytes; }
  uint64_t boxBytes() const {
    uint64_t bytes = rowBytes();
    for (uint32_t i = 1; i < rank; ++i)
      bytes *= box[i];
    return bytes;
  }
  /// Bytes from the first element to after the last one.
  uint64_t extent() const {
    uint64_t bytes = size(0) * elementBytes;
    for (uint32_t i = 1; i < rank; ++i)
      bytes += (size(i) - 1) * strides[i - 1];
    return bytes;
  }
};
static_assert(sizeof(TensorMap) <= sizeof(cuda::CUtensorMap));

/// cuTensorMapEncodeTiled. InvalidValue where the real driver says so: alignment of the address
/// (16) and of strides (16, below 2^40), sizes (1 to 2^32), box (1 to 256, its rows a multiple of
/// 16 bytes, not wider than the swizzle), rank. `why` says what was wrong.
cuda::CUresult encode(cuda::CUtensorMap *map, cuda::CUtensorMapDataType type, uint32_t rank,
                      void *address, const uint64_t *sizes, const uint64_t *strides,
                      const uint32_t *box, const uint32_t *elementStrides,
                      cuda::CUtensorMapInterleave interleave, cuda::CUtensorMapSwizzle swizzle,
                      cuda::CUtensorMapL2promotion promotion,
                      cuda::CUtensorMapFloatOOBfill outOfBounds, const char *&why);

/// Where a byte of shared memory lies with this swizzle: bits 4 to 6 of its address are exchanged
/// with bits 7 to 9.
inline uint64_t swizzled(uint64_t offset, uint32_t swizzle) {
  // 128 bytes: three bits; 64: two; 32: one; none: none.
  uint64_t bits = (uint64_t(1) << swizzle) - 1;
  return offset ^ ((offset >> 3) & (bits << 4));
}

} // namespace hadal::emulated

#endif // HADAL_RUNTIME_EMULATED_TENSORMAP_H
