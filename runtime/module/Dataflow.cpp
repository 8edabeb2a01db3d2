//===- Dataflow.cpp - what the programs of a module compute ---------------===//

#include "runtime/module/Dataflow.h"

#include "runtime/module/Expr.h"
#include "runtime/module/TableHash.h"

#include <algorithm>
#include <set>
#include <string>

namespace hadal {

using namespace tablehash;

namespace {

const uint64_t undefinedHash = Hash("undefined").value;

/// What lies in a buffer.
struct Content {
  uint64_t hash = undefinedHash;
  uint32_t owner = 0; ///< of a slot: the temporary that wrote it last
  bool written = false;
};

/// One program.
class Walker {
public:
  Walker(const fb::Module &module, const Leaves &leaves, const std::vector<ProgramFlow> &flows,
         const fb::Program &program, TemporaryMemory memory);
  Result<ProgramFlow> run();

private:
  using Commands = flatbuffers::Vector<flatbuffers::Offset<fb::Command>>;

  /// A repeat that is being walked.
  struct Loop {
    uint64_t begin; ///< time
    std::set<uint32_t>
        carried; ///< temporaries that it reads as they were before it, in every round
  };

  Status commands(const Commands &list);
  Status command(const fb::Command &command);
  Status launch(const fb::Launch &launch);
  Status copy(const fb::Copy &copy);
  Status call(const fb::Call &call);
  Status repeat(const fb::Repeat &repeat);
  Status skip(const fb::SkipIfZero &skip);
  Status exchange(const fb::Exchange &exchange);
  Status exchangeCounts(const fb::ExchangeCounts &exchange);
  Status checkAliases(const fb::Launch &launch, const fb::Kernel &kernel) const;
  Status bind(Hash &hash, const fb::Binding &binding, const BufferUse &use);
  Status write(const fb::Binding &binding, const BufferUse &use, uint64_t hash);
  Result<uint64_t> readArgument(uint32_t argument);
  Status writeArgument(uint32_t argument, uint64_t hash);
  Status readTemporary(uint32_t temporary);
  void leave(size_t journaled, Hash with);
  uint64_t exprHash(const fb::Expr &expr) const {
    return ofExpr(Hash("expression"), expr, &registers);
  }
  Content &contentOf(const fb::Binding &binding);
  BufferUse *useOf(const fb::Binding &binding);
  void set(Content &content, uint64_t hash, uint32_t owner = 0) {
    journal.emplace_back(&content, content);
    content = {hash, owner, true};
  }
  std::string temporaryName(uint32_t number) const { return "temporary " + std::to_string(number); }
  uint64_t finish();

  const fb::Module &module;
  const Leaves &leaves;
  const std::vector<ProgramFlow> &flows;
  const fb::Program &program;
  TemporaryMemory memory;
  ProgramFlow flow;
  std::vector<uint64_t> registers;
  std::vector<Content> temporaries; ///< by slot, or by number
  std::vector<Content> arguments;
  std::map<uint32_t, Content> states, weights;
  std::vector<uint64_t> writtenAt; ///< by temporary: when
  std::vector<std::pair<Content *, Content>> journal;
  std::vector<Loop> loops;
  std::string place; ///< of the command at hand: "7", or "7.0" inside of a repeat
  uint64_t time = 0;
  Hash sent{"sent"};
};

Walker::Walker(const fb::Module &module, const Leaves &leaves,
               const std::vector<ProgramFlow> &flows, const fb::Program &program,
               TemporaryMemory memory)
    : module(module), leaves(leaves), flows(flows), program(program), memory(memory) {
  for (const auto *name : *program.registers())
    registers.push_back(Hash("register").add(name).value);
  temporaries.resize(memory == TemporaryMemory::Slots ? program.slot_count()
                                                      : program.temporaries()->size());
  writtenAt.resize(program.temporaries()->size());
  for (const fb::Argument *a : *program.arguments()) {
    Hash hash("argument");
    hash.add(a->name()).add(a->element());
    for (const fb::Expr *size : *a->shape())
      hash.add(exprHash(*size));
    arguments.push_back({hash.value, 0, true});
  }
  flow.arguments.resize(arguments.size());
}

Content &Walker::contentOf(const fb::Binding &binding) {
  uint32_t index = binding.index();
  if (binding.space() == fb::Space_Temporary)
    return temporaries[memory == TemporaryMemory::Slots ? program.temporaries()->Get(index)->slot()
                                                        : index];
  if (binding.space() == fb::Space_Argument)
    return arguments[index];
  bool isState = binding.space() == fb::Space_State;
  auto [at, isNew] = (isState ? states : weights).try_emplace(index);
  if (isNew)
    at->second = {isState ? leaves.states[index] : leaves.weights[index], 0, true};
  return at->second;
}

/// Null for what is no business of the program's callers.
BufferUse *Walker::useOf(const fb::Binding &binding) {
  switch (binding.space()) {
  case fb::Space_Argument: return &flow.arguments[binding.index()];
  case fb::Space_State: return &flow.states[binding.index()];
  case fb::Space_Weight: return &flow.weights[binding.index()];
  default: return nullptr;
  }
}

Status Walker::readTemporary(uint32_t number) {
  const Content &content =
      temporaries[memory == TemporaryMemory::Slots ? program.temporaries()->Get(number)->slot()
                                                   : number];
  if (!writtenAt[number])
    return invalidFile("reads " + temporaryName(number) + ", which nothing has written");
  if (content.owner != number)
    return invalidFile("reads " + temporaryName(number) + ", whose memory " +
                       temporaryName(content.owner) + " has by then");
  for (Loop &loop : loops)
    if (writtenAt[number] < loop.begin)
      loop.carried.insert(number);
  return {};
}

/// Adds a buffer that a launch or call binds to its hash, with what is there if that is looked at.
Status Walker::bind(Hash &hash, const fb::Binding &binding, const BufferUse &use) {
  hash.add(binding.space()).add(exprHash(*binding.element())).add(exprHash(*binding.offset()));
  hash.add(use.reads | use.keeps << 1 | use.writes << 2);
  if (binding.space() == fb::Space_Parameter || binding.space() == fb::Space_Constant) {
    if (use.writes && flow.isKnown)
      return invalidFile("writes to a parameter or a constant");
    hash.add(binding.space() == fb::Space_Parameter ? leaves.parameters[binding.index()]
                                                    : leaves.constants[binding.index()]);
    return {};
  }
  if (binding.space() == fb::Space_Weight && use.writes && flow.isKnown &&
      program.name()->string_view() != "pack")
    return invalidFile("writes to weight " + module.weights()->Get(binding.index())->name()->str());
  if (!use.reads)
    return {};
  if (binding.space() == fb::Space_Temporary && flow.isKnown)
    HADAL_TRY(readTemporary(binding.index()));
  if (BufferUse *outer = useOf(binding); outer && !outer->writes)
    outer->reads = true;
  hash.add(contentOf(binding).hash);
  return {};
}

Status Walker::write(const fb::Binding &binding, const BufferUse &use, uint64_t hash) {
  if (binding.space() == fb::Space_Parameter || binding.space() == fb::Space_Constant)
    return {}; // of an unknown kernel
  const auto &offset = *binding.offset()->code();
  bool isWhole =
      !use.keeps && !use.reads && offset.size() == 2 && offset.Get(0) == 0 && offset.Get(1) == 0;
  Content &content = contentOf(binding);
  if (binding.space() == fb::Space_Argument && flow.isKnown &&
      !program.arguments()->Get(binding.index())->output())
    return invalidFile("writes to '" + program.arguments()->Get(binding.index())->name()->str() +
                       "', which is no output");
  if (BufferUse *outer = useOf(binding)) {
    outer->keeps = outer->keeps || (!isWhole && !outer->writes);
    outer->writes = true;
  }
  uint32_t owner = 0;
  uint64_t before = content.hash;
  if (binding.space() == fb::Space_Temporary) {
    owner = binding.index();
    // What another temporary left there is not what this one keeps.
    if (!writtenAt[owner] || content.owner != owner)
      before = undefinedHash;
    writtenAt[owner] = time;
  }
  set(content,
      isWhole ? hash : Hash("part").add(before).add(exprHash(*binding.offset())).add(hash).value,
      owner);
  return {};
}

/// Kernels are compiled as if what they write were theirs alone.
Status Walker::checkAliases(const fb::Launch &launch, const fb::Kernel &kernel) const {
  const auto &bindings = *launch.bindings();
  auto memoryOf = [&](const fb::Binding &b) {
    bool isSlot = b.space() == fb::Space_Temporary;
    return std::pair(b.space(), isSlot ? program.temporaries()->Get(b.index())->slot() : b.index());
  };
  for (uint32_t i = 0; i < bindings.size(); ++i) {
    if (kernel.buffers()->Get(i)->access() == fb::Access_Read)
      continue;
    for (uint32_t j = 0; j < bindings.size(); ++j)
      if (j != i && memoryOf(*bindings.Get(i)) == memoryOf(*bindings.Get(j)) &&
          bindings.Get(i)->index() != bindings.Get(j)->index())
        return invalidFile("binds " + temporaryName(bindings.Get(i)->index()) + " and " +
                           temporaryName(bindings.Get(j)->index()) + ", which share slot " +
                           std::to_string(memoryOf(*bindings.Get(i)).second));
      else if (j != i && memoryOf(*bindings.Get(i)) == memoryOf(*bindings.Get(j)) &&
               exprHash(*bindings.Get(i)->offset()) == exprHash(*bindings.Get(j)->offset()))
        return invalidFile("binds one buffer twice and writes to it");
  }
  return {};
}

BufferUse useOfAccess(fb::Access access) {
  bool reads = access == fb::Access_Read || access == fb::Access_Update;
  return {reads, access == fb::Access_Part, access != fb::Access_Read};
}

Status Walker::launch(const fb::Launch &launch) {
  const fb::Kernel &kernel = *module.kernels()->Get(launch.kernel());
  flow.isKnown = flow.isKnown && isDescribed(kernel);
  if (flow.isKnown)
    HADAL_TRY(checkAliases(launch, kernel));
  Hash hash("launch");
  hash.add(leaves.kernels[launch.kernel()]).add(exprHash(*launch.tasks()));
  for (const fb::Expr *scalar : *launch.scalars())
    hash.add(exprHash(*scalar));
  auto use = [&](uint32_t i) {
    return useOfAccess(isDescribed(kernel) ? kernel.buffers()->Get(i)->access()
                                           : fb::Access_Update);
  };
  for (uint32_t i = 0; i < launch.bindings()->size(); ++i)
    HADAL_TRY(bind(hash, *launch.bindings()->Get(i), use(i)));
  for (uint32_t i = 0; i < launch.bindings()->size(); ++i)
    if (use(i).writes)
      HADAL_TRY(write(*launch.bindings()->Get(i), use(i), Hash(hash).add(i).value));
  return {};
}

Status Walker::copy(const fb::Copy &copy) {
  BufferUse to{false, false, true}, from{true, false, false};
  Hash hash("copy");
  hash.add(exprHash(*copy.bytes()));
  HADAL_TRY(bind(hash, *copy.source(), from));
  HADAL_TRY(bind(hash, *copy.destination(), to));
  return write(*copy.destination(), to, hash.value);
}

Status Walker::call(const fb::Call &call) {
  const ProgramFlow &callee = flows[call.program()];
  flow.isKnown = flow.isKnown && callee.isKnown;
  Hash hash("call");
  hash.add(callee.hash);
  for (const fb::Expr *value : *call.registers())
    hash.add(exprHash(*value));
  for (uint32_t i = 0; i < call.arguments()->size(); ++i)
    HADAL_TRY(bind(hash, *call.arguments()->Get(i), callee.arguments[i]));
  auto each = [&](fb::Space space, const std::map<uint32_t, BufferUse> &uses, auto what) -> Status {
    for (const auto &[index, use] : uses) {
      bool isState = space == fb::Space_State;
      Content &content =
          (isState ? states : weights)
              .try_emplace(index,
                           Content{isState ? leaves.states[index] : leaves.weights[index], 0, true})
              .first->second;
      HADAL_TRY(what(content, (isState ? flow.states : flow.weights)[index], use, index));
    }
    return {};
  };
  auto read = [&](Content &content, BufferUse &outer, const BufferUse &use, uint32_t) -> Status {
    if (use.reads) {
      outer.reads = outer.reads || !outer.writes;
      hash.add(content.hash);
    }
    return {};
  };
  HADAL_TRY(each(fb::Space_State, callee.states, read));
  HADAL_TRY(each(fb::Space_Weight, callee.weights, read));
  for (uint32_t i = 0; i < call.arguments()->size(); ++i)
    if (callee.arguments[i].writes)
      HADAL_TRY(write(*call.arguments()->Get(i), callee.arguments[i], Hash(hash).add(i).value));
  auto wrote = [&](Content &content, BufferUse &outer, const BufferUse &use,
                   uint32_t index) -> Status {
    if (!use.writes)
      return {};
    bool isWhole = !use.keeps && !use.reads;
    outer.keeps = outer.keeps || (!isWhole && !outer.writes);
    outer.writes = true;
    Hash now(hash);
    now.add(index);
    set(content, isWhole ? now.value : now.add(content.hash).value);
    return {};
  };
  HADAL_TRY(each(fb::Space_State, callee.states, wrote));
  return each(fb::Space_Weight, callee.weights, wrote);
}

/// What was written since the journal had `journaled` entries depends on how often it was.
void Walker::leave(size_t journaled, Hash with) {
  std::map<Content *, uint64_t> before;
  for (size_t i = journaled; i < journal.size(); ++i)
    before.try_emplace(journal[i].first, journal[i].second.hash);
  for (auto [content, was] : before) {
    journal.emplace_back(content, *content);
    content->hash = Hash(with).add(content->hash).add(was).value;
  }
}

Status Walker::repeat(const fb::Repeat &repeat) {
  Hash with("repeat");
  with.add(exprHash(*repeat.count()));
  registers[repeat.register_()] = Hash("round").add(loops.size()).value;
  size_t journaled = journal.size();
  loops.push_back({++time, {}});
  HADAL_TRY(commands(*repeat.body()));
  for (uint32_t number : loops.back().carried) {
    uint32_t slot =
        memory == TemporaryMemory::Slots ? program.temporaries()->Get(number)->slot() : number;
    if (flow.isKnown && temporaries[slot].owner != number)
      return invalidFile("reads " + temporaryName(number) + " in every round, and " +
                         temporaryName(temporaries[slot].owner) + " takes its memory");
  }
  loops.pop_back();
  leave(journaled, with);
  return {};
}

Status Walker::skip(const fb::SkipIfZero &skip) {
  Hash with("skip");
  with.add(exprHash(*skip.value()));
  size_t journaled = journal.size();
  HADAL_TRY(commands(*skip.body()));
  leave(journaled, with);
  return {};
}

Result<uint64_t> Walker::readArgument(uint32_t argument) {
  BufferUse &use = flow.arguments[argument];
  use.reads = use.reads || !use.writes;
  return arguments[argument].hash;
}

Status Walker::writeArgument(uint32_t argument, uint64_t hash) {
  if (flow.isKnown && !program.arguments()->Get(argument)->output())
    return invalidFile("writes to '" + program.arguments()->Get(argument)->name()->str() +
                       "', which is no output");
  flow.arguments[argument].writes = true;
  set(arguments[argument], hash);
  return {};
}

Status Walker::exchangeCounts(const fb::ExchangeCounts &exchange) {
  Hash hash("exchange of counts");
  hash.add(HADAL_TRY(readArgument(exchange.send())))
      .add(exchange.parts())
      .add(exchange.segments())
      .add(exchange.stride());
  registers[exchange.rows()] = Hash(hash).add("rows").value;
  registers[exchange.choices()] = Hash(hash).add("choices").value;
  return writeArgument(exchange.receive(), hash.value);
}

Status Walker::exchange(const fb::Exchange &exchange) {
  Hash hash("exchange");
  for (uint32_t read : {exchange.source(), exchange.send_counts(), exchange.receive_counts()})
    hash.add(HADAL_TRY(readArgument(read)));
  hash.add(exchange.parts())
      .add(exchange.segments())
      .add(exchange.stride())
      .add(exchange.row_bytes())
      .add(exchange.capacity());
  return writeArgument(exchange.destination(), hash.value);
}

Status Walker::command(const fb::Command &command) {
  ++time;
  switch (command.action_type()) {
  case fb::Action_Launch: return launch(*command.action_as_Launch());
  case fb::Action_Copy: return copy(*command.action_as_Copy());
  case fb::Action_Call: return call(*command.action_as_Call());
  case fb::Action_Repeat: return repeat(*command.action_as_Repeat());
  case fb::Action_SkipIfZero: return skip(*command.action_as_SkipIfZero());
  case fb::Action_Send:
    sent.add(command.action_as_Send()->stage())
        .add(HADAL_TRY(readArgument(command.action_as_Send()->argument())));
    return {};
  case fb::Action_Receive: {
    uint32_t argument = command.action_as_Receive()->argument();
    return writeArgument(argument, Hash("receive")
                                       .add(command.action_as_Receive()->stage())
                                       .add(program.arguments()->Get(argument)->name())
                                       .value);
  }
  case fb::Action_ExchangeCounts: return exchangeCounts(*command.action_as_ExchangeCounts());
  case fb::Action_Exchange: return exchange(*command.action_as_Exchange());
  default: return {}; // events order commands and change nothing
  }
}

Status Walker::commands(const Commands &list) {
  std::string outer = place;
  for (uint32_t i = 0; i < list.size(); ++i) {
    place = outer + (outer.empty() ? "" : ".") + std::to_string(i);
    std::string here = place;
    if (Status status = command(*list.Get(i)); !status) {
      if (place == here)
        return invalidFile("command " + here + " " + status.error().message);
      return status; // named inside
    }
  }
  place = outer;
  return {};
}

uint64_t Walker::finish() {
  Hash hash("program");
  hash.add(program.name());
  for (const auto *name : *program.registers())
    hash.add(name);
  for (uint32_t i = 0; i < arguments.size(); ++i) {
    hash.add(program.arguments()->Get(i)->name()).add(program.arguments()->Get(i)->output());
    hash.add(arguments[i].hash);
  }
  for (const auto &[index, content] : states)
    hash.add(leaves.states[index]).add(content.hash);
  for (const auto &[index, content] : weights)
    hash.add(leaves.weights[index]).add(content.hash);
  return hash.add(sent.value).value;
}

/// Nothing can be written to an output without elements, such as the load violation of a model
/// without experts.
static bool isEmpty(const fb::Argument &argument) {
  return std::any_of(argument.shape()->begin(), argument.shape()->end(), [](const fb::Expr *size) {
    return size->code()->size() == 2 && size->code()->Get(0) == int64_t(ExprOp::Constant) &&
           size->code()->Get(1) == 0;
  });
}

Result<ProgramFlow> Walker::run() {
  auto at = [&](const std::string &what) {
    return invalidFile("program " + program.name()->str() + ", " + what);
  };
  if (Status status = commands(*program.commands()); !status)
    return at(status.error().message);
  for (uint32_t i = 0; i < arguments.size(); ++i)
    if (flow.isKnown && program.arguments()->Get(i)->output() && !flow.arguments[i].writes &&
        !isEmpty(*program.arguments()->Get(i)))
      return at("argument '" + program.arguments()->Get(i)->name()->str() +
                "' is an output that no command writes");
  flow.hash = finish();
  return std::move(flow);
}

/// Called programs first.
class Order {
public:
  explicit Order(const fb::Module &module) : module(module), seen(module.programs()->size()) {
    for (uint32_t p = 0; p < seen.size(); ++p)
      visit(p);
  }
  std::vector<uint32_t> list;

private:
  void visit(uint32_t p) {
    if (seen[p])
      return;
    seen[p] = true;
    visit(*module.programs()->Get(p)->commands());
    list.push_back(p);
  }
  void visit(const flatbuffers::Vector<flatbuffers::Offset<fb::Command>> &commands) {
    for (const fb::Command *command : commands)
      if (const fb::Call *call = command->action_as_Call())
        visit(call->program());
      else if (const fb::Repeat *repeat = command->action_as_Repeat())
        visit(*repeat->body());
      else if (const fb::SkipIfZero *skip = command->action_as_SkipIfZero())
        visit(*skip->body());
  }

  const fb::Module &module;
  std::vector<bool> seen;
};

} // namespace

Result<std::vector<ProgramFlow>> dataflowOf(const fb::Module &module, TemporaryMemory memory) {
  Leaves leaves(module);
  std::vector<ProgramFlow> flows(module.programs()->size());
  for (uint32_t p : Order(module).list)
    flows[p] = HADAL_TRY(Walker(module, leaves, flows, *module.programs()->Get(p), memory).run());
  return flows;
}

Result<std::vector<uint64_t>> dataflowHashes(const fb::Module &module, TemporaryMemory memory) {
  std::vector<uint64_t> hashes;
  for (const ProgramFlow &flow : HADAL_TRY(dataflowOf(module, memory)))
    hashes.push_back(flow.hash);
  hashes.push_back(placesHash(module));
  return hashes;
}

Status writeDataflow(uint8_t *payload) {
  const fb::Module &module = *fb::GetModule(payload);
  std::vector<uint64_t> meant = HADAL_TRY(dataflowHashes(module, TemporaryMemory::OfItsOwn)),
                        planned = HADAL_TRY(dataflowHashes(module, TemporaryMemory::Slots));
  for (uint32_t i = 0; i < module.programs()->size(); ++i)
    if (meant[i] != planned[i])
      return invalidFile("program " + module.programs()->Get(i)->name()->str() +
                         " has temporaries that overwrite each other");
  std::copy(meant.begin(), meant.end(), const_cast<uint64_t *>(module.dataflow()->data()));
  return {};
}

} // namespace hadal
