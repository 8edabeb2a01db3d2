//===- BufferSizes.cpp - whether launches stay in bounds ------------------===//

#include "runtime/module/BufferSizes.h"
#include "runtime/Tensor.h"
#include "runtime/module/Dataflow.h"
#include "runtime/module/Expr.h"
#include "runtime/module/RankSizes.h"

#include <algorithm>
#include <string>
#include <vector>

namespace hadal {

namespace {

constexpr uint64_t sizeProbes = 3;

Result<int64_t> value(const fb::Expr &expr, const std::vector<int64_t> &registers) {
  return evaluate({expr.code()->data(), expr.code()->size()}, registers);
}

template <typename Shape>
Result<uint64_t> bytesOf(fb::ElementType element, const Shape &shape,
                         const std::vector<int64_t> &registers) {
  std::vector<int64_t> sizes;
  for (const fb::Expr *size : shape)
    sizes.push_back(HADAL_TRY(value(*size, registers)));
  auto bytes = byteCount(static_cast<ElementType>(element), sizes);
  return bytes ? Result<uint64_t>(uint64_t(*bytes))
               : Result<uint64_t>(invalidFile("has an impossible size"));
}

/// A program with values of its registers.
class Sizer {
public:
  Sizer(const fb::Module &module, const fb::Program &program, uint64_t probe)
      : module(module), program(program) {
    for (const auto *name : *program.registers())
      registers.push_back(probeOf(name->string_view(), probe));
    for (const auto *name : *module.state_registers())
      stateRegisters.push_back(probeOf(name->string_view(), probe));
  }

  Status run() { return commands(*program.commands()); }

private:
  using Commands = flatbuffers::Vector<flatbuffers::Offset<fb::Command>>;

  Status commands(const Commands &list) {
    for (uint32_t i = 0; i < list.size(); ++i)
      if (Status status = command(*list.Get(i)); !status)
        return invalidFile("command " + std::to_string(i) + ": " + status.error().message);
    return {};
  }

  Status command(const fb::Command &command) {
    if (const fb::Launch *launch = command.action_as_Launch())
      return this->launch(*launch);
    if (const fb::Copy *copy = command.action_as_Copy()) {
      uint64_t bytes = uint64_t(HADAL_TRY(value(*copy->bytes(), registers)));
      HADAL_TRY(fits("the copy", *copy->source(), bytes));
      return fits("the copy", *copy->destination(), bytes);
    }
    if (const fb::Call *call = command.action_as_Call())
      return this->call(*call);
    if (const fb::Repeat *repeat = command.action_as_Repeat()) {
      // Offsets grow from round to round: the last one reaches farthest.
      registers[repeat->register_()] =
          std::max<int64_t>(HADAL_TRY(value(*repeat->count(), registers)) - 1, 0);
      return commands(*repeat->body());
    }
    if (const fb::SkipIfZero *skip = command.action_as_SkipIfZero())
      return commands(*skip->body());
    return {}; // what crosses ranks is readChunkPrograms' business
  }

  Status launch(const fb::Launch &launch) {
    const fb::Kernel &kernel = *module.kernels()->Get(launch.kernel());
    if (!isDescribed(kernel))
      return {};
    std::vector<int64_t> scalars;
    for (const fb::Expr *scalar : *launch.scalars())
      scalars.push_back(HADAL_TRY(value(*scalar, registers)));
    for (uint32_t i = 0; i < launch.bindings()->size(); ++i)
      HADAL_TRY(fits(kernel.symbol()->str(), *launch.bindings()->Get(i),
                     uint64_t(HADAL_TRY(value(*kernel.buffers()->Get(i)->bytes(), scalars)))));
    return {};
  }

  Status call(const fb::Call &call) {
    const fb::Program &callee = *module.programs()->Get(call.program());
    std::vector<int64_t> inside;
    for (const fb::Expr *e : *call.registers())
      inside.push_back(HADAL_TRY(value(*e, registers)));
    for (uint32_t i = 0; i < call.arguments()->size(); ++i) {
      const fb::Argument &argument = *callee.arguments()->Get(i);
      HADAL_TRY(fits(callee.name()->str(), *call.arguments()->Get(i),
                     HADAL_TRY(bytesOf(argument.element(), *argument.shape(), inside))));
    }
    return {};
  }

  Status fits(const std::string &what, const fb::Binding &binding, uint64_t bytes) {
    uint64_t has = HADAL_TRY(sizeOf(binding));
    int64_t offset = HADAL_TRY(value(*binding.offset(), registers));
    if (offset < 0 || uint64_t(offset) > has || bytes > has - uint64_t(offset))
      return invalidFile(what + " touches " + std::to_string(bytes) + " bytes from byte " +
                         std::to_string(offset) + " of " + nameOf(binding) + ", which has " +
                         std::to_string(has));
    return {};
  }

  Result<uint64_t> sizeOf(const fb::Binding &binding) {
    uint32_t index = binding.index();
    switch (binding.space()) {
    case fb::Space_Parameter: {
      const fb::Parameter &p = *module.parameters()->Get(index);
      int64_t element = HADAL_TRY(value(*binding.element(), registers));
      if (element < 0 || element >= int64_t(p.count()))
        return invalidFile("tensor " + std::to_string(element) + " of " + p.name()->str() +
                           ", which has " + std::to_string(p.count()));
      return uint64_t(*byteCount(static_cast<ElementType>(p.element()),
                                 {p.shape()->data(), p.shape()->size()}));
    }
    case fb::Space_Weight: return module.weights()->Get(index)->bytes();
    case fb::Space_State:
      return bytesOf(module.states()->Get(index)->element(), *module.states()->Get(index)->shape(),
                     stateRegisters);
    case fb::Space_Argument:
      return bytesOf(program.arguments()->Get(index)->element(),
                     *program.arguments()->Get(index)->shape(), registers);
    case fb::Space_Temporary:
      return uint64_t(std::max<int64_t>(
          HADAL_TRY(value(*program.temporaries()->Get(index)->bytes(), registers)), 0));
    case fb::Space_Constant: return module.constants()->Get(index)->bytes()->size();
    }
    return uint64_t(0);
  }

  std::string nameOf(const fb::Binding &binding) const {
    uint32_t index = binding.index();
    switch (binding.space()) {
    case fb::Space_Parameter: return module.parameters()->Get(index)->name()->str();
    case fb::Space_Weight: return module.weights()->Get(index)->name()->str();
    case fb::Space_State: return module.states()->Get(index)->name()->str();
    case fb::Space_Argument: return "'" + program.arguments()->Get(index)->name()->str() + "'";
    case fb::Space_Temporary: return "temporary " + std::to_string(index);
    case fb::Space_Constant: return module.constants()->Get(index)->name()->str();
    }
    return "";
  }

  const fb::Module &module;
  const fb::Program &program;
  std::vector<int64_t> registers, stateRegisters;
};

} // namespace

Status verifyBufferSizes(const fb::Module &module) {
  for (const fb::Program *program : *module.programs())
    for (uint64_t probe = 0; probe < sizeProbes; ++probe)
      if (Status status = Sizer(module, *program, probe).run(); !status)
        return invalidFile("program " + program->name()->str() + ", " + status.error().message);
  return {};
}

} // namespace hadal
