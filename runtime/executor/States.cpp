//===- States.cpp - memory that stays from program to program ---------===//

#include "runtime/executor/Implementation.h"

#include <algorithm>

namespace hadal {

using namespace execution;

Status Executor::setStateRegister(std::string_view name, int64_t wanted) {
  const fb::Module &tables = source.tables();
  if (wanted < 0)
    return invalidArgument(std::string(name) + " wants a non-negative value, got " +
                           std::to_string(wanted));
  uint32_t index = 0;
  while (index < tables.state_registers()->size() &&
         tables.state_registers()->Get(index)->string_view() != name)
    ++index;
  if (index == tables.state_registers()->size())
    return notFound(source.path() + ": no state register '" + std::string(name) + "' (has " +
                    listed(*tables.state_registers()) + ")");
  std::vector<int64_t> registers = self->stateRegisters;
  registers[index] = wanted;
  return allocateStates(std::move(registers));
}

Status Executor::allocateStates(std::vector<int64_t> registers) {
  const fb::Module &tables = source.tables();
  for (uint32_t i = 0; i < self->states.size(); ++i) {
    const fb::State *table = tables.states()->Get(i);
    Implementation::State &state = self->states[i];
    Shape shape = HADAL_TRY(shapeOf(*table->shape(), registers));
    auto bytes = byteCount(elementType(table->element()), shape);
    if (!bytes)
      return invalidArgument("state " + table->name()->str() + " has an impossible shape " +
                             toString(shape));
    bool sameRows =
        state.shape.size() == shape.size() &&
        (shape.empty() || std::equal(shape.begin() + 1, shape.end(), state.shape.begin() + 1));
    if (state.memory && !sameRows)
      return invalidArgument("state " + table->name()->str() + " cannot change from " +
                             toString(state.shape) + " to " + toString(shape));
    if (auto parameter = parameterOf(tables, *table, self->weights.shard())) {
      state.memory =
          HADAL_TRY(self->weights.parameters().holdState(self->device, *parameter, *bytes));
    } else if (!state.memory || *bytes > state.memory->bytes()) {
      auto larger = std::make_shared<DeviceBuffer>(
          HADAL_TRY(allocateFor("state " + table->name()->str(), self->device, *bytes)));
      if (state.memory && state.memory->bytes()) {
        HADAL_TRY(copy(larger->address(), state.memory->address(), state.memory->bytes()));
        HADAL_TRY(self->device.synchronize(*self->stream)); // before it is given back
      }
      state.memory = std::move(larger);
    }
    state.shape = std::move(shape);
  }
  self->stateRegisters = std::move(registers);
  return {};
}

Result<int64_t> Executor::stateRegister(std::string_view name) const {
  const auto &names = *source.tables().state_registers();
  for (uint32_t i = 0; i < names.size(); ++i)
    if (names.Get(i)->string_view() == name)
      return self->stateRegisters[i];
  return notFound(source.path() + ": no state register '" + std::string(name) + "' (has " +
                  listed(names) + ")");
}

Result<DeviceView> Executor::state(std::string_view name) {
  const auto &tables = *source.tables().states();
  for (uint32_t i = 0; i < tables.size(); ++i)
    if (tables.Get(i)->name()->string_view() == name)
      return DeviceView{elementType(tables.Get(i)->element()), self->states[i].shape,
                        self->states[i].address()};
  return notFound(source.path() + ": no state '" + std::string(name) + "'");
}

uint64_t Executor::stateBytes() const {
  uint64_t sum = 0;
  for (const auto &state : self->states)
    sum += state.bytes();
  return sum;
}

uint64_t Executor::touchedStateBytes() const {
  uint64_t bytes = 0;
  for (const Implementation::State &state : self->states)
    bytes += state.memory ? state.memory->touchedBytes() : 0;
  return bytes;
}

} // namespace hadal
