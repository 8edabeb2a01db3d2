#include "runtime/Executor.h"
#include "runtime/Abi.h"
#include "runtime/InputRules.h"
#include "runtime/MemoryCheck.h"
#include "runtime/module/Dataflow.h"
#include "runtime/module/Expr.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <set>

namespace hadal {

namespace {

/// A launch binds and passes at most this many; more is refused when the executor is made.
constexpr size_t maxBindings = 64;

/// Temporaries of a program: more than any machine has, and far from where sums of sizes overflow.
constexpr uint64_t maxArenaBytes = uint64_t(1) << 48;

Result<int64_t> value(const fb::Expr *expr, std::span<const int64_t> registers) {
  const auto *code = expr->code();
  if (code->size() == 2) { // a constant or a register, as most are
    int64_t operand = code->Get(1);
    return code->Get(0) == 0 ? operand : registers[static_cast<size_t>(operand)];
  }
  return evaluate({code->data(), code->size()}, registers);
}

Result<Shape> shapeOf(const flatbuffers::Vector<flatbuffers::Offset<fb::Expr>> &exprs,
                      std::span<const int64_t> registers) {
  Shape shape;
  for (const fb::Expr *e : exprs)
    shape.push_back(HADAL_TRY(value(e, registers)));
  return shape;
}

std::string describe(ElementType element, const Shape &shape) {
  return std::string(elementTypeName(element)) + " " + toString(shape);
}

template <typename Names> std::string listed(const Names &names) {
  std::string text;
  for (const auto *n : names)
    text += (text.empty() ? "" : ", ") + n->str();
  return text.empty() ? "none" : text;
}

constexpr uint64_t aligned(uint64_t bytes) {
  return (bytes + HADAL_ALIGNMENT - 1) / HADAL_ALIGNMENT * HADAL_ALIGNMENT;
}

} // namespace

struct Executor::Implementation {
  struct State {
    Buffer memory;
    Shape shape;
  };
  /// A program that is running: its registers and where its buffers are.
  struct Frame {
    const fb::Program *program;
    std::vector<int64_t> registers;
    std::vector<std::byte *> arguments;
    std::vector<uint64_t> argumentBytes;
    std::vector<std::byte *> temporaries;
    std::vector<uint64_t> temporaryBytes;
    std::set<uint32_t> recorded;
    // With the memory check:
    struct Guard {
      std::span<std::byte> zone;
      std::string of; ///< "temporary 3"
    };
    std::vector<Guard> guards;
    std::vector<uint32_t> owners; ///< by slot: the temporary that was written last, plus 1
    struct Shadow {               ///< an output in guarded memory
      Buffer memory;
      std::byte *goal;
      uint32_t argument;
    };
    std::vector<Shadow> shadows;
    uint32_t at = 0; ///< command
  };
  struct Place {
    std::byte *base;
    uint64_t bytes;
  };

  Implementation(const Module &module, Device &device, const WeightStore &weights)
      : module(module), device(device), weights(weights) {}

  const Module &module;
  Device &device;
  const WeightStore &weights;
  std::unique_ptr<KernelSet> kernels;
  std::vector<Buffer> constants;
  std::vector<int64_t> stateRegisters;
  std::vector<State> states;
  std::vector<Buffer> arenas; ///< one for each depth of calls
  RunStatistics totals, current;
  Trace *trace = nullptr;
  LaunchPlaces places; ///< with a trace
  RankPrograms *ranks = nullptr;
  std::function<Status(const fb::Launch &, std::span<const int64_t>)> observer;
  bool checksMemory = false;
  std::vector<ProgramFlow> flows; ///< with the memory check: of each program

  Result<Place> place(const Frame &frame, const fb::Binding &binding);
  Result<Frame> frameOf(ProgramRun &run);
  Status layOut(Frame &frame, size_t depth);
  Status runCommands(Frame &frame,
                     const flatbuffers::Vector<flatbuffers::Offset<fb::Command>> &commands,
                     size_t depth);
  Status launch(Frame &frame, const fb::Launch &launch);
  Status call(Frame &frame, const fb::Call &call, size_t depth);

  // The memory check.
  const ProgramFlow &flowOf(const fb::Program &program) const;
  void guardSlots(Frame &frame, const std::vector<uint64_t> &offsets,
                  const std::vector<uint64_t> &slotBytes, size_t depth) const;
  Status shadowOutputs(Frame &frame);
  Status returnOutputs(Frame &frame) const;
  Status beforeAccess(Frame &frame, const fb::Binding &binding, fb::Access access,
                      const std::string &what);
  Status afterAccess(const Frame &frame, const std::string &what) const;
};

Result<Executor::Implementation::Place>
Executor::Implementation::place(const Frame &frame, const fb::Binding &binding) {
  const fb::Module &tables = module.tables();
  uint32_t index = binding.index();
  std::byte *base = nullptr;
  uint64_t bytes = 0;
  switch (binding.space()) {
  case fb::Space_Parameter: {
    const fb::Parameter *p = tables.parameters()->Get(index);
    int64_t element = HADAL_TRY(value(binding.element(), frame.registers));
    if (element < 0 || element >= int64_t(p->count()))
      return invalidArgument("parameter " + p->name()->str() + " has " +
                             std::to_string(p->count()) + " tensors, a launch binds number " +
                             std::to_string(element));
    // Kernels only read parameters.
    base = const_cast<std::byte *>(weights.parameter(index, static_cast<uint32_t>(element)));
    bytes = *byteCount(elementType(p->element()), {p->shape()->data(), p->shape()->size()});
    break;
  }
  case fb::Space_Weight:
    base = weights.weight(index), bytes = tables.weights()->Get(index)->bytes();
    break;
  case fb::Space_State:
    base = states[index].memory.data(), bytes = states[index].memory.size();
    if (!base)
      return invalidArgument("state " + tables.states()->Get(index)->name()->str() +
                             " has no memory: its registers were not set");
    break;
  case fb::Space_Argument: base = frame.arguments[index], bytes = frame.argumentBytes[index]; break;
  case fb::Space_Temporary:
    base = frame.temporaries[index], bytes = frame.temporaryBytes[index];
    break;
  case fb::Space_Constant: base = constants[index].data(), bytes = constants[index].size(); break;
  }
  int64_t offset = HADAL_TRY(value(binding.offset(), frame.registers));
  if (offset < 0 || uint64_t(offset) > bytes)
    return invalidArgument("a launch binds byte " + std::to_string(offset) + " of a buffer of " +
                           std::to_string(bytes));
  return Place{base + offset, bytes - uint64_t(offset)};
}

/// Evaluates sizes and gives temporaries their places in the arena.
Status Executor::Implementation::layOut(Frame &frame, size_t depth) {
  const fb::Program &program = *frame.program;
  std::vector<uint64_t> slotBytes(program.slot_count(), 0);
  for (const fb::Temporary *t : *program.temporaries()) {
    int64_t bytes = HADAL_TRY(value(t->bytes(), frame.registers));
    if (bytes < 0)
      return invalidArgument(program.name()->str() + ": a temporary of " + std::to_string(bytes) +
                             " bytes");
    frame.temporaryBytes.push_back(uint64_t(bytes));
    slotBytes[t->slot()] = std::max(slotBytes[t->slot()], uint64_t(bytes));
  }
  std::vector<uint64_t> offsets;
  uint64_t gap = checksMemory ? memory::guardBytes : 0, total = gap;
  for (uint64_t bytes : slotBytes) {
    offsets.push_back(total);
    if (bytes > maxArenaBytes || (total += aligned(bytes) + gap) > maxArenaBytes)
      return invalidArgument(program.name()->str() + ": its temporaries take more than " +
                             std::to_string(maxArenaBytes) + " bytes");
  }
  if (arenas.size() <= depth)
    arenas.resize(depth + 1);
  if (arenas[depth].size() < total) {
    arenas[depth] = Buffer(); // first give back, then take
    arenas[depth] = HADAL_TRY(device.allocate(total));
    arenas[depth].populate();
  }
  for (const fb::Temporary *t : *program.temporaries())
    frame.temporaries.push_back(arenas[depth].data() + offsets[t->slot()]);
  if (checksMemory)
    guardSlots(frame, offsets, slotBytes, depth);
  return {};
}

const ProgramFlow &Executor::Implementation::flowOf(const fb::Program &program) const {
  const auto &all = *module.tables().programs();
  for (uint32_t i = 0; i < all.size(); ++i)
    if (all.Get(i) == &program)
      return flows[i];
  return flows.front();
}

void Executor::Implementation::guardSlots(Frame &frame, const std::vector<uint64_t> &offsets,
                                          const std::vector<uint64_t> &slotBytes,
                                          size_t depth) const {
  frame.owners.assign(offsets.size(), 0);
  std::byte *arena = arenas[depth].data();
  for (size_t slot = 0; slot < offsets.size(); ++slot) {
    std::byte *begin = arena + offsets[slot], *end = begin + slotBytes[slot];
    std::string of = "slot " + std::to_string(slot) + " of its temporaries";
    frame.guards.push_back({{begin - memory::guardBytes, memory::guardBytes}, of});
    // Up to the next slot's guard.
    frame.guards.push_back(
        {{end, aligned(slotBytes[slot]) - slotBytes[slot] + memory::guardBytes}, of});
    memory::poison({begin, end});
  }
  for (Frame::Guard &guard : frame.guards)
    memory::setGuard(guard.zone);
}

/// Outputs of a program that is run by itself lie in guarded memory while it runs.
Status Executor::Implementation::shadowOutputs(Frame &frame) {
  const ProgramFlow &flow = flowOf(*frame.program);
  for (uint32_t i = 0; i < frame.arguments.size(); ++i) {
    if (!frame.program->arguments()->Get(i)->output() || !frame.arguments[i])
      continue;
    uint64_t bytes = frame.argumentBytes[i];
    Frame::Shadow shadow{HADAL_TRY(device.allocate(aligned(bytes) + 2 * memory::guardBytes)),
                         frame.arguments[i], i};
    std::byte *begin = shadow.memory.data() + memory::guardBytes;
    bool isNew = flow.isKnown && !flow.arguments[i].reads && !flow.arguments[i].keeps;
    if (isNew)
      memory::poison({begin, bytes});
    else if (bytes)
      std::memcpy(begin, frame.arguments[i], bytes);
    std::string of = "'" + frame.program->arguments()->Get(i)->name()->str() + "'";
    for (std::span<std::byte> zone : {std::span(shadow.memory.data(), memory::guardBytes),
                                      std::span(begin + bytes, memory::guardBytes)}) {
      memory::setGuard(zone);
      frame.guards.push_back({zone, of});
    }
    frame.arguments[i] = begin;
    frame.shadows.push_back(std::move(shadow));
  }
  return {};
}

Status Executor::Implementation::returnOutputs(Frame &frame) const {
  const ProgramFlow &flow = flowOf(*frame.program);
  for (Frame::Shadow &shadow : frame.shadows) {
    uint64_t bytes = frame.argumentBytes[shadow.argument];
    std::span<std::byte> written(frame.arguments[shadow.argument], bytes);
    bool isNew = flow.isKnown && !flow.arguments[shadow.argument].reads &&
                 !flow.arguments[shadow.argument].keeps;
    if (std::optional<uint64_t> at = isNew ? memory::firstUnwritten(written) : std::nullopt)
      return invalidArgument("memory check: nothing has written to byte " + std::to_string(*at) +
                             " of output '" +
                             frame.program->arguments()->Get(shadow.argument)->name()->str() +
                             "', which has " + std::to_string(bytes));
    if (bytes)
      std::memcpy(shadow.goal, written.data(), bytes);
  }
  return {};
}

/// Of temporaries: their lifetime begins, or goes on. Of outputs and temporaries: what is read was
/// written.
Status Executor::Implementation::beforeAccess(Frame &frame, const fb::Binding &binding,
                                              fb::Access access, const std::string &what) {
  bool isTemporary = binding.space() == fb::Space_Temporary;
  if (!isTemporary && binding.space() != fb::Space_Argument)
    return {};
  uint32_t index = binding.index();
  std::string name = isTemporary
                         ? "temporary " + std::to_string(index)
                         : "'" + frame.program->arguments()->Get(index)->name()->str() + "'";
  auto broken = [&](const std::string &problem) {
    return invalidArgument("memory check: command " + std::to_string(frame.at) + ", " + what +
                           ", reads " + name + ", " + problem);
  };
  std::span<std::byte> memory =
      isTemporary ? std::span(frame.temporaries[index], frame.temporaryBytes[index])
                  : std::span(frame.arguments[index], frame.argumentBytes[index]);
  bool reads = access == fb::Access_Read || access == fb::Access_Update;
  if (isTemporary) {
    uint32_t &owner = frame.owners[frame.program->temporaries()->Get(index)->slot()];
    if (reads && owner != index + 1)
      return broken(owner ? "whose memory temporary " + std::to_string(owner - 1) + " has by then"
                          : "which nothing has written");
    if (owner != index + 1)
      memory::poison(memory);
    owner = index + 1;
  }
  if (reads && memory::isUnwritten(memory))
    return broken("which nothing has written");
  return {};
}

Status Executor::Implementation::afterAccess(const Frame &frame, const std::string &what) const {
  for (const Frame::Guard &guard : frame.guards)
    if (std::optional<uint64_t> at = memory::firstChanged(guard.zone))
      return invalidArgument("memory check: command " + std::to_string(frame.at) + ", " + what +
                             ", writes outside of " + guard.of + ", to byte " +
                             std::to_string(*at) + " of the guard zone at its " +
                             (&guard - frame.guards.data() & 1 ? "end" : "beginning"));
  return {};
}

Status Executor::Implementation::launch(Frame &frame, const fb::Launch &launch) {
  int64_t tasks = HADAL_TRY(value(launch.tasks(), frame.registers));
  if (tasks <= 0)
    return {};
  const fb::Kernel &kernel = *module.tables().kernels()->Get(launch.kernel());
  if (checksMemory && isDescribed(kernel))
    for (uint32_t b = 0; b < launch.bindings()->size(); ++b)
      HADAL_TRY(beforeAccess(frame, *launch.bindings()->Get(b), kernel.buffers()->Get(b)->access(),
                             kernel.symbol()->str()));
  std::array<void *, maxBindings> buffers;
  std::array<int64_t, maxBindings> scalars;
  size_t i = 0;
  for (const fb::Binding *binding : *launch.bindings())
    buffers[i++] = HADAL_TRY(place(frame, *binding)).base;
  i = 0;
  for (const fb::Expr *e : *launch.scalars())
    scalars[i++] = HADAL_TRY(value(e, frame.registers));
  int64_t flops = HADAL_TRY(value(launch.flops(), frame.registers));
  int64_t begin = trace ? trace->now() : 0;
  device.launch(kernels->kernels()[launch.kernel()], buffers.data(), scalars.data(), tasks);
  if (trace) {
    device.synchronize();
    trace->addKernel(kernel.symbol()->string_view(), begin, trace->now(), flops, tasks,
                     places.of(launch));
  }
  if (checksMemory) {
    device.synchronize();
    HADAL_TRY(afterAccess(frame, kernel.symbol()->str()));
  }
  ++current.launches;
  current.flops += flops;
  return observer ? observer(launch, frame.registers) : Status();
}

Status Executor::Implementation::call(Frame &frame, const fb::Call &call, size_t depth) {
  Frame inner;
  std::vector<uint64_t> wanted; ///< bytes of its arguments
  inner.program = module.tables().programs()->Get(call.program());
  for (const fb::Expr *e : *call.registers())
    inner.registers.push_back(HADAL_TRY(value(e, frame.registers)));
  for (const fb::Binding *binding : *call.arguments()) {
    Place at = HADAL_TRY(place(frame, *binding));
    const fb::Argument *argument =
        inner.program->arguments()->Get(static_cast<uint32_t>(inner.arguments.size()));
    auto bytes = byteCount(elementType(argument->element()),
                           HADAL_TRY(shapeOf(*argument->shape(), inner.registers)));
    if (!bytes || *bytes > at.bytes)
      return invalidArgument(inner.program->name()->str() + ": argument '" +
                             argument->name()->str() + "' does not fit what it is called with");
    inner.arguments.push_back(at.base);
    inner.argumentBytes.push_back(at.bytes);
    wanted.push_back(uint64_t(*bytes));
  }
  HADAL_TRY(layOut(inner, depth + 1));
  if (!checksMemory)
    return runCommands(inner, *inner.program->commands(), depth + 1);
  const ProgramFlow &flow = flows[call.program()];
  for (uint32_t i = 0; i < inner.arguments.size(); ++i) {
    const BufferUse &use = flow.arguments[i];
    bool isNew = flow.isKnown && use.writes && !use.reads && !use.keeps;
    HADAL_TRY(beforeAccess(frame, *call.arguments()->Get(i),
                           isNew ? fb::Access_Write : fb::Access_Update,
                           inner.program->name()->str()));
    if (isNew)
      memory::poison({inner.arguments[i], wanted[i]});
  }
  Status status = runCommands(inner, *inner.program->commands(), depth + 1);
  if (!status)
    return Error{status.error().code,
                 "program " + inner.program->name()->str() + ": " + status.error().message};
  return afterAccess(frame, inner.program->name()->str());
}

Status Executor::Implementation::runCommands(
    Frame &frame, const flatbuffers::Vector<flatbuffers::Offset<fb::Command>> &commands,
    size_t depth) {
  for (const fb::Command *command : commands) {
    if (checksMemory && &commands == frame.program->commands())
      frame.at = uint32_t(std::find(commands.begin(), commands.end(), command) - commands.begin());
    switch (command->action_type()) {
    case fb::Action_Launch: HADAL_TRY(launch(frame, *command->action_as_Launch())); break;
    case fb::Action_Copy: {
      auto *copy = command->action_as_Copy();
      Place to = HADAL_TRY(place(frame, *copy->destination())),
            from = HADAL_TRY(place(frame, *copy->source()));
      int64_t bytes = HADAL_TRY(value(copy->bytes(), frame.registers));
      if (bytes < 0 || uint64_t(bytes) > to.bytes || uint64_t(bytes) > from.bytes)
        return invalidArgument(frame.program->name()->str() + ": copies " + std::to_string(bytes) +
                               " bytes from " + std::to_string(from.bytes) + " to " +
                               std::to_string(to.bytes));
      if (checksMemory) {
        HADAL_TRY(beforeAccess(frame, *copy->source(), fb::Access_Read, "a copy"));
        HADAL_TRY(beforeAccess(frame, *copy->destination(), fb::Access_Write, "a copy"));
      }
      device.copy(to.base, from.base, uint64_t(bytes));
      if (checksMemory)
        HADAL_TRY(afterAccess(frame, "a copy"));
      break;
    }
    case fb::Action_Call: HADAL_TRY(call(frame, *command->action_as_Call(), depth)); break;
    case fb::Action_Repeat: {
      auto *repeat = command->action_as_Repeat();
      int64_t count = HADAL_TRY(value(repeat->count(), frame.registers));
      for (int64_t i = 0; i < count; ++i) {
        frame.registers[repeat->register_()] = i;
        HADAL_TRY(runCommands(frame, *repeat->body(), depth));
      }
      break;
    }
    case fb::Action_SkipIfZero:
      if (HADAL_TRY(value(command->action_as_SkipIfZero()->value(), frame.registers)) != 0)
        HADAL_TRY(runCommands(frame, *command->action_as_SkipIfZero()->body(), depth));
      break;
    case fb::Action_Record:
      // Commands run in order, so what was recorded has happened.
      frame.recorded.insert(command->action_as_Record()->event());
      break;
    case fb::Action_Wait:
      if (!frame.recorded.count(command->action_as_Wait()->event()))
        return invalidArgument(frame.program->name()->str() + ": waits for event " +
                               std::to_string(command->action_as_Wait()->event()) +
                               ", which nothing recorded");
      break;
    default:
      return invalidArgument(frame.program->name()->str() +
                             ": is a stage's program, which runs over ranks alone");
    }
  }
  return {};
}

//===----------------------------------------------------------------------===//
// Executor
//===----------------------------------------------------------------------===//

Executor::Executor(const Module &module) : source(module) {}
Executor::~Executor() = default;

Result<std::unique_ptr<Executor>> Executor::create(const Module &module, Device &device,
                                                   const WeightStore &weights) {
  const fb::Module &tables = module.tables();
  if (weights.parameterCount() != tables.parameters()->size() ||
      weights.weightCount() != tables.weights()->size())
    return invalidArgument(
        module.path() + ": wants a store of " + std::to_string(tables.parameters()->size()) +
        " parameters and " + std::to_string(tables.weights()->size()) + " weights, got " +
        std::to_string(weights.parameterCount()) + " and " + std::to_string(weights.weightCount()));
  for (const fb::Kernel *kernel : *tables.kernels())
    if (kernel->binding_count() > maxBindings || kernel->scalar_count() > maxBindings)
      return unsupported(module.path() + ": kernel " + kernel->symbol()->str() +
                         " takes more than " + std::to_string(maxBindings) + " buffers or scalars");
  std::unique_ptr<Executor> executor(new Executor(module));
  executor->self = std::make_unique<Implementation>(module, device, weights);
  Implementation &self = *executor->self;
  self.kernels = HADAL_TRY(device.load(module));
  for (const fb::Constant *constant : *tables.constants()) {
    self.constants.push_back(HADAL_TRY(device.allocate(constant->bytes()->size())));
    std::memcpy(self.constants.back().data(), constant->bytes()->data(), constant->bytes()->size());
  }
  self.stateRegisters.assign(tables.state_registers()->size(), 0);
  self.states.resize(tables.states()->size());
  // States whose shapes depend on nothing need not wait for a register.
  if (tables.state_registers()->size() == 0)
    HADAL_TRY(executor->allocateStates({}));
  return executor;
}

Result<ProgramRun> Executor::prepare(std::string_view name) {
  ProgramRun run(*this, HADAL_TRY(source.program(name)));
  if (const fb::Inference *inference = source.tables().inference())
    for (const fb::InferenceProgram *program : *inference->programs())
      if (source.tables().programs()->Get(program->program()) == run.table)
        run.shared = program;
  return run;
}

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
    if (state.memory.data() && !sameRows)
      return invalidArgument("state " + table->name()->str() + " cannot change from " +
                             toString(state.shape) + " to " + toString(shape));
    if (*bytes > state.memory.size() || !state.memory.data()) {
      Buffer larger = HADAL_TRY(self->device.allocate(*bytes));
      if (state.memory.size())
        std::memcpy(larger.data(), state.memory.data(), state.memory.size());
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

void Executor::clearStates() {
  for (auto &state : self->states)
    if (state.memory.data())
      std::memset(state.memory.data(), 0, state.memory.size());
}

Result<TensorView> Executor::state(std::string_view name) {
  const auto &tables = *source.tables().states();
  for (uint32_t i = 0; i < tables.size(); ++i)
    if (tables.Get(i)->name()->string_view() == name)
      return TensorView{elementType(tables.Get(i)->element()), self->states[i].shape,
                        self->states[i].memory.data()};
  return notFound(source.path() + ": no state '" + std::string(name) + "'");
}

uint64_t Executor::stateBytes() const {
  uint64_t sum = 0;
  for (const auto &state : self->states)
    sum += state.memory.size();
  return sum;
}

uint64_t Executor::touchedStateBytes() const {
  uint64_t bytes = 0;
  for (const Implementation::State &state : self->states)
    bytes += state.memory.touchedBytes();
  return bytes;
}

uint64_t Executor::temporaryBytes() const {
  uint64_t sum = 0;
  for (const auto &arena : self->arenas)
    sum += arena.size();
  return sum;
}

const RunStatistics &Executor::totals() const { return self->totals; }
Device &Executor::device() { return self->device; }
void Executor::setTrace(Trace *trace) {
  self->trace = trace;
  self->places = trace ? LaunchPlaces(source) : LaunchPlaces();
}

Status Executor::setMemoryCheck(bool wanted) {
  if (wanted)
    self->flows = HADAL_TRY(dataflowOf(source.tables(), TemporaryMemory::Slots));
  self->checksMemory = wanted;
  return {};
}

void Executor::setLaunchObserver(
    std::function<Status(const fb::Launch &, std::span<const int64_t>)> observer) {
  self->observer = std::move(observer);
}

Result<Executor::Implementation::Frame> Executor::Implementation::frameOf(ProgramRun &run) {
  const fb::Program &program = *run.table;
  std::string name = program.name()->str();
  Frame frame;
  frame.program = &program;
  frame.registers = run.registers;
  for (uint32_t i = 0; i < program.arguments()->size(); ++i) {
    const fb::Argument *argument = program.arguments()->Get(i);
    ProgramRun::Slot &slot = run.slots[i];
    if (!run.handsOut(i)) { // its size may depend on what other ranks say
      frame.arguments.push_back(nullptr);
      frame.argumentBytes.push_back(0);
      continue;
    }
    Shape shape = HADAL_TRY(shapeOf(*argument->shape(), frame.registers));
    auto bytes = byteCount(elementType(argument->element()), shape);
    if (!bytes)
      return invalidArgument(name + ": argument '" + argument->name()->str() +
                             "' has an impossible shape " + toString(shape));
    if (slot.bound) {
      if (slot.view.shape != shape)
        return invalidArgument(name + ": argument '" + argument->name()->str() + "' wants " +
                               describe(slot.view.element, shape) + ", got " +
                               describe(slot.view.element, slot.view.shape));
    } else {
      if (!argument->output())
        return invalidArgument(name + ": argument '" + argument->name()->str() + "' is not bound");
      if (slot.owned.size() < *bytes || !slot.owned.data())
        slot.owned = HADAL_TRY(device.allocate(*bytes));
      slot.view = {elementType(argument->element()), std::move(shape), slot.owned.data()};
    }
    frame.arguments.push_back(static_cast<std::byte *>(slot.view.data));
    frame.argumentBytes.push_back(*bytes);
  }
  HADAL_TRY(layOut(frame, 0));
  return frame;
}

Status Executor::reserve(ProgramRun &run) {
  HADAL_TRY(self->frameOf(run));
  return {};
}

Status Executor::execute(std::span<ProgramRun *const> runs) {
  if (runs.empty() || !runs.front()->shared) {
    for (ProgramRun *run : runs)
      HADAL_TRY(execute(*run));
    return {};
  }
  if (!self->ranks)
    return invalidArgument(source.path() + ": is for " +
                           std::to_string(source.tables().inference()->ep()) +
                           " ranks, which run it together");
  std::vector<RankProgram> programs;
  for (ProgramRun *run : runs) {
    HADAL_TRY(checkSizes(*run->table, run->registers));
    Implementation::Frame frame = HADAL_TRY(self->frameOf(*run));
    HADAL_TRY(checkContents(*run->table, frame.registers, frame.arguments, frame.argumentBytes));
    RankProgram program{run->table,
                        std::move(frame.registers),
                        std::move(frame.arguments),
                        {},
                        std::move(frame.argumentBytes)};
    for (uint32_t i = 0; i < program.arguments.size(); ++i)
      program.isBound.push_back(run->handsOut(i));
    programs.push_back(std::move(program));
  }
  HADAL_TRY(self->ranks->run(programs));
  for (size_t i = 0; i < runs.size(); ++i) {
    runs[i]->last = programs[i].statistics;
    runs[i]->executed = true;
  }
  return {};
}

void Executor::setRanks(RankPrograms *ranks) { self->ranks = ranks; }

Status Executor::execute(ProgramRun &run) {
  if (run.shared) {
    ProgramRun *one = &run;
    return execute(std::span<ProgramRun *const>(&one, 1));
  }
  const fb::Program &program = *run.table;
  std::string name = program.name()->str();
  HADAL_TRY(checkSizes(program, run.registers));
  Implementation::Frame frame = HADAL_TRY(self->frameOf(run));
  HADAL_TRY(checkContents(program, frame.registers, frame.arguments, frame.argumentBytes));
  if (self->checksMemory)
    HADAL_TRY(self->shadowOutputs(frame));
  self->current = {};
  int64_t begin = self->trace ? self->trace->now() : 0;
  Status status = self->runCommands(frame, *program.commands(), 0);
  self->device.synchronize();
  if (status && self->checksMemory)
    status = self->returnOutputs(frame);
  if (self->trace)
    self->trace->addProgram(program.name()->string_view(), begin, self->trace->now(),
                            self->current.flops, self->current.launches);
  run.last = self->current;
  self->totals.launches += self->current.launches;
  self->totals.flops += self->current.flops;
  run.executed = bool(status);
  return status ? status : Status(Error{status.error().code, name + ": " + status.error().message});
}

Status Executor::call(const fb::Program &chunk, const fb::Call &call,
                      std::span<const int64_t> registers, std::span<std::byte *const> arguments,
                      std::span<const uint64_t> bytes) {
  Implementation::Frame frame;
  frame.program = &chunk;
  frame.registers.assign(registers.begin(), registers.end());
  frame.arguments.assign(arguments.begin(), arguments.end());
  frame.argumentBytes.assign(bytes.begin(), bytes.end());
  HADAL_TRY(self->layOut(frame, 0));
  self->current = {};
  int64_t begin = self->trace ? self->trace->now() : 0;
  Status status = self->call(frame, call, 0);
  self->device.synchronize();
  const fb::Program &program = *source.tables().programs()->Get(call.program());
  if (self->trace)
    self->trace->addProgram(program.name()->string_view(), begin, self->trace->now(),
                            self->current.flops, self->current.launches);
  self->totals.launches += self->current.launches;
  self->totals.flops += self->current.flops;
  return status ? status
                : Status(Error{status.error().code,
                               program.name()->str() + ": " + status.error().message});
}

//===----------------------------------------------------------------------===//
// ProgramRun
//===----------------------------------------------------------------------===//

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
  uint32_t i = HADAL_TRY(argumentIndex(*table, name));
  const fb::Argument *argument = table->arguments()->Get(i);
  if (elementType(argument->element()) != tensor.element ||
      argument->shape()->size() != tensor.shape.size())
    return invalidArgument(table->name()->str() + ": argument '" + std::string(name) + "' wants " +
                           std::string(elementTypeName(elementType(argument->element()))) +
                           " of rank " + std::to_string(argument->shape()->size()) + ", got " +
                           describe(tensor.element, tensor.shape));
  slots[i].view = tensor;
  slots[i].bound = true;
  return {};
}

Status ProgramRun::unbind(std::string_view name) {
  slots[HADAL_TRY(argumentIndex(*table, name))].bound = false;
  return {};
}

Status ProgramRun::reserve() { return executor->reserve(*this); }

Status ProgramRun::execute() { return executor->execute(*this); }

Result<TensorView> ProgramRun::output(std::string_view name) const {
  uint32_t i = HADAL_TRY(argumentIndex(*table, name));
  if (!executed || !table->arguments()->Get(i)->output() || !handsOut(i))
    return invalidArgument(table->name()->str() + ": '" + std::string(name) +
                           "' is no output of a finished run");
  return slots[i].view;
}

Result<Shape> ProgramRun::argumentShape(std::string_view name) const {
  return shapeOf(*table->arguments()->Get(HADAL_TRY(argumentIndex(*table, name)))->shape(),
                 registers);
}

} // namespace hadal
