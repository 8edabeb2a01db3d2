//===- Frame.cpp - where the buffers of a running program lie ---------===//

#include "runtime/InputRules.h"
#include "runtime/MemoryCheck.h"
#include "runtime/executor/Implementation.h"

#include <algorithm>

namespace hadal {

using namespace execution;

/// Temporaries of a program: more than any machine has, and far from where sums of sizes overflow.
static constexpr uint64_t maxArenaBytes = uint64_t(1) << 48;

Result<Executor::Implementation::Place>
Executor::Implementation::place(const Frame &frame, const fb::Binding &binding) {
  const fb::Module &tables = module.tables();
  uint32_t index = binding.index();
  DeviceAddress base = nullptr;
  uint64_t bytes = 0;
  switch (binding.space()) {
  case fb::Space_Parameter: {
    const fb::Parameter *p = tables.parameters()->Get(index);
    int64_t element = HADAL_TRY(value(binding.element(), frame.registers));
    if (element < 0 || element >= int64_t(p->count()))
      return invalidArgument("parameter " + p->name()->str() + " has " +
                             std::to_string(p->count()) + " tensors, a launch binds number " +
                             std::to_string(element));
    bytes = *byteCount(elementType(p->element()), {p->shape()->data(), p->shape()->size()});
    base = HADAL_TRY(weights.parameter(device, *stream, index, uint32_t(element), bytes));
    break;
  }
  case fb::Space_Weight:
    base = weights.weight(index), bytes = tables.weights()->Get(index)->bytes();
    break;
  case fb::Space_State:
    base = states[index].address(), bytes = states[index].bytes();
    if (!base)
      return invalidArgument("state " + tables.states()->Get(index)->name()->str() +
                             " has no memory: its registers were not set");
    break;
  case fb::Space_Argument: base = frame.arguments[index], bytes = frame.argumentBytes[index]; break;
  case fb::Space_Temporary:
    base = frame.temporaries[index], bytes = frame.temporaryBytes[index];
    break;
  case fb::Space_Constant:
    base = constants[index].address(), bytes = constants[index].bytes();
    break;
  }
  int64_t offset = HADAL_TRY(value(binding.offset(), frame.registers));
  if (offset < 0 || uint64_t(offset) > bytes)
    return invalidArgument("a launch binds byte " + std::to_string(offset) + " of a buffer of " +
                           std::to_string(bytes));
  return Place{base + offset, bytes - uint64_t(offset)};
}

/// Evaluates sizes and gives temporaries their places in the arena.
Status Executor::Implementation::layOut(Frame &frame, size_t depth) {
  const fb::Program &program = *frame.program;
  std::vector<uint64_t> slotBytes(program.slot_count(), 0);
  for (const fb::Temporary *t : *program.temporaries()) {
    int64_t bytes = HADAL_TRY(value(t->bytes(), frame.registers));
    if (bytes < 0)
      return invalidArgument(program.name()->str() + ": a temporary of " + std::to_string(bytes) +
                             " bytes");
    frame.temporaryBytes.push_back(uint64_t(bytes));
    slotBytes[t->slot()] = std::max(slotBytes[t->slot()], uint64_t(bytes));
  }
  std::vector<uint64_t> offsets;
  uint64_t gap = checksMemory ? memory::guardBytes : 0, total = gap;
  for (uint64_t bytes : slotBytes) {
    offsets.push_back(total);
    if (bytes > maxArenaBytes || (total += aligned(bytes) + gap) > maxArenaBytes)
      return invalidArgument(program.name()->str() + ": its temporaries take more than " +
                             std::to_string(maxArenaBytes) + " bytes");
  }
  if (arenas.size() <= depth)
    arenas.resize(depth + 1);
  if (arenas[depth].bytes() < total) {
    HADAL_TRY(device.synchronize(*stream)); // what uses it may not have happened yet
    arenas[depth] = DeviceBuffer();         // first give back, then take
    arenas[depth] =
        HADAL_TRY(allocateFor("temporaries of " + program.name()->str(), device, total));
    arenas[depth].populate();
  }
  for (const fb::Temporary *t : *program.temporaries())
    frame.temporaries.push_back(arenas[depth].address() + offsets[t->slot()]);
  if (checksMemory)
    HADAL_TRY(guardSlots(frame, offsets, slotBytes, depth));
  return {};
}

Result<Executor::Implementation::Frame> Executor::Implementation::frameOf(ProgramRun &run) {
  const fb::Program &program = *run.table;
  std::string name = program.name()->str();
  Frame frame;
  frame.program = &program;
  frame.registers = run.registers;
  for (uint32_t i = 0; i < program.arguments()->size(); ++i) {
    const fb::Argument *argument = program.arguments()->Get(i);
    ProgramRun::Slot &slot = run.slots[i];
    if (!run.handsOut(i)) { // its size may depend on what other ranks say
      frame.arguments.push_back(nullptr);
      frame.argumentBytes.push_back(0);
      continue;
    }
    Shape shape = HADAL_TRY(shapeOf(*argument->shape(), frame.registers));
    auto bytes = byteCount(elementType(argument->element()), shape);
    if (!bytes)
      return invalidArgument(name + ": argument '" + argument->name()->str() +
                             "' has an impossible shape " + toString(shape));
    if (slot.isBound) {
      if (slot.shape != shape)
        return invalidArgument(name + ": argument '" + argument->name()->str() + "' wants " +
                               describe(slot.element, shape) + ", got " +
                               describe(slot.element, slot.shape));
    } else {
      if (!argument->output())
        return invalidArgument(name + ": argument '" + argument->name()->str() + "' is not bound");
      slot.element = elementType(argument->element()), slot.shape = std::move(shape);
    }
    if (!slot.isBound || isCopied(run, i)) {
      if (slot.owned.bytes() < *bytes || !slot.owned.address())
        slot.owned =
            HADAL_TRY(allocateFor("argument '" + argument->name()->str() + "'", device, *bytes));
      slot.address = slot.owned.address();
    } else if (slot.host) {
      slot.address = static_cast<DeviceAddress>(slot.host);
    }
    frame.arguments.push_back(slot.address);
    frame.argumentBytes.push_back(*bytes);
  }
  HADAL_TRY(layOut(frame, 0));
  return frame;
}

/// Whether an argument is bound to memory of the host that the device does not share.
bool Executor::Implementation::isCopied(const ProgramRun &run, uint32_t argument) const {
  return run.slots[argument].isBound && run.slots[argument].host && !device.sharesHostMemory();
}

/// Holds index tensors to the program's rules, on the host.
Status Executor::Implementation::checkArguments(const ProgramRun &run, const Frame &frame) {
  const auto *rules = run.table->content_rules();
  if (!rules)
    return {};
  std::vector<const std::byte *> contents(frame.arguments.begin(), frame.arguments.end());
  if (!device.sharesHostMemory()) {
    std::set<uint32_t> read;
    for (const fb::ContentRule *rule : *rules) {
      read.insert(rule->argument());
      if (rule->kind() == fb::ContentKind_Groups)
        read.insert(rule->offsets());
    }
    for (uint32_t i = 0; i < contents.size(); ++i) {
      const ProgramRun::Slot &slot = run.slots[i];
      if (isCopied(run, i))
        contents[i] = static_cast<const std::byte *>(slot.host);
      else if (read.count(i) && frame.arguments[i])
        contents[i] = HADAL_TRY(
            readOnHost(device, *stream, frame.arguments[i], frame.argumentBytes[i], slot.read));
    }
  }
  return checkContents(*run.table, frame.registers, contents, frame.argumentBytes);
}

/// Outputs too: programs may add to what lies in them.
Status Executor::Implementation::uploadArguments(const ProgramRun &run, const Frame &frame) {
  for (uint32_t i = 0; i < frame.arguments.size(); ++i)
    if (isCopied(run, i))
      HADAL_TRY(
          device.upload(*stream, frame.arguments[i], run.slots[i].host, frame.argumentBytes[i]));
  return {};
}

Status Executor::Implementation::downloadOutputs(const ProgramRun &run) {
  bool any = false;
  Status status;
  for (uint32_t i = 0; i < run.slots.size(); ++i) {
    const ProgramRun::Slot &slot = run.slots[i];
    if (!isCopied(run, i) || !run.table->arguments()->Get(i)->output())
      continue;
    any = true;
    status = device.download(*stream, slot.host, slot.address,
                             byteCount(slot.element, slot.shape).value_or(0));
    if (!status)
      break;
  }
  return any ? settle(status) : status;
}

} // namespace hadal
