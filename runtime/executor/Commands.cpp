//===- Commands.cpp - what each command of a program does -------------===//

#include "runtime/MemoryCheck.h"
#include "runtime/executor/Implementation.h"

#include <algorithm>
#include <array>

namespace hadal {

using namespace execution;

Status Executor::Implementation::launch(Frame &frame, const fb::Launch &launch) {
  int64_t tasks = HADAL_TRY(value(launch.tasks(), frame.registers));
  if (tasks <= 0)
    return {};
  const fb::Kernel &kernel = *module.tables().kernels()->Get(launch.kernel());
  if (checksMemory && isDescribed(kernel))
    for (uint32_t b = 0; b < launch.bindings()->size(); ++b)
      HADAL_TRY(beforeAccess(frame, *launch.bindings()->Get(b), kernel.buffers()->Get(b)->access(),
                             kernel.symbol()->str()));
  std::array<DeviceAddress, maxBindings> buffers;
  std::array<int64_t, maxBindings> scalars;
  size_t i = 0;
  for (const fb::Binding *binding : *launch.bindings())
    buffers[i++] = HADAL_TRY(place(frame, *binding)).base;
  i = 0;
  for (const fb::Expr *e : *launch.scalars())
    scalars[i++] = HADAL_TRY(value(e, frame.registers));
  int64_t flops = HADAL_TRY(value(launch.flops(), frame.registers));
  int64_t begin = trace ? trace->now() : 0;
  stream->site = {frame.program, frame.launches++};
  HADAL_TRY(device.launch(*stream, kernels->kernels()[launch.kernel()],
                          {buffers.data(), launch.bindings()->size()},
                          {scalars.data(), launch.scalars()->size()}, tasks));
  if (trace) {
    HADAL_TRY(device.synchronize(*stream));
    trace->addKernel(kernel.symbol()->string_view(), begin, trace->now(), flops, tasks,
                     places.of(launch));
  }
  if (checksMemory) {
    HADAL_TRY(device.synchronize(*stream));
    HADAL_TRY(afterAccess(frame, kernel.symbol()->str()));
  }
  ++current.launches;
  current.flops += flops;
  return observer ? observer(launch, frame.registers) : Status();
}

Status Executor::Implementation::call(Frame &frame, const fb::Call &call, size_t depth) {
  Frame inner;
  std::vector<uint64_t> wanted; ///< bytes of its arguments
  inner.program = module.tables().programs()->Get(call.program());
  for (const fb::Expr *e : *call.registers())
    inner.registers.push_back(HADAL_TRY(value(e, frame.registers)));
  for (const fb::Binding *binding : *call.arguments()) {
    Place at = HADAL_TRY(place(frame, *binding));
    const fb::Argument *argument =
        inner.program->arguments()->Get(static_cast<uint32_t>(inner.arguments.size()));
    auto bytes = byteCount(elementType(argument->element()),
                           HADAL_TRY(shapeOf(*argument->shape(), inner.registers)));
    if (!bytes || *bytes > at.bytes)
      return invalidArgument(inner.program->name()->str() + ": argument '" +
                             argument->name()->str() + "' does not fit what it is called with");
    inner.arguments.push_back(at.base);
    inner.argumentBytes.push_back(at.bytes);
    wanted.push_back(uint64_t(*bytes));
  }
  HADAL_TRY(layOut(inner, depth + 1));
  if (!checksMemory)
    return runCommands(inner, *inner.program->commands(), depth + 1);
  const ProgramFlow &flow = flows[call.program()];
  for (uint32_t i = 0; i < inner.arguments.size(); ++i) {
    const BufferUse &use = flow.arguments[i];
    bool isNew = flow.isKnown && use.writes && !use.reads && !use.keeps;
    HADAL_TRY(beforeAccess(frame, *call.arguments()->Get(i),
                           isNew ? fb::Access_Write : fb::Access_Update,
                           inner.program->name()->str()));
    if (isNew)
      HADAL_TRY(poison({inner.arguments[i], wanted[i]}));
  }
  Status status = runCommands(inner, *inner.program->commands(), depth + 1);
  if (!status)
    return Error{status.error().code,
                 "program " + inner.program->name()->str() + ": " + status.error().message};
  return afterAccess(frame, inner.program->name()->str());
}

Status Executor::Implementation::runCommands(
    Frame &frame, const flatbuffers::Vector<flatbuffers::Offset<fb::Command>> &commands,
    size_t depth) {
  for (const fb::Command *command : commands) {
    if (checksMemory && &commands == frame.program->commands())
      frame.at = uint32_t(std::find(commands.begin(), commands.end(), command) - commands.begin());
    switch (command->action_type()) {
    case fb::Action_Launch: HADAL_TRY(launch(frame, *command->action_as_Launch())); break;
    case fb::Action_Copy: {
      auto *copy = command->action_as_Copy();
      Place to = HADAL_TRY(place(frame, *copy->destination())),
            from = HADAL_TRY(place(frame, *copy->source()));
      int64_t bytes = HADAL_TRY(value(copy->bytes(), frame.registers));
      if (bytes < 0 || uint64_t(bytes) > to.bytes || uint64_t(bytes) > from.bytes)
        return invalidArgument(frame.program->name()->str() + ": copies " + std::to_string(bytes) +
                               " bytes from " + std::to_string(from.bytes) + " to " +
                               std::to_string(to.bytes));
      if (checksMemory) {
        HADAL_TRY(beforeAccess(frame, *copy->source(), fb::Access_Read, "a copy"));
        HADAL_TRY(beforeAccess(frame, *copy->destination(), fb::Access_Write, "a copy"));
      }
      HADAL_TRY(device.copy(*stream, to.base, from.base, uint64_t(bytes)));
      if (checksMemory)
        HADAL_TRY(afterAccess(frame, "a copy"));
      break;
    }
    case fb::Action_Call: HADAL_TRY(call(frame, *command->action_as_Call(), depth)); break;
    case fb::Action_Repeat: {
      auto *repeat = command->action_as_Repeat();
      int64_t count = HADAL_TRY(value(repeat->count(), frame.registers));
      for (int64_t i = 0; i < count; ++i) {
        frame.registers[repeat->register_()] = i;
        HADAL_TRY(runCommands(frame, *repeat->body(), depth));
      }
      break;
    }
    case fb::Action_SkipIfZero:
      if (HADAL_TRY(value(command->action_as_SkipIfZero()->value(), frame.registers)) != 0)
        HADAL_TRY(runCommands(frame, *command->action_as_SkipIfZero()->body(), depth));
      break;
    case fb::Action_Record:
      // Commands run in order, so what was recorded has happened.
      frame.recorded.insert(command->action_as_Record()->event());
      break;
    case fb::Action_Wait:
      if (!frame.recorded.count(command->action_as_Wait()->event()))
        return invalidArgument(frame.program->name()->str() + ": waits for event " +
                               std::to_string(command->action_as_Wait()->event()) +
                               ", which nothing recorded");
      break;
    default:
      return invalidArgument(frame.program->name()->str() +
                             ": is a stage's program, which runs over ranks alone");
    }
  }
  return {};
}

} // namespace hadal
