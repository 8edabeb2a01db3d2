//===- EmulatedDeviceTest.cpp - CudaDevice over the stand-in driver -----===//

#include "runtime/Executor.h"
#include "runtime/device/Devices.h"
#include "runtime/device/cuda/CudaDevice.h"
#include "test/device/DeviceTest.h"
#include "test/device/GridModule.h"

#include <gtest/gtest.h>

#include <fstream>
#include <iterator>

using namespace hadal;
using namespace hadal::test;

namespace {

std::unique_ptr<Device> openEmulated() {
  DeviceOptions options;
  options.device = "emulated";
  options.emulatorSeed = 3;
  auto device = openDevice(options);
  EXPECT_TRUE(device.ok()) << device.error().message;
  return std::move(*device);
}

Module moduleOf(const char *symbol) {
  std::ifstream file(HADAL_EMULATED_KERNELS, std::ios::binary);
  GridSettings settings{.symbol = symbol, .family = "emulated"};
  settings.code = {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  auto module = Module::fromBytes(GridWriter().write(settings), "emulated.hadal");
  EXPECT_TRUE(module.ok()) << module.error().message;
  return std::move(*module);
}

TEST(EmulatedDevice, Conforms) {
  auto device = openEmulated();
  EXPECT_EQ(device->name(), "emulated");
  Module module = moduleOf("check_add");
  auto kernels = device->load(module);
  ASSERT_TRUE(kernels.ok()) << kernels.error().message;
  for (const DeviceCheck &check : deviceChecks())
    EXPECT_EQ(check.run({*device, (*kernels)->kernels()[0]}), "") << check.name;
}

// A module for a CPU is none for it, and its modules are none for a CPU.
TEST(EmulatedDevice, IsNoCpu) {
  Module module = moduleOf("check_add");
  EXPECT_EQ(deviceOf(module), "emulated");
  DeviceOptions options;
  options.device = "cpu";
  Status status = checkTargets(**openDevice(options), module);
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().message.substr(0, 45), "emulated.hadal: module is for emulated, this ");
}

/// What a program says that launches a kernel twice, and what it makes of 1, 2, 3, 4.
std::string run(const char *symbol, std::vector<int64_t> &out) {
  auto device = openEmulated();
  Module module = moduleOf(symbol);
  WeightStore none;
  auto executor = Executor::create(module, *device, none);
  if (!executor.ok())
    return executor.error().message;
  auto program = std::move(*(*executor)->prepare("add"));
  std::vector<int64_t> in = {1, 2, 3, 4};
  out = in;
  EXPECT_TRUE(program.bind("in", TensorView::of(in)).ok());
  EXPECT_TRUE(program.bind("out", TensorView::of(out)).ok());
  Status status = program.execute();
  return status ? "" : status.error().message;
}

TEST(EmulatedDevice, RunsPrograms) {
  std::vector<int64_t> out;
  EXPECT_EQ(run("check_add", out), "");
  EXPECT_EQ(out, (std::vector<int64_t>{5, 8, 11, 14}));
}

/// In a process of its own: the device is lost.
void expectToSay(const std::string &kind, const std::string &pattern) {
  std::vector<int64_t> out;
  EXPECT_EXIT(
      {
        std::string said = run(("check_" + kind).c_str(), out);
        std::fprintf(stderr, "%s\n", said.c_str());
        std::exit(said.empty() ? 0 : 1);
      },
      testing::ExitedWithCode(1), pattern);
}

// What went wrong, where, in which launch of which program: one line.
TEST(EmulatedDeviceDeathTest, NamesKernelsThatFail) {
  testing::FLAGS_gtest_death_test_style = "threadsafe";
  const std::string at = "EmulatedKernels.cpp check_";
  for (auto [kind, what] :
       {std::pair("trap", "illegal address: .*"), {"race", "race: .*"}, {"deadlock", "deadlock.*"}})
    expectToSay(kind, "add: kernel check_" + std::string(kind) +
                          ", launch 0 of program add: " + what + at + kind);
}

} // namespace
