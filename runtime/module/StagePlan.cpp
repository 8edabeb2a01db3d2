//===- StagePlan.cpp - the programs of a stage, their names as numbers ----===//

#include "runtime/module/StagePlan.h"

#include "runtime/module/UsedStates.h"

#include <algorithm>
#include <set>
#include <string_view>
#include <utility>

using namespace hadal;

static uint32_t numberOf(std::map<std::string, uint32_t, std::less<>> &numbers,
                         std::vector<std::string> &names, const flatbuffers::String &name) {
  auto [at, isNew] = numbers.emplace(name.str(), uint32_t(names.size()));
  if (isNew)
    names.push_back(at->first);
  return at->second;
}

void StagePlan::set(StageProgram which, const fb::Program &program) {
  PlannedProgram &planned = programs[size_t(which)];
  planned.which = which;
  planned.program = &program;
  for (const fb::Argument *argument : *program.arguments()) {
    uint32_t value = numberOf(valueNumbers, valueNames, *argument->name());
    planned.values.push_back(value);
    lastProgram.resize(valueNames.size());
    lastProgram[value] = which;
    isWritten.resize(valueNames.size());
    isWritten[value] = isWritten[value] || argument->output();
  }
  for (const auto *name : *program.registers())
    planned.registers.push_back(numberOf(registerNumbers, registerNames, *name));
  std::map<std::pair<int, unsigned>, uint32_t> counted; // by kind of command and stage
  for (uint32_t at = 0; at < program.commands()->size(); ++at) {
    const fb::Command *command = program.commands()->Get(at);
    planned.streams[command->stream()].push_back(at);
    uint32_t ordinal = 0;
    if (auto *send = command->action_as_Send())
      ordinal = counted[{0, send->stage()}]++;
    else if (auto *receive = command->action_as_Receive())
      ordinal = counted[{1, receive->stage()}]++;
    else if (command->action_as_Exchange() || command->action_as_ExchangeCounts())
      ordinal = counted[{2, 0}]++;
    planned.ordinals.push_back(ordinal);
  }
}

StagePlan StagePlan::of(const fb::Module &module, const fb::Stage &stage) {
  StagePlan plan;
  plan.table = &stage;
  const uint32_t programs[stageProgramCount] = {stage.forward(), stage.input_grad(),
                                                stage.weight_grad()};
  for (size_t i = 0; i < stageProgramCount; ++i)
    plan.set(StageProgram(i), *module.programs()->Get(programs[i]));
  return plan;
}

StagePlan StagePlan::of(const fb::Module &module, unsigned stage) {
  StagePlan plan = of(module, *module.training()->ranks()->stages()->Get(stage));
  plan.stage = stage;
  for (PlannedProgram &program : plan.programs)
    plan.findSums(module, program);
  return plan;
}

void StagePlan::findSums(const fb::Module &module, PlannedProgram &program) const {
  std::set<std::string_view> sums;
  for (const fb::Accumulator *accumulator : *table->accumulators())
    sums.insert(accumulator->state()->string_view());
  std::map<uint32_t, uint32_t> last; // by state
  for (uint32_t at = program.program->commands()->size(); at-- > 0;)
    for (uint32_t state : usedStates(module, *program.program->commands()->Get(at)))
      if (sums.count(module.states()->Get(state)->name()->string_view()))
        program.lastAdding[at] =
            std::max(program.lastAdding[at], last.insert({state, at}).first->second);
}

StagePlan StagePlan::ofProgram(const fb::Program &program) {
  StagePlan plan;
  plan.set(StageProgram::Forward, program);
  return plan;
}

std::vector<StageProgram> hadal::programsLastFirst(fb::ChunkKind kind) {
  std::span<const StageProgram> programs = programsOf(ChunkKind(kind));
  return {programs.rbegin(), programs.rend()};
}
