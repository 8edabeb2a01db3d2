//===- ModuleTest.cpp - tables that no module may hold ------------------===//
//
// Each is refused when it is opened, in one line.
//
//===--------------------------------------------------------------------===//

#include "runtime/module/Dataflow.h"
#include "runtime/module/Expr.h"
#include "test/schedule/FakeRanks.h"

#include <gtest/gtest.h>

#include <functional>

using namespace hadal;
using namespace hadal::objects;

namespace {

std::unique_ptr<ExprT> constant(int64_t value) {
  auto expr = std::make_unique<ExprT>();
  expr->code = {int64_t(ExprOp::Constant), value};
  return expr;
}

std::unique_ptr<CommandT> callOf(uint32_t number) {
  auto command = std::make_unique<CommandT>();
  CallT call;
  call.program = number;
  command->action.Set(std::move(call));
  return command;
}

/// A module of `count` programs without commands.
std::unique_ptr<ModuleT> programs(uint32_t count) {
  auto module = std::make_unique<ModuleT>();
  module->producer = "by hand";
  module->codes.push_back(fake::code());
  for (uint32_t i = 0; i < count; ++i) {
    module->programs.push_back(std::make_unique<ProgramT>());
    module->programs.back()->name = "p" + std::to_string(i);
  }
  return module;
}

void expectRefused(const ModuleT &module, const std::string &why) {
  Result<hadal::Module> opened = fake::open(module, "m.hadal");
  ASSERT_FALSE(opened.ok()) << why;
  EXPECT_NE(opened.error().message.find(why), std::string::npos) << opened.error().message;
  EXPECT_EQ(opened.error().message.find('\n'), std::string::npos) << opened.error().message;
  EXPECT_TRUE(opened.error().message.starts_with("m.hadal: ")) << opened.error().message;
}

/// Each of `count` programs calls the next.
std::unique_ptr<ModuleT> chain(uint32_t count) {
  auto module = programs(count);
  for (uint32_t i = 0; i + 1 < count; ++i)
    module->programs[i]->commands.push_back(callOf(i + 1));
  return module;
}

TEST(Module, ChainsOfCallsHaveAnEnd) {
  EXPECT_TRUE(fake::open(*chain(64)).ok());
  expectRefused(*chain(65), "calls nest deeper than 64");
  expectRefused(*chain(200'000), "calls nest deeper than 64");
  // Looked at from its end, too, where the depth below each program is known already.
  auto backwards = programs(200);
  for (uint32_t i = 1; i < 200; ++i)
    backwards->programs[i]->commands.push_back(callOf(i - 1));
  expectRefused(*backwards, "calls nest deeper than 64");
}

TEST(Module, NoProgramCallsItself) {
  auto self = programs(1);
  self->programs[0]->commands.push_back(callOf(0));
  expectRefused(*self, "program p0 calls itself");
  auto ring = chain(3);
  ring->programs[2]->commands.push_back(callOf(1));
  expectRefused(*ring, "program p1 calls itself");
}

TEST(Module, SlotsFitIntoMemory) {
  auto withTemporaries = [](std::vector<int64_t> sizes) {
    auto module = programs(1);
    for (int64_t size : sizes) {
      auto temporary = std::make_unique<TemporaryT>();
      temporary->bytes = constant(size), temporary->slot = module->programs[0]->slot_count++;
      module->programs[0]->temporaries.push_back(std::move(temporary));
    }
    return module;
  };
  EXPECT_TRUE(fake::open(*withTemporaries({64, int64_t(1) << 40})).ok());
  // Four of these are 2^64 bytes together, which a sum in 64 bits takes for none.
  expectRefused(*withTemporaries(std::vector<int64_t>(4, int64_t(1) << 62)),
                "has a temporary of 4611686018427387904 bytes");
  expectRefused(*withTemporaries(std::vector<int64_t>(2, int64_t(1) << 48)),
                "the temporaries of program p0 take more than 281474976710656 bytes");
  expectRefused(*withTemporaries({-1}), "has a temporary of -1 bytes");
}

TEST(Module, RepeatsNestEightDeep) {
  auto nested = [](unsigned depth) {
    auto module = programs(1);
    module->programs[0]->registers = {"i"};
    std::vector<std::unique_ptr<CommandT>> *body = &module->programs[0]->commands;
    for (unsigned i = 0; i < depth; ++i) {
      body->push_back(std::make_unique<CommandT>());
      RepeatT repeat;
      repeat.count = constant(1);
      CommandT &command = *body->back();
      command.action.Set(std::move(repeat));
      body = &command.action.AsRepeat()->body;
    }
    return module;
  };
  EXPECT_TRUE(fake::open(*nested(8)).ok());
  expectRefused(*nested(9), "program p0 nests deeper than 8");
  expectRefused(*nested(1000), "tables are damaged"); // deeper than FlatBuffers' verifier goes
}

// Code has a target and a format, and each kernel is in code of the format that its shape wants.
TEST(Module, KernelsAreInCodeThatFitsThem) {
  auto with = [](auto change) {
    auto module = programs(1);
    module->kernels.push_back(fake::kernel("k", 2, 1));
    change(*module);
    return module;
  };
  EXPECT_TRUE(fake::open(*with([](ModuleT &) {})).ok());
  expectRefused(*with([](ModuleT &m) { m.codes.clear(); }), "the code image is missing");
  expectRefused(*with([](ModuleT &m) { m.codes[0]->bytes.clear(); }), "the code image is missing");
  expectRefused(*with([](ModuleT &m) { m.codes[0]->target.reset(); }), "target is incomplete");
  expectRefused(*with([](ModuleT &m) { m.codes[0]->format = CodeFormat(9); }),
                "code has unknown format 9");
  expectRefused(*with([](ModuleT &m) { m.kernels[0]->code = 1; }), "kernel k is in code 1 of 1");
  expectRefused(*with([](ModuleT &m) { m.kernels[0]->shape.Reset(); }),
                "kernel k has no shape that is known");
  expectRefused(*with([](ModuleT &m) { m.codes[0]->format = CodeFormat_Ptx; }),
                "kernel k runs as tasks of a CPU, its code is no shared object");
  expectRefused(*with([](ModuleT &m) {
    m.kernels[0]->shape.AsCpuTasks()->scratch_bytes = uint64_t(1) << 41;
  }),
                "kernel k wants 2199023255552 bytes of scratch for each worker");
}

/// A module with one kernel that runs as a grid and copies boxes of its first buffer.
std::unique_ptr<ModuleT> gridModule(const std::function<void(GridT &)> &change) {
  auto module = programs(1);
  module->codes[0]->format = CodeFormat_Cubin;
  module->kernels.push_back(fake::kernel("k", 1));
  GridT grid;
  grid.threads = 128, grid.cluster = 2, grid.shared_bytes = 227 << 10;
  grid.tensor_maps.push_back(std::make_unique<TensorMapT>());
  TensorMapT &map = *grid.tensor_maps[0];
  map.sizes.push_back(constant(64)), map.sizes.push_back(constant(8));
  map.stride_bytes.push_back(constant(256));
  map.box = {64, 8}, map.swizzle_bytes = 128;
  change(grid);
  module->kernels[0]->shape.Set(std::move(grid));
  module->kernels[0]->tier = "tensor";
  return module;
}

// Grids ask for no more than hardware has.
TEST(Module, GridsFitIntoHardware) {
  EXPECT_TRUE(fake::open(*gridModule([](GridT &) {})).ok());
  auto refused = [](auto change, const std::string &why) {
    expectRefused(*gridModule(change), "kernel k " + why);
  };
  refused([](GridT &g) { g.threads = 0; }, "wants 0 threads in each block, possible are 1 to 1024");
  refused([](GridT &g) { g.cluster = 17; },
          "wants 17 blocks in each cluster, possible are 1 to 16");
  refused([](GridT &g) { g.shared_bytes += 1; }, "wants 232449 bytes of shared memory");
  refused([](GridT &g) { g.tensor_maps[0]->binding = 1; }, "has a tensor map of binding 1 of 1");
  refused([](GridT &g) { g.tensor_maps[0]->box.pop_back(); },
          "has a tensor map of 2 sizes, 1 strides and 1 sizes of the box");
  refused([](GridT &g) { g.tensor_maps[0]->box[1] = 257; },
          "has a tensor map with a box of 257 elements");
  refused([](GridT &g) { g.tensor_maps[0]->swizzle_bytes = 16; },
          "has a tensor map that swizzles 16 bytes");
  refused([](GridT &g) { g.tensor_maps[0]->sizes[0]->code = {1, 0}; }, "a tensor map's size");
  auto module = gridModule([](GridT &) {});
  module->codes[0]->format = CodeFormat_SharedObject;
  expectRefused(*module, "kernel k runs as a grid, its code is a shared object");
}

TEST(Module, GridsSayWhatABlockDoes) {
  auto refused = [](auto change, const std::string &why) {
    expectRefused(*gridModule(change), "kernel k " + why);
  };
  refused([](GridT &g) { g.tasks_per_block = 0; },
          "has 0 tasks in each block, possible are 1 to 128");
  refused([](GridT &g) { g.tasks_per_block = 129; }, "has 129 tasks in each block");
  refused([](GridT &g) { g.scratch_bytes = (uint64_t(1) << 40) + 1; },
          "wants 1099511627777 bytes of scratch for each thread or block");
  auto module = gridModule([](GridT &) {});
  module->kernels[0]->tier = "warp";
  expectRefused(*module, "kernel k is of the tier \"warp\", wants serial, rows or tensor");
  module = programs(1);
  module->kernels.push_back(fake::kernel("k", 1));
  module->kernels[0]->tier = "serial";
  expectRefused(*module, "kernel k runs as tasks of a CPU, which have no tier");
}

// The emulated device runs grids, whose code is a shared object; a CPU's threads run none of it.
TEST(Module, EmulatedCodesAreSharedObjectsOfGrids) {
  auto module = gridModule([](GridT &) {});
  module->codes[0]->target->family = "emulated";
  expectRefused(*module, "kernel k is for the emulated device, its code is no shared object");
  module->codes[0]->format = CodeFormat_SharedObject;
  EXPECT_TRUE(fake::open(*module).ok());
  module->kernels[0]->shape.Set(CpuTasksT());
  expectRefused(*module, "kernel k runs as tasks of a CPU, its code is no shared object for one");
}

// A cubin comes with the PTX that it was made of.
TEST(Module, CubinsBelongToPtx) {
  auto with = [](int cubin, CodeFormat first, CodeFormat second) {
    auto module = gridModule([](GridT &) {});
    module->codes.push_back(fake::code());
    module->codes[0]->format = first, module->codes[1]->format = second;
    module->kernels[0]->cubin = cubin;
    return module;
  };
  EXPECT_TRUE(fake::open(*with(1, CodeFormat_Ptx, CodeFormat_Cubin)).ok());
  for (int cubin : {-2, 0, 2})
    expectRefused(*with(cubin, CodeFormat_Ptx, CodeFormat_Cubin),
                  "kernel k has a cubin in code " + std::to_string(cubin));
  expectRefused(*with(1, CodeFormat_Ptx, CodeFormat_Ptx), "wants one beside PTX");
  expectRefused(*with(1, CodeFormat_Cubin, CodeFormat_Cubin), "wants one beside PTX");
}

// What a kernel computes is a question of its code and of the boxes that hardware copies for it,
// too.
TEST(Module, DataflowKnowsCodesAndTensorMaps) {
  auto hashes = [](const std::function<void(GridT &)> &change, uint32_t code = 0) {
    auto module = gridModule(change);
    module->codes.push_back(fake::code());
    module->codes[1]->format = CodeFormat_Cubin;
    module->kernels[0]->code = code;
    auto buffer = std::make_unique<KernelBufferT>();
    buffer->access = Access_Write, buffer->bytes = constant(8);
    module->kernels[0]->buffers.push_back(std::move(buffer));
    auto argument = std::make_unique<ArgumentT>();
    argument->name = "y", argument->output = true;
    argument->shape.push_back(constant(2));
    auto bound = std::make_unique<BindingT>();
    bound->space = Space_Argument, bound->element = constant(0), bound->offset = constant(0);
    LaunchT launch;
    launch.bindings.push_back(std::move(bound));
    launch.tasks = constant(1), launch.flops = constant(0);
    auto command = std::make_unique<CommandT>();
    command->action.Set(std::move(launch));
    module->programs[0]->arguments.push_back(std::move(argument));
    module->programs[0]->commands.push_back(std::move(command));
    auto opened = fake::open(*module);
    EXPECT_TRUE(opened.ok()) << opened.error().message;
    auto made = dataflowHashes(opened->tables(), TemporaryMemory::Slots);
    EXPECT_TRUE(made.ok());
    return made.value();
  };
  auto same = hashes([](GridT &) {});
  EXPECT_EQ(hashes([](GridT &) {}), same);
  EXPECT_NE(hashes([](GridT &) {}, 1), same);
  EXPECT_NE(hashes([](GridT &g) { g.tasks_per_block = 4; }), same);
  EXPECT_NE(hashes([](GridT &g) { g.scratch_bytes = 4; }), same);
  EXPECT_NE(hashes([](GridT &g) { g.persistent = true; }), same);
  EXPECT_NE(hashes([](GridT &g) { g.tensor_maps[0]->box[1] = 4; }), same);
  EXPECT_NE(hashes([](GridT &g) { g.tensor_maps[0]->swizzle_bytes = 64; }), same);
  EXPECT_NE(hashes([](GridT &g) { g.tensor_maps[0]->sizes[1] = constant(4); }), same);
  EXPECT_NE(hashes([](GridT &g) { g.tensor_maps[0]->stride_bytes[0] = constant(512); }), same);
}

TEST(Module, LayoutsHaveNames) {
  auto with = [](const std::string &name, const std::string &number) {
    auto module = programs(1);
    auto weight = std::make_unique<WeightT>();
    weight->name = "w", weight->bytes = 64;
    weight->layout = std::make_unique<LayoutT>();
    weight->layout->name = name;
    auto one = std::make_unique<LayoutNumberT>();
    one->name = number, one->value = 32;
    weight->layout->numbers.push_back(std::move(one));
    module->weights.push_back(std::move(weight));
    return module;
  };
  EXPECT_TRUE(fake::open(*with("cpu.panels", "outputs")).ok());
  expectRefused(*with("", "outputs"), "weight w has a layout without a name");
}

// Files of the first version have other tables.
TEST(Module, VersionOneIsRefused) {
  flatbuffers::FlatBufferBuilder builder;
  builder.Finish(objects::Module::Pack(builder, programs(1).get()));
  std::vector<std::byte> bytes =
      moduleBytes(std::as_bytes(std::span(builder.GetBufferPointer(), builder.GetSize())));
  ASSERT_TRUE(hadal::Module::fromBytes(bytes, "m.hadal").ok());
  bytes[7] = std::byte(1);
  EXPECT_EQ(hadal::Module::fromBytes(bytes, "m.hadal").error().message,
            "m.hadal: module format is version 1, this program reads version 2");
}

} // namespace
