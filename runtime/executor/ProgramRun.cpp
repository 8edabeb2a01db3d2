//===- ProgramRun.cpp - registers and arguments of a program ----------===//

#include "runtime/executor/Implementation.h"

#include <algorithm>

namespace hadal {

using namespace execution;

ProgramRun::ProgramRun(Executor &executor, const fb::Program *table)
    : executor(&executor), table(table), registers(table->registers()->size(), 0),
      slots(table->arguments()->size()) {}

static std::optional<uint32_t> findRegister(const fb::Program &program, std::string_view name) {
  for (uint32_t i = 0; i < program.registers()->size(); ++i)
    if (program.registers()->Get(i)->string_view() == name)
      return i;
  return std::nullopt;
}

static std::optional<uint32_t> findArgument(const fb::Program &program, std::string_view name) {
  for (uint32_t i = 0; i < program.arguments()->size(); ++i)
    if (program.arguments()->Get(i)->name()->string_view() == name)
      return i;
  return std::nullopt;
}

static Result<uint32_t> argumentIndex(const fb::Program &program, std::string_view name) {
  if (auto i = findArgument(program, name))
    return *i;
  std::string known;
  for (const fb::Argument *a : *program.arguments())
    known += (known.empty() ? "" : ", ") + a->name()->str();
  return notFound(program.name()->str() + ": no argument '" + std::string(name) + "' (has " +
                  known + ")");
}

bool ProgramRun::handsOut(uint32_t argument) const {
  if (!shared || !table->arguments()->Get(argument)->output())
    return true;
  return std::find(shared->outputs()->begin(), shared->outputs()->end(), argument) !=
         shared->outputs()->end();
}

std::vector<uint32_t> ProgramRun::results() const {
  if (shared)
    return {shared->outputs()->begin(), shared->outputs()->end()};
  std::vector<uint32_t> outputs;
  for (uint32_t i = 0; i < table->arguments()->size(); ++i)
    if (table->arguments()->Get(i)->output())
      outputs.push_back(i);
  return outputs;
}

bool ProgramRun::hasRegister(std::string_view name) const {
  return findRegister(*table, name).has_value();
}
bool ProgramRun::hasArgument(std::string_view name) const {
  return findArgument(*table, name).has_value();
}

Status ProgramRun::setRegister(std::string_view name, int64_t wanted) {
  auto i = findRegister(*table, name);
  if (!i)
    return notFound(table->name()->str() + ": no register '" + std::string(name) + "' (has " +
                    listed(*table->registers()) + ")");
  if (wanted < 0)
    return invalidArgument(table->name()->str() + ": register '" + std::string(name) +
                           "' wants a non-negative value, got " + std::to_string(wanted));
  registers[*i] = wanted;
  return {};
}

Status ProgramRun::bind(std::string_view name, const TensorView &tensor) {
  return bind(name, tensor.element, tensor.shape, tensor.data, nullptr);
}
Status ProgramRun::bind(std::string_view name, const DeviceView &tensor) {
  return bind(name, tensor.element, tensor.shape, nullptr, tensor.address);
}

Status ProgramRun::bind(std::string_view name, ElementType element, const Shape &shape, void *host,
                        DeviceAddress address) {
  uint32_t i = HADAL_TRY(argumentIndex(*table, name));
  const fb::Argument *argument = table->arguments()->Get(i);
  if (elementType(argument->element()) != element || argument->shape()->size() != shape.size())
    return invalidArgument(table->name()->str() + ": argument '" + std::string(name) + "' wants " +
                           std::string(elementTypeName(elementType(argument->element()))) +
                           " of rank " + std::to_string(argument->shape()->size()) + ", got " +
                           describe(element, shape));
  Slot &slot = slots[i];
  slot.isBound = true, slot.element = element, slot.shape = shape;
  slot.host = host, slot.address = address;
  return {};
}

Status ProgramRun::unbind(std::string_view name) {
  slots[HADAL_TRY(argumentIndex(*table, name))].isBound = false;
  return {};
}

Status ProgramRun::reserve() { return executor->reserve(*this); }

Status ProgramRun::execute() { return executor->execute(*this); }

Result<const ProgramRun::Slot *> ProgramRun::outputSlot(std::string_view name) const {
  uint32_t i = HADAL_TRY(argumentIndex(*table, name));
  if (!executed || !table->arguments()->Get(i)->output() || !handsOut(i))
    return invalidArgument(table->name()->str() + ": '" + std::string(name) +
                           "' is no output of a finished run");
  return &slots[i];
}

Result<DeviceView> ProgramRun::outputOnDevice(std::string_view name) const {
  const Slot &slot = *HADAL_TRY(outputSlot(name));
  return DeviceView{slot.element, slot.shape, slot.address};
}

Result<TensorView> ProgramRun::output(std::string_view name) const {
  const Slot &slot = *HADAL_TRY(outputSlot(name));
  TensorView view{slot.element, slot.shape, slot.host};
  if (!slot.isBound || !slot.host)
    view.data =
        const_cast<std::byte *>(HADAL_TRY(executor->read(slot.address, view.bytes(), slot.read)));
  return view;
}

Result<Shape> ProgramRun::argumentShape(std::string_view name) const {
  return shapeOf(*table->arguments()->Get(HADAL_TRY(argumentIndex(*table, name)))->shape(),
                 registers);
}

} // namespace hadal
