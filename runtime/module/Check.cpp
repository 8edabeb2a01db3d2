//===- Check.cpp - what a module's tables must hold -----------------------===//

#include "runtime/module/Check.h"
#include "runtime/Tensor.h"
#include "runtime/module/CheckCodes.h"
#include "runtime/module/CheckInference.h"
#include "runtime/module/CheckRanks.h"
#include "runtime/module/Dataflow.h"
#include "runtime/module/Expr.h"

#include <algorithm>
#include <set>

namespace hadal {

bool isAligned(const flatbuffers::Vector<int64_t> *list) {
  return list->size() == 0 || reinterpret_cast<uintptr_t>(list->data()) % alignof(int64_t) == 0;
}

Status checkExpression(const fb::Expr *expr, size_t registers, const char *what) {
  if (!expr || !expr->code())
    return invalidFile(std::string(what) + " is missing");
  if (!isAligned(expr->code()))
    return invalidFile(std::string(what) + " is misaligned");
  Status status = checkExpr({expr->code()->data(), expr->code()->size()}, registers);
  return status ? status : invalidFile(std::string(what) + ": " + status.error().message);
}

Status checkElement(fb::ElementType type, const std::string &of) {
  if (static_cast<unsigned>(type) > static_cast<unsigned>(fb::ElementType_MAX))
    return invalidFile(of + " has unknown element type " +
                       std::to_string(static_cast<unsigned>(type)));
  return {};
}

namespace {

/// Programs inside each other. What hadal-compile writes has two.
constexpr size_t maxCallDepth = 64;
/// Of a program's temporaries: more than any machine has, and far from where sums of sizes
/// overflow.
constexpr int64_t maxMemoryBytes = int64_t(1) << 48;

std::string text(const flatbuffers::String *s) { return s ? s->str() : "(no name)"; }

template <typename Vector>
Status checkExpressions(const Vector *exprs, size_t registers, const char *what) {
  if (!exprs)
    return invalidFile(std::string(what) + " is missing");
  for (const fb::Expr *e : *exprs)
    HADAL_TRY(checkExpression(e, registers, what));
  return {};
}

class Checker {
public:
  explicit Checker(const fb::Module &module) : module(module) {}
  Status run();

private:
  Status checkParts();
  Status checkTraining(const fb::Training &training);
  Status checkProgram(const fb::Program &program);
  Status checkRules(const fb::Program &program);
  Status checkBinding(const fb::Binding *binding);
  Status checkArguments(std::initializer_list<uint32_t> arguments);
  Status checkCommands(const flatbuffers::Vector<flatbuffers::Offset<fb::Command>> *commands,
                       unsigned depth);
  Status checkAction(const fb::Command &command, unsigned depth);
  Status checkCalls(uint32_t program);

  const fb::Module &module;
  const fb::Program *program = nullptr;
  std::vector<std::vector<uint32_t>> calls;
  std::vector<unsigned> heights; ///< by program: calls inside each other, 0 before it was looked at
  std::set<uint32_t> open;       ///< programs that the one at hand is called by
  uint32_t number = 0;
};

Status Checker::checkParts() {
  if (!module.kernels() || !module.parameters() || !module.weights() || !module.constants() ||
      !module.states() || !module.state_registers() || !module.programs() || !module.producer())
    return invalidFile("a table is missing");
  HADAL_TRY(checkCodes(module));
  for (auto *p : *module.parameters()) {
    if (!p || !p->name() || !p->shape() || !isAligned(p->shape()) || p->count() == 0)
      return invalidFile("a parameter is malformed");
    HADAL_TRY(checkElement(p->element(), "parameter " + text(p->name())));
    if (!byteCount(static_cast<ElementType>(p->element()),
                   {p->shape()->data(), p->shape()->size()}))
      return invalidFile("parameter " + text(p->name()) + " has an impossible shape");
    if (p->count() > 1 && p->name()->str().find("{}") == std::string::npos)
      return invalidFile("parameter " + text(p->name()) + " is a stack without {} in its name");
  }
  // A store knows weights and states by their names: two of one name would share memory.
  std::set<std::string> weights, states;
  for (auto *w : *module.weights()) {
    if (!w || !w->name() || w->bytes() == 0 || w->bytes() > (uint64_t(1) << 48))
      return invalidFile("a weight is malformed");
    if (!weights.insert(w->name()->str()).second)
      return invalidFile("two weights are named " + text(w->name()));
    HADAL_TRY(checkLayout(w->layout(), "weight " + text(w->name())));
  }
  if (module.dataflow() && module.dataflow()->size() &&
      (module.dataflow()->size() != module.programs()->size() + 1 ||
       reinterpret_cast<uintptr_t>(module.dataflow()->data()) % alignof(uint64_t) != 0))
    return invalidFile("says what " + std::to_string(module.dataflow()->size()) +
                       " programs compute");
  for (auto *c : *module.constants())
    if (!c || !c->name() || !c->bytes())
      return invalidFile("a constant is malformed");
  for (auto *r : *module.state_registers())
    if (!r)
      return invalidFile("a state register has no name");
  for (auto *s : *module.states()) {
    if (!s || !s->name())
      return invalidFile("a state is malformed");
    if (!states.insert(s->name()->str()).second)
      return invalidFile("two states are named " + text(s->name()));
    HADAL_TRY(checkElement(s->element(), "state " + text(s->name())));
    HADAL_TRY(checkExpressions(s->shape(), module.state_registers()->size(), "a state's shape"));
    HADAL_TRY(checkLayout(s->layout(), "state " + text(s->name())));
  }
  if (auto *m = module.model()) {
    if (!m->model_type() || !m->moe_layers() || !isAligned(m->moe_layers()) ||
        !m->eos_token_ids() || !isAligned(m->eos_token_ids()))
      return invalidFile("the model's facts are incomplete");
    for (int64_t fact :
         {m->vocab_size(), m->hidden_size(), m->layers(), m->page_tokens(), m->max_positions()})
      if (fact < 1 || fact > (int64_t(1) << 40))
        return invalidFile("the model's facts are impossible");
    if (m->configuration())
      for (const fb::Setting *setting : *m->configuration())
        if (!setting || !setting->name() || !setting->value())
          return invalidFile("a value of the model's configuration is malformed");
  }
  return module.training() ? checkTraining(*module.training()) : Status();
}

Status Checker::checkTraining(const fb::Training &training) {
  if (!training.precision() || !training.moe_layers() || !isAligned(training.moe_layers()) ||
      !training.trainables() || !training.config_json())
    return invalidFile("the facts of the training job are incomplete");
  for (int64_t fact : {training.micro_batch(), training.sequence(), training.micro_batches()})
    if (fact < 1 || fact > (int64_t(1) << 30))
      return invalidFile("the facts of the training job are impossible");
  if (training.first_mtp_layer() < 0 || training.first_mtp_layer() > (1 << 20))
    return invalidFile("the training job's first layer of multi-token prediction is " +
                       std::to_string(training.first_mtp_layer()));
  if (training.mtp_depth() < 0 || training.mtp_depth() > 1024)
    return invalidFile("the training job predicts " + std::to_string(training.mtp_depth()) +
                       " tokens ahead");
  std::set<std::string> names;
  for (auto *t : *training.trainables()) {
    if (!t || !t->name() || !t->shape() || !isAligned(t->shape()) || t->count() == 0 ||
        !t->layout() || !t->aliases())
      return invalidFile("a trainable parameter is malformed");
    std::string of = "trainable parameter " + text(t->name());
    auto elements = elementCount({t->shape()->data(), t->shape()->size()});
    auto all = elementCount(std::vector<int64_t>{t->packed_elements(), int64_t(t->count())});
    if (!elements || !all || t->packed_elements() < *elements || *all > (int64_t(1) << 48))
      return invalidFile(of + " has an impossible size");
    if (t->count() > 1 && t->name()->str().find("{}") == std::string::npos)
      return invalidFile(of + " is a stack without {} in its name");
    for (auto *alias : *t->aliases())
      if (!alias || (t->count() > 1 && alias->str().find("{}") == std::string::npos))
        return invalidFile(of + " has a malformed alias");
    if (!names.insert(t->name()->str()).second)
      return invalidFile(of + " stands there twice");
  }
  return {};
}

Status Checker::checkBinding(const fb::Binding *b) {
  if (!b)
    return invalidFile("a binding is missing");
  size_t limit = 0;
  switch (b->space()) {
  case fb::Space_Parameter: limit = module.parameters()->size(); break;
  case fb::Space_Weight: limit = module.weights()->size(); break;
  case fb::Space_State: limit = module.states()->size(); break;
  case fb::Space_Argument: limit = program->arguments()->size(); break;
  case fb::Space_Temporary: limit = program->temporaries()->size(); break;
  case fb::Space_Constant: limit = module.constants()->size(); break;
  }
  if (b->index() >= limit)
    return invalidFile(std::string("a binding names buffer ") + std::to_string(b->index()) +
                       " of " + std::to_string(limit));
  HADAL_TRY(checkExpression(b->element(), program->registers()->size(), "a binding's element"));
  return checkExpression(b->offset(), program->registers()->size(), "a binding's offset");
}

Status Checker::checkArguments(std::initializer_list<uint32_t> arguments) {
  for (uint32_t argument : arguments)
    if (argument >= program->arguments()->size())
      return invalidFile("the command names argument " + std::to_string(argument) + " of " +
                         std::to_string(program->arguments()->size()));
  return {};
}

static Status checkGroup(uint32_t parts, uint32_t segments, uint32_t stride) {
  if (parts == 0 || segments == 0 || stride == 0 || parts > (1 << 20) || segments > (1 << 20) ||
      stride > (1 << 20))
    return invalidFile("exchange has impossible numbers of parts");
  return {};
}

Status Checker::checkAction(const fb::Command &command, unsigned depth) {
  size_t registers = program->registers()->size();
  switch (command.action_type()) {
  case fb::Action_Launch: {
    auto *launch = command.action_as_Launch();
    if (launch->kernel() >= module.kernels()->size())
      return invalidFile("launch names kernel " + std::to_string(launch->kernel()) + " of " +
                         std::to_string(module.kernels()->size()));
    auto *kernel = module.kernels()->Get(launch->kernel());
    if (!launch->bindings() || !launch->scalars() ||
        launch->bindings()->size() != kernel->bindings() ||
        launch->scalars()->size() != kernel->scalars())
      return invalidFile("launch of " + text(kernel->symbol()) + " wants " +
                         std::to_string(kernel->bindings()) + " buffers and " +
                         std::to_string(kernel->scalars()) + " scalars");
    for (auto *b : *launch->bindings())
      HADAL_TRY(checkBinding(b));
    HADAL_TRY(checkExpressions(launch->scalars(), registers, "a launch's scalar"));
    HADAL_TRY(checkExpression(launch->tasks(), registers, "a launch's tasks"));
    return checkExpression(launch->flops(), registers, "a launch's flops");
  }
  case fb::Action_Copy: {
    auto *copy = command.action_as_Copy();
    HADAL_TRY(checkBinding(copy->destination()));
    HADAL_TRY(checkBinding(copy->source()));
    return checkExpression(copy->bytes(), registers, "a copy's bytes");
  }
  case fb::Action_Call: {
    auto *call = command.action_as_Call();
    if (call->program() >= module.programs()->size())
      return invalidFile("call names program " + std::to_string(call->program()) + " of " +
                         std::to_string(module.programs()->size()));
    auto *callee = module.programs()->Get(call->program());
    if (!callee || !callee->registers() || !callee->arguments() || !call->registers() ||
        !call->arguments() || call->registers()->size() != callee->registers()->size() ||
        call->arguments()->size() != callee->arguments()->size())
      return invalidFile("call does not fit the program that it names");
    for (auto *b : *call->arguments())
      HADAL_TRY(checkBinding(b));
    calls[number].push_back(call->program());
    return checkExpressions(call->registers(), registers, "a call's register");
  }
  case fb::Action_Repeat: {
    auto *repeat = command.action_as_Repeat();
    if (repeat->register_() >= registers)
      return invalidFile("repeat counts in register " + std::to_string(repeat->register_()) +
                         " of " + std::to_string(registers));
    HADAL_TRY(checkExpression(repeat->count(), registers, "a repeat's count"));
    return checkCommands(repeat->body(), depth + 1);
  }
  case fb::Action_SkipIfZero: {
    auto *skip = command.action_as_SkipIfZero();
    HADAL_TRY(checkExpression(skip->value(), registers, "a skip's value"));
    return checkCommands(skip->body(), depth + 1);
  }
  case fb::Action_Record:
  case fb::Action_Wait: return {};
  case fb::Action_Send: return checkArguments({command.action_as_Send()->argument()});
  case fb::Action_Receive: return checkArguments({command.action_as_Receive()->argument()});
  case fb::Action_ExchangeCounts: {
    auto *exchange = command.action_as_ExchangeCounts();
    if (exchange->rows() >= registers || exchange->choices() >= registers)
      return invalidFile("exchange of counts sets a register that there is not");
    HADAL_TRY(checkGroup(exchange->parts(), exchange->segments(), exchange->stride()));
    return checkArguments({exchange->send(), exchange->receive()});
  }
  case fb::Action_Exchange: {
    auto *exchange = command.action_as_Exchange();
    if (exchange->row_bytes() == 0 || exchange->row_bytes() > (uint64_t(1) << 40) ||
        exchange->capacity() > (uint64_t(1) << 40))
      return invalidFile("exchange has impossible rows");
    HADAL_TRY(checkGroup(exchange->parts(), exchange->segments(), exchange->stride()));
    return checkArguments({exchange->destination(), exchange->source(), exchange->send_counts(),
                           exchange->receive_counts()});
  }
  default:
    return invalidFile("unknown command " +
                       std::to_string(static_cast<unsigned>(command.action_type())));
  }
}

Status Checker::checkCommands(const flatbuffers::Vector<flatbuffers::Offset<fb::Command>> *commands,
                              unsigned depth) {
  if (!commands)
    return invalidFile("program " + text(program->name()) + " has no commands");
  if (depth > 8)
    return invalidFile("program " + text(program->name()) + " nests deeper than 8");
  for (uint32_t i = 0; i < commands->size(); ++i) {
    const fb::Command *command = commands->Get(i);
    Status status = command && command->action() ? checkAction(*command, depth)
                                                 : invalidFile("the command is missing");
    if (!status)
      return invalidFile("program " + text(program->name()) + ", command " + std::to_string(i) +
                         ": " + status.error().message);
  }
  return {};
}

/// Rules of what a program takes: those of arguments that hold integers.
Status Checker::checkRules(const fb::Program &p) {
  size_t registers = p.registers()->size();
  auto holdsIntegers = [&](uint32_t argument) {
    if (argument >= p.arguments()->size())
      return false;
    fb::ElementType element = p.arguments()->Get(argument)->element();
    return element == fb::ElementType_I8 || element == fb::ElementType_I16 ||
           element == fb::ElementType_I32 || element == fb::ElementType_I64;
  };
  if (p.content_rules())
    for (auto *rule : *p.content_rules()) {
      if (!rule ||
          static_cast<unsigned>(rule->kind()) > static_cast<unsigned>(fb::ContentKind_MAX) ||
          !holdsIntegers(rule->argument()) ||
          (rule->kind() == fb::ContentKind_Groups && !holdsIntegers(rule->offsets())))
        return invalidFile("program " + text(p.name()) + " has a malformed rule of an argument");
      HADAL_TRY(checkExpression(rule->least(), registers, "a rule's least value"));
      HADAL_TRY(checkExpression(rule->below(), registers, "a rule's bound"));
    }
  if (p.size_rules())
    for (auto *rule : *p.size_rules()) {
      if (!rule)
        return invalidFile("program " + text(p.name()) + " has a malformed rule of sizes");
      HADAL_TRY(checkExpression(rule->size(), registers, "a rule's size"));
      HADAL_TRY(checkExpression(rule->wanted(), registers, "a rule's wanted size"));
    }
  return {};
}

/// What is known of a program's memory before its registers are: each temporary, and all slots
/// together.
static Status checkSlots(const fb::Program &p) {
  std::vector<uint64_t> slots(p.slot_count());
  for (const fb::Temporary *t : *p.temporaries()) {
    const auto &code = *t->bytes()->code();
    if (code.size() != 2 || code.Get(0) != 0)
      continue;
    if (code.Get(1) < 0 || code.Get(1) > maxMemoryBytes)
      return invalidFile("program " + text(p.name()) + " has a temporary of " +
                         std::to_string(code.Get(1)) + " bytes");
    slots[t->slot()] = std::max(slots[t->slot()], uint64_t(code.Get(1)));
  }
  uint64_t total = 0;
  for (uint64_t slot : slots)
    if ((total += slot) > uint64_t(maxMemoryBytes))
      return invalidFile("the temporaries of program " + text(p.name()) + " take more than " +
                         std::to_string(maxMemoryBytes) + " bytes");
  return {};
}

Status Checker::checkProgram(const fb::Program &p) {
  program = &p;
  if (!p.name() || !p.registers() || !p.arguments() || !p.temporaries())
    return invalidFile("a program is incomplete");
  size_t registers = p.registers()->size();
  for (auto *r : *p.registers())
    if (!r)
      return invalidFile("program " + text(p.name()) + " has a register without a name");
  for (auto *a : *p.arguments()) {
    if (!a || !a->name())
      return invalidFile("program " + text(p.name()) + " has a malformed argument");
    HADAL_TRY(checkElement(a->element(), "argument " + text(a->name())));
    HADAL_TRY(checkExpressions(a->shape(), registers, "an argument's shape"));
  }
  HADAL_TRY(checkRules(p));
  if (p.slot_count() > p.temporaries()->size())
    return invalidFile("program " + text(p.name()) + " has more slots than temporaries");
  for (auto *t : *p.temporaries()) {
    if (!t || t->slot() >= p.slot_count())
      return invalidFile("program " + text(p.name()) + " has a temporary without a slot");
    HADAL_TRY(checkExpression(t->bytes(), registers, "a temporary's bytes"));
  }
  HADAL_TRY(checkSlots(p));
  return checkCommands(p.commands(), 0);
}

/// Each program that runs inside another has a stack frame and an arena of its own.
Status Checker::checkCalls(uint32_t p) {
  auto tooDeep = [&](size_t depth) -> Status {
    return depth <= maxCallDepth
               ? Status()
               : Status(invalidFile("program " + text(module.programs()->Get(p)->name()) +
                                    ": calls nest deeper than " + std::to_string(maxCallDepth)));
  };
  if (heights[p])
    return tooDeep(open.size() + heights[p]);
  if (!open.insert(p).second)
    return invalidFile("program " + text(module.programs()->Get(p)->name()) + " calls itself");
  HADAL_TRY(tooDeep(open.size()));
  unsigned below = 0;
  for (uint32_t callee : calls[p]) {
    HADAL_TRY(checkCalls(callee));
    below = std::max(below, heights[callee]);
  }
  open.erase(p);
  heights[p] = below + 1;
  return {};
}

Status Checker::run() {
  HADAL_TRY(checkParts());
  calls.resize(module.programs()->size());
  std::set<std::string> names;
  for (number = 0; number < module.programs()->size(); ++number) {
    const fb::Program *p = module.programs()->Get(number);
    if (!p)
      return invalidFile("a program is missing");
    HADAL_TRY(checkProgram(*p));
    if (!names.insert(p->name()->str()).second)
      return invalidFile("two programs are named " + text(p->name()));
  }
  heights.assign(module.programs()->size(), 0);
  for (uint32_t p = 0; p < module.programs()->size(); ++p)
    HADAL_TRY(checkCalls(p));
  HADAL_TRY(checkInference(module));
  HADAL_TRY(checkRanks(module));
  (void)HADAL_TRY(dataflowOf(module, TemporaryMemory::Slots));
  return {};
}

} // namespace

Status checkTables(const fb::Module &module) { return Checker(module).run(); }

} // namespace hadal
