#include "test/schedule/Mutants.h"

#include "runtime/module/Verify.h"

#include <algorithm>
#include <random>
#include <set>

using namespace hadal;
using namespace hadal::fake;
using namespace hadal::objects;

namespace {

/// Collects changes, places first: each place is where a kind of change can be made.
class Collector {
public:
  explicit Collector(const ModuleT &module) : module(module) {}

  std::map<std::string, std::vector<Mutation>> all() {
    std::set<uint32_t> programs;
    for (const auto &stage : module.training->ranks->stages)
      for (uint32_t program : {stage->forward, stage->input_grad, stage->weight_grad})
        if (programs.insert(program).second)
          changeProgram(program);
    for (uint32_t rank = 0; rank < module.training->ranks->orders.size(); ++rank)
      changeOrder(rank);
    for (uint32_t stage = 0; stage < module.training->ranks->stages.size(); ++stage)
      changeAccumulators(stage);
    return std::move(found);
  }

private:
  using Commands = std::vector<std::unique_ptr<CommandT>>;

  void add(const std::string &kind, const std::string &what, std::function<void(ModuleT &)> apply) {
    found[kind].push_back({kind, what, std::move(apply)});
  }

  void changeProgram(uint32_t number) {
    const ProgramT &program = *module.programs[number];
    for (uint32_t i = 0; i < program.commands.size(); ++i)
      changeCommand(number, i);
    for (uint32_t i = 0; i < program.arguments.size(); ++i)
      changeArgument(number, i);
  }

  void changeCommand(uint32_t number, uint32_t i) {
    const ProgramT &program = *module.programs[number];
    const CommandT &command = *program.commands[i];
    std::string place = program.name + ", command " + std::to_string(i);
    auto change = [&](const std::string &kind, std::function<void(CommandT &)> how) {
      add(kind, place, [=](ModuleT &m) { how(*m.programs[number]->commands[i]); });
    };
    static const std::map<Action, std::string> names = {
        {Action_Call, "a call"},         {Action_Record, "a record"},
        {Action_Wait, "a wait"},         {Action_Send, "a send"},
        {Action_Receive, "a receive"},   {Action_ExchangeCounts, "an exchange of counts"},
        {Action_Exchange, "an exchange"}};
    std::string name = names.at(command.action.type);
    add("drop " + name, place,
        [=](ModuleT &m) { m.programs[number]->commands.erase(m.programs[number]->commands.begin() + i); });
    change("move " + name + " to the other stream", [](CommandT &c) { c.stream = 1 - c.stream; });
    // With the next of its stream, so that the stream's order changes.
    for (uint32_t j = i + 1; j < program.commands.size(); ++j)
      if (program.commands[j]->stream == command.stream) {
        std::string other = names.at(program.commands[j]->action.type);
        add("swap " + std::min(name, other) + " and " + std::max(name, other), place,
            [=](ModuleT &m) { std::swap(m.programs[number]->commands[i], m.programs[number]->commands[j]); });
        break;
      }
    // With the next of its kind, wherever it is.
    for (uint32_t j = i + 1; j < program.commands.size(); ++j)
      if (program.commands[j]->action.type == command.action.type) {
        add("swap with the next of its kind: " + name, place,
            [=](ModuleT &m) { std::swap(m.programs[number]->commands[i], m.programs[number]->commands[j]); });
        break;
      }
    uint32_t stages = module.training->ranks->stages.size(), arguments = program.arguments.size();
    switch (command.action.type) {
    case Action_Record:
      change("record another event", [](CommandT &c) { c.action.AsRecord()->event += 1; });
      break;
    case Action_Wait:
      change("wait for the event before", [](CommandT &c) { c.action.AsWait()->event -= 1; });
      change("wait for the event behind", [](CommandT &c) { c.action.AsWait()->event += 1; });
      break;
    case Action_Send:
      change("send to another stage",
             [=](CommandT &c) { c.action.AsSend()->stage = (c.action.AsSend()->stage + 1) % stages; });
      change("send another value",
             [=](CommandT &c) { c.action.AsSend()->argument = (c.action.AsSend()->argument + 1) % arguments; });
      break;
    case Action_Receive:
      change("receive from another stage",
             [=](CommandT &c) { c.action.AsReceive()->stage = (c.action.AsReceive()->stage + 1) % stages; });
      change("receive another value",
             [=](CommandT &c) { c.action.AsReceive()->argument = (c.action.AsReceive()->argument + 1) % arguments; });
      break;
    case Action_ExchangeCounts:
      change("exchange counts among other parts", [](CommandT &c) { c.action.AsExchangeCounts()->parts *= 2; });
      change("exchange counts over another stride", [](CommandT &c) { c.action.AsExchangeCounts()->stride += 1; });
      change("exchange counts of other segments", [](CommandT &c) { c.action.AsExchangeCounts()->segments += 1; });
      change("set registers the other way around",
             [](CommandT &c) { std::swap(c.action.AsExchangeCounts()->rows, c.action.AsExchangeCounts()->choices); });
      change("exchange counts the other way around",
             [](CommandT &c) { std::swap(c.action.AsExchangeCounts()->send, c.action.AsExchangeCounts()->receive); });
      break;
    case Action_Exchange:
      change("exchange among other parts",
             [](CommandT &c) { c.action.AsExchange()->parts = c.action.AsExchange()->parts == 1 ? 2 : 1; });
      change("exchange over another stride", [](CommandT &c) { c.action.AsExchange()->stride += 1; });
      change("exchange other segments", [](CommandT &c) { c.action.AsExchange()->segments += 1; });
      change("exchange rows of half the size", [](CommandT &c) { c.action.AsExchange()->row_bytes /= 2; });
      change("exchange by the counts the other way around",
             [](CommandT &c) { std::swap(c.action.AsExchange()->send_counts, c.action.AsExchange()->receive_counts); });
      change("exchange the other way around",
             [](CommandT &c) { std::swap(c.action.AsExchange()->source, c.action.AsExchange()->destination); });
      change("exchange another value",
             [=](CommandT &c) { c.action.AsExchange()->source = (c.action.AsExchange()->source + 1) % arguments; });
      change("exchange into another value", [=](CommandT &c) {
        c.action.AsExchange()->destination = (c.action.AsExchange()->destination + 1) % arguments;
      });
      break;
    default:
      break;
    }
  }

  /// The last size of a shape smaller by one, or a whole shape.
  static void shrink(ArgumentT &argument, ProgramT &program) {
    (void)program;
    ExprT &size = *argument.shape.back();
    if (size.code.size() == 2 && size.code[0] == 0)
      size.code[1] = std::max<int64_t>(size.code[1] - 1, 0);
    else
      size.code.insert(size.code.end(), {0, 2, 4, 0}); // half
  }

  void changeArgument(uint32_t number, uint32_t i) {
    const ProgramT &program = *module.programs[number];
    std::string name = program.arguments[i]->name, place = program.name + ", argument " + name;
    if (!program.arguments[i]->shape.empty()) {
      add("shrink a buffer", place,
          [=](ModuleT &m) { shrink(*m.programs[number]->arguments[i], *m.programs[number]); });
      add("shrink a buffer in all programs of its stage", place, [=](ModuleT &m) {
        for (const auto &stage : m.training->ranks->stages)
          if (stage->forward == number || stage->input_grad == number || stage->weight_grad == number)
            for (uint32_t p : {stage->forward, stage->input_grad, stage->weight_grad})
              for (auto &argument : m.programs[p]->arguments)
                if (argument->name == name)
                  shrink(*argument, *m.programs[p]);
      });
    }
    add("another element type", place, [=](ModuleT &m) {
      m.programs[number]->arguments[i]->element =
          m.programs[number]->arguments[i]->element == ElementType_F64 ? ElementType_F32 : ElementType_F64;
    });
    add("an output that is none, or the other way around", place,
        [=](ModuleT &m) { m.programs[number]->arguments[i]->output = !m.programs[number]->arguments[i]->output; });
    add("rename a value", place, [=](ModuleT &m) { m.programs[number]->arguments[i]->name += "'"; });
  }

  void changeOrder(uint32_t rank) {
    const auto &chunks = module.training->ranks->orders[rank]->chunks;
    for (uint32_t i = 0; i < chunks.size(); ++i) {
      std::string place = "order of rank " + std::to_string(rank) + ", item " + std::to_string(i);
      auto change = [&](const std::string &kind, std::function<void(std::vector<std::unique_ptr<ChunkT>> &)> how) {
        add(kind, place, [=](ModuleT &m) { how(m.training->ranks->orders[rank]->chunks); });
      };
      change("drop a chunk", [=](auto &c) { c.erase(c.begin() + i); });
      change("double a chunk", [=](auto &c) { c.insert(c.begin() + i, std::make_unique<ChunkT>(*c[i])); });
      change("another micro-batch", [=](auto &c) { c[i]->micro_batch ^= 1; });
      change("another direction", [=](auto &c) { c[i]->direction ^= 1; });
      change("another kind of chunk", [=](auto &c) { c[i]->kind = ChunkKind((int(c[i]->kind) + 1) % 4); });
      change("pair or part chunks", [=](auto &c) { c[i]->paired = !c[i]->paired; });
      if (i + 1 < chunks.size())
        change("swap chunks", [=](auto &c) { std::swap(c[i], c[i + 1]); });
      if (i + 5 < chunks.size())
        change("swap distant chunks", [=](auto &c) { std::swap(c[i], c[i + 5]); });
    }
  }

  void changeAccumulators(uint32_t stage) {
    const auto &accumulators = module.training->ranks->stages[stage]->accumulators;
    for (uint32_t i = 0; i < accumulators.size(); ++i) {
      if (accumulators[i]->trainable < 0)
        continue;
      std::string place = "stage " + std::to_string(stage) + ", accumulator " + accumulators[i]->state;
      auto change = [&](const std::string &kind,
                        std::function<void(std::vector<std::unique_ptr<AccumulatorT>> &)> how) {
        add(kind, place, [=](ModuleT &m) { how(m.training->ranks->stages[stage]->accumulators); });
      };
      change("drop an accumulator", [=](auto &a) { a.erase(a.begin() + i); });
      change("double an accumulator", [=](auto &a) { a.push_back(std::make_unique<AccumulatorT>(*a[i])); });
      change("another use of a parameter", [=](auto &a) { a[i]->use += 1; });
      change("another parameter's accumulator",
             [=](auto &a) { a[i]->trainable = a[i]->trainable ? a[i]->trainable - 1 : 1; });
      add("add to a sum in another kind of chunk", place, [=](ModuleT &m) { addElsewhere(m, stage, i); });
    }
  }

  /// What the weight gradient's chunk adds to a sum, that of the input gradient adds, too.
  static void addElsewhere(ModuleT &m, uint32_t stage, uint32_t accumulator) {
    const StageT &of = *m.training->ranks->stages[stage];
    ProgramT &from = *m.programs[of.weight_grad], &to = *m.programs[of.input_grad];
    auto addsToIt = [&](const std::unique_ptr<BindingT> &b) {
      return b->space == Space_State && m.states[b->index]->name == of.accumulators[accumulator]->state;
    };
    auto numberIn = [](const auto &all, auto isIt) { return uint32_t(std::find_if(all.begin(), all.end(), isIt) - all.begin()); };
    for (const auto &command : from.commands) {
      const CallT *call = command->action.AsCall();
      if (!call || std::none_of(call->arguments.begin(), call->arguments.end(), addsToIt))
        continue;
      auto copy = std::make_unique<CommandT>(*command);
      CallT &added = *copy->action.AsCall();
      for (const auto &binding : added.arguments)
        if (binding->space == Space_Argument)
          binding->index = numberIn(to.arguments, [&](const auto &a) { return a->name == from.arguments[binding->index]->name; });
      for (const auto &e : added.registers) // each a register of the chunk
        e->code[1] = numberIn(to.registers, [&](const std::string &name) { return name == from.registers[e->code[1]]; });
      to.commands.push_back(std::move(copy));
      return;
    }
  }

  const ModuleT &module;
  std::map<std::string, std::vector<Mutation>> found;
};

} // namespace

std::vector<Mutation> fake::mutationsOf(const ModuleT &module, size_t perKind, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::vector<Mutation> chosen;
  for (auto &[kind, all] : Collector(module).all()) {
    std::shuffle(all.begin(), all.end(), random);
    all.resize(std::min(all.size(), perKind));
    chosen.insert(chosen.end(), all.begin(), all.end());
  }
  return chosen;
}

MutantReport fake::tryMutants(const ModuleT &module, size_t perKind, uint64_t seed) {
  MutantReport report;
  flatbuffers::FlatBufferBuilder builder;
  builder.Finish(objects::Module::Pack(builder, &module));
  std::optional<uint64_t> original = digest(*fb::GetModule(builder.GetBufferPointer()));
  for (const Mutation &mutation : mutationsOf(module, perKind, seed)) {
    std::unique_ptr<ModuleT> mutant(objects::GetModule(builder.GetBufferPointer())->UnPack());
    mutation.apply(*mutant);
    Result<hadal::Module> opened = open(*mutant, "mutant");
    auto &[made, caught] = report.kinds[mutation.kind];
    ++made;
    if (!opened.ok() || !verifyRanks(*opened).ok()) {
      ++caught, ++report.caught;
      continue;
    }
    std::string line = mutation.kind + " (" + mutation.what + ")";
    std::optional<uint64_t> now = digest(opened->tables());
    if (now && original && *now == *original)
      report.equivalent.push_back(line + ": every gradient is summed from the same values in the same order");
    else
      report.survived.push_back(line);
  }
  return report;
}

Status fake::writeMutant(const ModuleT &module, const std::string &kind, const std::string &path) {
  for (const Mutation &mutation : mutationsOf(module, 100, 1)) {
    if (mutation.kind != kind)
      continue;
    flatbuffers::FlatBufferBuilder builder, changed;
    builder.Finish(objects::Module::Pack(builder, &module));
    std::unique_ptr<ModuleT> mutant(objects::GetModule(builder.GetBufferPointer())->UnPack());
    mutation.apply(*mutant);
    Result<hadal::Module> opened = open(*mutant, "mutant");
    if (!opened.ok() || verifyRanks(*opened).ok())
      continue;
    changed.Finish(objects::Module::Pack(changed, mutant.get()));
    return writeModule(path, std::as_bytes(std::span(changed.GetBufferPointer(), changed.GetSize())));
  }
  return notFound("no mutant of kind '" + kind + "' is caught");
}
