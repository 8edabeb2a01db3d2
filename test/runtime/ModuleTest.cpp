//===- ModuleTest.cpp - tables that no module may hold ------------------===//
//
// Each is refused when it is opened, in one line.
//
//===--------------------------------------------------------------------===//

#include "runtime/module/Expr.h"
#include "test/schedule/FakeRanks.h"

#include <gtest/gtest.h>

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
  module->target = std::make_unique<TargetT>();
  module->target->triple = "x86_64-unknown-linux-gnu", module->target->cpu = "generic";
  module->code = {0};
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

} // namespace
