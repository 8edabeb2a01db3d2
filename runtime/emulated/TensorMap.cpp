//===- TensorMap.cpp - encoding, and the refusals of it -----------------===//

#include "runtime/emulated/TensorMap.h"

#include <cstring>

namespace hadal::emulated {

using namespace hadal::cuda;

/// Bytes of an element; 0: no such type.
static uint32_t elementBytes(CUtensorMapDataType type) {
  switch (type) {
  case CU_TENSOR_MAP_DATA_TYPE_UINT8: return 1;
  case CU_TENSOR_MAP_DATA_TYPE_UINT16:
  case CU_TENSOR_MAP_DATA_TYPE_FLOAT16:
  case CU_TENSOR_MAP_DATA_TYPE_BFLOAT16: return 2;
  case CU_TENSOR_MAP_DATA_TYPE_UINT32:
  case CU_TENSOR_MAP_DATA_TYPE_INT32:
  case CU_TENSOR_MAP_DATA_TYPE_FLOAT32: return 4;
  case CU_TENSOR_MAP_DATA_TYPE_UINT64:
  case CU_TENSOR_MAP_DATA_TYPE_INT64:
  case CU_TENSOR_MAP_DATA_TYPE_FLOAT64: return 8;
  }
  return 0;
}

static const char *refusal(uint32_t bytes, uint32_t rank, const void *address,
                           const uint64_t *sizes, const uint64_t *strides, const uint32_t *box,
                           const uint32_t *elementStrides, int interleave, uint32_t swizzle) {
  if (!bytes)
    return "an element type that it does not know";
  if (rank < 1 || rank > 5)
    return "a rank that is not 1 to 5";
  if (!address || reinterpret_cast<uintptr_t>(address) % 16)
    return "an address that is not a multiple of 16";
  if (interleave != CU_TENSOR_MAP_INTERLEAVE_NONE)
    return "an interleaved layout";
  if (swizzle > CU_TENSOR_MAP_SWIZZLE_128B)
    return "a swizzle that it does not know";
  for (uint32_t i = 0; i < rank; ++i) {
    if (sizes[i] < 1 || sizes[i] > uint64_t(1) << 32)
      return "a size that is not 1 to 2^32";
    if (box[i] < 1 || box[i] > 256)
      return "a box that is not 1 to 256 elements wide";
    if (elementStrides[i] != 1)
      return "element strides";
  }
  for (uint32_t i = 0; i + 1 < rank; ++i)
    if (strides[i] % 16 || strides[i] >= uint64_t(1) << 40)
      return "a stride that is not a multiple of 16 below 2^40 bytes";
  uint64_t row = uint64_t(box[0]) * bytes;
  if (row % 16)
    return "a box whose rows are not a multiple of 16 bytes";
  uint64_t span = uint64_t(16) << swizzle;
  if (swizzle && row > span)
    return "a box whose rows are wider than the swizzle";
  return nullptr;
}

CUresult encode(CUtensorMap *map, CUtensorMapDataType type, uint32_t rank, void *address,
                const uint64_t *sizes, const uint64_t *strides, const uint32_t *box,
                const uint32_t *elementStrides, CUtensorMapInterleave interleave,
                CUtensorMapSwizzle swizzle, CUtensorMapL2promotion promotion,
                CUtensorMapFloatOOBfill outOfBounds, const char *&why) {
  uint32_t bytes = elementBytes(type);
  if (!map || reinterpret_cast<uintptr_t>(map) % 64)
    why = "a tensor map that is not aligned to 64 bytes";
  else
    why = refusal(bytes, rank, address, sizes, strides, box, elementStrides, interleave, swizzle);
  if (!why && promotion > CU_TENSOR_MAP_L2_PROMOTION_L2_256B)
    why = "a promotion that it does not know";
  if (!why && outOfBounds != CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE)
    why = "a fill that is not zero";
  if (why)
    return CUDA_ERROR_INVALID_VALUE;

  TensorMap encoded;
  encoded.magic = TensorMap::tag;
  encoded.rank = static_cast<uint8_t>(rank);
  encoded.elementBytes = static_cast<uint8_t>(bytes);
  encoded.swizzle = static_cast<uint8_t>(swizzle);
  encoded.address = reinterpret_cast<uintptr_t>(address);
  for (uint32_t i = 0; i < rank; ++i) {
    encoded.sizes[i] = static_cast<uint32_t>(sizes[i] - 1);
    encoded.box[i] = static_cast<uint16_t>(box[i]);
    if (i + 1 < rank)
      encoded.strides[i] = strides[i];
  }
  std::memset(map, 0, sizeof *map);
  std::memcpy(map, &encoded, sizeof encoded);
  return CUDA_SUCCESS;
}

} // namespace hadal::emulated
