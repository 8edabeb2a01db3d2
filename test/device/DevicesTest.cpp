//===- DevicesTest.cpp - the checks of devices, on all of them ----------===//

#include "runtime/Executor.h"
#include "test/device/DeviceTest.h"
#include "test/device/HiddenDevice.h"
#include "test/tools/ModuleWriter.h"

#include <gtest/gtest.h>

using namespace hadal;
using namespace hadal::test;

namespace {

/// A module that holds the kernel of the checks, and a program that launches it; or says that this
/// kernel runs as a grid.
class Writer : fake::ModuleWriter {
public:
  std::vector<std::byte> write(bool isGrid = false) {
    auto in = argument("in", fb::ElementType_I64, {fake::c(4)}),
         out = argument("out", fb::ElementType_I64, {fake::c(4)}, true);
    launch("check_add", {in, out}, fake::c(4), {fake::c(1)}, {},
           {fb::Access_Read, fb::Access_Update});
    program("add", {});
    auto codes =
        codesOf(HADAL_CHECK_KERNELS, isGrid ? fb::CodeFormat_Cubin : fb::CodeFormat_SharedObject);
    if (isGrid)
      kernels = {fb::CreateKernelDirect(b, "check_add", 0, 2, 1, nullptr, fb::KernelShape_Grid,
                                        fb::CreateGrid(b, 32).Union(), "serial")};
    std::vector<flatbuffers::Offset<fb::Parameter>> parameters;
    std::vector<flatbuffers::Offset<fb::Weight>> weights;
    std::vector<flatbuffers::Offset<fb::Constant>> constants;
    std::vector<flatbuffers::Offset<fb::State>> states;
    std::vector<flatbuffers::Offset<flatbuffers::String>> registers;
    b.Finish(fb::CreateModuleDirect(b, "by hand", &codes, &kernels, &parameters, &weights,
                                    &constants, &registers, &states, &programs));
    return moduleBytes(std::as_bytes(std::span(b.GetBufferPointer(), b.GetSize())));
  }
};

Module moduleOfChecks() {
  auto module = Module::fromBytes(Writer().write(), "checks.hadal");
  EXPECT_TRUE(module.ok()) << module.error().message;
  return std::move(*module);
}

void checkAll(Device &device) {
  Module module = moduleOfChecks();
  auto kernels = device.load(module);
  ASSERT_TRUE(kernels.ok()) << kernels.error().message;
  for (const DeviceCheck &check : deviceChecks())
    EXPECT_EQ(check.run({device, (*kernels)->kernels()[0]}), "") << check.name;
}

TEST(CpuDevice, Conforms) {
  for (unsigned threads : {1, 3}) {
    CpuDevice device(threads);
    checkAll(device);
  }
}

TEST(HiddenDevice, Conforms) {
  HiddenDevice device(2);
  checkAll(device);
}

// A module for a GPU, whatever its target says, is refused before its kernels are looked at.
TEST(CpuDevice, RunsNoGrids) {
  auto module = Module::fromBytes(Writer().write(/*isGrid=*/true), "grid.hadal");
  ASSERT_TRUE(module.ok()) << module.error().message;
  CpuDevice device(1);
  auto kernels = device.load(*module);
  ASSERT_FALSE(kernels.ok());
  EXPECT_EQ(kernels.error().message, "grid.hadal: code 0 is for a GPU, a CPU runs shared objects");
}

// Code that reads or writes hidden memory without the device is found at once.
TEST(HiddenDeviceDeathTest, NoHostTouchesItsMemory) {
  HiddenDevice device;
  auto buffer = device.allocate(64);
  ASSERT_TRUE(buffer.ok());
  volatile std::byte *first = buffer->address();
  EXPECT_DEATH((void)*first, "");
  EXPECT_DEATH(*first = std::byte(1), "");
}

// What the device is given of the host's memory, of memory that was given back, or past a buffer's
// end, it refuses.
TEST(HiddenDevice, KnowsItsMemory) {
  HiddenDevice device;
  auto stream = std::move(*device.makeStream());
  auto buffer = std::move(*device.allocate(64));
  std::byte here[64];
  auto errorOf = [&](Status issued) {
    EXPECT_TRUE(issued.ok());
    Status status = device.synchronize(*stream);
    return status ? std::string() : status.error().message;
  };
  EXPECT_EQ(errorOf(device.fill(*stream, here, 0, 64)), "fill: is no memory of the device");
  EXPECT_EQ(errorOf(device.fill(*stream, buffer.address() + 1, 0, 64)),
            "fill: goes past the end of its buffer");
  DeviceAddress address = buffer.address();
  buffer = DeviceBuffer();
  EXPECT_NE(errorOf(device.fill(*stream, address, 0, 64)), "");
}

// After an error nothing that was issued is still to happen: memory that was lent may go.
TEST(Executor, SettlesAfterErrors) {
  Module module = moduleOfChecks();
  HiddenDevice device;
  WeightStore none;
  auto executor = Executor::create(module, device, none);
  ASSERT_TRUE(executor.ok()) << executor.error().message;
  auto run = (*executor)->prepare("add");
  ASSERT_TRUE(run.ok());
  std::vector<int64_t> in = {1, 2, 3, 4}, out = {10, 20, 30, 40};
  {
    auto lent = std::move(*device.allocate(in.size() * sizeof(int64_t)));
    ASSERT_TRUE(run->bind("in", DeviceView{ElementType::I64, {4}, lent.address()}).ok());
    ASSERT_TRUE(run->bind("out", TensorView::of(out)).ok());
    (*executor)->setLaunchObserver([](const fb::Launch &, std::span<const int64_t>) -> Status {
      return invalidArgument("stop");
    });
    EXPECT_FALSE(run->execute().ok());
  }
  (*executor)->setLaunchObserver(nullptr);
  ASSERT_TRUE(run->bind("in", TensorView::of(in)).ok());
  Status status = run->execute();
  EXPECT_TRUE(status.ok()) << (status ? "" : status.error().message);
  EXPECT_EQ(out, (std::vector<int64_t>{12, 23, 34, 45}));
}

// A tensor of the host or of the device, as input and as output, in place and by copies.
TEST(Executor, BindsMemoryOfHostAndDevice) {
  Module module = moduleOfChecks();
  CpuDevice cpu(1);
  HiddenDevice hidden;
  for (Device *device : {static_cast<Device *>(&cpu), static_cast<Device *>(&hidden)}) {
    WeightStore none;
    auto executor = Executor::create(module, *device, none);
    ASSERT_TRUE(executor.ok()) << executor.error().message;
    auto run = (*executor)->prepare("add");
    ASSERT_TRUE(run.ok());
    std::vector<int64_t> in = {1, 2, 3, 4}, out = {10, 20, 30, 40};
    auto bytes = in.size() * sizeof(int64_t);
    // Both on the host: the program adds to what lies there.
    ASSERT_TRUE(run->bind("in", TensorView::of(in)).ok());
    ASSERT_TRUE(run->bind("out", TensorView::of(out)).ok());
    ASSERT_TRUE(run->execute().ok());
    EXPECT_EQ(out, (std::vector<int64_t>{12, 23, 34, 45})) << device->name();
    EXPECT_EQ(run->output("out")->data, out.data());
    // Both on the device.
    auto first = std::move(*device->allocate(bytes)), second = std::move(*device->allocate(bytes));
    ASSERT_TRUE((*executor)->upload(first.address(), in.data(), bytes).ok());
    ASSERT_TRUE(run->bind("in", DeviceView{ElementType::I64, {4}, first.address()}).ok());
    ASSERT_TRUE(run->bind("out", DeviceView{ElementType::I64, {4}, second.address()}).ok());
    ASSERT_TRUE(run->execute().ok());
    ASSERT_TRUE(run->execute().ok());
    EXPECT_EQ(run->outputOnDevice("out")->address, second.address());
    auto read = run->output("out");
    ASSERT_TRUE(read.ok());
    auto *values = static_cast<const int64_t *>(read->data);
    EXPECT_EQ(std::vector<int64_t>(values, values + 4), (std::vector<int64_t>{4, 6, 8, 10}));
    EXPECT_EQ(static_cast<const void *>(values) == second.address(), device->sharesHostMemory());
    // An output of the run's own.
    ASSERT_TRUE(run->unbind("out").ok());
    auto firstSum = [&] {
      Status status = run->execute();
      EXPECT_TRUE(status.ok()) << status.error().message;
      return status ? *static_cast<const int64_t *>(run->output("out")->data) : 0;
    };
    int64_t before = firstSum();
    EXPECT_EQ(firstSum(), before + 2) << device->name();
    EXPECT_TRUE((*executor)->setMemoryCheck(true).ok());
    EXPECT_EQ(firstSum(), before + 4) << device->name();
  }
}

} // namespace
