//===- MemoryCheckTest.cpp - misused memory is found where it is misused --===//

#include "runtime/MemoryCheck.h"
#include "runtime/Executor.h"
#include "runtime/device/CpuDevice.h"
#include "test/device/HiddenDevice.h"
#include "test/tools/ModuleWriter.h"

#include <gtest/gtest.h>

#include <array>
#include <numeric>

using namespace hadal;
using namespace hadal::fake;

namespace {

constexpr int64_t rows = 4;

/// A program that copies rows of two numbers to a temporary and from there to its output.
struct Copies {
  int64_t temporaryBytes = rows * 8, first = rows, second = rows; ///< rows that each launch copies
};

class Writer : ModuleWriter {
public:
  std::vector<std::byte> write(const Copies &copies) {
    Place in = argument("in", fb::ElementType_I32, {c(rows), c(2)}),
          out = argument("out", fb::ElementType_I32, {c(rows), c(2)}, true);
    Place between = temporary(copies.temporaryBytes);
    launch("fake_obey", {in, between}, c(copies.first), {}, {},
           {fb::Access_Read, fb::Access_Write});
    launch("fake_obey", {between, out}, c(copies.second), {}, {},
           {fb::Access_Read, fb::Access_Write});
    program("copy", {});
    std::vector<Offset<fb::Code>> codes = codesOf(HADAL_FAKE_KERNELS);
    std::vector<Offset<fb::Parameter>> parameters;
    std::vector<Offset<fb::Weight>> weights;
    std::vector<Offset<fb::Constant>> constants;
    std::vector<Offset<fb::State>> states;
    std::vector<Offset<flatbuffers::String>> stateRegisters;
    b.Finish(fb::CreateModuleDirect(b, "by hand", &codes, &kernels, &parameters, &weights,
                                    &constants, &stateRegisters, &states, &programs, {}));
    auto bytes = std::as_bytes(std::span(b.GetBufferPointer(), b.GetSize()));
    return {bytes.begin(), bytes.end()};
  }
};

/// What the program makes of 0, 1, 2 ..., or its error.
Result<std::array<int32_t, 2 * rows>> run(Device &device, const Copies &copies, bool checks) {
  Module module = HADAL_TRY(Module::fromBytes(moduleBytes(Writer().write(copies)), "m.hadal"));
  WeightStore none;
  auto executor = HADAL_TRY(Executor::create(module, device, none));
  HADAL_TRY(executor->setMemoryCheck(checks));
  ProgramRun run = HADAL_TRY(executor->prepare("copy"));
  std::array<int32_t, 2 * rows> in, out = {};
  std::iota(in.begin(), in.end(), 0);
  HADAL_TRY(run.bind("in", TensorView{ElementType::I32, {rows, 2}, in.data()}));
  HADAL_TRY(run.bind("out", TensorView{ElementType::I32, {rows, 2}, out.data()}));
  HADAL_TRY(run.execute());
  return out;
}

/// On the CPU, and where the host does not see the memory.
std::vector<std::unique_ptr<Device>> devices() {
  std::vector<std::unique_ptr<Device>> all;
  all.push_back(std::make_unique<CpuDevice>(2));
  all.push_back(std::make_unique<test::HiddenDevice>(2));
  return all;
}

std::string errorOf(Device &device, const Copies &copies) {
  auto result = run(device, copies, true);
  return result.ok() ? "" : result.error().message;
}

TEST(MemoryCheck, WhatIsRightStaysAsItIs) {
  for (const std::unique_ptr<Device> &device : devices())
    for (bool checks : {false, true}) {
      auto out = run(*device, {}, checks);
      ASSERT_TRUE(out.ok()) << out.error().message;
      for (int32_t i = 0; i < 2 * rows; ++i)
        EXPECT_EQ((*out)[size_t(i)], i);
    }
}

// Each is silent without the check.
TEST(MemoryCheck, NamesProgramCommandAndBuffer) {
  for (const std::unique_ptr<Device> &device : devices()) {
    EXPECT_EQ(
        errorOf(*device, {.first = 0}),
        "copy: memory check: command 1, fake_obey, reads temporary 0, which nothing has written");
    EXPECT_EQ(errorOf(*device, {.second = rows - 1}),
              "copy: memory check: nothing has written to byte 24 of output 'out', which has 32");
    EXPECT_EQ(errorOf(*device, {.temporaryBytes = rows * 8 - 8}),
              "copy: memory check: command 0, fake_obey, writes outside of slot 0 of its "
              "temporaries, to byte 0 of the guard zone at its end");
    EXPECT_TRUE(run(*device, {.second = rows - 1}, false).ok());
  }
}

TEST(MemoryCheck, UnwrittenWordsAreNaN) {
  std::array<float, 5> numbers;
  memory::poison(std::as_writable_bytes(std::span(numbers)));
  for (float number : numbers)
    EXPECT_NE(number, number);
  EXPECT_TRUE(memory::isUnwritten(std::as_bytes(std::span(numbers))));
  numbers[0] = 1;
  EXPECT_FALSE(memory::isUnwritten(std::as_bytes(std::span(numbers))));
  EXPECT_EQ(memory::firstUnwritten(std::as_bytes(std::span(numbers))), 8u);
}

} // namespace
