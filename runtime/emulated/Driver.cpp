//===- Driver.cpp - the driver's functions for an emulated device -------===//
//
// The functions that CudaDevice calls, with the refusals of the real driver as far as its manual
// describes them. There is one device. All streams are as with CU_STREAM_NON_BLOCKING.
//
//===--------------------------------------------------------------------===//

#include "runtime/emulated/Context.h"
#include "runtime/emulated/TensorMap.h"

#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace hadal::emulated {

using namespace hadal::cuda;

/// The seed or size in an environment variable; false where it is no number.
static bool readNumber(const char *name, uint64_t &value) {
  const char *text = std::getenv(name);
  if (!text)
    return true;
  const char *end = text + std::strlen(text);
  auto [stop, error] = std::from_chars(text, end, value);
  return error == std::errc() && stop == end && stop != text;
}

static CUresult cuInit(unsigned flags) {
  Context &context = Context::get();
  std::lock_guard lock(context.mutex);
  if (flags)
    return CUDA_ERROR_INVALID_VALUE;
  uint64_t seed = 0, memory = uint64_t(16) << 30;
  if (!readNumber("HADAL_EMULATOR_SEED", seed) || !readNumber("HADAL_EMULATOR_MEMORY", memory))
    return CUDA_ERROR_INVALID_VALUE;
  context.seed = seed;
  if (!context.memory.totalBytes() && !context.memory.reserve(memory))
    return CUDA_ERROR_OUT_OF_MEMORY;
  context.queues.start(
      seed, [&context](bool open) { open ? context.memory.open() : context.memory.close(); });
  context.initialized = true;
  return CUDA_SUCCESS;
}

static CUresult cuDriverGetVersion(int *version) {
  if (!version)
    return CUDA_ERROR_INVALID_VALUE;
  *version = 13000;
  return CUDA_SUCCESS;
}

namespace {
struct ErrorText {
  CUresult error;
  const char *name, *text;
};
} // namespace

static const ErrorText errors[] = {
    {CUDA_SUCCESS, "CUDA_SUCCESS", "no error"},
    {CUDA_ERROR_INVALID_VALUE, "CUDA_ERROR_INVALID_VALUE", "invalid argument"},
    {CUDA_ERROR_OUT_OF_MEMORY, "CUDA_ERROR_OUT_OF_MEMORY", "out of memory"},
    {CUDA_ERROR_NOT_INITIALIZED, "CUDA_ERROR_NOT_INITIALIZED", "initialization error"},
    {CUDA_ERROR_NO_DEVICE, "CUDA_ERROR_NO_DEVICE", "no CUDA-capable device is detected"},
    {CUDA_ERROR_INVALID_DEVICE, "CUDA_ERROR_INVALID_DEVICE", "invalid device ordinal"},
    {CUDA_ERROR_INVALID_IMAGE, "CUDA_ERROR_INVALID_IMAGE", "device kernel image is invalid"},
    {CUDA_ERROR_INVALID_CONTEXT, "CUDA_ERROR_INVALID_CONTEXT", "invalid device context"},
    {CUDA_ERROR_NO_BINARY_FOR_GPU, "CUDA_ERROR_NO_BINARY_FOR_GPU",
     "no kernel image is available for execution on the device"},
    {CUDA_ERROR_INVALID_PTX, "CUDA_ERROR_INVALID_PTX", "a PTX JIT compilation failed"},
    {CUDA_ERROR_UNSUPPORTED_PTX_VERSION, "CUDA_ERROR_UNSUPPORTED_PTX_VERSION",
     "the provided PTX was compiled with an unsupported toolchain."},
    {CUDA_ERROR_INVALID_HANDLE, "CUDA_ERROR_INVALID_HANDLE", "invalid resource handle"},
    {CUDA_ERROR_NOT_FOUND, "CUDA_ERROR_NOT_FOUND", "named symbol not found"},
    {CUDA_ERROR_NOT_READY, "CUDA_ERROR_NOT_READY", "device not ready"},
    {CUDA_ERROR_ILLEGAL_ADDRESS, "CUDA_ERROR_ILLEGAL_ADDRESS",
     "an illegal memory access was encountered"},
    {CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES, "CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES",
     "too many resources requested for launch"},
    {CUDA_ERROR_LAUNCH_TIMEOUT, "CUDA_ERROR_LAUNCH_TIMEOUT",
     "the launch timed out and was terminated"},
    {CUDA_ERROR_LAUNCH_FAILED, "CUDA_ERROR_LAUNCH_FAILED", "unspecified launch failure"},
    {CUDA_ERROR_NOT_SUPPORTED, "CUDA_ERROR_NOT_SUPPORTED", "operation not supported"},
};

static const ErrorText *findError(CUresult error) {
  for (const ErrorText &each : errors)
    if (each.error == error)
      return &each;
  return nullptr;
}

static CUresult cuGetErrorName(CUresult error, const char **name) {
  const ErrorText *known = findError(error);
  *name = known ? known->name : nullptr;
  return known ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

static CUresult cuGetErrorString(CUresult error, const char **text) {
  const ErrorText *known = findError(error);
  *text = known ? known->text : nullptr;
  return known ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

//===--- Devices and the context -------------------------------------------------------------===//

static CUresult checkDevice(CUdevice device) {
  if (!Context::get().initialized)
    return CUDA_ERROR_NOT_INITIALIZED;
  return device == 0 ? CUDA_SUCCESS : CUDA_ERROR_INVALID_DEVICE;
}

static CUresult cuDeviceGetCount(int *count) {
  if (CUresult error = checkDevice(0))
    return error;
  *count = 1;
  return CUDA_SUCCESS;
}

static CUresult cuDeviceGet(CUdevice *device, int ordinal) {
  if (CUresult error = checkDevice(ordinal))
    return error;
  *device = ordinal;
  return CUDA_SUCCESS;
}

static CUresult cuDeviceGetName(char *name, int bytes, CUdevice device) {
  if (CUresult error = checkDevice(device))
    return error;
  if (bytes < 1)
    return CUDA_ERROR_INVALID_VALUE;
  std::snprintf(name, static_cast<size_t>(bytes), "emulated sm_90a");
  return CUDA_SUCCESS;
}

static CUresult cuDeviceGetAttribute(int *value, CUdevice_attribute attribute, CUdevice device) {
  if (CUresult error = checkDevice(device))
    return error;
  switch (attribute) {
  case CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT:
    *value = 4; // few, so that a kernel of as many blocks has several tiles each
    return CUDA_SUCCESS;
  case CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR: *value = 9; return CUDA_SUCCESS;
  case CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR: *value = 0; return CUDA_SUCCESS;
  }
  return CUDA_ERROR_INVALID_VALUE;
}

static CUresult cuDevicePrimaryCtxRetain(CUcontext *context, CUdevice device) {
  if (CUresult error = checkDevice(device))
    return error;
  Context &own = Context::get();
  std::lock_guard lock(own.mutex);
  ++own.retained;
  *context = reinterpret_cast<CUcontext>(&own);
  return CUDA_SUCCESS;
}

static CUresult cuDevicePrimaryCtxRelease(CUdevice device) {
  if (CUresult error = checkDevice(device))
    return error;
  Context &own = Context::get();
  {
    std::lock_guard lock(own.mutex);
    if (!own.retained)
      return CUDA_ERROR_INVALID_CONTEXT;
    if (--own.retained)
      return CUDA_SUCCESS;
  }
  return own.reset();
}

static CUresult cuCtxSetCurrent(CUcontext context) {
  Context &own = Context::get();
  if (!own.initialized)
    return CUDA_ERROR_NOT_INITIALIZED;
  if (context && context != reinterpret_cast<CUcontext>(&own))
    return CUDA_ERROR_INVALID_CONTEXT;
  own.setCurrent(context != nullptr);
  return CUDA_SUCCESS;
}

//===--- Memory ------------------------------------------------------------------------------===//

static CUresult cuMemGetInfo(size_t *free, size_t *total) {
  if (CUresult error = Context::get().check())
    return error;
  *free = Context::get().memory.freeBytes();
  *total = Context::get().memory.totalBytes();
  return CUDA_SUCCESS;
}

static CUresult cuMemAlloc(CUdeviceptr *address, size_t bytes) {
  if (CUresult error = Context::get().check())
    return error;
  if (!address || !bytes)
    return CUDA_ERROR_INVALID_VALUE;
  *address = Context::get().memory.allocate(bytes);
  return *address ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;
}

static CUresult cuMemFree(CUdeviceptr address) {
  Context &context = Context::get();
  if (CUresult error = context.check())
    return error;
  if (!address)
    return CUDA_SUCCESS;
  if (CUresult error = context.queues.drain())
    return error;
  return context.memory.release(address) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

static CUresult cuMemHostAlloc(void **memory, size_t bytes, unsigned flags) {
  Context &context = Context::get();
  if (CUresult error = context.check())
    return error;
  if (!memory || !bytes || flags & ~7u)
    return CUDA_ERROR_INVALID_VALUE;
  *memory = std::aligned_alloc(4096, (bytes + 4095) / 4096 * 4096);
  if (!*memory)
    return CUDA_ERROR_OUT_OF_MEMORY;
  std::lock_guard lock(context.mutex);
  context.hostMemory[reinterpret_cast<uintptr_t>(*memory)] = bytes;
  return CUDA_SUCCESS;
}

static CUresult cuMemHostGetDevicePointer(CUdeviceptr *address, void *memory, unsigned flags) {
  Context &context = Context::get();
  if (CUresult error = context.check())
    return error;
  if (flags || !context.isPinned(reinterpret_cast<uintptr_t>(memory), 1))
    return CUDA_ERROR_INVALID_VALUE;
  *address = reinterpret_cast<uintptr_t>(memory);
  return CUDA_SUCCESS;
}

static CUresult cuMemFreeHost(void *memory) {
  Context &context = Context::get();
  if (CUresult error = context.check())
    return error;
  if (CUresult error = context.queues.drain())
    return error;
  std::lock_guard lock(context.mutex);
  if (!context.hostMemory.erase(reinterpret_cast<uintptr_t>(memory)))
    return CUDA_ERROR_INVALID_VALUE;
  std::free(memory);
  return CUDA_SUCCESS;
}

/// A copy or set on a stream, once its addresses were checked.
static CUresult issue(CUstream handle, std::function<void()> work) {
  Context &context = Context::get();
  Stream *stream = context.queues.find(handle);
  if (!stream)
    return CUDA_ERROR_INVALID_HANDLE;
  Operation operation;
  operation.work = [work = std::move(work)] {
    work();
    return CUDA_SUCCESS;
  };
  return context.queues.issue(stream, std::move(operation));
}

static char *pointer(CUdeviceptr address) { return reinterpret_cast<char *>(address); }

static CUresult cuMemcpyHtoDAsync(CUdeviceptr to, const void *from, size_t bytes, CUstream stream) {
  Context &context = Context::get();
  if (CUresult error = context.check())
    return error;
  if (!context.memory.holds(to, bytes) || !from)
    return CUDA_ERROR_INVALID_VALUE;
  if (context.isPinned(reinterpret_cast<uintptr_t>(from), bytes))
    return issue(stream, [=] { std::memcpy(pointer(to), from, bytes); });
  // Memory that is not pinned has been read when the call returns.
  auto *first = static_cast<const char *>(from);
  auto staged = std::make_shared<std::vector<char>>(first, first + bytes);
  return issue(stream, [=] { std::memcpy(pointer(to), staged->data(), bytes); });
}

static CUresult cuMemcpyDtoHAsync(void *to, CUdeviceptr from, size_t bytes, CUstream stream) {
  Context &context = Context::get();
  if (CUresult error = context.check())
    return error;
  if (!context.memory.holds(from, bytes) || !to)
    return CUDA_ERROR_INVALID_VALUE;
  CUresult result = issue(stream, [=] { std::memcpy(to, pointer(from), bytes); });
  if (result || context.isPinned(reinterpret_cast<uintptr_t>(to), bytes))
    return result;
  return context.queues.synchronize(context.queues.find(stream));
}

static CUresult cuMemcpyDtoDAsync(CUdeviceptr to, CUdeviceptr from, size_t bytes, CUstream stream) {
  Context &context = Context::get();
  if (CUresult error = context.check())
    return error;
  bool overlap = from < to + bytes && to < from + bytes;
  if (!context.memory.holds(from, bytes) || !context.memory.holds(to, bytes) || overlap)
    return CUDA_ERROR_INVALID_VALUE; // a GPU copies overlapping ranges in some order
  return issue(stream, [=] { std::memcpy(pointer(to), pointer(from), bytes); });
}

static CUresult cuMemsetD8Async(CUdeviceptr to, unsigned char value, size_t bytes,
                                CUstream stream) {
  Context &context = Context::get();
  if (CUresult error = context.check())
    return error;
  if (!context.memory.holds(to, bytes))
    return CUDA_ERROR_INVALID_VALUE;
  return issue(stream, [=] { std::memset(pointer(to), value, bytes); });
}

//===--- Streams and events ------------------------------------------------------------------===//

static CUresult cuStreamCreate(CUstream *stream, unsigned flags) {
  Context &context = Context::get();
  if (CUresult error = context.check())
    return error;
  if (!stream || flags & ~CU_STREAM_NON_BLOCKING)
    return CUDA_ERROR_INVALID_VALUE;
  *stream = reinterpret_cast<CUstream>(context.queues.makeStream());
  return CUDA_SUCCESS;
}

/// The stream of a handle; the error of the context or of the handle.
static CUresult findStream(CUstream handle, Stream *&stream) {
  if (CUresult error = Context::get().check())
    return error;
  stream = Context::get().queues.find(handle);
  return stream ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE;
}

static CUresult cuStreamDestroy(CUstream handle) {
  Stream *stream = nullptr;
  if (CUresult error = findStream(handle, stream))
    return error;
  Context::get().queues.destroy(stream);
  return CUDA_SUCCESS;
}

static CUresult cuStreamQuery(CUstream handle) {
  Stream *stream = nullptr;
  CUresult error = findStream(handle, stream);
  return error ? error : Context::get().queues.query(stream);
}

static CUresult cuStreamWriteValue32(CUstream stream, CUdeviceptr address, uint32_t value,
                                     unsigned flags) {
  Context &context = Context::get();
  if (CUresult error = context.check())
    return error;
  if (address % 4 || flags & ~1u ||
      (!context.memory.holds(address, 4) && !context.isPinned(address, 4)))
    return CUDA_ERROR_INVALID_VALUE;
  return issue(stream, [=] {
    __atomic_store_n(reinterpret_cast<uint32_t *>(address), value, __ATOMIC_RELEASE);
  });
}

static CUresult cuEventCreate(CUevent *event, unsigned flags) {
  Context &context = Context::get();
  if (CUresult error = context.check())
    return error;
  if (!event || flags & ~3u)
    return CUDA_ERROR_INVALID_VALUE;
  std::lock_guard lock(context.mutex);
  context.events.push_back(std::make_unique<Event>());
  *event = reinterpret_cast<CUevent>(context.events.back().get());
  return CUDA_SUCCESS;
}

static CUresult findEvent(CUevent handle, Event *&event) {
  Context &context = Context::get();
  if (CUresult error = context.check())
    return error;
  std::lock_guard lock(context.mutex);
  for (const auto &each : context.events)
    if (each.get() == reinterpret_cast<Event *>(handle))
      event = each.get();
  return event ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE;
}

static CUresult cuEventDestroy(CUevent handle) {
  Event *event = nullptr;
  if (CUresult error = findEvent(handle, event))
    return error;
  std::lock_guard lock(Context::get().mutex);
  std::erase_if(Context::get().events, [&](const auto &each) { return each.get() == event; });
  return CUDA_SUCCESS;
}

static CUresult cuEventRecord(CUevent handle, CUstream streamHandle) {
  Event *event = nullptr;
  Stream *stream = nullptr;
  if (CUresult error = findEvent(handle, event))
    return error;
  CUresult error = findStream(streamHandle, stream);
  return error ? error : Context::get().queues.record(*event, stream);
}

static CUresult cuEventQuery(CUevent handle) {
  Event *event = nullptr;
  CUresult error = findEvent(handle, event);
  return error ? error : Context::get().queues.query(*event);
}

static CUresult cuStreamWaitEvent(CUstream streamHandle, CUevent handle, unsigned flags) {
  Event *event = nullptr;
  Stream *stream = nullptr;
  if (CUresult error = findEvent(handle, event))
    return error;
  if (CUresult error = findStream(streamHandle, stream))
    return error;
  return flags & ~1u ? CUDA_ERROR_INVALID_VALUE : Context::get().queues.await(stream, *event);
}

//===--- Modules and launches ----------------------------------------------------------------===//

static CUresult cuModuleLoadDataEx(CUmodule *module, const void *image, unsigned options,
                                   CUjit_option *names, void **values) {
  Context &context = Context::get();
  if (CUresult error = context.check())
    return error;
  std::string log;
  CUresult result = CUDA_SUCCESS;
  std::unique_ptr<Image> loaded = Image::load(image, log, result);
  char *buffer = nullptr;
  size_t bytes = 0;
  for (unsigned i = 0; i < options; ++i) {
    if (names[i] == CU_JIT_ERROR_LOG_BUFFER)
      buffer = static_cast<char *>(values[i]);
    else if (names[i] == CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES)
      bytes = reinterpret_cast<uintptr_t>(values[i]);
  }
  if (buffer && bytes)
    std::snprintf(buffer, bytes, "%s", log.c_str());
  if (!loaded)
    return result;
  std::lock_guard lock(context.mutex);
  *module = reinterpret_cast<CUmodule>(loaded.get());
  context.images.push_back(std::move(loaded));
  return CUDA_SUCCESS;
}

static CUresult cuModuleUnload(CUmodule module) {
  Context &context = Context::get();
  if (CUresult error = context.check())
    return error;
  if (CUresult error = context.queues.drain())
    return error;
  std::lock_guard lock(context.mutex);
  size_t unloaded = std::erase_if(context.images, [&](const auto &image) {
    return image.get() == reinterpret_cast<Image *>(module);
  });
  return unloaded ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE;
}

static CUresult cuModuleGetFunction(CUfunction *function, CUmodule module, const char *name) {
  Context &context = Context::get();
  if (CUresult error = context.check())
    return error;
  std::lock_guard lock(context.mutex);
  for (const auto &image : context.images) {
    if (image.get() != reinterpret_cast<Image *>(module))
      continue;
    Function *found = image->find(name);
    *function = reinterpret_cast<CUfunction>(found);
    return found ? CUDA_SUCCESS : CUDA_ERROR_NOT_FOUND;
  }
  return CUDA_ERROR_INVALID_HANDLE;
}

static CUresult cuFuncSetAttribute(CUfunction handle, CUfunction_attribute attribute, int value) {
  Context &context = Context::get();
  if (CUresult error = context.check())
    return error;
  std::lock_guard lock(context.mutex);
  Function *function = context.find(handle);
  if (!function)
    return CUDA_ERROR_INVALID_HANDLE;
  switch (attribute) {
  case CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES:
    if (value < 0 || static_cast<uint64_t>(value) > maxSharedBytes)
      return CUDA_ERROR_INVALID_VALUE;
    function->mostSharedBytes = static_cast<uint32_t>(value);
    return CUDA_SUCCESS;
  case CU_FUNC_ATTRIBUTE_NON_PORTABLE_CLUSTER_SIZE_ALLOWED:
    function->anyClusterSize = value != 0;
    return CUDA_SUCCESS;
  }
  return CUDA_ERROR_INVALID_VALUE;
}

/// Blocks of a cluster along x, by the launch's attributes; 0 where they ask for something else.
static uint32_t clusterSize(const CUlaunchConfig &config) {
  uint32_t size = 1;
  for (unsigned i = 0; i < config.numAttrs; ++i) {
    const auto &dimension = config.attrs[i].value.clusterDim;
    if (config.attrs[i].id != CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION || dimension.y != 1 ||
        dimension.z != 1)
      return 0;
    size = dimension.x;
  }
  return size;
}

static CUresult checkLaunch(const CUlaunchConfig &config, const Function &function,
                            void **parameters, void **extra) {
  uint64_t threads = uint64_t(config.blockDimX) * config.blockDimY * config.blockDimZ;
  if (!config.gridDimX || config.gridDimX > 0x7fffffff || !config.gridDimY ||
      config.gridDimY > 65535 || !config.gridDimZ || config.gridDimZ > 65535 || !threads ||
      threads > maxThreads || config.blockDimX > maxThreads || config.blockDimY > maxThreads ||
      config.blockDimZ > 64)
    return CUDA_ERROR_INVALID_VALUE;
  uint32_t cluster = clusterSize(config);
  if (!cluster || cluster > maxClusterSize || config.gridDimX % cluster)
    return CUDA_ERROR_INVALID_VALUE;
  if (cluster > 8 && !function.anyClusterSize)
    return CUDA_ERROR_INVALID_VALUE;
  if (config.sharedMemBytes > function.mostSharedBytes)
    return CUDA_ERROR_INVALID_VALUE;
  if (extra || (!parameters && !function.paramBytes.empty()))
    return CUDA_ERROR_INVALID_VALUE;
  return CUDA_SUCCESS;
}

static CUresult cuLaunchKernelEx(const CUlaunchConfig *config, CUfunction handle, void **parameters,
                                 void **extra) {
  Context &context = Context::get();
  Stream *stream = nullptr;
  if (CUresult error = findStream(config->hStream, stream))
    return error;
  std::shared_ptr<PendingLaunch> pending;
  {
    std::lock_guard lock(context.mutex);
    Function *function = context.find(handle);
    if (!function)
      return CUDA_ERROR_INVALID_HANDLE;
    if (CUresult error = checkLaunch(*config, *function, parameters, extra))
      return error;
    pending = std::make_shared<PendingLaunch>(*function, parameters);
    pending->number = ++context.launches;
  }
  pending->grid = {config->gridDimX, config->gridDimY, config->gridDimZ};
  pending->block = {config->blockDimX, config->blockDimY, config->blockDimZ};
  pending->clusterSize = clusterSize(*config);
  pending->sharedBytes = config->sharedMemBytes;
  Operation operation;
  operation.work = [pending] { return Context::get().run(*pending); };
  return context.queues.issue(stream, std::move(operation));
}

static CUresult cuTensorMapEncodeTiled(CUtensorMap *map, CUtensorMapDataType type, uint32_t rank,
                                       void *address, const uint64_t *sizes,
                                       const uint64_t *strides, const uint32_t *box,
                                       const uint32_t *elementStrides,
                                       CUtensorMapInterleave interleave, CUtensorMapSwizzle swizzle,
                                       CUtensorMapL2promotion promotion,
                                       CUtensorMapFloatOOBfill outOfBounds) {
  const char *why = nullptr;
  CUresult result = encode(map, type, rank, address, sizes, strides, box, elementStrides,
                           interleave, swizzle, promotion, outOfBounds, why);
  if (why)
    Context::get().setReport(std::string("a tensor map with ") + why);
  return result;
}

} // namespace hadal::emulated

//===--- What the library exports ------------------------------------------------------------===//

using namespace hadal::cuda;

extern "C" __attribute__((visibility("default"))) CUresult
cuGetProcAddress_v2(const char *symbol, void **function, int version, uint64_t, int *status) {
  using namespace hadal::emulated;
  // CU_GET_PROC_ADDRESS_SUCCESS, _SYMBOL_NOT_FOUND, _VERSION_NOT_SUFFICIENT
  auto answer = [&](int code) {
    if (status)
      *status = code;
    return code ? CUDA_ERROR_NOT_FOUND : CUDA_SUCCESS;
  };
  if (!symbol || !function)
    return CUDA_ERROR_INVALID_VALUE;
  *function = nullptr;
  if (version < apiVersion)
    return answer(2);
#define HADAL_FIND(NAME, PARAMETERS)                                                               \
  if (std::strcmp(symbol, #NAME) == 0) {                                                           \
    CUresult(*typed) PARAMETERS = &NAME;                                                           \
    *function = reinterpret_cast<void *>(typed);                                                   \
    return answer(0);                                                                              \
  }
  HADAL_CUDA_FUNCTIONS(HADAL_FIND)
#undef HADAL_FIND
  return answer(1);
}

extern "C" __attribute__((visibility("default"))) const char *hadal_emulator_report() {
  return hadal::emulated::Context::get().report();
}
