//===- UsedRegisters.cpp - which registers a program looks at -------------===//

#include "runtime/module/UsedRegisters.h"
#include "runtime/module/Expr.h"

namespace hadal::verify {

namespace {

class RegisterFinder {
public:
  explicit RegisterFinder(const fb::Program &program) : used(program.registers()->size()) {}

  void add(const fb::Expr *expr) {
    for (size_t i = 0; i + 1 < expr->code()->size(); i += 2)
      if (static_cast<ExprOp>(expr->code()->Get(i)) == ExprOp::Register)
        used[expr->code()->Get(i + 1)] = true;
  }
  template <typename Exprs> void addAll(const Exprs *exprs) {
    for (const fb::Expr *expr : *exprs)
      add(expr);
  }
  void add(const fb::Binding *binding) { add(binding->element()), add(binding->offset()); }

  void add(const fb::Command &command) {
    if (const fb::Launch *launch = command.action_as_Launch()) {
      for (const fb::Binding *binding : *launch->bindings())
        add(binding);
      addAll(launch->scalars()), add(launch->tasks()), add(launch->flops());
    } else if (const fb::Copy *copy = command.action_as_Copy()) {
      add(copy->destination()), add(copy->source()), add(copy->bytes());
    } else if (const fb::Call *call = command.action_as_Call()) {
      for (const fb::Binding *binding : *call->arguments())
        add(binding);
      addAll(call->registers());
    } else if (const fb::Repeat *repeat = command.action_as_Repeat()) {
      add(repeat->count());
      for (const fb::Command *inner : *repeat->body())
        add(*inner);
    } else if (const fb::SkipIfZero *skip = command.action_as_SkipIfZero()) {
      add(skip->value());
      for (const fb::Command *inner : *skip->body())
        add(*inner);
    }
  }

  std::vector<bool> used;
};

} // namespace

std::vector<bool> usedRegisters(const fb::Program &program) {
  RegisterFinder finder(program);
  for (const fb::Argument *argument : *program.arguments())
    finder.addAll(argument->shape());
  for (const fb::Temporary *temporary : *program.temporaries())
    finder.add(temporary->bytes());
  for (const fb::Command *command : *program.commands())
    finder.add(*command);
  return finder.used;
}

} // namespace hadal::verify
