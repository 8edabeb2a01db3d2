//===- CudaDeviceTest.cpp - what CudaDevice asks of a driver ------------===//
//
// Against a driver in a table: launches, tensor maps, images, and each way in which a driver, a
// device or a kernel can fail. EmulatedDeviceTest.cpp runs the device over the stand-in.
//
//===--------------------------------------------------------------------===//

#include "runtime/device/cuda/CudaDevice.h"
#include "runtime/Executor.h"
#include "test/device/DeviceTest.h"
#include "test/device/FakeDriver.h"
#include "test/device/GridModule.h"

#include <gtest/gtest.h>

using namespace hadal;
using namespace hadal::test;

namespace {

Module moduleOf(const GridSettings &settings = {}) {
  auto module = Module::fromBytes(GridWriter().write(settings), "grid.hadal");
  EXPECT_TRUE(module.ok()) << module.error().message;
  return std::move(*module);
}

/// A device of a new fake driver, with one module.
struct Bench {
  explicit Bench(const GridSettings &settings = {}, double timeoutSeconds = 0)
      : fake(newFakeDriver()), module(moduleOf(settings)) {
    auto opened = CudaDevice::open(startFakeDriver(), 0, timeoutSeconds);
    EXPECT_TRUE(opened.ok()) << opened.error().message;
    device = std::move(*opened);
    stream = std::move(*device->makeStream());
  }

  /// Launches the kernel over `tasks` tasks; `scalar` is its scalar.
  Status launch(int64_t tasks, int64_t scalar = 1) {
    kernels = HADAL_TRY(device->load(module));
    buffer = HADAL_TRY(device->allocate(64));
    DeviceAddress buffers[] = {buffer.address(), buffer.address()};
    HADAL_TRY(device->launch(*stream, kernels->kernels()[0], buffers, {&scalar, 1}, tasks));
    return device->synchronize(*stream);
  }

  FakeDriver &fake;
  Module module;
  std::unique_ptr<CudaDevice> device;
  std::unique_ptr<Stream> stream;
  std::unique_ptr<KernelSet> kernels;
  DeviceBuffer buffer;
};

std::string errorOf(const Status &status) {
  return status ? std::string("no error") : status.error().message;
}

TEST(CudaDevice, Conforms) {
  Bench bench;
  auto kernels = bench.device->load(bench.module);
  ASSERT_TRUE(kernels.ok()) << kernels.error().message;
  for (const DeviceCheck &check : deviceChecks())
    EXPECT_EQ(check.run({*bench.device, (*kernels)->kernels()[0]}), "") << check.name;
}

// All memory is given back, and the most that was taken is known.
TEST(CudaDevice, GivesBackItsMemory) {
  FakeDriver &fake = newFakeDriver();
  {
    auto device = std::move(*CudaDevice::open(startFakeDriver(), 0));
    { auto buffer = std::move(*device->allocate(1000)); }
    auto buffer = std::move(*device->allocate(100));
    EXPECT_GE(device->peakBytes(), 1000u);
    EXPECT_LT(device->peakBytes(), 1000u + 100u);
  }
  EXPECT_EQ(fake.live, 0u);
}

// A block for each `tasks_per_block` tasks, in whole clusters; no more than there are
// multiprocessors where blocks fetch tasks themselves.
TEST(CudaDevice, LaunchesGrids) {
  auto launched = [](const GridSettings &settings, int64_t tasks) {
    Bench bench(settings);
    EXPECT_EQ(errorOf(bench.launch(tasks)), "no error");
    return bench.fake.launches.at(0);
  };
  FakeDriver::Launch one = launched({}, 4);
  EXPECT_EQ(one.kernel, "check_add");
  EXPECT_EQ(one.blocks, 1u);
  EXPECT_EQ(one.threads, 32u);
  EXPECT_EQ(one.cluster, 1u);
  EXPECT_EQ(one.parameters[0], one.parameters[1]);
  EXPECT_EQ(one.parameters[2], 1u);
  EXPECT_EQ(one.parameters[3], 4u);
  EXPECT_EQ(launched({.symbol = "any"}, 65).blocks, 3u);
  GridSettings tensor{.symbol = "any",
                      .tier = "tensor",
                      .threads = 384,
                      .cluster = 2,
                      .sharedBytes = 200'000,
                      .tasksPerBlock = 1};
  EXPECT_EQ(launched(tensor, 5).blocks, 6u);
  EXPECT_EQ(launched(tensor, 5).cluster, 2u);
  EXPECT_EQ(launched(tensor, 5).sharedBytes, 200'000u);
  tensor.persistent = true;
  EXPECT_EQ(launched(tensor, 5).blocks, 4u);
  EXPECT_EQ(launched(tensor, 1).blocks, 2u);
}

// Scratch for every thread of a serial kernel, for every block of another one.
TEST(CudaDevice, GivesScratch) {
  for (const char *tier : {"serial", "rows"}) {
    Bench bench({.symbol = "any", .tier = tier, .scratchBytes = 1 << 20});
    bench.fake.wantedParameters = 5;
    uint64_t before = bench.fake.live;
    EXPECT_EQ(errorOf(bench.launch(40)), "no error");
    uint64_t parts = std::string_view(tier) == "serial" ? 64 : 2;
    EXPECT_EQ(bench.fake.live - before - bench.buffer.bytes(), parts << 20);
    EXPECT_NE(bench.fake.launches[0].parameters[4], 0u);
  }
  Bench bench({.symbol = "any", .scratchBytes = 1 << 20});
  EXPECT_EQ(errorOf(bench.launch(32'000)).substr(0, 66),
            "kernel any: scratch: cannot allocate 33554432000 bytes on cuda:0: ");
}

// Sizes and strides are the launch's scalars; what is empty has size 1.
TEST(CudaDevice, EncodesTensorMaps) {
  GridSettings settings{.symbol = "any", .tier = "tensor", .rowBytes = 128};
  for (int64_t scalar : {50, 0}) {
    Bench bench(settings);
    EXPECT_EQ(errorOf(bench.launch(1, scalar)), "no error");
    ASSERT_EQ(bench.fake.maps.size(), 1u);
    const FakeDriver::Map &map = bench.fake.maps[0];
    EXPECT_EQ(map.type, cuda::CU_TENSOR_MAP_DATA_TYPE_BFLOAT16);
    EXPECT_EQ(map.address, bench.buffer.address());
    EXPECT_EQ(map.sizes, (std::vector<uint64_t>{scalar ? 50u : 1u, 7}));
    EXPECT_EQ(map.strides, std::vector<uint64_t>{128});
    EXPECT_EQ(map.box, (std::vector<uint32_t>{64, 2}));
    EXPECT_EQ(map.swizzle, cuda::CU_TENSOR_MAP_SWIZZLE_128B);
  }
  settings.rowBytes = 100;
  std::string error = errorOf(Bench(settings).launch(1, 50));
  EXPECT_TRUE(error.starts_with("kernel any: tensor map 0 of binding 0, sizes [50, 7], strides "
                                "[100] bytes, at byte 0 of 128: CUDA_ERROR"))
      << error;
}

// The machine code where the driver takes it, else the PTX; and what the driver says of it.
TEST(CudaDevice, LoadsCode) {
  auto launched = [](const GridSettings &settings, bool takesCubins = true) {
    Bench bench(settings);
    bench.fake.takesCubins = takesCubins;
    return errorOf(bench.launch(4));
  };
  EXPECT_EQ(launched({.cubin = "cubin"}), "no error");
  EXPECT_EQ(launched({.cubin = "cubin"}, /*takesCubins=*/false), "no error");
  EXPECT_EQ(launched({.code = "ptx broken"}),
            "grid.hadal: the driver does not load code 0, Ptx: CUDA_ERROR, as the fake driver "
            "says; ptxas fatal : no; such thing");
  EXPECT_EQ(launched({.symbol = "missing"}), "grid.hadal: kernel missing is not in its code");
}

std::string refusalOf(const CudaDevice &device, const char *family, const char *processor,
                      const char *feature) {
  flatbuffers::FlatBufferBuilder b;
  std::vector<flatbuffers::Offset<flatbuffers::String>> features = {b.CreateString(feature)};
  b.Finish(fb::CreateTargetDirect(b, family, processor, &features));
  return errorOf(device.accepts(*flatbuffers::GetRoot<fb::Target>(b.GetBufferPointer())));
}

TEST(CudaDevice, RefusesOtherTargets) {
  FakeDriver &fake = newFakeDriver();
  fake.version = 12040;
  auto device = std::move(*CudaDevice::open(startFakeDriver(), 0));
  EXPECT_EQ(refusalOf(*device, "nvptx", "sm_90a", "ptx84"), "no error");
  EXPECT_EQ(refusalOf(*device, "nvptx", "sm_80", "ptx80"), "no error");
  EXPECT_EQ(refusalOf(*device, "x86_64", "x86-64-v3", "avx2"),
            "is for x86_64, this device is cuda:0");
  EXPECT_EQ(refusalOf(*device, "nvptx", "sm_80a", "ptx84"), "is for sm_80a, cuda:0 is sm_90");
  EXPECT_EQ(refusalOf(*device, "nvptx", "sm_100", "ptx84"), "is for sm_100, cuda:0 is sm_90");
  EXPECT_EQ(refusalOf(*device, "nvptx", "sm_90a", "ptx88"),
            "needs a driver of CUDA 12.9 or newer, for PTX 8.8; that of cuda:0 is of CUDA 12.4");
}

TEST(CudaDevice, RefusesOtherDrivers) {
  auto refusal = [](int version, int devices) {
    FakeDriver &fake = newFakeDriver();
    fake.version = version, fake.devices = devices;
    auto driver = cuda::Driver::start(fakeTable(), nullptr, "the fake driver");
    return driver.ok() ? std::string("no error") : driver.error().message;
  };
  EXPECT_EQ(refusal(12000, 1), "no error");
  EXPECT_EQ(refusal(11080, 1), "the fake driver is for CUDA 11.8, hadal wants 12.0 or newer");
  EXPECT_EQ(refusal(13000, 0), "the fake driver finds no device");
}

TEST(CudaDevice, RefusesOtherNumbers) {
  newFakeDriver().devices = 4;
  auto driver = startFakeDriver();
  EXPECT_TRUE(CudaDevice::open(driver, 3).ok());
  for (int ordinal : {4, 99}) {
    auto device = CudaDevice::open(driver, ordinal);
    ASSERT_FALSE(device.ok());
    EXPECT_EQ(device.error().message,
              "no device cuda:" + std::to_string(ordinal) + ", the driver has cuda:0 to cuda:3");
  }
}

// What, how much, and how much is free.
TEST(CudaDevice, SaysWhatIsFree) {
  FakeDriver &fake = newFakeDriver();
  fake.bytes = 1000;
  auto device = std::move(*CudaDevice::open(startFakeDriver(), 0));
  auto buffer = device->allocate(5000);
  ASSERT_FALSE(buffer.ok());
  EXPECT_EQ(buffer.error().code, ErrorCode::OutOfMemory);
  EXPECT_EQ(buffer.error().message, "cannot allocate 5000 bytes on cuda:0: " +
                                        std::to_string(1000 - fake.live) + " of 1000 are free");
}

/// Runs the program "add" of a module whose kernel is `symbol`.
std::string runProgram(const char *symbol, bool writesValues = true) {
  Bench bench({.symbol = symbol}, /*timeoutSeconds=*/0.05);
  bench.fake.writesValues = writesValues;
  WeightStore none;
  auto executor = Executor::create(bench.module, *bench.device, none);
  EXPECT_TRUE(executor.ok());
  auto run = std::move(*(*executor)->prepare("add"));
  std::vector<int64_t> in = {1, 2, 3, 4}, out = in;
  EXPECT_TRUE(run.bind("in", TensorView::of(in)).ok());
  EXPECT_TRUE(run.bind("out", TensorView::of(out)).ok());
  std::string error = errorOf(run.execute());
  EXPECT_NE(errorOf(run.execute()), "no error"); // the device is lost
  return error;
}

// A kernel that fails, long after its launch, is named; so is one that does not end.
TEST(CudaDevice, NamesKernelsThatFail) {
  EXPECT_EQ(runProgram("trap"), "add: kernel trap, launch 0 of program add: "
                                "CUDA_ERROR_ILLEGAL_ADDRESS, as the fake driver says");
  EXPECT_EQ(runProgram("hang"), "add: kernel hang, launch 0 of program add, has not ended after "
                                "0.05 s (--device-timeout)");
  EXPECT_EQ(runProgram("trap", /*writesValues=*/false),
            "add: a wait for the stream: CUDA_ERROR_ILLEGAL_ADDRESS, as the fake driver says");
  newFakeDriver();
}

} // namespace
