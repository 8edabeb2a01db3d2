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
    for (uint32_t program : chunkPrograms())
      if (programs.insert(program).second)
        changeProgram(program);
    std::set<uint32_t> chunks = programs;
    for (uint32_t chunk : chunks)
      changeCalls(chunk);
    changeOthers();
    if (module.inference) {
      changeShares();
      return std::move(found);
    }
    for (uint32_t rank = 0; rank < module.training->ranks->orders.size(); ++rank)
      changeOrder(rank);
    for (uint32_t stage = 0; stage < module.training->ranks->stages.size(); ++stage)
      changeAccumulators(stage);
    return std::move(found);
  }

private:
  using Commands = std::vector<std::unique_ptr<CommandT>>;

  void add(const std::string &kind, const std::string &what, std::function<void(ModuleT &)> apply,
           bool byRules = true) {
    found[kind].push_back({kind, what, std::move(apply), byRules});
  }

  std::vector<uint32_t> chunkPrograms() const {
    std::vector<uint32_t> all;
    if (module.inference)
      for (const auto &program : module.inference->programs)
        all.push_back(program->program);
    else
      for (const auto &stage : module.training->ranks->stages)
        all.insert(all.end(), {stage->forward, stage->input_grad, stage->weight_grad});
    return all;
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
    add("drop " + name, place, [=](ModuleT &m) {
      m.programs[number]->commands.erase(m.programs[number]->commands.begin() + i);
    });
    change("move " + name + " to the other stream", [](CommandT &c) { c.stream = 1 - c.stream; });
    // With the next of its stream, so that the stream's order changes.
    for (uint32_t j = i + 1; j < program.commands.size(); ++j)
      if (program.commands[j]->stream == command.stream) {
        std::string other = names.at(program.commands[j]->action.type);
        add("swap " + std::min(name, other) + " and " + std::max(name, other), place,
            [=](ModuleT &m) {
              std::swap(m.programs[number]->commands[i], m.programs[number]->commands[j]);
            });
        break;
      }
    // With the next of its kind, wherever it is.
    for (uint32_t j = i + 1; j < program.commands.size(); ++j)
      if (program.commands[j]->action.type == command.action.type) {
        add("swap with the next of its kind: " + name, place, [=](ModuleT &m) {
          std::swap(m.programs[number]->commands[i], m.programs[number]->commands[j]);
        });
        break;
      }
    uint32_t stages = module.inference ? 1 : module.training->ranks->stages.size(),
             arguments = program.arguments.size();
    switch (command.action.type) {
    case Action_Record:
      change("record another event", [](CommandT &c) { c.action.AsRecord()->event += 1; });
      break;
    case Action_Wait:
      change("wait for the event before", [](CommandT &c) { c.action.AsWait()->event -= 1; });
      change("wait for the event after", [](CommandT &c) { c.action.AsWait()->event += 1; });
      break;
    case Action_Send:
      change("send to another stage", [=](CommandT &c) {
        c.action.AsSend()->stage = (c.action.AsSend()->stage + 1) % stages;
      });
      change("send another value", [=](CommandT &c) {
        c.action.AsSend()->argument = (c.action.AsSend()->argument + 1) % arguments;
      });
      break;
    case Action_Receive:
      change("receive from another stage", [=](CommandT &c) {
        c.action.AsReceive()->stage = (c.action.AsReceive()->stage + 1) % stages;
      });
      change("receive another value", [=](CommandT &c) {
        c.action.AsReceive()->argument = (c.action.AsReceive()->argument + 1) % arguments;
      });
      break;
    case Action_ExchangeCounts:
      change("exchange counts among other parts",
             [](CommandT &c) { c.action.AsExchangeCounts()->parts *= 2; });
      change("exchange counts over another stride",
             [](CommandT &c) { c.action.AsExchangeCounts()->stride += 1; });
      change("exchange counts of other segments",
             [](CommandT &c) { c.action.AsExchangeCounts()->segments += 1; });
      change("set registers the other way around", [](CommandT &c) {
        std::swap(c.action.AsExchangeCounts()->rows, c.action.AsExchangeCounts()->choices);
      });
      change("exchange counts the other way around", [](CommandT &c) {
        std::swap(c.action.AsExchangeCounts()->send, c.action.AsExchangeCounts()->receive);
      });
      break;
    case Action_Exchange:
      change("exchange among other parts", [](CommandT &c) {
        c.action.AsExchange()->parts = c.action.AsExchange()->parts == 1 ? 2 : 1;
      });
      change("exchange over another stride",
             [](CommandT &c) { c.action.AsExchange()->stride += 1; });
      change("exchange other segments", [](CommandT &c) { c.action.AsExchange()->segments += 1; });
      change("exchange rows of half the size",
             [](CommandT &c) { c.action.AsExchange()->row_bytes /= 2; });
      change("exchange by the counts the other way around", [](CommandT &c) {
        std::swap(c.action.AsExchange()->send_counts, c.action.AsExchange()->receive_counts);
      });
      change("exchange the other way around", [](CommandT &c) {
        std::swap(c.action.AsExchange()->source, c.action.AsExchange()->destination);
      });
      change("exchange another value", [=](CommandT &c) {
        c.action.AsExchange()->source = (c.action.AsExchange()->source + 1) % arguments;
      });
      change("exchange into another value", [=](CommandT &c) {
        c.action.AsExchange()->destination = (c.action.AsExchange()->destination + 1) % arguments;
      });
      break;
    default: break;
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

  static void shrinkInStages(ModuleT &m, uint32_t number, const std::string &name) {
    for (const auto &stage : m.training->ranks->stages)
      if (stage->forward == number || stage->input_grad == number || stage->weight_grad == number)
        for (uint32_t p : {stage->forward, stage->input_grad, stage->weight_grad})
          for (auto &argument : m.programs[p]->arguments)
            if (argument->name == name)
              shrink(*argument, *m.programs[p]);
  }

  void changeArgument(uint32_t number, uint32_t i) {
    const ProgramT &program = *module.programs[number];
    std::string name = program.arguments[i]->name, place = program.name + ", argument " + name;
    if (!program.arguments[i]->shape.empty()) {
      add("shrink a buffer", place,
          [=](ModuleT &m) { shrink(*m.programs[number]->arguments[i], *m.programs[number]); });
      if (!module.inference)
        add("shrink a buffer in all programs of its stage", place,
            [=](ModuleT &m) { shrinkInStages(m, number, name); });
    }
    add("another element type", place, [=](ModuleT &m) {
      m.programs[number]->arguments[i]->element =
          m.programs[number]->arguments[i]->element == ElementType_F64 ? ElementType_F32
                                                                       : ElementType_F64;
    });
    add("an output that is none, or the other way around", place, [=](ModuleT &m) {
      m.programs[number]->arguments[i]->output = !m.programs[number]->arguments[i]->output;
    });
    add(
        "rename a value", place, [=](ModuleT &m) { m.programs[number]->arguments[i]->name += "'"; },
        !module.inference); // whose driver asks for names
  }

  void changeOrder(uint32_t rank) {
    const auto &chunks = module.training->ranks->orders[rank]->chunks;
    for (uint32_t i = 0; i < chunks.size(); ++i) {
      std::string place = "order of rank " + std::to_string(rank) + ", item " + std::to_string(i);
      auto change = [&](const std::string &kind,
                        std::function<void(std::vector<std::unique_ptr<ChunkT>> &)> how) {
        add(kind, place, [=](ModuleT &m) { how(m.training->ranks->orders[rank]->chunks); });
      };
      change("drop a chunk", [=](auto &c) { c.erase(c.begin() + i); });
      change("double a chunk",
             [=](auto &c) { c.insert(c.begin() + i, std::make_unique<ChunkT>(*c[i])); });
      change("another micro-batch", [=](auto &c) { c[i]->micro_batch ^= 1; });
      change("another direction", [=](auto &c) { c[i]->direction ^= 1; });
      change("another kind of chunk",
             [=](auto &c) { c[i]->kind = ChunkKind((int(c[i]->kind) + 1) % 4); });
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
      if (accumulators[i]->trainable < 0) {
        add("drop a sum of loads or losses",
            "stage " + std::to_string(stage) + ", accumulator " + accumulators[i]->state,
            [=](ModuleT &m) {
              auto &a = m.training->ranks->stages[stage]->accumulators;
              a.erase(a.begin() + i);
            });
        continue;
      }
      for (uint32_t j = i + 1; j < accumulators.size(); ++j)
        if (accumulators[j]->trainable >= 0)
          add("exchange the parameters of two sums",
              "stage " + std::to_string(stage) + ", accumulators " + accumulators[i]->state +
                  " and " + accumulators[j]->state,
              [=](ModuleT &m) {
                auto &a = m.training->ranks->stages[stage]->accumulators;
                std::swap(a[i]->trainable, a[j]->trainable);
              });
      std::string place =
          "stage " + std::to_string(stage) + ", accumulator " + accumulators[i]->state;
      auto change = [&](const std::string &kind,
                        std::function<void(std::vector<std::unique_ptr<AccumulatorT>> &)> how) {
        add(kind, place, [=](ModuleT &m) { how(m.training->ranks->stages[stage]->accumulators); });
      };
      change("drop an accumulator", [=](auto &a) { a.erase(a.begin() + i); });
      change("double an accumulator",
             [=](auto &a) { a.push_back(std::make_unique<AccumulatorT>(*a[i])); });
      change("another use of a parameter", [=](auto &a) { a[i]->use += 1; });
      if (accumulators[i]->segment_owners.size() > 1)
        add(
            "exchange the owners of two segments", place,
            [=](ModuleT &m) {
              auto &owners = m.training->ranks->stages[stage]->accumulators[i]->segment_owners;
              std::swap(owners[0], owners[1]);
            },
            false);
      change("another parameter's accumulator",
             [=](auto &a) { a[i]->trainable = a[i]->trainable ? a[i]->trainable - 1 : 1; });
      add("add to a sum in another kind of chunk", place,
          [=](ModuleT &m) { addElsewhere(m, stage, i); });
    }
  }

  /// What the weight gradient's chunk adds to a sum, that of the input gradient adds, too.
  static void addElsewhere(ModuleT &m, uint32_t stage, uint32_t accumulator) {
    const StageT &of = *m.training->ranks->stages[stage];
    ProgramT &from = *m.programs[of.weight_grad], &to = *m.programs[of.input_grad];
    auto addsToIt = [&](const std::unique_ptr<BindingT> &b) {
      return b->space == Space_State &&
             m.states[b->index]->name == of.accumulators[accumulator]->state;
    };
    auto numberIn = [](const auto &all, auto isIt) {
      return uint32_t(std::find_if(all.begin(), all.end(), isIt) - all.begin());
    };
    auto launches = [&](const std::unique_ptr<CommandT> &command) {
      const LaunchT *launch = command->action.AsLaunch();
      return launch && std::any_of(launch->bindings.begin(), launch->bindings.end(), addsToIt);
    };
    for (const auto &command : from.commands) {
      const CallT *call = command->action.AsCall();
      if (!call)
        continue;
      const auto &inside = m.programs[call->program]->commands;
      if (std::none_of(call->arguments.begin(), call->arguments.end(), addsToIt) &&
          std::none_of(inside.begin(), inside.end(), launches))
        continue;
      auto copy = std::make_unique<CommandT>(*command);
      CallT &added = *copy->action.AsCall();
      for (const auto &binding : added.arguments)
        if (binding->space == Space_Argument)
          binding->index = numberIn(to.arguments, [&](const auto &a) {
            return a->name == from.arguments[binding->index]->name;
          });
      for (const auto &e : added.registers) // each a register of the chunk
        e->code[1] = numberIn(to.registers, [&](const std::string &name) {
          return name == from.registers[e->code[1]];
        });
      to.commands.push_back(std::move(copy));
      return;
    }
  }

  /// What a chunk's calls pass, and what the called programs do.
  void changeCalls(uint32_t chunk) {
    const ProgramT &program = *module.programs[chunk];
    for (uint32_t c = 0; c < program.commands.size(); ++c) {
      const CallT *call = program.commands[c]->action.AsCall();
      if (!call)
        continue;
      std::string place = program.name + ", command " + std::to_string(c);
      auto change = [&](const std::string &kind, std::function<void(CallT &)> how) {
        add(
            kind, place, [=](ModuleT &m) { how(*m.programs[chunk]->commands[c]->action.AsCall()); },
            false);
      };
      for (uint32_t i = 0; i < call->arguments.size(); ++i)
        for (uint32_t j = i + 1; j < call->arguments.size(); ++j)
          if (isAlike(*module.programs[call->program]->arguments[i],
                      *module.programs[call->program]->arguments[j]) &&
              call->arguments[i]->index != call->arguments[j]->index)
            change("swap arguments of a call",
                   [=](CallT &of) { std::swap(of.arguments[i], of.arguments[j]); });
      for (uint32_t i = 0; i + 1 < call->registers.size(); ++i)
        change("swap registers of a call",
               [=](CallT &of) { std::swap(of.registers[i], of.registers[i + 1]); });
      for (uint32_t other = 0; other < module.programs.size(); ++other)
        if (other != call->program && !programs.count(other) &&
            fits(*call, *module.programs[other]))
          change("call another program", [=](CallT &of) { of.program = other; });
      if (programs.insert(call->program).second)
        changeCalled(call->program);
    }
  }

  /// What no chunk calls: the optimizer's programs, those that pack parameters ...
  void changeOthers() {
    for (uint32_t number = 0; number < module.programs.size(); ++number)
      for (uint32_t i = 0; !programs.count(number) && i < module.programs[number]->commands.size();
           ++i) {
        auto drop = [=](ModuleT &m) {
          m.programs[number]->commands.erase(m.programs[number]->commands.begin() + i);
        };
        found["drop a command of another program"].push_back(
            {"drop a command of another program",
             module.programs[number]->name + ", command " + std::to_string(i), drop, false, false});
      }
  }

  static bool isAlike(const ArgumentT &a, const ArgumentT &b) {
    return a.element == b.element && a.output == b.output &&
           std::equal(a.shape.begin(), a.shape.end(), b.shape.begin(), b.shape.end(),
                      [](const auto &x, const auto &y) { return x->code == y->code; });
  }

  bool fits(const CallT &call, const ProgramT &other) const {
    const ProgramT &callee = *module.programs[call.program];
    return callee.registers.size() == other.registers.size() &&
           std::equal(callee.arguments.begin(), callee.arguments.end(), other.arguments.begin(),
                      other.arguments.end(),
                      [](const auto &a, const auto &b) { return isAlike(*a, *b); });
  }

  void changeCalled(uint32_t number) {
    const ProgramT &program = *module.programs[number];
    for (uint32_t i = 0; i < program.temporaries.size(); ++i) {
      std::string place = program.name + ", temporary " + std::to_string(i);
      add(
          "shrink a temporary", place,
          [=](ModuleT &m) {
            auto &code = m.programs[number]->temporaries[i]->bytes->code;
            code.insert(code.end(), {0, 2, 4, 0}); // half
          },
          false);
      for (uint32_t j = i + 1; j < program.temporaries.size(); ++j)
        if (program.temporaries[i]->slot != program.temporaries[j]->slot)
          add(
              "let two temporaries share a slot", place + " and " + std::to_string(j),
              [=](ModuleT &m) {
                m.programs[number]->temporaries[i]->slot = m.programs[number]->temporaries[j]->slot;
              },
              false);
    }
    for (uint32_t i = 0; i < program.commands.size(); ++i)
      changeInside(number, i);
  }

  void changeInside(uint32_t number, uint32_t i) {
    const ProgramT &program = *module.programs[number];
    std::string place = program.name + ", command " + std::to_string(i);
    bool isCopy = program.commands[i]->action.type == Action_Copy;
    add(
        isCopy ? "drop a copy" : "drop a launch", place,
        [=](ModuleT &m) {
          m.programs[number]->commands.erase(m.programs[number]->commands.begin() + i);
        },
        false);
    if (i + 1 < program.commands.size())
      add(
          "swap commands of a called program", place,
          [=](ModuleT &m) {
            std::swap(m.programs[number]->commands[i], m.programs[number]->commands[i + 1]);
          },
          false);
    const LaunchT *launch = program.commands[i]->action.AsLaunch();
    if (!launch)
      return;
    auto change = [&](const std::string &kind, std::function<void(LaunchT &)> how) {
      add(
          kind, place,
          [=](ModuleT &m) { how(*m.programs[number]->commands[i]->action.AsLaunch()); }, false);
    };
    for (uint32_t other = 0; other < module.kernels.size(); ++other)
      if (other != launch->kernel && module.kernels[other]->bindings == launch->bindings.size() &&
          module.kernels[other]->scalars == launch->scalars.size())
        change("launch another kernel", [=](LaunchT &of) { of.kernel = other; });
    change("fewer tasks", [](LaunchT &of) {
      of.tasks->code.insert(of.tasks->code.end(), {0, 2, 4, 0});
    });
    for (uint32_t k = 0; k + 1 < launch->scalars.size(); ++k)
      if (launch->scalars[k]->code != launch->scalars[k + 1]->code)
        change("swap scalars of a launch",
               [=](LaunchT &of) { std::swap(of.scalars[k], of.scalars[k + 1]); });
    for (uint32_t k = 0; k < launch->bindings.size(); ++k) {
      uint32_t temporaries = program.temporaries.size();
      if (k + 1 < launch->bindings.size())
        change("swap what a launch binds",
               [=](LaunchT &of) { std::swap(of.bindings[k], of.bindings[k + 1]); });
      if (launch->bindings[k]->space == Space_Temporary && temporaries > 1)
        change("bind another temporary", [=](LaunchT &of) {
          of.bindings[k]->index = (of.bindings[k]->index + 1) % temporaries;
        });
      if (launch->bindings[k]->space == Space_State && module.states.size() > 1)
        change("bind another state", [=, states = uint32_t(module.states.size())](LaunchT &of) {
          of.bindings[k]->index = (of.bindings[k]->index + 1) % states;
        });
      change("bind from another byte", [=](LaunchT &of) {
        of.bindings[k]->offset->code = {0, 64};
      });
    }
  }

  /// Which parameters ranks share, and what programs hand out.
  void changeShares() {
    for (uint32_t i = 0; i < module.inference->sharded.size(); ++i)
      add("give every rank the same experts", module.parameters[module.inference->sharded[i]]->name,
          [=](ModuleT &m) { m.inference->sharded.erase(m.inference->sharded.begin() + i); });
    for (uint32_t i = 0; i < module.parameters.size(); ++i)
      if (module.parameters[i]->count > 1)
        add("another number of experts", module.parameters[i]->name,
            [=](ModuleT &m) { m.parameters[i]->count -= 1; });
  }

  const ModuleT &module;
  std::set<uint32_t> programs; ///< seen
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
    if (!opened.ok() || !verifyRanks(*opened).ok() ||
        (!mutation.byRules && !verifyPrograms(*opened, true).ok())) {
      ++caught, ++report.caught;
      continue;
    }
    std::string line = mutation.kind + " (" + mutation.what + ")";
    std::optional<uint64_t> now = digest(opened->tables());
    if (mutation.isExcusable && now && original && *now == *original)
      report.equivalent.push_back(
          line + ": every sum and result is made from the same values in the same order");
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
    if (!opened.ok() || verifyModule(*opened).ok())
      continue;
    changed.Finish(objects::Module::Pack(changed, mutant.get()));
    return writeModule(path,
                       std::as_bytes(std::span(changed.GetBufferPointer(), changed.GetSize())));
  }
  return notFound("no mutant of kind '" + kind + "' is caught");
}
