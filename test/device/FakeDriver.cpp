//===- FakeDriver.cpp - a driver in a table, for tests ------------------===//

#include "test/device/FakeDriver.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>

using namespace hadal;
using namespace hadal::cuda;
using namespace hadal::test;

namespace hadal::cuda { // what handles point to here
struct CUevent_st {
  bool isOver = true;
};
struct CUfunc_st {
  std::string name;
};
struct CUstream_st {
  /// Each says whether it has happened; else it is asked again.
  std::deque<std::function<bool()>> operations;
};
} // namespace hadal::cuda

namespace {

/// Added to the memory's own address: no address of a process has these bits.
constexpr CUdeviceptr hidden = CUdeviceptr(1) << 60;

FakeDriver fake;
std::recursive_mutex mutex;
CUresult broken = CUDA_SUCCESS; ///< what a kernel has done to the device
std::map<CUdeviceptr, uint64_t> sizes;
std::set<CUstream> streams;
std::map<std::string, std::unique_ptr<CUfunc_st>> functions;

void *at(CUdeviceptr address) {
  if (!(address & hidden)) // pinned memory has one address for both
    return reinterpret_cast<void *>(address);
  return reinterpret_cast<void *>(address - hidden);
}

CUresult give(CUstream stream, std::function<bool()> operation) {
  std::lock_guard lock(mutex);
  if (broken)
    return broken;
  stream->operations.push_back(std::move(operation));
  return CUDA_SUCCESS;
}

CUresult copyLater(CUstream stream, void *to, const void *from, size_t bytes) {
  return give(stream, [=] { return std::memcpy(to, from, bytes), true; });
}

/// Each stream does one operation at each query, so that queries see work that is not done.
CUresult query(CUstream stream) {
  std::lock_guard lock(mutex);
  for (CUstream one : streams)
    if (!broken && !one->operations.empty() && one->operations.front()())
      one->operations.pop_front();
  if (broken)
    return broken;
  return stream->operations.empty() ? CUDA_SUCCESS : CUDA_ERROR_NOT_READY;
}

CUresult launch(const CUlaunchConfig *config, CUfunction function, void **parameters, void **) {
  std::lock_guard lock(mutex);
  FakeDriver::Launch launch{
      function->name, config->gridDimX, config->blockDimX, config->sharedMemBytes, 1, {}};
  for (unsigned i = 0; i < config->numAttrs; ++i)
    if (config->attrs[i].id == CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION)
      launch.cluster = config->attrs[i].value.clusterDim.x;
  for (size_t i = 0; i < fake.wantedParameters; ++i)
    launch.parameters.push_back(*static_cast<uint64_t *>(parameters[i]));
  fake.launches.push_back(launch);
  return give(config->hStream, [launch] {
    if (launch.kernel == "hang")
      return false;
    if (launch.kernel == "trap")
      broken = CUDA_ERROR_ILLEGAL_ADDRESS;
    if (launch.kernel != "check_add")
      return !broken;
    auto *addends = static_cast<const int64_t *>(at(launch.parameters[0]));
    auto *sums = static_cast<int64_t *>(at(launch.parameters[1]));
    int64_t scalar = int64_t(launch.parameters[2]), tasks = int64_t(launch.parameters[3]);
    for (int64_t i = 0; i < std::min<int64_t>(tasks, int64_t(launch.blocks) * launch.threads); ++i)
      sums[i] += addends[i] + scalar;
    return true;
  });
}

CUresult encode(CUtensorMap *, CUtensorMapDataType type, uint32_t rank, void *address,
                const uint64_t *sizes, const uint64_t *strides, const uint32_t *box,
                const uint32_t *, CUtensorMapInterleave, CUtensorMapSwizzle swizzle,
                CUtensorMapL2promotion, CUtensorMapFloatOOBfill) {
  fake.maps.push_back({type,
                       address,
                       {sizes, sizes + rank},
                       {strides, strides + rank - 1},
                       {box, box + rank},
                       swizzle});
  bool fits = std::all_of(strides, strides + rank - 1, [](uint64_t s) { return s % 16 == 0; });
  return fits ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

CUresult loadImage(CUmodule *module, const void *image, unsigned, CUjit_option *, void **values) {
  bool isPtx = std::strncmp(static_cast<const char *>(image), "ptx", 3) == 0;
  if (!isPtx && !fake.takesCubins)
    return CUDA_ERROR_NO_BINARY_FOR_GPU;
  if (std::strstr(static_cast<const char *>(image), "broken")) {
    std::strcpy(static_cast<char *>(values[0]), "ptxas fatal : no\n  such thing\n");
    return CUDA_ERROR_INVALID_PTX;
  }
  *module = reinterpret_cast<CUmodule>(isPtx ? 1 : 2);
  return CUDA_SUCCESS;
}

CUresult allocateMemory(CUdeviceptr *address, size_t bytes) {
  std::lock_guard lock(mutex);
  if (bytes > fake.bytes - fake.live)
    return CUDA_ERROR_OUT_OF_MEMORY;
  void *memory = std::aligned_alloc(256, (bytes + 255) / 256 * 256);
  std::memset(memory, 0xCD, bytes);
  *address = reinterpret_cast<CUdeviceptr>(memory) + hidden;
  sizes[*address] = bytes;
  fake.live += bytes;
  return CUDA_SUCCESS;
}

CUresult freeMemory(CUdeviceptr address) {
  std::lock_guard lock(mutex);
  fake.live -= sizes.at(address);
  sizes.erase(address);
  std::free(at(address));
  return CUDA_SUCCESS;
}

CUresult attributeOf(int *value, CUdevice_attribute which, CUdevice) {
  *value = which == CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT       ? fake.multiprocessors
           : which == CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR ? fake.capability / 10
                                                                   : fake.capability % 10;
  return CUDA_SUCCESS;
}

void setMemory(DriverTable &table) {
  table.cuMemGetInfo = [](size_t *free, size_t *total) {
    *free = fake.bytes - fake.live, *total = fake.bytes;
    return CUDA_SUCCESS;
  };
  table.cuMemAlloc = allocateMemory;
  table.cuMemFree = freeMemory;
  table.cuMemHostAlloc = [](void **memory, size_t bytes, unsigned) {
    *memory = std::malloc(bytes);
    return CUDA_SUCCESS;
  };
  table.cuMemHostGetDevicePointer = [](CUdeviceptr *address, void *memory, unsigned) {
    *address = reinterpret_cast<CUdeviceptr>(memory);
    return CUDA_SUCCESS;
  };
  table.cuMemFreeHost = [](void *memory) { return std::free(memory), CUDA_SUCCESS; };
  table.cuMemcpyHtoDAsync = [](CUdeviceptr to, const void *from, size_t bytes, CUstream stream) {
    return copyLater(stream, at(to), from, bytes);
  };
  table.cuMemcpyDtoHAsync = [](void *to, CUdeviceptr from, size_t bytes, CUstream stream) {
    return copyLater(stream, to, at(from), bytes);
  };
  table.cuMemcpyDtoDAsync = [](CUdeviceptr to, CUdeviceptr from, size_t bytes, CUstream stream) {
    bool overlap = to < from + bytes && from < to + bytes;
    return overlap ? CUDA_ERROR_INVALID_VALUE : copyLater(stream, at(to), at(from), bytes);
  };
  table.cuMemsetD8Async = [](CUdeviceptr to, unsigned char value, size_t bytes, CUstream stream) {
    return give(stream, [=] { return std::memset(at(to), value, bytes), true; });
  };
}

void setStreams(DriverTable &table) {
  table.cuStreamCreate = [](CUstream *stream, unsigned) {
    std::lock_guard lock(mutex);
    *stream = *streams.insert(new CUstream_st).first;
    return CUDA_SUCCESS;
  };
  table.cuStreamDestroy = [](CUstream stream) {
    std::lock_guard lock(mutex);
    streams.erase(stream);
    return delete stream, CUDA_SUCCESS;
  };
  table.cuStreamQuery = query;
  table.cuStreamWaitEvent = [](CUstream stream, CUevent event, unsigned) {
    return give(stream, [event] { return event->isOver; });
  };
  table.cuStreamWriteValue32 = [](CUstream stream, CUdeviceptr address, uint32_t value, unsigned) {
    if (!fake.writesValues)
      return CUDA_ERROR_NOT_SUPPORTED;
    return give(stream, [=] { return *static_cast<uint32_t *>(at(address)) = value, true; });
  };
  table.cuEventCreate = [](CUevent *event, unsigned) {
    *event = new CUevent_st;
    return CUDA_SUCCESS;
  };
  table.cuEventDestroy = [](CUevent event) { return delete event, CUDA_SUCCESS; };
  table.cuEventRecord = [](CUevent event, CUstream stream) {
    std::lock_guard lock(mutex);
    event->isOver = false;
    return give(stream, [event] { return event->isOver = true; });
  };
  table.cuEventQuery = [](CUevent event) {
    std::lock_guard lock(mutex);
    return broken ? broken : event->isOver ? CUDA_SUCCESS : CUDA_ERROR_NOT_READY;
  };
}

void setDevice(DriverTable &table) {
  table.cuInit = [](unsigned) { return fake.devices ? CUDA_SUCCESS : CUDA_ERROR_NO_DEVICE; };
  table.cuDriverGetVersion = [](int *version) { return *version = fake.version, CUDA_SUCCESS; };
  table.cuGetErrorName = [](CUresult error, const char **name) {
    *name = error == CUDA_ERROR_ILLEGAL_ADDRESS ? "CUDA_ERROR_ILLEGAL_ADDRESS" : "CUDA_ERROR";
    return CUDA_SUCCESS;
  };
  table.cuGetErrorString = [](CUresult, const char **text) {
    return *text = "as the fake driver says", CUDA_SUCCESS;
  };
  table.cuDeviceGetCount = [](int *count) { return *count = fake.devices, CUDA_SUCCESS; };
  table.cuDeviceGet = [](CUdevice *device, int number) { return *device = number, CUDA_SUCCESS; };
  table.cuDeviceGetName = [](char *name, int, CUdevice) {
    return std::strcpy(name, "Fake"), CUDA_SUCCESS;
  };
  table.cuDeviceGetAttribute = attributeOf;
  table.cuDevicePrimaryCtxRetain = [](CUcontext *context, CUdevice) {
    return *context = nullptr, CUDA_SUCCESS;
  };
  table.cuDevicePrimaryCtxRelease = [](CUdevice) { return CUDA_SUCCESS; };
  table.cuCtxSetCurrent = [](CUcontext) { return CUDA_SUCCESS; };
}

void setKernels(DriverTable &table) {
  table.cuModuleLoadDataEx = loadImage;
  table.cuModuleUnload = [](CUmodule) { return CUDA_SUCCESS; };
  table.cuModuleGetFunction = [](CUfunction *function, CUmodule, const char *name) {
    if (std::strcmp(name, "missing") == 0)
      return CUDA_ERROR_NOT_FOUND;
    auto &made = functions[name];
    if (!made)
      made.reset(new CUfunc_st{name});
    *function = made.get();
    return CUDA_SUCCESS;
  };
  table.cuFuncSetAttribute = [](CUfunction, CUfunction_attribute, int) { return CUDA_SUCCESS; };
  table.cuLaunchKernelEx = launch;
  table.cuTensorMapEncodeTiled = encode;
}

} // namespace

FakeDriver &test::newFakeDriver() {
  fake = FakeDriver();
  broken = CUDA_SUCCESS;
  // A device that was lost gives nothing back.
  for (CUstream stream : streams)
    delete stream;
  streams.clear();
  for (auto [address, bytes] : sizes)
    std::free(at(address));
  sizes.clear();
  return fake;
}

DriverTable test::fakeTable() {
  DriverTable table;
  setDevice(table);
  setMemory(table);
  setStreams(table);
  setKernels(table);
  return table;
}

std::shared_ptr<const Driver> test::startFakeDriver() {
  auto driver = Driver::start(fakeTable(), nullptr, "the fake driver");
  return driver.ok() ? *driver : nullptr;
}
