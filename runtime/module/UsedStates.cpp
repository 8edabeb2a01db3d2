//===- UsedStates.cpp - which states programs have ------------------------===//

#include "runtime/module/UsedStates.h"

namespace hadal {

namespace {

class StateFinder {
public:
  explicit StateFinder(const fb::Module &module) : module(module) {}

  void add(const fb::Binding *binding) {
    if (binding->space() == fb::Space_State)
      found.insert(binding->index());
  }
  template <typename Each> void addAll(const Each *each) {
    for (const auto *one : *each)
      add(one);
  }
  void add(const fb::Command *command) {
    if (const fb::Launch *launch = command->action_as_Launch())
      addAll(launch->bindings());
    else if (const fb::Copy *copy = command->action_as_Copy())
      add(copy->destination()), add(copy->source());
    else if (const fb::Call *call = command->action_as_Call()) {
      addAll(call->arguments());
      if (seen.insert(call->program()).second)
        addAll(module.programs()->Get(call->program())->commands());
    } else if (const fb::Repeat *repeat = command->action_as_Repeat())
      addAll(repeat->body());
    else if (const fb::SkipIfZero *skip = command->action_as_SkipIfZero())
      addAll(skip->body());
  }

  std::set<uint32_t> found;

private:
  const fb::Module &module;
  std::set<uint32_t> seen; ///< programs
};

} // namespace

std::set<uint32_t> usedStates(const fb::Module &module, const fb::Program &program) {
  StateFinder finder(module);
  finder.addAll(program.commands());
  return finder.found;
}

std::set<uint32_t> usedStates(const fb::Module &module, const fb::Command &command) {
  StateFinder finder(module);
  finder.add(&command);
  return finder.found;
}

} // namespace hadal
