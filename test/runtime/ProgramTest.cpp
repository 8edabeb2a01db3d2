//===- ProgramTest.cpp - tables that are wrong, what runs of right ones -===//
//
// Modules as objects: the fake model's, with programs of copies and calls beside its own, each test
// with one thing changed.
//
//===--------------------------------------------------------------------===//

#include "runtime/Executor.h"
#include "runtime/Trace.h"
#include "runtime/TraceEvents.h"
#include "runtime/device/CpuDevice.h"
#include "test/schedule/FakeRanks.h"
#include "test/tools/FakeModel.h"
#include "test/training/FakeTraining.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <cstdlib>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <tuple>
#include <unistd.h>

using namespace hadal;
using namespace hadal::objects;

namespace {

using ExprCode = std::vector<int64_t>;

std::unique_ptr<ExprT> expr(ExprCode code) {
  auto made = std::make_unique<ExprT>();
  made->code = std::move(code);
  return made;
}
std::unique_ptr<ExprT> number(int64_t value) { return expr({0, value}); }

std::unique_ptr<BindingT> bind(Space space, uint32_t index, int64_t offset = 0,
                               int64_t element = 0) {
  auto made = std::make_unique<BindingT>();
  made->space = space;
  made->index = index;
  made->element = number(element);
  made->offset = number(offset);
  return made;
}

template <typename T> std::unique_ptr<CommandT> command(std::unique_ptr<T> action) {
  auto made = std::make_unique<CommandT>();
  made->action.Set(std::move(*action));
  return made;
}

std::unique_ptr<CommandT> copyTo(std::unique_ptr<BindingT> to, std::unique_ptr<BindingT> from,
                                 int64_t bytes) {
  auto made = std::make_unique<CopyT>();
  made->destination = std::move(to);
  made->source = std::move(from);
  made->bytes = number(bytes);
  return command(std::move(made));
}

/// A program whose arguments are F32 vectors: inputs, then outputs.
std::unique_ptr<ProgramT> program(const std::string &name, std::vector<int64_t> inputs,
                                  std::vector<int64_t> outputs) {
  auto made = std::make_unique<ProgramT>();
  made->name = name;
  for (bool isOutput : {false, true})
    for (int64_t size : isOutput ? outputs : inputs) {
      auto argument = std::make_unique<ArgumentT>();
      argument->name = (isOutput ? "out" : "in") +
                       std::to_string(made->arguments.size() - (isOutput ? inputs.size() : 0));
      argument->element = ElementType_F32;
      argument->shape.push_back(number(size));
      argument->output = isOutput;
      made->arguments.push_back(std::move(argument));
    }
  return made;
}

void addTemporary(ProgramT &program, int64_t bytes, uint32_t slot) {
  auto temporary = std::make_unique<TemporaryT>();
  temporary->bytes = number(bytes);
  temporary->slot = slot;
  program.temporaries.push_back(std::move(temporary));
  program.slot_count = std::max(program.slot_count, slot + 1);
}

std::unique_ptr<CommandT> call(uint32_t program, std::vector<std::unique_ptr<BindingT>> arguments) {
  auto made = std::make_unique<CallT>();
  made->program = program;
  made->arguments = std::move(arguments);
  return command(std::move(made));
}

template <typename... Bindings> std::vector<std::unique_ptr<BindingT>> list(Bindings... bindings) {
  std::vector<std::unique_ptr<BindingT>> all;
  (all.push_back(std::move(bindings)), ...);
  return all;
}

std::unique_ptr<ModuleT> fakeModule() {
  return std::unique_ptr<ModuleT>(GetModule(fake::modulePayload().data())->UnPack());
}

uint32_t add(ModuleT &module, std::unique_ptr<ProgramT> program) {
  module.programs.push_back(std::move(program));
  return uint32_t(module.programs.size() - 1);
}

/// What is said of the fake model's module with a change.
std::string refusal(const std::function<void(ModuleT &)> &change) {
  auto module = fakeModule();
  change(*module);
  auto opened = fake::open(*module, "m");
  return opened.ok() ? "" : opened.error().message;
}

/// Runs one program of a module on inputs.
class Runner {
public:
  explicit Runner(std::unique_ptr<ModuleT> made) {
    auto opened = fake::open(*made, "m");
    EXPECT_TRUE(opened.ok()) << opened.error().message;
    if (!opened.ok())
      std::abort(); // nothing below makes sense
    module.emplace(std::move(*opened));
    std::string path =
        testing::TempDir() + "hadal-module-" + std::to_string(getpid()) + ".safetensors";
    std::vector<float> scale = {1};
    NamedTensor named{"scale", TensorView::of(scale)};
    EXPECT_TRUE(writeSafetensors(path, {&named, 1}).ok());
    weights = std::move(*WeightStore::load(*module, device, std::move(*Checkpoint::open(path))));
    std::filesystem::remove(path);
    executor = std::move(*Executor::create(*module, device, weights));
    EXPECT_TRUE(executor->setStateRegister("cache_slots", 4).ok());
  }

  /// Output "out0" of the program, or its error.
  Result<std::vector<float>> of(const std::string &name, std::vector<std::vector<float>> inputs) {
    run.emplace(HADAL_TRY(executor->prepare(name)));
    for (size_t i = 0; i < inputs.size(); ++i)
      HADAL_TRY(run->bind("in" + std::to_string(i), TensorView::of(inputs[i])));
    HADAL_TRY(run->execute());
    TensorView view = HADAL_TRY(run->output("out0"));
    auto *data = static_cast<const float *>(view.data);
    return std::vector<float>(data, data + *elementCount(view.shape));
  }
  std::string errorOf(const std::string &name, std::vector<std::vector<float>> inputs) {
    auto result = of(name, std::move(inputs));
    return result.ok() ? "" : result.error().message;
  }

  std::optional<hadal::Module> module;
  CpuDevice device{1};
  WeightStore weights;
  std::unique_ptr<Executor> executor;
  std::optional<ProgramRun> run;
};

std::unique_ptr<ModuleT> with(std::unique_ptr<ProgramT> program) {
  auto module = fakeModule();
  add(*module, std::move(program));
  return module;
}

constexpr auto anArgument = Space_Argument, aTemporary = Space_Temporary;

} // namespace

//===----------------------------------------------------------------------===//
// Tables
//===----------------------------------------------------------------------===//

// Programs that call each other in a ring, or themselves, would run for ever.
TEST(Tables, CallsInARing) {
  EXPECT_EQ(refusal([](ModuleT &) {}), "");
  EXPECT_EQ(refusal([](ModuleT &m) {
              uint32_t inner = add(m, program("inner", {}, {}));
              m.programs[add(m, program("outer", {}, {}))]->commands.push_back(call(inner, {}));
            }),
            "");
  EXPECT_NE(refusal([](ModuleT &m) {
              uint32_t self = add(m, program("self", {}, {}));
              m.programs[self]->commands.push_back(call(self, {}));
            }).find("program self calls itself"),
            std::string::npos);
  EXPECT_NE(refusal([](ModuleT &m) {
              uint32_t first = add(m, program("first", {}, {})),
                       second = add(m, program("second", {}, {}));
              m.programs[first]->commands.push_back(call(second, {}));
              m.programs[second]->commands.push_back(call(first, {}));
            }).find("calls itself"),
            std::string::npos);
}

TEST(Tables, Nesting) {
  auto nested = [](int depth) {
    return [depth](ModuleT &m) {
      auto one = program("deep", {}, {});
      std::vector<std::unique_ptr<CommandT>> body;
      for (int i = 0; i < depth; ++i) {
        auto skip = std::make_unique<SkipIfZeroT>();
        skip->value = number(1);
        skip->body = std::move(body);
        body.clear();
        body.push_back(command(std::move(skip)));
      }
      one->commands = std::move(body);
      add(m, std::move(one));
    };
  };
  EXPECT_EQ(refusal(nested(8)), "");
  EXPECT_NE(refusal(nested(9)).find("nests deeper than 8"), std::string::npos);
}

// Numbers that lead out of a table; each first as it may be.
TEST(Tables, Numbers) {
  auto firstLaunch = [](ModuleT &m) -> LaunchT & {
    return *m.programs[1]->commands[0]->action.AsLaunch();
  };
  auto expectSaid = [](const std::string &said, const std::function<void(ModuleT &)> &change) {
    EXPECT_NE(refusal(change).find(said), std::string::npos) << said << ": " << refusal(change);
  };
  expectSaid("launch of fake_append wants 3 buffers",
             [&](ModuleT &m) { firstLaunch(m).bindings.pop_back(); });
  expectSaid("launch names kernel",
             [&](ModuleT &m) { firstLaunch(m).kernel = uint32_t(m.kernels.size()); });
  for (Space space : {Space_Parameter, Space_Weight, Space_State, Space_Argument, Space_Temporary,
                      Space_Constant})
    expectSaid("a binding names buffer", [&](ModuleT &m) {
      size_t sizes[] = {m.parameters.size(),
                        m.weights.size(),
                        m.states.size(),
                        m.programs[1]->arguments.size(),
                        0,
                        m.constants.size()};
      firstLaunch(m).bindings[0] = bind(space, uint32_t(sizes[space]));
    });
  expectSaid("call does not fit", [](ModuleT &m) {
    uint32_t inner = add(m, program("inner", {1}, {}));
    auto outer = program("outer", {1}, {});
    outer->commands.push_back(call(inner, {}));
    add(m, std::move(outer));
  });
  expectSaid("call names program", [](ModuleT &m) {
    auto outer = program("outer", {}, {});
    outer->commands.push_back(call(uint32_t(m.programs.size() + 1), {}));
    add(m, std::move(outer));
  });
  expectSaid("a temporary without a slot", [](ModuleT &m) {
    auto one = program("one", {}, {});
    addTemporary(*one, 4, 0);
    one->temporaries[0]->slot = 1;
    add(m, std::move(one));
  });
  expectSaid("repeat counts in register 1 of 1", [](ModuleT &m) {
    auto one = program("one", {}, {});
    one->registers = {"i"};
    auto repeat = std::make_unique<RepeatT>();
    repeat->register_ = 1;
    repeat->count = number(2);
    one->commands.push_back(command(std::move(repeat)));
    add(m, std::move(one));
  });
  expectSaid("two programs are named prefill", [](ModuleT &m) { m.programs[0]->name = "prefill"; });
  expectSaid("two weights are named w", [](ModuleT &m) {
    for (int i = 0; i < 2; ++i) {
      m.weights.push_back(std::make_unique<WeightT>());
      m.weights.back()->name = "w";
      m.weights.back()->bytes = 64;
    }
  });
  expectSaid("two states are named s", [](ModuleT &m) {
    for (int i = 0; i < 2; ++i) {
      m.states.push_back(std::make_unique<StateT>());
      m.states.back()->name = "s";
      m.states.back()->shape.push_back(number(2));
    }
  });
  expectSaid("expression reads register", [&](ModuleT &m) {
    firstLaunch(m).tasks = expr({1, 99});
  });
}

TEST(Tables, Trainables) {
  auto said = [](const std::function<void(TrainableT &)> &change) {
    std::unique_ptr<ModuleT> module(GetModule(fake::trainingPayload({}).data())->UnPack());
    change(*module->training->trainables[1]);
    auto opened = fake::open(*module, "m");
    return opened.ok() ? "" : opened.error().message;
  };
  EXPECT_EQ(said([](TrainableT &) {}), "");
  EXPECT_NE(said([](TrainableT &t) { --t.packed_elements; }).find("has an impossible size"),
            std::string::npos);
  EXPECT_NE(said([](TrainableT &t) { t.name = "no stack"; }).find("is a stack without {}"),
            std::string::npos);
  EXPECT_NE(said([](TrainableT &t) {
              t.name = "model.embed_tokens.weight{}";
              t.aliases.push_back("one");
            }).find("malformed alias"),
            std::string::npos);
}

//===----------------------------------------------------------------------===//
// Programs
//===----------------------------------------------------------------------===//

// A copy stays inside both buffers, and a binding inside its own.
TEST(Programs, Copies) {
  auto copying = [](int64_t bytes, int64_t to, int64_t from) {
    auto one = program("copy", {4}, {2});
    one->commands.push_back(copyTo(bind(anArgument, 1, to), bind(anArgument, 0, from), bytes));
    return Runner(with(std::move(one))).errorOf("copy", {{1, 2, 3, 4}});
  };
  auto one = program("copy", {4}, {2});
  one->commands.push_back(copyTo(bind(anArgument, 1), bind(anArgument, 0, 4), 8));
  EXPECT_EQ(*Runner(with(std::move(one))).of("copy", {{1, 2, 3, 4}}), (std::vector<float>{2, 3}));
  EXPECT_EQ(copying(8, 0, 8), "");
  EXPECT_EQ(copying(0, 8, 16), "");
  EXPECT_EQ(copying(12, 0, 0), "copy: copy: copies 12 bytes from 16 to 8");
  EXPECT_EQ(copying(8, 0, 12), "copy: copy: copies 8 bytes from 4 to 8");
  EXPECT_EQ(copying(-1, 0, 0), "copy: copy: copies -1 bytes from 16 to 8");
  EXPECT_EQ(copying(0, 0, 17), "copy: a launch binds byte 17 of a buffer of 16");
  EXPECT_EQ(copying(0, 9, 0), "copy: a launch binds byte 9 of a buffer of 8");
  EXPECT_EQ(copying(0, 0, -1), "copy: a launch binds byte -1 of a buffer of 16");
}

TEST(Programs, ElementsOfStacks) {
  for (int64_t element : {0, 1, -1}) {
    auto one = program("stack", {}, {1});
    one->commands.push_back(copyTo(bind(anArgument, 0), bind(Space_Parameter, 0, 0, element), 4));
    Runner run(with(std::move(one)));
    if (element == 0)
      EXPECT_EQ(*run.of("stack", {}), std::vector<float>{1});
    else
      EXPECT_EQ(run.errorOf("stack", {}),
                "stack: parameter scale has 1 tensors, a launch binds number " +
                    std::to_string(element));
  }
}

TEST(Programs, InputsHaveTheShapeThatIsWanted) {
  auto one = program("copy", {4}, {4});
  one->commands.push_back(copyTo(bind(anArgument, 1), bind(anArgument, 0), 16));
  Runner run(with(std::move(one)));
  EXPECT_EQ(run.errorOf("copy", {{1, 2, 3, 4}}), "");
  EXPECT_EQ(run.errorOf("copy", {{1, 2, 3}}), "copy: argument 'in0' wants F32 [4], got F32 [3]");
  EXPECT_EQ(run.errorOf("copy", {}), "copy: argument 'in0' is not bound");
}

/// A module whose "outer" calls "inner", which copies its input to its output by way of a temporary
/// that it shares with nobody.
std::unique_ptr<ModuleT> calling(int64_t innerSize) {
  auto module = fakeModule();
  auto inner = program("inner", {innerSize}, {innerSize});
  addTemporary(*inner, 4 * innerSize, 0);
  inner->commands.push_back(copyTo(bind(aTemporary, 0), bind(anArgument, 0), 4 * innerSize));
  inner->commands.push_back(copyTo(bind(anArgument, 1), bind(aTemporary, 0), 4 * innerSize));
  uint32_t number = add(*module, std::move(inner));
  auto outer = program("outer", {4, 4}, {4});
  addTemporary(*outer, 16, 0);
  addTemporary(*outer, 16, 1);
  outer->commands.push_back(copyTo(bind(aTemporary, 0), bind(anArgument, 0), 16));
  outer->commands.push_back(call(number, list(bind(anArgument, 1), bind(aTemporary, 1))));
  outer->commands.push_back(copyTo(bind(anArgument, 2), bind(aTemporary, 0), 16));
  add(*module, std::move(outer));
  return module;
}

// What a caller keeps in its temporaries is there after a call; a called program gets as much
// memory as it wants.
TEST(Programs, Calls) {
  EXPECT_EQ(*Runner(calling(4)).of("outer", {{1, 2, 3, 4}, {5, 6, 7, 8}}),
            (std::vector<float>{1, 2, 3, 4}));
  EXPECT_EQ(Runner(calling(5)).errorOf("outer", {{1, 2, 3, 4}, {5, 6, 7, 8}}),
            "outer: inner: argument 'in0' does not fit what it is called with");
}

// A slot has room for the largest of its temporaries, and lies beside the others.
TEST(Programs, Slots) {
  auto one = program("slots", {64, 64}, {64});
  addTemporary(*one, 256, 0);
  addTemporary(*one, 4, 0);
  addTemporary(*one, 256, 1);
  one->commands.push_back(copyTo(bind(aTemporary, 0), bind(anArgument, 0), 256));
  one->commands.push_back(copyTo(bind(aTemporary, 2), bind(anArgument, 1), 256));
  one->commands.push_back(copyTo(bind(anArgument, 2), bind(aTemporary, 0), 256));
  std::vector<float> ones(64, 1), twos(64, 2);
  EXPECT_EQ(*Runner(with(std::move(one))).of("slots", {ones, twos}), ones);
}

// Buffers lie where vector instructions want them, whatever lies before them.
TEST(Programs, Alignment) {
  auto module = fakeModule();
  module->kernels.push_back(fake::kernel("fake_place", 2));
  auto one = program("places", {}, {2});
  for (uint32_t slot = 0; slot < 3; ++slot)
    addTemporary(*one, 4, slot);
  auto launch = std::make_unique<LaunchT>();
  launch->kernel = uint32_t(module->kernels.size() - 1);
  launch->bindings = list(bind(aTemporary, 1), bind(anArgument, 0));
  launch->tasks = number(1);
  launch->flops = number(0);
  one->commands.push_back(command(std::move(launch)));
  add(*module, std::move(one));
  auto place = Runner(std::move(module)).of("places", {});
  ASSERT_TRUE(place.ok()) << place.error().message;
  EXPECT_EQ((*place)[0], 0) << "bytes after a multiple of 64";
}

// Commands wait for what was recorded; a run that fails has no results, and the next one may.
TEST(Programs, Events) {
  auto event = [](auto made, uint32_t number) {
    made->event = number;
    return command(std::move(made));
  };
  auto one = program("events", {1}, {1});
  one->commands.push_back(event(std::make_unique<RecordT>(), 3));
  one->commands.push_back(event(std::make_unique<WaitT>(), 3));
  one->commands.push_back(copyTo(bind(anArgument, 1), bind(anArgument, 0), 4));
  EXPECT_EQ(*Runner(with(std::move(one))).of("events", {{7}}), std::vector<float>{7});
  one = program("events", {1}, {1});
  one->commands.push_back(event(std::make_unique<RecordT>(), 3));
  one->commands.push_back(event(std::make_unique<WaitT>(), 4));
  one->commands.push_back(copyTo(bind(anArgument, 1), bind(anArgument, 0), 4));
  Runner run(with(std::move(one)));
  EXPECT_EQ(run.errorOf("events", {{7}}),
            "events: events: waits for event 4, which nothing recorded");
  EXPECT_EQ(run.run->output("out0").error().message,
            "events: 'out0' is no output of a finished run");
}

//===----------------------------------------------------------------------===//
// Traces
//===----------------------------------------------------------------------===//

/// The events named by `name`, by name.
static std::map<std::string, nlohmann::json> byName(const std::string &text) {
  std::map<std::string, nlohmann::json> found;
  for (const auto &event : nlohmann::json::parse("[" + text + "]"))
    if (event["ph"] == "X")
      found[event["name"]] = event;
  return found;
}

// Events of a lane follow each other: one that begins as another ends stands beside it, one that
// begins earlier below.
TEST(Traces, Lanes) {
  Trace trace;
  trace.addChunk("F0.0", 0, 1000);
  trace.addChunk("F0.1", 1000, 3000, {1, 4, 2});
  trace.addChunk("B0.0", 2000, 2500);
  trace.addKernel("a \"b\\", 5000, 7000, 8, 2);
  auto events = byName(trace.eventsText(3));
  ASSERT_EQ(events.size(), 4u);
  EXPECT_EQ(events["F0.0"]["tid"], events["F0.1"]["tid"]);
  EXPECT_NE(events["F0.1"]["tid"], events["B0.0"]["tid"]);
  EXPECT_EQ(events["F0.1"]["ts"], 1);
  EXPECT_EQ(events["F0.1"]["dur"], 2);
  EXPECT_EQ(events["F0.1"]["args"], nlohmann::json({{"stage", 1}, {"layers", "4 to 5"}}));
  const auto &kernel = events["a \"b\\"];
  EXPECT_EQ(kernel["dur"], 2);
  EXPECT_EQ(kernel["args"], nlohmann::json({{"flops", 8}, {"tasks", 2}}));
  EXPECT_EQ(kernel["pid"], 3);
}

// Launches of one layer that follow each other are one event on the thread of layers, which ends
// with its program.
TEST(Traces, Layers) {
  Trace trace;
  trace.addKernel("a", 0, 1000, 10, 1, {0, "self_attn.o_proj"});
  trace.addKernel("b", 1000, 3000, 20, 1, {0, {}});
  trace.addKernel("c", 3000, 4000, 40, 1, {-1, "lm_head"});
  trace.addProgram("p", 0, 4000, 70, 3);
  trace.addKernel("d", 5000, 6000, 80, 1, {-1, "lm_head"});
  std::vector<std::tuple<std::string, double, double, int>> layers;
  for (const auto &event : nlohmann::json::parse("[" + trace.eventsText(0) + "]"))
    if (event.value("cat", "") == "layer")
      layers.emplace_back(event["name"], event["ts"], event["dur"], event["args"]["flops"]);
  EXPECT_EQ(layers, (decltype(layers){
                        {"layer 0", 0, 3, 30}, {"lm_head", 3, 1, 40}, {"lm_head", 5, 1, 80}}));
  auto events = byName(trace.eventsText(0));
  EXPECT_EQ(events["a"]["args"]["layer"], 0);
  EXPECT_EQ(events["a"]["args"]["tensor"], "self_attn.o_proj");
  EXPECT_EQ(events["c"]["args"].count("layer"), 0u);
}

// The file is JSON whatever names hold, says its unit, and names each process and each thread that
// has an event; processes stand in the order of ranks.
TEST(Traces, File) {
  Trace trace;
  trace.addKernel("not UTF-8: \xff\n", 0, 1500, 1, 1);
  trace.addComm("sends", 0, 2000, {7, {1}, {}});
  trace.addWait(0, 10);
  Trace other;
  other.addChunk("F0.0", 0, 1200);
  std::string path = testing::TempDir() + "hadal-trace-" + std::to_string(getpid()) + ".json";
  std::vector<std::string> others = {other.eventsText(1)};
  ASSERT_TRUE(trace.write(path, others).ok());
  auto file = nlohmann::json::parse(*readTextFile(path));
  std::filesystem::remove(path);
  EXPECT_EQ(file["otherData"]["unit of ts and dur"], "microseconds");
  EXPECT_EQ(file["otherData"]["times of"], "a run");
  std::map<int, std::string> processes;
  std::map<int, int> order;
  std::set<std::pair<int, int>> threads, used;
  for (const auto &event : file["traceEvents"]) {
    if (event["name"] == "process_name")
      processes[event["pid"]] = event["args"]["name"];
    else if (event["name"] == "process_sort_index")
      order[event["pid"]] = event["args"]["sort_index"];
    else if (event["name"] == "thread_name")
      threads.emplace(event["pid"], event["tid"]);
    else
      used.emplace(event["pid"], event["tid"]);
    if (event["name"] == "F0.0")
      EXPECT_EQ(event["dur"], 1.2); // to a nanosecond
  }
  EXPECT_EQ(processes, (decltype(processes){{0, "rank 0"}, {1, "rank 1"}}));
  EXPECT_EQ(order, (decltype(order){{0, 0}, {1, 1}}));
  EXPECT_EQ(used.size(), 4u);
  for (auto each : used)
    EXPECT_TRUE(threads.count(each)) << each.first << ", " << each.second;
}

TEST(Traces, PlacesOfNames) {
  auto text = [](std::string_view name) {
    LaunchPlace place = placeOf(name);
    return std::to_string(place.layer) + " " + std::string(place.tensor);
  };
  EXPECT_EQ(text("weight.model.layers.12.mlp.experts.{}.up_proj.weight"),
            "12 mlp.experts.{}.up_proj");
  EXPECT_EQ(text("layers.3.eh_proj.weight"), "3 eh_proj");
  EXPECT_EQ(text("gradient.lm_head.weight"), "-1 lm_head");
  EXPECT_EQ(text("model.layers.1.mlp.gate.e_score_correction_bias"),
            "1 mlp.gate.e_score_correction_bias");
  EXPECT_EQ(text("cache.7"), "7 ");
  for (const char *none : {"", "losses", "layers.x.weights", "cache.", "mylayers.3.a"})
    EXPECT_EQ(text(none), "-1 ") << none;
}

// A launch that binds no tensor is of the layer around it; see LaunchPlaces.h for borders.
TEST(Traces, PlacesOfLaunches) {
  auto module = fakeModule();
  module->model->layers = 2;
  uint32_t kernel = uint32_t(module->kernels.size());
  module->kernels.push_back(fake::kernel("any", 3));
  auto state = [&](const std::string &name) {
    auto made = std::make_unique<StateT>();
    made->name = name;
    made->element = ElementType_F32;
    made->shape.push_back(number(4));
    module->states.push_back(std::move(made));
    return uint32_t(module->states.size() - 1);
  };
  uint32_t first = state("weight.model.layers.0.a.weight"),
           second = state("weight.model.layers.1.b.weight"), head = state("weight.lm_head.weight");
  auto one = program("places", {}, {});
  for (uint32_t i = 0; i < 8; ++i)
    addTemporary(*one, 16, i);
  // A launch from a temporary to another, with a state or without.
  auto launch = [&](std::optional<uint32_t> tensor, uint32_t from, uint32_t to) {
    auto made = std::make_unique<LaunchT>();
    made->kernel = kernel;
    made->tasks = number(1);
    made->flops = number(0);
    made->bindings =
        list(bind(aTemporary, from), tensor ? bind(Space_State, *tensor) : bind(aTemporary, from),
             bind(aTemporary, to));
    one->commands.push_back(command(std::move(made)));
  };
  launch(first, 0, 1);
  launch({}, 1, 2); // of layer 0: the next has no name
  launch({}, 2, 3); // of layer 1, which reads it next
  launch(second, 3, 4);
  launch({}, 4, 5); // of layer 1: after it comes the head, which reads something else
  launch(head, 4, 6);
  launch({}, 6, 7); // the head's gradient has been; layer 1 begins
  launch(second, 7, 0);
  launch({}, 0, 1); // layers descend: of layer 0
  launch(first, 1, 2);
  uint32_t number = add(*module, std::move(one));
  auto opened = fake::open(*module, "m");
  ASSERT_TRUE(opened.ok()) << opened.error().message;
  LaunchPlaces places(*opened);
  std::vector<int64_t> layers;
  for (const fb::Command *each : *opened->tables().programs()->Get(number)->commands())
    layers.push_back(places.of(*each->action_as_Launch()).layer);
  EXPECT_EQ(layers, (std::vector<int64_t>{0, 0, 1, 1, 1, -1, 1, 1, 0, 0}));
}
