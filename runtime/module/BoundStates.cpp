#include "runtime/module/BoundStates.h"

namespace hadal {

namespace {

class Finder {
public:
  explicit Finder(const fb::Module &module) : module(module) {}

  void add(const flatbuffers::Vector<flatbuffers::Offset<fb::Command>> &commands) {
    for (const fb::Command *command : commands) {
      if (const fb::Launch *launch = command->action_as_Launch())
        bind(*launch->bindings());
      if (const fb::Copy *copy = command->action_as_Copy())
        bind(std::initializer_list{copy->destination(), copy->source()});
      if (const fb::Call *call = command->action_as_Call()) {
        bind(*call->arguments());
        if (called.insert(call->program()).second)
          add(*module.programs()->Get(call->program())->commands());
      }
      if (const fb::Repeat *repeat = command->action_as_Repeat())
        add(*repeat->body());
      if (const fb::SkipIfZero *skip = command->action_as_SkipIfZero())
        add(*skip->body());
    }
  }

  std::set<uint32_t> states;

private:
  template <typename Bindings> void bind(const Bindings &bindings) {
    for (const fb::Binding *binding : bindings)
      if (binding->space() == fb::Space_State)
        states.insert(binding->index());
  }

  const fb::Module &module;
  std::set<uint32_t> called;
};

} // namespace

std::set<uint32_t> boundStates(const fb::Module &module, const fb::Program &program) {
  Finder finder(module);
  finder.add(*program.commands());
  return finder.states;
}

} // namespace hadal
