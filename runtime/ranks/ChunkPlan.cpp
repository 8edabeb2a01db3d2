#include "runtime/ranks/ChunkPlan.h"

#include "runtime/Abi.h"
#include "runtime/module/Expr.h"
#include "runtime/module/UsedStates.h"

#include <algorithm>
#include <set>

using namespace hadal;

static uint32_t numberOf(std::vector<std::string> &names, std::string_view name) {
  auto found = std::find(names.begin(), names.end(), name);
  if (found == names.end())
    found = names.insert(names.end(), std::string(name));
  return static_cast<uint32_t>(found - names.begin());
}

void StagePlan::set(StageProgram which, const fb::Program &program) {
  ChunkProgram &chunk = programs[size_t(which)];
  chunk.which = which;
  chunk.program = &program;
  for (const fb::Argument *argument : *program.arguments()) {
    chunk.values.push_back(numberOf(valueNames, argument->name()->string_view()));
    lastProgram.resize(valueNames.size());
    lastProgram[chunk.values.back()] = which;
  }
  for (const auto *name : *program.registers())
    chunk.registers.push_back(numberOf(registerNames, name->string_view()));
  std::map<std::pair<int, unsigned>, uint32_t> counted; // by kind of command and stage
  for (uint32_t at = 0; at < program.commands()->size(); ++at) {
    const fb::Command *command = program.commands()->Get(at);
    chunk.streams[command->stream()].push_back(at);
    uint32_t ordinal = 0;
    if (auto *send = command->action_as_Send())
      ordinal = counted[{0, send->stage()}]++;
    else if (auto *receive = command->action_as_Receive())
      ordinal = counted[{1, receive->stage()}]++;
    else if (command->action_as_Exchange() || command->action_as_ExchangeCounts())
      ordinal = counted[{2, 0}]++;
    chunk.ordinals.push_back(ordinal);
  }
}

StagePlan StagePlan::of(const fb::Module &module, unsigned stage) {
  StagePlan plan;
  plan.stage = stage;
  plan.table = module.training()->ranks()->stages()->Get(stage);
  const uint32_t programs[stageProgramCount] = {plan.table->forward(), plan.table->input_grad(),
                                                plan.table->weight_grad()};
  for (size_t i = 0; i < stageProgramCount; ++i)
    plan.set(StageProgram(i), *module.programs()->Get(programs[i]));
  for (ChunkProgram &program : plan.programs)
    plan.findSums(module, program);
  return plan;
}

void StagePlan::findSums(const fb::Module &module, ChunkProgram &program) const {
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

MicroBatchValues::MicroBatchValues(const StagePlan &plan, unsigned direction, unsigned number)
    : plan(&plan), direction(direction), number(number), values(plan.valueNames.size()),
      registers(plan.registerNames.size()) {}

void MicroBatchValues::setRegister(const std::string &name, int64_t value) {
  auto found = std::find(plan->registerNames.begin(), plan->registerNames.end(), name);
  if (found != plan->registerNames.end())
    registers[found - plan->registerNames.begin()] = value;
}

Status MicroBatchValues::setInput(const std::string &name, const TensorView &view,
                                  Executor &executor, MemoryPool &pool) {
  auto found = std::find(plan->valueNames.begin(), plan->valueNames.end(), name);
  if (found == plan->valueNames.end())
    return {};
  Value &value = values[found - plan->valueNames.begin()];
  value.bytes = view.bytes();
  // An empty list has no address; null would mean that nothing is there.
  static std::byte nothing[HADAL_ALIGNMENT];
  if (executor.device().sharesHostMemory()) {
    value.data = view.data ? static_cast<DeviceAddress>(view.data) : nothing;
    return {};
  }
  value.memory = HADAL_TRY(pool.take(std::max<uint64_t>(value.bytes, HADAL_ALIGNMENT)));
  value.data = value.memory.get();
  return executor.upload(value.data, view.data, value.bytes);
}

std::vector<int64_t> MicroBatchValues::registersOf(const ChunkProgram &program) const {
  std::vector<int64_t> result;
  for (uint32_t number : program.registers)
    result.push_back(registers[number]);
  return result;
}

Status MicroBatchValues::allocate(MemoryPool &pool, const ChunkProgram &program, uint32_t index) {
  Value &value = valueOf(program, index);
  if (value.data)
    return {};
  const fb::Argument *argument = program.program->arguments()->Get(index);
  std::vector<int64_t> known = registersOf(program);
  Shape shape;
  for (const fb::Expr *e : *argument->shape())
    shape.push_back(HADAL_TRY(evaluate({e->code()->data(), e->code()->size()}, known)));
  auto bytes = byteCount(elementType(argument->element()), shape);
  if (!bytes)
    return invalidArgument(argument->name()->str() + " has an impossible shape " + toString(shape));
  value.memory = HADAL_TRY(pool.take(*bytes));
  value.data = value.memory.get();
  value.bytes = *bytes;
  return {};
}

void MicroBatchValues::release(StageProgram done) {
  ended = size_t(done) + 1;
  for (size_t i = 0; i < values.size(); ++i)
    if (plan->lastProgram[i] <= done)
      values[i] = {};
}

std::vector<StageProgram> hadal::programsLastFirst(fb::ChunkKind kind) {
  std::span<const StageProgram> programs = programsOf(ChunkKind(kind));
  return {programs.rbegin(), programs.rend()};
}
