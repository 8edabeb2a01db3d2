//===- Executor.cpp - making an executor, and running programs --------===//

#include "runtime/InputRules.h"
#include "runtime/executor/Implementation.h"

namespace hadal {

using namespace execution;

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
    if (kernel->bindings() > maxBindings || kernel->scalars() > maxBindings)
      return unsupported(module.path() + ": kernel " + kernel->symbol()->str() +
                         " takes more than " + std::to_string(maxBindings) + " buffers or scalars");
  std::unique_ptr<Executor> executor(new Executor(module));
  executor->self = std::make_unique<Implementation>(module, device, weights);
  Implementation &self = *executor->self;
  self.kernels = HADAL_TRY(device.load(module));
  self.stream = HADAL_TRY(device.makeStream());
  for (const fb::Constant *constant : *tables.constants()) {
    uint64_t bytes = constant->bytes()->size();
    self.constants.push_back(
        HADAL_TRY(allocateFor("constant " + constant->name()->str(), device, bytes)));
    HADAL_TRY(device.upload(*self.stream, self.constants.back().address(),
                            constant->bytes()->data(), bytes));
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

uint64_t Executor::temporaryBytes() const {
  uint64_t sum = 0;
  for (const auto &arena : self->arenas)
    sum += arena.bytes();
  return sum;
}

const RunStatistics &Executor::totals() const { return self->totals; }
Device &Executor::device() { return self->device; }
Stream &Executor::stream() { return *self->stream; }
ParameterStore &Executor::parameters() { return self->weights.parameters(); }

Status Executor::copy(DeviceAddress to, DeviceAddress from, uint64_t bytes) {
  return self->device.copy(*self->stream, to, from, bytes);
}
Status Executor::zero(DeviceAddress at, uint64_t bytes) {
  return self->device.fill(*self->stream, at, 0, bytes);
}
Status Executor::upload(DeviceAddress to, const void *from, uint64_t bytes) {
  return self->device.upload(*self->stream, to, from, bytes);
}
Status Executor::synchronize() { return self->device.synchronize(*self->stream); }
Status Executor::download(void *to, DeviceAddress from, uint64_t bytes) {
  HADAL_TRY(self->device.download(*self->stream, to, from, bytes));
  return self->device.synchronize(*self->stream);
}
Result<const std::byte *> Executor::read(DeviceAddress from, uint64_t bytes,
                                         std::vector<std::byte> &memory) {
  return readOnHost(self->device, *self->stream, from, bytes, memory);
}

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

Status Executor::Implementation::settle(const Status &status) {
  Status synchronized = device.synchronize(*stream);
  return status ? synchronized : status;
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
  auto runAll = [&]() -> Status {
    for (ProgramRun *run : runs) {
      run->executed = false;
      HADAL_TRY(checkSizes(*run->table, run->registers));
      Implementation::Frame frame = HADAL_TRY(self->frameOf(*run));
      HADAL_TRY(self->checkArguments(*run, frame));
      HADAL_TRY(self->uploadArguments(*run, frame));
      RankProgram program{run->table,
                          std::move(frame.registers),
                          std::move(frame.arguments),
                          {},
                          std::move(frame.argumentBytes)};
      for (uint32_t i = 0; i < program.arguments.size(); ++i)
        program.isBound.push_back(run->handsOut(i));
      programs.push_back(std::move(program));
    }
    return self->ranks->run(programs);
  };
  HADAL_TRY(self->settle(runAll()));
  for (size_t i = 0; i < runs.size(); ++i) {
    HADAL_TRY(self->downloadOutputs(*runs[i]));
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
  run.executed = false; // its outputs may get another shape before something fails
  HADAL_TRY(checkSizes(program, run.registers));
  Implementation::Frame frame = HADAL_TRY(self->frameOf(run));
  HADAL_TRY(self->checkArguments(run, frame));
  Status status = self->uploadArguments(run, frame);
  if (status && self->checksMemory)
    status = self->shadowOutputs(frame);
  if (!status)
    return self->settle(status);
  self->current = {};
  int64_t begin = self->trace ? self->trace->now() : 0;
  status = self->settle(self->runCommands(frame, *program.commands(), 0));
  if (status && self->checksMemory)
    status = self->returnOutputs(frame);
  if (status)
    status = self->downloadOutputs(run);
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
                      std::span<const int64_t> registers, std::span<const DeviceAddress> arguments,
                      std::span<const uint64_t> bytes) {
  Implementation::Frame frame;
  frame.program = &chunk;
  frame.registers.assign(registers.begin(), registers.end());
  frame.arguments.assign(arguments.begin(), arguments.end());
  frame.argumentBytes.assign(bytes.begin(), bytes.end());
  HADAL_TRY(self->layOut(frame, 0));
  self->current = {};
  int64_t begin = self->trace ? self->trace->now() : 0;
  Status status = self->settle(self->call(frame, call, 0));
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

} // namespace hadal
