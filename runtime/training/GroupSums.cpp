#include "runtime/training/GroupSums.h"

#include <cstring>

using namespace hadal;

Result<Adder> Adder::create(Executor &executor) {
  std::optional<ProgramRun> integers;
  if (executor.module().findProgram("add.i32"))
    integers.emplace(HADAL_TRY(executor.prepare("add.i32")));
  return Adder(HADAL_TRY(executor.prepare("add")), std::move(integers));
}

Status Adder::add(ElementType element, const void *from, void *to, int64_t elements) {
  if (elements == 0)
    return {};
  if (element != ElementType::F32 && !(element == ElementType::I32 && integers))
    return unsupported("no program adds " + std::string(elementTypeName(element)));
  ProgramRun &program = element == ElementType::F32 ? floats : *integers;
  HADAL_TRY(program.setRegister("elements", elements));
  HADAL_TRY(program.bind("from", {element, {elements}, const_cast<void *>(from)}));
  HADAL_TRY(program.bind("sum", {element, {elements}, to}));
  return program.execute();
}

Status GroupCounter::endGroup(Adder &adder) {
  int64_t elements = *elementCount(sum.shape);
  size_t level = 0;
  for (; count >> level & 1; ++level)
    HADAL_TRY(adder.add(sum.element, partials[level].data(), sum.data, elements));
  if (++count == groups) {
    count = 0;
    return {};
  }
  if (partials.size() == level)
    partials.push_back(HADAL_TRY(device->allocate(sum.bytes())));
  std::memcpy(partials[level].data(), sum.data, sum.bytes());
  std::memset(sum.data, 0, sum.bytes());
  return {};
}

Result<GroupSums> GroupSums::create(Executor &executor, int64_t groups) {
  return GroupSums(executor, HADAL_TRY(Adder::create(executor)), groups);
}

Status GroupSums::add(const std::string &state) {
  counters.emplace_back(executor->device(), HADAL_TRY(executor->state(state)), groups);
  return {};
}

Status GroupSums::endGroup() {
  for (GroupCounter &counter : counters)
    HADAL_TRY(counter.endGroup(adder));
  return {};
}

void GroupSums::restart() {
  for (GroupCounter &counter : counters)
    counter.restart();
}
