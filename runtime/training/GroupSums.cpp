//===- GroupSums.cpp - sums of groups, joined in a halving tree -----------===//

#include "runtime/training/GroupSums.h"
#include "runtime/module/Names.h"

using namespace hadal;

Result<Adder> Adder::create(Executor &executor) {
  std::optional<ProgramRun> integers;
  if (executor.module().findProgram(names::program::addI32))
    integers.emplace(HADAL_TRY(executor.prepare(names::program::addI32)));
  return Adder(HADAL_TRY(executor.prepare(names::program::add)), std::move(integers));
}

template <typename View> Status Adder::add(const View &from, const View &to) {
  int64_t elements = from.shape[0];
  if (elements == 0)
    return {};
  if (from.element != ElementType::F32 && !(from.element == ElementType::I32 && integers))
    return unsupported("no program adds " + std::string(elementTypeName(from.element)));
  ProgramRun &program = from.element == ElementType::F32 ? floats : *integers;
  HADAL_TRY(program.setRegister(names::reg::elements, elements));
  HADAL_TRY(program.bind(names::argument::from, from));
  HADAL_TRY(program.bind(names::argument::sum, to));
  return program.execute();
}

Status Adder::add(ElementType element, DeviceAddress from, DeviceAddress to, int64_t elements) {
  return add(DeviceView{element, {elements}, from}, DeviceView{element, {elements}, to});
}

Status Adder::addOnHost(ElementType element, const void *from, void *to, int64_t elements) {
  return add(TensorView{element, {elements}, const_cast<void *>(from)},
             TensorView{element, {elements}, to});
}

Status GroupCounter::endGroup(Adder &adder) {
  int64_t elements = *elementCount(sum.shape);
  size_t level = 0;
  for (; count >> level & 1; ++level)
    HADAL_TRY(adder.add(sum.element, partials[level].address(), sum.address, elements));
  if (++count == groups) {
    count = 0;
    return {};
  }
  if (partials.size() == level)
    partials.push_back(HADAL_TRY(executor->device().allocate(sum.bytes())));
  HADAL_TRY(executor->copy(partials[level].address(), sum.address, sum.bytes()));
  return executor->zero(sum.address, sum.bytes());
}

Result<GroupSums> GroupSums::create(Executor &executor, int64_t groups) {
  return GroupSums(executor, HADAL_TRY(Adder::create(executor)), groups);
}

Status GroupSums::add(const std::string &state) {
  counters.emplace_back(*executor, HADAL_TRY(executor->state(state)), groups);
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
