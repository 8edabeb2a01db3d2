//===- CudaTypes.cpp - our words for the driver's are cuda.h's ----------===//
//
// Compiled, never run, where there is a cuda.h.
//
//===--------------------------------------------------------------------===//

#include "runtime/device/cuda/DriverTypes.h"

// Ours are constants, cuda.h's a macro.
static_assert(hadal::cuda::CU_MEMHOSTALLOC_DEVICEMAP == 2);

#include <cuda.h>

namespace ours = hadal::cuda;

static_assert(CU_MEMHOSTALLOC_DEVICEMAP == 2);
static_assert(ours::CU_STREAM_NON_BLOCKING == unsigned(CU_STREAM_NON_BLOCKING) &&
              ours::CU_EVENT_DISABLE_TIMING == unsigned(CU_EVENT_DISABLE_TIMING));

template <typename Ours, typename Theirs> constexpr bool sameSize = sizeof(Ours) == sizeof(Theirs);
static_assert(sameSize<ours::CUdeviceptr, CUdeviceptr> && sameSize<ours::CUdevice, CUdevice> &&
              sameSize<ours::CUresult, CUresult> && sameSize<ours::CUstream, CUstream> &&
              sameSize<ours::CUtensorMap, CUtensorMap> &&
              sameSize<ours::CUlaunchAttribute, CUlaunchAttribute> &&
              sameSize<ours::CUlaunchConfig, CUlaunchConfig>);

#define HADAL_SAME_PLACE(type, member)                                                             \
  static_assert(offsetof(ours::type, member) == offsetof(type, member));
HADAL_SAME_PLACE(CUlaunchAttribute, value)
HADAL_SAME_PLACE(CUlaunchAttributeValue, clusterDim)
HADAL_SAME_PLACE(CUlaunchConfig, blockDimX)
HADAL_SAME_PLACE(CUlaunchConfig, sharedMemBytes)
HADAL_SAME_PLACE(CUlaunchConfig, hStream)
HADAL_SAME_PLACE(CUlaunchConfig, attrs)
HADAL_SAME_PLACE(CUlaunchConfig, numAttrs)

#define HADAL_SAME_NUMBER(name) static_assert(int(ours::name) == int(::name));
HADAL_SAME_NUMBER(CUDA_ERROR_OUT_OF_MEMORY)
HADAL_SAME_NUMBER(CUDA_ERROR_NO_DEVICE)
HADAL_SAME_NUMBER(CUDA_ERROR_INVALID_DEVICE)
HADAL_SAME_NUMBER(CUDA_ERROR_INVALID_IMAGE)
HADAL_SAME_NUMBER(CUDA_ERROR_INVALID_CONTEXT)
HADAL_SAME_NUMBER(CUDA_ERROR_NO_BINARY_FOR_GPU)
HADAL_SAME_NUMBER(CUDA_ERROR_INVALID_PTX)
HADAL_SAME_NUMBER(CUDA_ERROR_UNSUPPORTED_PTX_VERSION)
HADAL_SAME_NUMBER(CUDA_ERROR_INVALID_HANDLE)
HADAL_SAME_NUMBER(CUDA_ERROR_NOT_FOUND)
HADAL_SAME_NUMBER(CUDA_ERROR_NOT_READY)
HADAL_SAME_NUMBER(CUDA_ERROR_ILLEGAL_ADDRESS)
HADAL_SAME_NUMBER(CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES)
HADAL_SAME_NUMBER(CUDA_ERROR_LAUNCH_TIMEOUT)
HADAL_SAME_NUMBER(CUDA_ERROR_LAUNCH_FAILED)
HADAL_SAME_NUMBER(CUDA_ERROR_NOT_SUPPORTED)
HADAL_SAME_NUMBER(CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT)
HADAL_SAME_NUMBER(CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)
HADAL_SAME_NUMBER(CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)
HADAL_SAME_NUMBER(CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES)
HADAL_SAME_NUMBER(CU_FUNC_ATTRIBUTE_NON_PORTABLE_CLUSTER_SIZE_ALLOWED)
HADAL_SAME_NUMBER(CU_JIT_ERROR_LOG_BUFFER)
HADAL_SAME_NUMBER(CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES)
HADAL_SAME_NUMBER(CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION)
HADAL_SAME_NUMBER(CU_TENSOR_MAP_DATA_TYPE_FLOAT64)
HADAL_SAME_NUMBER(CU_TENSOR_MAP_DATA_TYPE_BFLOAT16)
HADAL_SAME_NUMBER(CU_TENSOR_MAP_SWIZZLE_128B)
HADAL_SAME_NUMBER(CU_TENSOR_MAP_L2_PROMOTION_L2_128B)

// The names that cuGetProcAddress is asked for are functions.
#define HADAL_IS_THERE(name, parameters) static_assert(sizeof(&::name) == sizeof(void *));
HADAL_CUDA_FUNCTIONS(HADAL_IS_THERE)
