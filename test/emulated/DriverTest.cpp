//===- DriverTest.cpp - the driver's functions of the emulated device ---===//

#include "runtime/device/cuda/Driver.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <dlfcn.h>
#include <fstream>
#include <iterator>
#include <numeric>
#include <string>
#include <thread>
#include <vector>

using namespace hadal::cuda;

namespace {

/// The functions of the library, found as CudaDevice finds them.
struct Table : DriverTable {
  GetProcAddress find = nullptr;
  EmulatorReport report = nullptr;

  Table() {
    void *library = ::dlopen(HADAL_EMULATED_LIBRARY, RTLD_NOW | RTLD_LOCAL);
    if (!library)
      return;
    find = reinterpret_cast<GetProcAddress>(::dlsym(library, "cuGetProcAddress_v2"));
    report = reinterpret_cast<EmulatorReport>(::dlsym(library, "hadal_emulator_report"));
#define HADAL_FIND(NAME, PARAMETERS)                                                               \
  find(#NAME, reinterpret_cast<void **>(&NAME), apiVersion, 0, nullptr);
    HADAL_CUDA_FUNCTIONS(HADAL_FIND)
#undef HADAL_FIND
  }
};

const Table &cu() {
  static const Table table;
  return table;
}

std::vector<char> readImage() {
  std::ifstream file(HADAL_DRIVER_KERNELS, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

/// A context, a stream, the kernels.
class EmulatedDriver : public testing::Test {
protected:
  void SetUp() override {
    ASSERT_EQ(cu().cuInit(0), CUDA_SUCCESS);
    ASSERT_EQ(cu().cuDevicePrimaryCtxRetain(&context, 0), CUDA_SUCCESS);
    ASSERT_EQ(cu().cuCtxSetCurrent(context), CUDA_SUCCESS);
    ASSERT_EQ(cu().cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING), CUDA_SUCCESS);
    image = readImage();
    ASSERT_EQ(cu().cuModuleLoadDataEx(&module, image.data(), 0, nullptr, nullptr), CUDA_SUCCESS);
    ASSERT_EQ(cu().cuMemHostAlloc(&pinned, bytes, 0), CUDA_SUCCESS);
    host = static_cast<uint32_t *>(pinned);
  }
  void TearDown() override { cu().cuDevicePrimaryCtxRelease(0); }

  CUdeviceptr allocate(size_t size = bytes) {
    CUdeviceptr address = 0;
    EXPECT_EQ(cu().cuMemAlloc(&address, size), CUDA_SUCCESS);
    return address;
  }
  CUfunction kernel(const char *name) {
    CUfunction function = nullptr;
    EXPECT_EQ(cu().cuModuleGetFunction(&function, module, name), CUDA_SUCCESS) << name;
    return function;
  }
  CUresult launch(const char *name, std::vector<void *> params, unsigned blocks, unsigned threads,
                  unsigned cluster = 1, unsigned shared = 0, CUstream on = nullptr) {
    CUlaunchAttribute attribute = {};
    attribute.id = CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION;
    attribute.value.clusterDim.x = cluster;
    attribute.value.clusterDim.y = attribute.value.clusterDim.z = 1;
    CUlaunchConfig config = {};
    config.gridDimX = blocks;
    config.blockDimX = threads;
    config.gridDimY = config.gridDimZ = config.blockDimY = config.blockDimZ = 1;
    config.sharedMemBytes = shared;
    config.hStream = on ? on : stream;
    config.attrs = &attribute;
    config.numAttrs = cluster > 1;
    return cu().cuLaunchKernelEx(&config, kernel(name), params.data(), nullptr);
  }
  CUresult add(CUdeviceptr to, CUdeviceptr from, uint32_t value, CUstream on = nullptr) {
    uint64_t count = bytes / 4;
    return launch("addTo", {&to, &from, &value, &count}, 9, 32, 1, 0, on);
  }
  CUresult wait(CUstream on = nullptr) {
    for (;;) {
      CUresult result = cu().cuStreamQuery(on ? on : stream);
      if (result != CUDA_ERROR_NOT_READY)
        return result;
      std::this_thread::yield();
    }
  }

  static constexpr size_t bytes = 1000;
  CUcontext context = nullptr;
  CUstream stream = nullptr;
  CUmodule module = nullptr;
  std::vector<char> image;
  void *pinned = nullptr;
  uint32_t *host = nullptr;
};

} // namespace

TEST(EmulatedDriverLibrary, HasEachFunctionAndNoOther) {
#define HADAL_CHECK(NAME, PARAMETERS) EXPECT_NE(cu().NAME, nullptr) << #NAME;
  HADAL_CUDA_FUNCTIONS(HADAL_CHECK)
#undef HADAL_CHECK
  void *function = nullptr;
  int status = 0;
  EXPECT_EQ(cu().find("cuGraphLaunch", &function, apiVersion, 0, &status), CUDA_ERROR_NOT_FOUND);
  EXPECT_EQ(status, 1);
  EXPECT_EQ(cu().find("cuInit", &function, 10000, 0, &status), CUDA_ERROR_NOT_FOUND);
}

TEST_F(EmulatedDriver, NamesItsDeviceAndErrors) {
  int value = 0;
  char name[64];
  const char *text = nullptr;
  EXPECT_EQ(cu().cuDeviceGetCount(&value), CUDA_SUCCESS);
  EXPECT_EQ(value, 1);
  EXPECT_EQ(cu().cuDeviceGetName(name, sizeof name, 0), CUDA_SUCCESS);
  EXPECT_STREQ(name, "emulated sm_90a");
  EXPECT_EQ(cu().cuDeviceGet(&value, 1), CUDA_ERROR_INVALID_DEVICE);
  EXPECT_EQ(cu().cuGetErrorName(CUDA_ERROR_ILLEGAL_ADDRESS, &text), CUDA_SUCCESS);
  EXPECT_STREQ(text, "CUDA_ERROR_ILLEGAL_ADDRESS");
}

// Copies, sets and kernels of a stream happen in its order, and late: nothing is there before
// somebody waited, for some of many tries.
TEST_F(EmulatedDriver, StreamsRunLateAndInOrder) {
  CUdeviceptr a = allocate(), b = allocate();
  bool wasLate = false;
  for (uint32_t round = 0; round < 20; ++round) {
    std::iota(host, host + bytes / 4, round);
    ASSERT_EQ(cu().cuMemcpyHtoDAsync(a, host, bytes, stream), CUDA_SUCCESS);
    ASSERT_EQ(add(b, a, 5), CUDA_SUCCESS);
    ASSERT_EQ(add(b, b, 7), CUDA_SUCCESS);
    ASSERT_EQ(cu().cuMemcpyDtoDAsync(a, b, bytes, stream), CUDA_SUCCESS);
    ASSERT_EQ(cu().cuMemsetD8Async(b, 1, 4, stream), CUDA_SUCCESS);
    ASSERT_EQ(cu().cuMemcpyDtoHAsync(host, a, bytes, stream), CUDA_SUCCESS);
    wasLate |= host[0] == round;
    ASSERT_EQ(wait(), CUDA_SUCCESS);
    for (uint32_t i = 0; i < bytes / 4; ++i)
      ASSERT_EQ(host[i], round + i + 12);
  }
  EXPECT_TRUE(wasLate);
}

// What another stream does is there after its event, and need not be without.
TEST_F(EmulatedDriver, EventsOrderStreams) {
  CUdeviceptr a = allocate(), b = allocate();
  CUstream other = nullptr;
  CUevent event = nullptr;
  ASSERT_EQ(cu().cuStreamCreate(&other, CU_STREAM_NON_BLOCKING), CUDA_SUCCESS);
  ASSERT_EQ(cu().cuEventCreate(&event, CU_EVENT_DISABLE_TIMING), CUDA_SUCCESS);
  ASSERT_EQ(cu().cuEventQuery(event), CUDA_SUCCESS) << "nothing was recorded";
  int unordered = 0;
  for (int round = 0; round < 40; ++round) {
    bool ordered = round % 2;
    cu().cuMemsetD8Async(a, 0, bytes, stream);
    ASSERT_EQ(wait(), CUDA_SUCCESS);
    ASSERT_EQ(add(a, a, 3), CUDA_SUCCESS);
    ASSERT_EQ(cu().cuEventRecord(event, stream), CUDA_SUCCESS);
    if (ordered)
      ASSERT_EQ(cu().cuStreamWaitEvent(other, event, 0), CUDA_SUCCESS);
    ASSERT_EQ(add(b, a, 1, other), CUDA_SUCCESS);
    ASSERT_EQ(cu().cuMemcpyDtoHAsync(host, b, bytes, other), CUDA_SUCCESS);
    ASSERT_EQ(wait(other), CUDA_SUCCESS);
    if (ordered)
      ASSERT_EQ(host[7], 4u);
    unordered += host[7] != 4;
    ASSERT_EQ(wait(), CUDA_SUCCESS);
    ASSERT_EQ(cu().cuEventQuery(event), CUDA_SUCCESS);
  }
  EXPECT_GT(unordered, 0);
}

TEST_F(EmulatedDriver, WritesAWordWhenTheStreamGetsThere) {
  CUdeviceptr word = 0;
  ASSERT_EQ(cu().cuMemHostGetDevicePointer(&word, pinned, 0), CUDA_SUCCESS);
  host[0] = 1;
  ASSERT_EQ(cu().cuStreamWriteValue32(stream, word, 9, 0), CUDA_SUCCESS);
  ASSERT_EQ(wait(), CUDA_SUCCESS);
  EXPECT_EQ(host[0], 9u);
  // Not after a kernel that failed.
  ASSERT_EQ(launch("trap", {}, 1, 1), CUDA_SUCCESS);
  cu().cuStreamWriteValue32(stream, word, 10, 0);
  EXPECT_EQ(wait(), CUDA_ERROR_LAUNCH_FAILED);
  EXPECT_EQ(host[0], 9u);
}

// A kernel's error stays, of every later call, until the context is made anew.
TEST_F(EmulatedDriver, ErrorsOfKernelsStay) {
  CUdeviceptr a = allocate();
  ASSERT_EQ(launch("race", {&a}, 1, 64), CUDA_SUCCESS);
  EXPECT_EQ(wait(), CUDA_ERROR_LAUNCH_FAILED);
  std::string report = cu().report();
  for (const char *word : {"race: write of global memory", "at 'the store'", "thread "})
    EXPECT_NE(report.find(word), std::string::npos) << report;
  EXPECT_EQ(cu().cuMemsetD8Async(a, 0, 4, stream), CUDA_ERROR_LAUNCH_FAILED);
  EXPECT_EQ(cu().cuMemFree(a), CUDA_ERROR_LAUNCH_FAILED);
  ASSERT_EQ(cu().cuDevicePrimaryCtxRelease(0), CUDA_SUCCESS);
  SetUp();
  EXPECT_EQ(cu().report(), nullptr);
  ASSERT_EQ(launch("hang", {}, 1, 64), CUDA_SUCCESS);
  EXPECT_EQ(wait(), CUDA_ERROR_LAUNCH_TIMEOUT);
  EXPECT_NE(std::string(cu().report()).find("deadlock: 63 threads wait for ever"),
            std::string::npos)
      << cu().report();
}

// Kernels that write beside their memory: caught after the launch, or by their notices.
TEST_F(EmulatedDriver, RedZonesLieAroundAllocations) {
  for (int64_t off : {-4, int(bytes)}) {
    CUdeviceptr a = allocate(), b = a + static_cast<uint64_t>(off);
    uint32_t one = 1;
    uint64_t count = 1;
    ASSERT_EQ(launch("addTo", {&b, &a, &one, &count}, 1, 1), CUDA_SUCCESS);
    EXPECT_EQ(wait(), CUDA_ERROR_ILLEGAL_ADDRESS);
    EXPECT_NE(std::string(cu().report())
                  .find(off < 0 ? "4 bytes before the allocation of 1000"
                                : "0 bytes after the allocation of 1000"),
              std::string::npos)
        << cu().report();
    ASSERT_EQ(cu().cuDevicePrimaryCtxRelease(0), CUDA_SUCCESS);
    SetUp();
  }
  CUdeviceptr a = allocate() + 512;
  ASSERT_EQ(launch("race", {&a}, 1, 1), CUDA_SUCCESS);
  EXPECT_EQ(wait(), CUDA_SUCCESS) << "inside";
  a += 512;
  ASSERT_EQ(launch("race", {&a}, 1, 1), CUDA_SUCCESS);
  EXPECT_EQ(wait(), CUDA_ERROR_ILLEGAL_ADDRESS);
}

TEST_F(EmulatedDriver, MemoryIsCountedAndReused) {
  size_t free = 0, total = 0, after = 0;
  ASSERT_EQ(cu().cuMemGetInfo(&free, &total), CUDA_SUCCESS);
  EXPECT_EQ(free, total);
  CUdeviceptr a = allocate(1 << 20), b = allocate(1 << 20), none = 0;
  EXPECT_EQ(a % 256, 0u);
  cu().cuMemGetInfo(&after, &total);
  EXPECT_EQ(after, free - (2 << 20));
  EXPECT_EQ(cu().cuMemAlloc(&none, free), CUDA_ERROR_OUT_OF_MEMORY);
  EXPECT_EQ(cu().cuMemFree(a + 1), CUDA_ERROR_INVALID_VALUE);
  ASSERT_EQ(cu().cuMemFree(a), CUDA_SUCCESS);
  EXPECT_EQ(allocate(1 << 20), a);
  // Fresh memory is all ones.
  ASSERT_EQ(cu().cuMemcpyDtoHAsync(host, a, bytes, stream), CUDA_SUCCESS);
  ASSERT_EQ(wait(), CUDA_SUCCESS);
  EXPECT_EQ(host[3], ~0u);
  EXPECT_EQ(cu().cuMemFree(b), CUDA_SUCCESS);
}

TEST_F(EmulatedDriver, HostAccessEndsTheProcess) {
  CUdeviceptr a = allocate();
  EXPECT_DEATH(*reinterpret_cast<volatile char *>(a) = 1, "");
}

TEST_F(EmulatedDriver, RefusesCopiesOutsideOfMemory) {
  CUdeviceptr a = allocate(), b = allocate();
  EXPECT_EQ(cu().cuMemcpyHtoDAsync(a + 4, host, bytes, stream), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cu().cuMemcpyDtoHAsync(host, a - 4, 8, stream), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cu().cuMemcpyDtoDAsync(a, a + 4, 8, stream), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cu().cuMemcpyDtoDAsync(a, a + 8, 8, stream), CUDA_SUCCESS);
  EXPECT_EQ(cu().cuMemsetD8Async(b, 0, bytes + 1, stream), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cu().cuStreamWriteValue32(stream, a + 2, 1, 0), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cu().cuMemsetD8Async(b, 0, 4, reinterpret_cast<CUstream>(&b)),
            CUDA_ERROR_INVALID_HANDLE);
}

TEST_F(EmulatedDriver, RefusesLaunchesAsTheRealOneDoes) {
  EXPECT_EQ(launch("trap", {}, 0, 32), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(launch("trap", {}, 1, 1025), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(launch("trap", {}, 3, 32, 2), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(launch("trap", {}, 16, 32, 16), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(launch("trap", {}, 1, 32, 1, 48 * 1024 + 1), CUDA_ERROR_INVALID_VALUE);
  CUfunction function = kernel("trap");
  EXPECT_EQ(cu().cuFuncSetAttribute(function, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES,
                                    227 * 1024 + 1),
            CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cu().cuFuncSetAttribute(function, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES,
                                    227 * 1024),
            CUDA_SUCCESS);
  EXPECT_EQ(launch("trap", {}, 1, 32, 1, 227 * 1024), CUDA_SUCCESS);
}

TEST_F(EmulatedDriver, LaunchesClustersAndPassesMaps) {
  CUdeviceptr out = allocate();
  alignas(64) std::array<uint8_t, 128> map;
  map.fill(3);
  ASSERT_EQ(launch("clusters", {&out, map.data()}, 8, 32, 4), CUDA_SUCCESS);
  map.fill(0); // taken by the launch, not by the run
  ASSERT_EQ(cu().cuMemcpyDtoHAsync(host, out, 32, stream), CUDA_SUCCESS);
  ASSERT_EQ(wait(), CUDA_SUCCESS);
  for (uint32_t block = 0; block < 8; ++block)
    EXPECT_EQ(host[block], block % 4 * 16 + 4 + 0x300);
}

TEST_F(EmulatedDriver, RefusesWhatIsNoImage) {
  CUmodule none = nullptr;
  char log[100] = {};
  CUjit_option names[] = {CU_JIT_ERROR_LOG_BUFFER, CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES};
  void *values[] = {log, reinterpret_cast<void *>(sizeof log)};
  EXPECT_EQ(cu().cuModuleLoadDataEx(&none, ".version 8.8\n.target sm_90a\n", 2, names, values),
            CUDA_ERROR_INVALID_IMAGE);
  EXPECT_STREQ(log, "not a shared object: the emulated device runs no PTX");
  CUfunction function = nullptr;
  EXPECT_EQ(cu().cuModuleGetFunction(&function, module, "nothing"), CUDA_ERROR_NOT_FOUND);
  EXPECT_EQ(cu().cuModuleUnload(module), CUDA_SUCCESS);
  EXPECT_EQ(cu().cuModuleUnload(module), CUDA_ERROR_INVALID_HANDLE);
}

//===--- Tensor maps -------------------------------------------------------------------------===//

namespace {
/// A map that is right; a test spoils one value.
struct MapArguments {
  CUtensorMapDataType type = CU_TENSOR_MAP_DATA_TYPE_BFLOAT16;
  uint32_t rank = 2;
  uint64_t address = 1 << 20, sizes[5] = {70, 10, 1, 1, 1}, strides[4] = {144, 1440, 1440, 1440};
  uint32_t box[5] = {64, 8, 1, 1, 1}, steps[5] = {1, 1, 1, 1, 1};
  CUtensorMapSwizzle swizzle = CU_TENSOR_MAP_SWIZZLE_128B;

  CUresult encode() const {
    CUtensorMap map;
    return cu().cuTensorMapEncodeTiled(&map, type, rank, reinterpret_cast<void *>(address), sizes,
                                       strides, box, steps, CU_TENSOR_MAP_INTERLEAVE_NONE, swizzle,
                                       CU_TENSOR_MAP_L2_PROMOTION_L2_256B,
                                       CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  }
};
} // namespace

TEST_F(EmulatedDriver, RefusesTensorMapsAsTheRealOneDoes) {
  EXPECT_EQ(MapArguments().encode(), CUDA_SUCCESS);
  auto refused = [](auto spoil) {
    MapArguments arguments;
    spoil(arguments);
    return arguments.encode() == CUDA_ERROR_INVALID_VALUE;
  };
  EXPECT_TRUE(refused([](MapArguments &a) { a.rank = 0; }));
  EXPECT_TRUE(refused([](MapArguments &a) { a.rank = 6; }));
  EXPECT_TRUE(refused([](MapArguments &a) { a.address += 8; }));
  EXPECT_TRUE(refused([](MapArguments &a) { a.sizes[1] = 0; }));
  EXPECT_TRUE(refused([](MapArguments &a) { a.sizes[0] = (uint64_t(1) << 32) + 1; }));
  EXPECT_TRUE(refused([](MapArguments &a) { a.strides[0] = 140; }));
  EXPECT_TRUE(refused([](MapArguments &a) { a.strides[0] = uint64_t(1) << 40; }));
  EXPECT_TRUE(refused([](MapArguments &a) { a.box[1] = 257; }));
  EXPECT_TRUE(refused([](MapArguments &a) { a.box[1] = 0; }));
  EXPECT_TRUE(refused([](MapArguments &a) { a.box[0] = 72; })); // wider than the swizzle
  EXPECT_TRUE(refused([](MapArguments &a) { a.box[0] = 20; })); // 40 bytes
  EXPECT_TRUE(refused([](MapArguments &a) { a.steps[1] = 2; }));
  EXPECT_EQ(std::string(cu().report()), "a tensor map with element strides");
}

TEST(EmulatedDriverLibrary, WantsAContextAndARightSeed) {
  EXPECT_EQ(cu().cuInit(0), CUDA_SUCCESS);
  std::thread([] {
    CUstream stream = nullptr;
    EXPECT_EQ(cu().cuStreamCreate(&stream, 0), CUDA_ERROR_INVALID_CONTEXT);
  }).join();
  ::setenv("HADAL_EMULATOR_SEED", "x", 1);
  EXPECT_EQ(cu().cuInit(0), CUDA_ERROR_INVALID_VALUE);
  ::setenv("HADAL_EMULATOR_SEED", "7", 1);
  EXPECT_EQ(cu().cuInit(0), CUDA_SUCCESS);
  ::unsetenv("HADAL_EMULATOR_SEED");
}
