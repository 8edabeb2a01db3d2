//===- ParallelTest.cpp - steps over ranks that are threads -------------===//

#include "runtime/comm/DelayedComm.h"
#include "runtime/comm/InProcessComm.h"
#include "runtime/device/CpuDevice.h"
#include "runtime/ranks/ChunkWindow.h"
#include "runtime/training/ranks/ParallelTrainer.h"
#include "runtime/training/ranks/PredictMemory.h"
#include "test/device/HiddenDevice.h"
#include "test/parallel/FakeRanks.h"
#include "test/parallel/TickLink.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <thread>
#include <tuple>
#include <utility>

using namespace hadal;

namespace {

struct Outcome {
  std::vector<std::vector<float>> figures; ///< of each step, as rank 0 has them
  std::map<std::string, std::vector<float>>
      tensors; ///< weights and moments at the end, from the ranks that update them
  std::string error;
  uint64_t reductions = 0; ///< of the engine, of all ranks
  uint64_t exposed = 0;    ///< ticks, of all ranks
};

std::vector<TrainingRow> rowsOf(int64_t count, int64_t step) {
  std::vector<TrainingRow> rows(count);
  for (int64_t i = 0; i < count; ++i)
    for (int64_t t = 0; t < fake::ranksSequence; ++t)
      rows[i].tokens.push_back(
          int32_t((i * 131 + t * t * 17 + step * 29 + t) % fake::ranksVocabulary));
  return rows;
}

struct RunOptions {
  int steps = 3;
  bool overlap = true;
  std::chrono::microseconds delay{0};
  double timeoutOfFirst = 20;    ///< others wait 20 s
  std::optional<unsigned> loser; ///< a rank whose part of reductions gets lost
  uint64_t ticks = 0;            ///< a message takes as long as so many sections of chunks
  bool grows = false;            ///< step 1 has a micro-batch in each group, step 2 all but one
  bool isHidden = false;         ///< on devices whose memory no host sees
  bool evaluates = false;        ///< the rows of each step before it, and others after it
};

/// Says nothing of reductions that have something to add up.
class LosingComm final : public Comm {
public:
  explicit LosingComm(std::unique_ptr<Comm> inner) : inner(std::move(inner)) {}
  unsigned rank() const override { return inner->rank(); }
  unsigned size() const override { return inner->size(); }
  Result<Message> send(unsigned to, uint32_t tag, const void *data, uint64_t bytes) override {
    return inner->send(to, tag, data, bytes);
  }
  Result<Message> receive(unsigned from, uint32_t tag, void *data, uint64_t bytes) override {
    return inner->receive(from, tag, data, bytes);
  }
  Result<Message> reduce(std::span<const unsigned> ranks, unsigned root, ElementType element,
                         void *data, int64_t elements, const Addition &add) override {
    return elements ? Result<Message>(Message{0})
                    : inner->reduce(ranks, root, element, data, elements, add);
  }
  Result<bool> test(Message message) override {
    return message.number ? inner->test(message) : Result<bool>(true);
  }
  void abort(const std::string &reason) override { inner->abort(reason); }

private:
  std::unique_ptr<Comm> inner;
};

/// All ranks of a layout, each a thread with an executor of its own.
Outcome train(const fake::RanksShape &shape, const RunOptions &options = {}) {
  auto module = Module::fromBytes(moduleBytes(fake::ranksPayload(shape)), "ranks.hadal");
  Outcome run;
  if (!module.ok()) {
    run.error = module.error().message;
    return run;
  }
  const fb::Training &table = *module->tables().training();
  unsigned count = shape.pp * shape.ep * shape.dp;
  InProcessWorld world(count);
  fake::TickWorld ticks(count, options.ticks);
  std::mutex mutex;
  auto rank = [&](unsigned number) -> Status {
    std::unique_ptr<Comm> comm = world.comm(number);
    if (options.delay.count())
      comm = std::make_unique<DelayedComm>(std::move(comm), options.delay);
    if (options.loser == number)
      comm = std::make_unique<LosingComm>(std::move(comm));
    if (options.ticks)
      comm = ticks.comm(std::move(comm));
    Status status = [&]() -> Status {
      std::unique_ptr<Device> device = ticks.device(number);
      if (options.isHidden)
        device = std::make_unique<test::HiddenDevice>();
      WeightStore weights;
      auto executor = HADAL_TRY(Executor::create(*module, *device, weights));
      RankLayout layout = HADAL_TRY(RankLayout::of(table, number));
      SumPlan plan = SumPlan::of(module->tables(), layout);
      Trainables trainables =
          HADAL_TRY(Trainables::create(*executor, plan.sharesOf(table, layout)));
      ParallelOptions parallel;
      parallel.overlap = options.overlap;
      parallel.timeout = Comm::Seconds(number ? 20 : options.timeoutOfFirst);
      auto trainer = HADAL_TRY(
          ParallelTrainer::create(*executor, trainables, plan, layout, *comm, nullptr, parallel));
      HADAL_TRY(trainables.draw(3));
      OptimizerSettings settings;
      settings.rate = 1e-5;
      for (int step = 1; step <= options.steps; ++step) {
        int64_t groups = trainer->sumGroups() * trainer->rowsOfBatch(), all = trainer->rowsOfStep();
        std::vector<TrainingRow> rows = rowsOf(!options.grows || step > 2 ? all
                                               : step == 1                ? groups
                                                           : std::max(groups, all - groups),
                                               step);
        StepResult alone;
        if (options.evaluates)
          alone = HADAL_TRY(trainer->evaluate(step, rows));
        StepResult result = HADAL_TRY(trainer->step(step, rows, settings));
        float tolerance = table.ranks()->fast_reduction() ? 1e-6f * std::abs(result.loss) : 0;
        if (options.evaluates && (!(std::abs(alone.loss - result.loss) <= tolerance) ||
                                  alone.predictions != result.predictions))
          return invalidArgument("evaluated, the loss is " + std::to_string(alone.loss) +
                                 ", in the step " + std::to_string(result.loss));
        if (options.evaluates)
          HADAL_TRY(trainer->evaluate(step, rowsOf(groups, step + 7)));
        std::lock_guard lock(mutex);
        std::vector<float> figures = {result.loss, result.balanceLoss, result.gradientNorm,
                                      result.rate};
        figures.insert(figures.end(), result.violation.begin(), result.violation.end());
        if (number == 0)
          run.figures.push_back(figures);
      }
      std::lock_guard lock(mutex);
      run.reductions += trainer->reductions();
      for (const TrainedTensor &tensor : trainables.tensors())
        for (Values values : {Values::Weight, Values::FirstMoment, Values::SecondMoment}) {
          bool isWeight = values == Values::Weight;
          if (!trainables.has(values, tensor) ||
              !(isWeight ? trainables.isHere(tensor) : trainables.isUpdatedHere(tensor)))
            continue;
          TensorView view = HADAL_TRY(trainables.unpack(values, tensor));
          auto *data = static_cast<const float *>(view.data);
          std::vector<float> copy(data, data + *elementCount(view.shape));
          auto [it, isNew] =
              run.tensors.insert({std::string(valuesName(values)) + "." + tensor.name, copy});
          if (!isNew && std::memcmp(it->second.data(), copy.data(), view.bytes()) != 0)
            return invalidArgument("copies of " + it->first + " differ");
        }
      return {};
    }();
    if (!status)
      comm->abort(status.error().message);
    return status;
  };
  std::vector<std::thread> threads;
  for (unsigned number = 0; number < count; ++number)
    threads.emplace_back([&, number] {
      Status status = rank(number);
      std::lock_guard lock(mutex);
      if (!status && (run.error.empty() || run.error.find("stopped: ") != std::string::npos))
        run.error = status.error().message;
    });
  for (std::thread &thread : threads)
    thread.join();
  for (unsigned number = 0; number < count; ++number)
    run.exposed += ticks.exposed(number);
  return run;
}

void expectSame(const Outcome &a, const Outcome &b, const std::string &what) {
  EXPECT_EQ(b.error, "") << what;
  ASSERT_EQ(a.figures.size(), b.figures.size()) << what;
  for (size_t i = 0; i < a.figures.size(); ++i)
    EXPECT_EQ(std::memcmp(a.figures[i].data(), b.figures[i].data(), a.figures[i].size() * 4), 0)
        << what << ": step " << i + 1 << ": loss " << a.figures[i][0] << " and " << b.figures[i][0]
        << ", norm " << a.figures[i][2] << " and " << b.figures[i][2];
  ASSERT_EQ(a.tensors.size(), b.tensors.size()) << what;
  for (const auto &[name, values] : a.tensors)
    EXPECT_EQ(values, b.tensors.at(name)) << what << ": " << name;
}

fake::RanksShape layout(uint32_t pp, uint32_t ep, uint32_t dp, const char *schedule = "1f1b") {
  fake::RanksShape shape;
  shape.pp = pp;
  shape.ep = ep;
  shape.dp = dp;
  shape.schedule = schedule;
  return shape;
}

} // namespace

// With equal groups all layouts, schedules and ways to overlap have equal bits: losses, norms,
// weights and moments.
TEST(Parallel, SameBits) {
  Outcome one = train(layout(1, 1, 1));
  ASSERT_EQ(one.error, "");
  ASSERT_EQ(one.figures.size(), 3u);
  EXPECT_NE(one.figures[0][0], one.figures[2][0]);
  struct Case {
    uint32_t pp, ep, dp;
    const char *schedule;
  };
  for (Case c : {Case{2, 1, 1, "1f1b"},
                 {4, 1, 1, "1f1b"},
                 {1, 2, 1, "1f1b"},
                 {1, 4, 1, "1f1b"},
                 {1, 1, 2, "1f1b"},
                 {1, 1, 8, "1f1b"},
                 {2, 2, 2, "1f1b"},
                 {2, 1, 1, "dualpipe"},
                 {2, 2, 1, "dualpipe"},
                 {2, 2, 2, "dualpipe"},
                 {1, 1, 1, "dualpipev"},
                 {2, 2, 1, "dualpipev"}})
    for (int way = 0; way < 4; ++way) {
      fake::RanksShape shape = layout(c.pp, c.ep, c.dp, c.schedule);
      shape.pairs = way & 1;
      shape.split = way & 2;
      RunOptions options;
      options.overlap = way != 3;
      expectSame(one, train(shape, options),
                 std::to_string(c.pp) + "x" + std::to_string(c.ep) + "x" + std::to_string(c.dp) +
                     " " + c.schedule + " way " + std::to_string(way));
    }
}

// Steps of fewer micro-batches have the bits of any other layout with the same groups, too; and
// evaluation, which tells the loss of its rows, leaves no trace in any of them. In the engine's
// order losses are close.
TEST(Parallel, GrowingBatchesAndEvaluation) {
  RunOptions options;
  options.grows = true;
  Outcome plain = train(layout(1, 1, 1)), one = train(layout(1, 1, 1), options);
  ASSERT_EQ(one.error, "");
  EXPECT_NE(one.figures[0], plain.figures[0]);
  options.evaluates = true;
  struct Case {
    uint32_t pp, ep, dp;
    const char *schedule;
    bool fast;
  };
  for (Case c : {Case{1, 1, 1, "1f1b", false},
                 {2, 1, 1, "1f1b", false},
                 {4, 1, 1, "1f1b", false},
                 {1, 2, 1, "1f1b", false},
                 {1, 1, 8, "1f1b", false},
                 {2, 2, 2, "1f1b", false},
                 {2, 1, 1, "dualpipe", false},
                 {2, 2, 2, "dualpipe", false},
                 {1, 1, 1, "dualpipev", false},
                 {2, 2, 1, "dualpipev", false},
                 {2, 1, 1, "1f1b", true},
                 {2, 2, 1, "dualpipev", true}})
    for (int way : {0, 3}) {
      fake::RanksShape shape = layout(c.pp, c.ep, c.dp, c.schedule);
      shape.fast = c.fast;
      shape.pairs = way & 1;
      shape.split = way & 2;
      options.overlap = way != 3;
      std::string what = std::to_string(c.pp) + "x" + std::to_string(c.ep) + "x" +
                         std::to_string(c.dp) + " " + c.schedule + " way " + std::to_string(way);
      Outcome run = train(shape, options);
      ASSERT_EQ(run.error, "") << what;
      if (!c.fast)
        expectSame(one, run, what);
      else
        EXPECT_NEAR(run.figures[2][0], one.figures[2][0], 1e-5 * std::abs(one.figures[2][0]))
            << what;
    }
}

// The order of sums is that of the groups: other groups have other bits, so that the test above
// says something.
TEST(Parallel, GroupsMatter) {
  fake::RanksShape shape = layout(1, 1, 1);
  Outcome one = train(shape);
  shape.sumGroups = 1;
  Outcome other = train(shape);
  ASSERT_EQ(other.error, "");
  EXPECT_NE(one.tensors, other.tensors);
  expectSame(other, train([&] {
               auto two = layout(4, 1, 1);
               two.sumGroups = 1;
               return two;
             }()),
             "one group");
}

void expectClose(const std::vector<float> &a, const std::vector<float> &b, float tolerance,
                 const std::string &what) {
  ASSERT_EQ(a.size(), b.size()) << what;
  for (size_t i = 0; i < a.size(); ++i)
    ASSERT_NEAR(a[i], b[i], tolerance * std::max(1.f, std::abs(a[i]))) << what << ", element " << i;
}

// In the engine's order all ends close to where it ends in the fixed order, on any layout, over
// a slow link, for each schedule, and on one rank; ranks that have no part of a sum in common
// reduce nothing.
TEST(Parallel, FastReduction) {
  Outcome one = train(layout(1, 1, 1));
  ASSERT_EQ(one.error, "");
  EXPECT_EQ(one.reductions, 0u);
  struct Case {
    uint32_t pp, ep, dp;
    const char *schedule;
    bool reduces;
  };
  for (Case c : {Case{1, 1, 1, "1f1b", false},
                 {1, 1, 1, "dualpipev", false},
                 {2, 1, 1, "1f1b", true},
                 {1, 2, 1, "1f1b", true},
                 {1, 1, 2, "1f1b", true},
                 {2, 1, 1, "dualpipe", true},
                 {4, 1, 1, "1f1b", true},
                 {1, 4, 1, "1f1b", true},
                 {2, 2, 1, "dualpipe", true},
                 {2, 2, 1, "dualpipev", true},
                 {1, 1, 8, "1f1b", true},
                 {2, 2, 2, "1f1b", true},
                 {2, 2, 2, "dualpipe", true}}) {
    std::string what = std::to_string(c.pp) + "x" + std::to_string(c.ep) + "x" +
                       std::to_string(c.dp) + " " + c.schedule;
    fake::RanksShape shape = layout(c.pp, c.ep, c.dp, c.schedule);
    shape.fast = shape.pairs = true;
    RunOptions options;
    options.delay = std::chrono::microseconds(c.pp == 2 && c.ep == 2 ? 300 : 0);
    Outcome run = train(shape, options);
    ASSERT_EQ(run.error, "") << what;
    EXPECT_EQ(run.reductions > 0, c.reduces) << what;
    ASSERT_EQ(run.figures.size(), one.figures.size()) << what;
    for (size_t i = 0; i < one.figures.size(); ++i)
      expectClose(one.figures[i], run.figures[i], 1e-5f,
                  what + ": figures of step " + std::to_string(i + 1));
    ASSERT_EQ(run.tensors.size(), one.tensors.size()) << what;
    for (const auto &[name, values] : one.tensors)
      expectClose(values, run.tensors.at(name), 1e-5f, what + ": " + name);
  }
}

// What ranks say to each other comes from and goes to memory that the host does not see: chunks,
// their sums in both orders, and weights.
TEST(Parallel, MemoryMayBeHidden) {
  Outcome one = train(layout(1, 1, 1));
  RunOptions options;
  options.isHidden = options.evaluates = true;
  for (auto [pp, ep, dp, schedule] :
       {std::tuple(2u, 2u, 2u, "dualpipe"), {1u, 4u, 1u, "1f1b"}, {2u, 2u, 1u, "dualpipev"}})
    expectSame(one, train(layout(pp, ep, dp, schedule), options), schedule);
  fake::RanksShape fast = layout(2, 2, 1, "dualpipe");
  fast.fast = true;
  Outcome run = train(fast, options);
  ASSERT_EQ(run.error, "");
  for (size_t i = 0; i < one.figures.size(); ++i)
    expectClose(one.figures[i], run.figures[i], 1e-5f, "fast");
}

// A rank that does not hear from another in a reduction says for whom it waited, and for what.
TEST(Parallel, FastReductionTimesOut) {
  fake::RanksShape shape = layout(1, 1, 4);
  shape.fast = true;
  RunOptions options;
  options.timeoutOfFirst = 1;
  options.loser = 3;
  Outcome run = train(shape, options);
  EXPECT_EQ(run.error, "rank 0: 1 s without an answer from ranks 1, 2, 3: step 1, adds up the "
                       "gradient of model.embed_tokens.weight");
}

// One chain over all micro-batches of a rank: on one rank the bits are those of one group, whatever
// groups the module names.
TEST(Parallel, FastReductionHasNoGroups) {
  fake::RanksShape ordered = layout(1, 1, 1), fast = ordered;
  ordered.sumGroups = 1;
  fast.fast = true;
  Outcome one = train(ordered);
  ASSERT_EQ(one.error, "");
  expectSame(one, train(fast), "one rank");
}

// A slow link changes no bits, nor does it matter what computes while chunks wait.
TEST(Parallel, SlowLink) {
  fake::RanksShape shape = layout(2, 2, 1, "dualpipe");
  shape.pairs = true;
  RunOptions slow;
  slow.steps = 1;
  Outcome one = train(layout(1, 1, 1), slow);
  slow.delay = std::chrono::microseconds(700);
  expectSame(one, train(shape, slow), "slow");
  slow.delay = {};
  slow.ticks = 1;
  for (const char *schedule : {"1f1b", "dualpipe", "dualpipev"})
    for (int way = 0; way < 4; ++way) {
      shape = layout(std::string(schedule) == "dualpipe" ? 2 : 1, 2, 1, schedule);
      shape.pairs = way & 1;
      shape.split = way & 2;
      expectSame(one, train(shape, slow), std::string(schedule) + " way " + std::to_string(way));
    }
}

// Where a message takes as long as a section of a chunk, four fifths of the exposed communication
// go, and more: one chunk of a pair, or a chunk of the next item, computes while the other waits.
// Without pairs there is less to choose from: three quarters. Time is counted in sections, so that
// nothing else that the machine does has a part in it.
TEST(Parallel, Overlaps) {
  struct Case {
    const char *schedule;
    bool pairs, split;
    double left;
  };
  for (Case c : {Case{"1f1b", true, false, 0.2},
                 {"dualpipev", true, false, 0.2},
                 {"1f1b", false, false, 0.25},
                 {"1f1b", false, true, 0.25}}) {
    fake::RanksShape shape = layout(1, 2, 1, c.schedule);
    shape.pairs = c.pairs;
    shape.split = c.split;
    shape.microBatches = 64;
    shape.sumGroups = 2;
    RunOptions on, off;
    on.steps = off.steps = 1;
    on.ticks = off.ticks = 1;
    off.overlap = false;
    Outcome with = train(shape, on), without = train(shape, off);
    std::string what =
        std::string(c.schedule) + (c.pairs ? " in pairs" : "") + (c.split ? " in parts" : "");
    expectSame(without, with, what);
    // Of each of 32 micro-batches and 4 layers: counts, rows and the way back, then two ways of
    // gradients.
    EXPECT_EQ(without.exposed, 2u * 32 * 4 * 5) << what;
    EXPECT_LT(double(with.exposed), c.left * double(without.exposed)) << what;
  }
}

// Parameters are updated by the ranks in turn, so that no rank has the moments of most; ranks that
// there are not have no layout.
TEST(SumPlan, SpreadsUpdates) {
  for (auto [pp, ep, dp] : {std::tuple(1, 1, 4), {2, 1, 2}, {1, 2, 2}}) {
    auto module =
        Module::fromBytes(moduleBytes(fake::ranksPayload(layout(pp, ep, dp))), "ranks.hadal");
    ASSERT_TRUE(module.ok());
    const fb::Training &table = *module->tables().training();
    unsigned ranks = pp * ep * dp;
    auto first = RankLayout::of(table, 0);
    ASSERT_TRUE(first.ok() && RankLayout::of(table, ranks - 1).ok());
    EXPECT_EQ(RankLayout::of(table, ranks).error().message,
              "there is no rank " + std::to_string(ranks) + " of " + std::to_string(ranks));
    std::vector<int64_t> load(ranks, 0);
    int64_t most = 0;
    for (const SumUnit &unit : SumPlan::of(module->tables(), *first).units)
      if (unit.trainable >= 0) {
        load[unit.root] += elementsOf(table, unit);
        most = std::max(most, elementsOf(table, unit));
      }
    EXPECT_LE(*std::max_element(load.begin(), load.end()) -
                  *std::min_element(load.begin(), load.end()),
              most);
  }
}

// More rows than an exchange has room for are an error that names rank, step, chunk and command;
// nothing is dropped.
TEST(Parallel, Capacity) {
  fake::RanksShape shape = layout(1, 2, 1);
  shape.capacity = 3;
  Outcome run = train(shape);
  EXPECT_NE(run.error.find(": step 1, F0.0, command "), std::string::npos) << run.error;
  EXPECT_NE(run.error.find("rows to rank "), std::string::npos) << run.error;
  EXPECT_NE(run.error.find("capacity is 3"), std::string::npos) << run.error;
}

// A weight gradient waits until nothing else can go on, also that of a whole backward chunk; the
// chunks of a pair take turns at the borders of calls.
TEST(ChunkWindow, WeightGradientsComeLast) {
  auto runOf = [](std::initializer_list<fb::ChunkKind> kinds, bool paired) {
    flatbuffers::FlatBufferBuilder b;
    std::vector<flatbuffers::Offset<fb::Chunk>> tables;
    for (fb::ChunkKind kind : kinds)
      tables.push_back(
          fb::CreateChunk(b, kind, 0, uint32_t(tables.size()), paired && tables.empty()));
    b.Finish(fb::CreateOrderDirect(b, &tables));
    const auto &order = *flatbuffers::GetRoot<fb::Order>(b.GetBufferPointer());
    StagePlan plan;
    struct Named : ChunkState {
      uint32_t number;
      bool hasCalled = false; ///< each program is one call, and then ends
    };
    ChunkWindow<Named> window(&order, /*overlap=*/true);
    auto prepare = [&](uint32_t first) -> Result<std::vector<Named>> {
      std::vector<Named> item;
      for (uint32_t at = first; at < endOfItem(order, first); ++at)
        item.push_back({{&plan, programsLastFirst(order.chunks()->Get(at)->kind())}, at});
      return item;
    };
    std::string ran;
    auto advance = [&](Named &chunk) -> Result<ChunkProgress> {
      if (!std::exchange(chunk.hasCalled, !chunk.hasCalled)) {
        ran +=
            std::string(" ") + "FIW"[size_t(chunk.programs.back())] + std::to_string(chunk.number);
        return ChunkProgress::Call;
      }
      chunk.programs.pop_back();
      return ChunkProgress::Some;
    };
    while (window.refill(prepare).value()) {
      window.beginWhatMay([](const Named &) { return true; }, [](Named &) {});
      EXPECT_TRUE(window.moveOn(advance).value());
    }
    return ran;
  };
  using namespace fb;
  EXPECT_EQ(runOf({ChunkKind_Backward, ChunkKind_Forward}, false), " I0 F1 W0");
  EXPECT_EQ(runOf({ChunkKind_Forward, ChunkKind_Backward}, true), " F0 I1 W1");
  EXPECT_EQ(runOf({ChunkKind_WeightGrad, ChunkKind_Forward}, false), " F1 W0");
  EXPECT_EQ(runOf({ChunkKind_InputGrad, ChunkKind_WeightGrad, ChunkKind_Forward}, false),
            " I0 F2 W1");
}

// Of buffers that come and go in sizes that change, few more are kept than there were at the same
// time.
TEST(PoolSizes, DoNotPileUp) {
  PoolSizes pool;
  std::vector<uint64_t> held;
  uint64_t taken = 0, most = 0, made = 0, takes = 0;
  uint32_t random = 1;
  for (int step = 0; step < 2000; ++step) {
    for (int i = 0; i < 20; ++i) {
      random = random * 1664525 + 1013904223;
      PoolSizes::Choice choice = pool.take(20000 + (random >> 8) % 60000);
      ++takes, made += choice.isNew;
      held.push_back(choice.size);
      most = std::max(most, taken += choice.size);
    }
    for (; !held.empty(); held.pop_back())
      pool.giveBack(held.back()), taken -= held.back();
  }
  EXPECT_LE(pool.peakBytes(), most + most / 16);
  EXPECT_LT(made, takes / 4); // and most takes find one
}

// Equal steps ask the system once; of one buffer at a time there is one, the largest.
TEST(PoolSizes, AreTakenAgain) {
  PoolSizes pool;
  for (int step = 0; step < 3; ++step) {
    uint64_t a = pool.take(1000).size, b = pool.take(50000).size;
    EXPECT_EQ(pool.bytes(), a + b);
    pool.giveBack(a), pool.giveBack(b);
  }
  PoolSizes single;
  for (uint64_t bytes : {1 << 20, 100, 1 << 16, 1 << 20, 3})
    single.giveBack(single.take(bytes).size);
  EXPECT_EQ(single.peakBytes(), uint64_t(1) << 20);
}

// What does not depend on routing is exact: sums of groups, and states that are spread over the
// ranks that have them.
TEST(PredictMemory, FollowsTheLayout) {
  auto memoryOf = [](const fake::RanksShape &shape, RowsOfExperts rows) {
    auto module = Module::fromBytes(moduleBytes(fake::ranksPayload(shape)), "ranks.hadal");
    EXPECT_TRUE(module.ok());
    auto memory = predictMemory(*module, rows);
    EXPECT_TRUE(memory.ok()) << memory.error().message;
    EXPECT_EQ(memory->size(), shape.pp * shape.ep * shape.dp);
    return std::move(*memory);
  };
  fake::RanksShape shape;
  shape.pp = 2, shape.ep = 2, shape.schedule = "dualpipe", shape.pairs = true;
  std::vector<RankMemory> grouped = memoryOf(shape, RowsOfExperts::Balanced),
                          worst = memoryOf(shape, RowsOfExperts::Worst);
  shape.sumGroups = 4; // one for each owner
  std::vector<RankMemory> single = memoryOf(shape, RowsOfExperts::Balanced);
  for (size_t rank = 0; rank < 4; ++rank) {
    EXPECT_GT(grouped[rank].partialSums, single[rank].partialSums);
    EXPECT_EQ(grouped[rank].total() - grouped[rank].partialSums,
              single[rank].total() - single[rank].partialSums);
    EXPECT_GT(worst[rank].values, grouped[rank].values);
    EXPECT_EQ(worst[rank].total() - worst[rank].values,
              grouped[rank].total() - grouped[rank].values);
  }
  // The first rank of 1F1B has all micro-batches of the pipeline in flight, the last one has one.
  shape.schedule = "1f1b", shape.pairs = false;
  std::vector<RankMemory> piped = memoryOf(shape, RowsOfExperts::Balanced);
  EXPECT_GT(piped[0].values, piped[3].values);
}
