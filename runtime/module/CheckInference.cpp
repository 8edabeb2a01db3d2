//===- CheckInference.cpp - tables of inference on many ranks -------------===//

#include "runtime/module/CheckInference.h"

#include <set>
#include <string>

namespace hadal {

static Status checkCommand(const fb::Inference &inference, const fb::Program &program,
                           const fb::Command &command) {
  auto wants = [&](unsigned stream) -> Status {
    if (command.stream() != stream)
      return invalidFile("is on stream " + std::to_string(command.stream()) + ", wants " +
                         std::to_string(stream));
    return {};
  };
  auto exchange = [&](uint64_t parts, uint64_t stride, uint32_t destination) -> Status {
    HADAL_TRY(wants(1));
    if (parts * stride > inference.ep() || inference.ep() % (parts * stride) != 0)
      return invalidFile("exchanges among " + std::to_string(parts) + " parts, " +
                         std::to_string(stride) + " apart, of " + std::to_string(inference.ep()) +
                         " ranks");
    if (!program.arguments()->Get(destination)->output())
      return invalidFile("exchanges into an argument that is no output");
    return {};
  };
  switch (command.action_type()) {
  case fb::Action_Call: return wants(0);
  case fb::Action_ExchangeCounts: {
    auto *counts = command.action_as_ExchangeCounts();
    return exchange(counts->parts(), counts->stride(), counts->receive());
  }
  case fb::Action_Exchange: {
    auto *rows = command.action_as_Exchange();
    return exchange(rows->parts(), rows->stride(), rows->destination());
  }
  case fb::Action_Record:
  case fb::Action_Wait:
    return command.stream() > 1
               ? Status(invalidFile("is on stream " + std::to_string(command.stream()) + " of 2"))
               : Status();
  default: return invalidFile("is none that such a program may have");
  }
}

static Status checkProgram(const fb::Module &module, const fb::InferenceProgram &shared) {
  if (shared.program() >= module.programs()->size() || !shared.outputs())
    return invalidFile("names program " + std::to_string(shared.program()) + " of " +
                       std::to_string(module.programs()->size()));
  const fb::Program &program = *module.programs()->Get(shared.program());
  auto named = [&](const std::string &problem) {
    return invalidFile("program " + program.name()->str() + problem);
  };
  for (uint32_t output : *shared.outputs())
    if (output >= program.arguments()->size() || !program.arguments()->Get(output)->output())
      return named(" hands out argument " + std::to_string(output) + ", which is no output");
  for (uint32_t i = 0; i < program.commands()->size(); ++i)
    if (Status status = checkCommand(*module.inference(), program, *program.commands()->Get(i));
        !status)
      return named(", command " + std::to_string(i) + " " + status.error().message);
  return {};
}

static Status check(const fb::Module &module) {
  const fb::Inference &inference = *module.inference();
  if (module.training())
    return invalidFile("stands in a training module");
  if (!inference.programs() || !inference.sharded())
    return invalidFile("is incomplete");
  if (inference.ep() < 2 || inference.ep() > (1 << 20) || inference.nodes() < 1 ||
      inference.ep() % inference.nodes() != 0)
    return invalidFile("has impossible numbers of ranks");
  for (uint32_t index : *inference.sharded())
    if (index >= module.parameters()->size() ||
        module.parameters()->Get(index)->name()->str().find("{}") == std::string::npos)
      return invalidFile("shards parameter " + std::to_string(index) + ", which is no stack");
  std::set<uint32_t> seen;
  for (const fb::InferenceProgram *program : *inference.programs()) {
    if (!program || !seen.insert(program->program()).second)
      return invalidFile("has a malformed program");
    HADAL_TRY(checkProgram(module, *program));
  }
  return {};
}

Status checkInference(const fb::Module &module) {
  if (!module.inference())
    return {};
  Status status = check(module);
  return status ? status : invalidFile("the table of inference: " + status.error().message);
}

} // namespace hadal
