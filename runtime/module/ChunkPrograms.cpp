//===- ChunkPrograms.cpp - what a stage's chunk programs read and write ---===//

#include "runtime/module/ChunkPrograms.h"
#include "runtime/Tensor.h"
#include "runtime/module/Expr.h"
#include "runtime/module/UsedRegisters.h"

#include <set>

namespace hadal::verify {

bool isMicroBatchInput(std::string_view name) {
  if (name.starts_with("mtp."))
    if (size_t dot = name.find('.', 4); dot != std::string_view::npos)
      name.remove_prefix(dot + 1);
  for (std::string_view known : {"token_ids", "positions", "targets", "offsets", "rows", "counts"})
    if (name == known)
      return true;
  return false;
}

namespace {

/// Sizes are compared under several assignments of registers: the balanced one first, then numbers
/// without relation to each other.
constexpr size_t probeCount = 4;

class Reader {
public:
  Reader(const fb::Module &module, const fb::Stage &stage)
      : module(module), plan(StagePlan::of(module, stage)) {
    NamedRegisters balanced = balancedRegisters(module, stage);
    for (const auto &[name, value] : balanced)
      known.insert(name);
    makeProbes(balanced);
  }
  Reader(const fb::Module &module, const fb::Program &program)
      : module(module), plan(StagePlan::ofProgram(program)), isInference(true) {
    for (const auto *name : *program.registers())
      known.insert(name->str());
    makeProbes({});
  }

  Result<ChunkPrograms> run();

private:
  void makeProbes(const NamedRegisters &balanced) {
    for (size_t i = 0; i < probeCount; ++i) {
      NamedRegisters probe = balanced;
      if (i > 0 || isInference)
        for (const std::string &name : plan.registerNames)
          probe[name] = probeOf(name, i);
      probes.push_back(probe);
    }
  }
  Status readArguments(uint32_t which);
  Status readCounts();
  Status readCommand(uint32_t which, const fb::Command &command, ChunkStep &step);
  Status readCall(const fb::Call &call, ChunkStep &step);
  Status readExchange(const fb::Exchange &exchange, ChunkStep &step);
  Status checkEvents(const ChunkProgram &program);
  Status checkOutputs(uint32_t which);
  Status readsRegisters(const fb::Expr &expr, ChunkStep &step);
  Status readsShape(uint32_t argument, ChunkStep &step);
  uint32_t registerOf(const std::string &name);
  uint32_t originOf(uint32_t value) const {
    auto copied = copies.find(value);
    return copied == copies.end() ? value : copied->second;
  }
  void noteCopies(const fb::Call &call);
  uint32_t valueOf(uint32_t argument) const { return current->values[argument]; }
  const fb::Argument &argumentOf(uint32_t argument) const {
    return *current->program->arguments()->Get(argument);
  }

  /// Bytes of an argument of the program at hand under each probe.
  Result<std::vector<uint64_t>> bytesOf(const fb::Program &program, uint32_t argument) {
    std::vector<uint64_t> bytes;
    for (const NamedRegisters &probe : probes)
      bytes.push_back(HADAL_TRY(argumentBytes(program, argument, probe)));
    return bytes;
  }
  /// Rows of `rowBytes` that an argument has room for; an error where they are not whole.
  Result<std::vector<uint64_t>> rowsOf(uint32_t argument, uint64_t rowBytes) {
    std::vector<uint64_t> bytes = HADAL_TRY(bytesOf(*current->program, argument));
    for (uint64_t &b : bytes) {
      if (b % rowBytes != 0)
        return invalidFile("'" + argumentOf(argument).name()->str() +
                           "' is no whole number of rows of " + std::to_string(rowBytes) +
                           " bytes");
      b /= rowBytes;
    }
    return bytes;
  }

  /// One exchange of counts and the exchanges that go by it.
  struct Counts {
    const fb::ExchangeCounts *exchange;
    std::string rows;              ///< register
    std::vector<uint64_t> sending; ///< rows of what is sent there, which is what comes back at most
  };

  const fb::Module &module;
  std::set<std::string, std::less<>> known; ///< registers of the driver, then those that were set
  std::vector<NamedRegisters> probes;
  StagePlan plan;
  bool isInference = false;
  const PlannedProgram *current = nullptr;
  std::map<std::string, uint32_t> setRegisters; ///< by exchanges of counts: numbers of values
  std::map<std::string, std::pair<const fb::Argument *, std::vector<uint64_t>>> shapes;
  std::map<std::pair<uint32_t, uint32_t>, Counts> counts;
  std::map<uint32_t, uint32_t> copies; ///< values that a call copies from others
  ChunkPrograms out;
};

/// A register that an exchange of counts sets, as a value.
uint32_t Reader::registerOf(const std::string &name) {
  auto [at, isNew] = setRegisters.emplace(name, out.values.size());
  if (isNew)
    out.values.push_back({name, true, false, fb::ElementType_F32, {}});
  return at->second;
}

Status Reader::readArguments(uint32_t which) {
  std::set<std::string> names;
  for (uint32_t i = 0; i < current->values.size(); ++i) {
    const fb::Argument &argument = argumentOf(i);
    std::string name = argument.name()->str();
    if (!names.insert(name).second)
      return invalidFile("has two arguments '" + name + "'");
    std::vector<uint64_t> bytes = HADAL_TRY(bytesOf(*current->program, i));
    auto [at, isNew] = shapes.emplace(name, std::pair(&argument, bytes));
    if (!isNew && (at->second.first->element() != argument.element() || at->second.second != bytes))
      return invalidFile("has '" + name +
                         "' in another type or size than another program of the stage");
    ChunkValue &value = out.values[valueOf(i)];
    value.element = argument.element();
    value.bytes = bytes;
  }
  out.programs[which].arguments = current->values;
  return {};
}

/// Exchanges of counts first: exchanges look up by which counts they go.
Status Reader::readCounts() {
  const fb::Program &program = *current->program;
  for (const fb::Command *command : *program.commands())
    if (const fb::ExchangeCounts *exchange = command->action_as_ExchangeCounts()) {
      std::pair key(valueOf(exchange->send()), valueOf(exchange->receive()));
      std::string rows = program.registers()->Get(exchange->rows())->str(),
                  choices = program.registers()->Get(exchange->choices())->str();
      if (!counts.emplace(key, Counts{exchange, rows, {}}).second)
        return invalidFile("exchanges the counts '" + out.values[key.first].name + "' twice");
      // Of the driver's names balancedRegisters() knew these too: they are values.
      registerOf(rows);
      registerOf(choices);
      if (rows == choices)
        return invalidFile("sets register " + rows + " to two things");
    }
  return {};
}

Status Reader::readsRegisters(const fb::Expr &expr, ChunkStep &step) {
  for (size_t i = 0; i + 1 < expr.code()->size(); i += 2)
    if (static_cast<ExprOp>(expr.code()->Get(i)) == ExprOp::Register) {
      std::string name = plan.registerNames[current->registers[expr.code()->Get(i + 1)]];
      if (auto set = setRegisters.find(name); set != setRegisters.end())
        step.reads.push_back(set->second);
      else if (!known.count(name))
        return invalidFile("needs register " + name + ", which nobody sets");
    }
  return {};
}

/// Memory is taken, or looked at, in the size that registers have then.
Status Reader::readsShape(uint32_t argument, ChunkStep &step) {
  for (const fb::Expr *size : *argumentOf(argument).shape())
    HADAL_TRY(readsRegisters(*size, step));
  return {};
}

Status Reader::readCall(const fb::Call &call, ChunkStep &step) {
  const fb::Program &callee = *module.programs()->Get(call.program());
  std::vector<bool> used = usedRegisters(callee);
  for (uint32_t r = 0; r < used.size(); ++r)
    if (used[r])
      HADAL_TRY(readsRegisters(*call.registers()->Get(r), step));
  for (uint32_t i = 0; i < call.arguments()->size(); ++i) {
    const fb::Binding &binding = *call.arguments()->Get(i);
    const fb::Argument &wanted = *callee.arguments()->Get(i);
    std::string name = wanted.name()->str();
    if (binding.space() == fb::Space_Temporary)
      return invalidFile("keeps '" + name + "' of " + callee.name()->str() + " in a temporary");
    if (binding.space() != fb::Space_Argument)
      continue;
    const fb::Argument &value = argumentOf(binding.index());
    if (value.element() != wanted.element())
      return invalidFile("gives '" + value.name()->str() + "' to " + callee.name()->str() +
                         " as '" + name + "' of another type");
    HADAL_TRY(readsShape(binding.index(), step));
    std::vector<uint64_t> has = HADAL_TRY(bytesOf(*current->program, binding.index()));
    for (size_t p = 0; p < probes.size(); ++p) {
      NamedRegisters inside;
      for (uint32_t r = 0; r < call.registers()->size(); ++r)
        inside[callee.registers()->Get(r)->str()] =
            HADAL_TRY(evaluateIn(*current->program, *call.registers()->Get(r), probes[p]));
      uint64_t wants = HADAL_TRY(argumentBytes(callee, i, inside));
      int64_t element = HADAL_TRY(evaluateIn(*current->program, *binding.element(), probes[p])),
              offset = HADAL_TRY(evaluateIn(*current->program, *binding.offset(), probes[p]));
      int64_t begin = 0;
      bool impossible =
          __builtin_mul_overflow(
              element, int64_t(byteSize(static_cast<ElementType>(value.element()))), &begin) ||
          __builtin_add_overflow(begin, offset, &begin) || begin < 0;
      bool whole = element == 0 && offset == 0;
      if (whole ? has[p] != wants : impossible || uint64_t(begin) + wants > has[p])
        return invalidFile("gives '" + value.name()->str() + "' to " + callee.name()->str() +
                           " as '" + name + "' of another size");
    }
    (wanted.output() ? step.writes : step.reads).push_back(valueOf(binding.index()));
  }
  noteCopies(call);
  return {};
}

/// What a chunk keeps for a later one may be a copy: counts are then found by what they are a copy
/// of.
void Reader::noteCopies(const fb::Call &call) {
  const fb::Program &callee = *module.programs()->Get(call.program());
  for (const fb::Command *command : *callee.commands()) {
    const fb::Launch *launch = command->action_as_Launch();
    if (!launch || launch->bindings()->size() != 2 ||
        !module.kernels()
             ->Get(launch->kernel())
             ->symbol()
             ->string_view()
             .starts_with("linalg_copy_"))
      continue;
    const fb::Binding &from = *launch->bindings()->Get(0), &to = *launch->bindings()->Get(1);
    if (from.space() != fb::Space_Argument || to.space() != fb::Space_Argument)
      continue;
    const fb::Binding &source = *call.arguments()->Get(from.index()),
                      &destination = *call.arguments()->Get(to.index());
    if (source.space() == fb::Space_Argument && destination.space() == fb::Space_Argument)
      copies[valueOf(destination.index())] = originOf(valueOf(source.index()));
  }
}

Status Reader::readExchange(const fb::Exchange &exchange, ChunkStep &step) {
  std::pair there(originOf(valueOf(exchange.send_counts())),
                  originOf(valueOf(exchange.receive_counts()))),
      back(there.second, there.first);
  bool isBack = !counts.count(there);
  auto found = counts.find(isBack ? back : there);
  if (found == counts.end())
    return invalidFile("goes by counts that were not exchanged with each other");
  Counts &by = found->second;
  if (by.exchange->parts() != exchange.parts() || by.exchange->segments() != exchange.segments() ||
      by.exchange->stride() != exchange.stride())
    return invalidFile("has other parts than its counts");
  for (uint32_t argument : {exchange.source(), exchange.destination(), exchange.send_counts(),
                            exchange.receive_counts()})
    HADAL_TRY(readsShape(argument, step));
  step.reads.push_back(registerOf(by.rows));
  std::vector<uint64_t> source = HADAL_TRY(rowsOf(exchange.source(), exchange.row_bytes()));
  std::vector<uint64_t> destination =
      HADAL_TRY(rowsOf(exchange.destination(), exchange.row_bytes()));
  for (size_t p = 0; p < probes.size(); ++p)
    if ((isBack ? source : destination)[p] != uint64_t(probes[p][by.rows]))
      return invalidFile(
          "'" + argumentOf(isBack ? exchange.source() : exchange.destination()).name()->str() +
          "' wants " + by.rows + " rows");
  std::vector<uint64_t> &own = isBack ? destination : source;
  if (by.sending.empty())
    by.sending = own;
  if (by.sending != own)
    return invalidFile(
        "'" + argumentOf(isBack ? exchange.destination() : exchange.source()).name()->str() +
        "' has other rows than another exchange by the same counts");
  for (uint32_t read : {exchange.source(), exchange.send_counts(), exchange.receive_counts()})
    step.reads.push_back(valueOf(read));
  step.writes.push_back(valueOf(exchange.destination()));
  return {};
}

Status Reader::readCommand(uint32_t which, const fb::Command &command, ChunkStep &step) {
  step.stream = command.stream();
  step.action = command.action_type();
  switch (command.action_type()) {
  case fb::Action_Call: return readCall(*command.action_as_Call(), step);
  case fb::Action_Send:
    step.stage = command.action_as_Send()->stage();
    step.reads.push_back(valueOf(command.action_as_Send()->argument()));
    return readsShape(command.action_as_Send()->argument(), step);
  case fb::Action_Receive:
    step.stage = command.action_as_Receive()->stage();
    step.writes.push_back(valueOf(command.action_as_Receive()->argument()));
    return readsShape(command.action_as_Receive()->argument(), step);
  case fb::Action_ExchangeCounts: {
    const fb::ExchangeCounts &exchange = *command.action_as_ExchangeCounts();
    uint64_t bytes = uint64_t(8) * exchange.parts() * exchange.segments();
    for (uint32_t argument : {exchange.send(), exchange.receive()}) {
      if (argumentOf(argument).element() != fb::ElementType_I32 ||
          HADAL_TRY(bytesOf(*current->program, argument)) !=
              std::vector<uint64_t>(probeCount, bytes))
        return invalidFile("wants '" + argumentOf(argument).name()->str() + "' to hold " +
                           std::to_string(bytes / 4) + " counts");
    }
    step.reads.push_back(valueOf(exchange.send()));
    for (uint32_t written :
         {valueOf(exchange.receive()),
          registerOf(plan.registerNames[current->registers[exchange.rows()]]),
          registerOf(plan.registerNames[current->registers[exchange.choices()]])})
      step.writes.push_back(written);
    return {};
  }
  case fb::Action_Exchange: return readExchange(*command.action_as_Exchange(), step);
  case fb::Action_Record: step.event = command.action_as_Record()->event(); return {};
  default: step.event = command.action_as_Wait()->event(); return {};
  }
}

Status Reader::checkEvents(const ChunkProgram &program) {
  std::map<uint32_t, uint32_t> recorded; // stream by event
  for (const ChunkStep &step : program.steps)
    if (step.action == fb::Action_Record && !recorded.emplace(step.event, step.stream).second)
      return invalidFile("records event " + std::to_string(step.event) + " twice");
  for (const ChunkStep &step : program.steps)
    if (step.action == fb::Action_Wait && !recorded.count(step.event))
      return invalidFile("waits for event " + std::to_string(step.event) +
                         ", which nobody records");
  return {};
}

Status Reader::checkOutputs(uint32_t which) {
  std::set<uint32_t> written;
  for (const ChunkStep &step : out.programs[which].steps)
    written.insert(step.writes.begin(), step.writes.end());
  for (uint32_t i = 0; i < current->values.size(); ++i) {
    const fb::Argument &argument = argumentOf(i);
    if (argument.output() != (written.count(valueOf(i)) > 0))
      return invalidFile("'" + argument.name()->str() +
                         (argument.output() ? "' is an output that no command writes"
                                            : "' is written, and no output"));
  }
  return {};
}

Result<ChunkPrograms> Reader::run() {
  for (const std::string &name : plan.valueNames)
    out.values.push_back({name, false, false, fb::ElementType_F32, {}});
  std::vector<uint32_t> programs;
  for (uint32_t which = 0; which < stageProgramCount; ++which)
    if (plan.programs[which].program)
      programs.push_back(which);
  auto at = [&](const Status &status, const std::string &where = "") {
    return invalidFile("program " + current->program->name()->str() + where + " " +
                       status.error().message);
  };
  for (uint32_t which : programs) {
    current = &plan.programs[which];
    out.programs[which].name = current->program->name()->str();
    if (Status status = readArguments(which); !status)
      return at(status);
    if (Status status = readCounts(); !status)
      return at(status);
  }
  for (uint32_t which : programs) {
    current = &plan.programs[which];
    const auto &commands = *current->program->commands();
    for (uint32_t i = 0; i < commands.size(); ++i) {
      ChunkStep step;
      step.command = i;
      step.ordinal = current->ordinals[i];
      if (Status status = readCommand(which, *commands.Get(i), step); !status)
        return at(status, ", command " + std::to_string(i));
      out.programs[which].steps.push_back(std::move(step));
    }
    if (Status status = checkEvents(out.programs[which]); !status)
      return at(status);
    if (Status status = checkOutputs(which); !status)
      return at(status);
  }
  std::set<uint32_t> written;
  for (const ChunkProgram &program : out.programs)
    for (const ChunkStep &step : program.steps)
      written.insert(step.writes.begin(), step.writes.end());
  for (uint32_t value = 0; value < out.values.size(); ++value)
    out.values[value].isInput =
        !written.count(value) && (isInference || isMicroBatchInput(out.values[value].name));
  return std::move(out);
}

} // namespace

Result<ChunkPrograms> readChunkPrograms(const fb::Module &module, const fb::Stage &stage) {
  return Reader(module, stage).run();
}

Result<ChunkPrograms> readInferenceProgram(const fb::Module &module, const fb::Program &program) {
  return Reader(module, program).run();
}

} // namespace hadal::verify
