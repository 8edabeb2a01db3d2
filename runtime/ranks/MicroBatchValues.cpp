//===- MicroBatchValues.cpp - a micro-batch in a stage ------------------===//

#include "runtime/ranks/MicroBatchValues.h"

#include "runtime/Abi.h"
#include "runtime/module/Expr.h"

#include <algorithm>

using namespace hadal;

MicroBatchValues::MicroBatchValues(const StagePlan &plan, unsigned direction, unsigned number)
    : plan(&plan), direction(direction), number(number), values(plan.valueNames.size()),
      registers(plan.registerNames.size()) {}

void MicroBatchValues::setRegister(const std::string &name, int64_t value) {
  if (auto found = plan->registerNumbers.find(name); found != plan->registerNumbers.end())
    registers[found->second] = value;
}

Status MicroBatchValues::setInput(const std::string &name, const TensorView &view,
                                  Executor &executor, MemoryPool &pool) {
  auto found = plan->valueNumbers.find(name);
  if (found == plan->valueNumbers.end())
    return {};
  Value &value = values[found->second];
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

std::vector<int64_t> MicroBatchValues::registersOf(const PlannedProgram &program) const {
  std::vector<int64_t> result;
  for (uint32_t number : program.registers)
    result.push_back(registers[number]);
  return result;
}

Status MicroBatchValues::allocate(MemoryPool &pool, const PlannedProgram &program, uint32_t index) {
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
