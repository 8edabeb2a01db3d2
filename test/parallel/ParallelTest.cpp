//===- ParallelTest.cpp - steps over ranks that are threads -------------===//

#include "runtime/comm/DelayedComm.h"
#include "runtime/comm/InProcessComm.h"
#include "runtime/device/CpuDevice.h"
#include "runtime/parallel/ParallelTrainer.h"
#include "test/parallel/FakeRanks.h"
#include "test/parallel/TickLink.h"

#include <gtest/gtest.h>

#include <cstring>
#include <thread>

using namespace hadal;

namespace {

struct Outcome {
  std::vector<std::vector<float>> figures;          ///< of each step, as rank 0 has them
  std::map<std::string, std::vector<float>> tensors; ///< weights and moments at the end, from the ranks that update them
  std::string error;
  uint64_t exposed = 0; ///< ticks, of all ranks
};

std::vector<TrainingRow> rowsOf(int64_t count, int64_t step) {
  std::vector<TrainingRow> rows(count);
  for (int64_t i = 0; i < count; ++i)
    for (int64_t t = 0; t < fake::ranksSequence; ++t)
      rows[i].tokens.push_back(int32_t((i * 131 + t * t * 17 + step * 29 + t) % fake::ranksVocabulary));
  return rows;
}

struct RunOptions {
  int steps = 3;
  bool overlap = true;
  std::chrono::microseconds delay{0};
  uint64_t ticks = 0; ///< a message takes as long as so many segments
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
    if (options.ticks)
      comm = ticks.comm(std::move(comm));
    Status status = [&]() -> Status {
      std::unique_ptr<Device> device = ticks.device(number);
      WeightStore weights;
      auto executor = HADAL_TRY(Executor::create(*module, *device, weights));
      RankLayout layout = HADAL_TRY(RankLayout::of(table, number));
      SumPlan plan = SumPlan::of(module->tables(), layout);
      Trainables trainables = HADAL_TRY(Trainables::create(*executor, plan.sharesOf(table, layout)));
      ParallelOptions parallel;
      parallel.overlap = options.overlap;
      parallel.timeout = Comm::Seconds(20);
      auto trainer = HADAL_TRY(ParallelTrainer::create(*executor, trainables, plan, layout, *comm, nullptr, parallel));
      HADAL_TRY(trainables.draw(3));
      OptimizerSettings settings;
      settings.rate = 1e-5;
      for (int step = 1; step <= options.steps; ++step) {
        StepResult result = HADAL_TRY(trainer->step(step, rowsOf(trainer->rowsOfStep(), step), settings));
        std::lock_guard lock(mutex);
        std::vector<float> figures = {result.loss, result.balanceLoss, result.gradientNorm, result.rate};
        figures.insert(figures.end(), result.violation.begin(), result.violation.end());
        if (number == 0)
          run.figures.push_back(figures);
      }
      std::lock_guard lock(mutex);
      for (const TrainedTensor &tensor : trainables.tensors())
        for (Values values : {Values::Weight, Values::FirstMoment, Values::SecondMoment}) {
          bool isWeight = values == Values::Weight;
          if (!trainables.has(values, tensor) || !(isWeight ? trainables.isHere(tensor) : trainables.isUpdatedHere(tensor)))
            continue;
          TensorView view = HADAL_TRY(trainables.unpack(values, tensor));
          auto *data = static_cast<const float *>(view.data);
          std::vector<float> copy(data, data + *elementCount(view.shape));
          auto [it, isNew] = run.tensors.insert({std::string(valuesName(values)) + "." + tensor.name, copy});
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
        << what << ": step " << i + 1 << ": loss " << a.figures[i][0] << " and " << b.figures[i][0] << ", norm " << a.figures[i][2] << " and "
        << b.figures[i][2];
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

// With equal groups all layouts, schedules and ways to overlap have equal bits: losses, norms, weights and moments.
TEST(Parallel, SameBits) {
  Outcome one = train(layout(1, 1, 1));
  ASSERT_EQ(one.error, "");
  ASSERT_EQ(one.figures.size(), 3u);
  EXPECT_NE(one.figures[0][0], one.figures[2][0]);
  struct Case {
    uint32_t pp, ep, dp;
    const char *schedule;
  };
  for (Case c : {Case{2, 1, 1, "1f1b"}, {4, 1, 1, "1f1b"}, {1, 2, 1, "1f1b"}, {1, 4, 1, "1f1b"}, {1, 1, 2, "1f1b"}, {1, 1, 8, "1f1b"}, {2, 2, 2, "1f1b"},
                 {2, 1, 1, "dualpipe"}, {2, 2, 1, "dualpipe"}, {2, 2, 2, "dualpipe"}, {1, 1, 1, "dualpipev"}, {2, 2, 1, "dualpipev"}})
    for (int way = 0; way < 4; ++way) {
      fake::RanksShape shape = layout(c.pp, c.ep, c.dp, c.schedule);
      shape.pairs = way & 1;
      shape.split = way & 2;
      RunOptions options;
      options.overlap = way != 3;
      expectSame(one, train(shape, options),
                 std::to_string(c.pp) + "x" + std::to_string(c.ep) + "x" + std::to_string(c.dp) + " " + c.schedule + " way " + std::to_string(way));
    }
}

// The order of sums is that of the groups: other groups have other bits, so that the test above says something.
TEST(Parallel, GroupsMatter) {
  fake::RanksShape shape = layout(1, 1, 1);
  Outcome one = train(shape);
  shape.sumGroups = 1;
  Outcome other = train(shape);
  ASSERT_EQ(other.error, "");
  EXPECT_NE(one.tensors, other.tensors);
  expectSame(other, train([&] { auto two = layout(4, 1, 1); two.sumGroups = 1; return two; }()), "one group");
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

// Where a message takes as long as a segment, four fifths of the exposed communication go, and more: one half of a pair, or a chunk of the
// next item, computes while the other waits. Without pairs there is less to choose from: three quarters. Time is counted in segments, so
// that nothing else that the machine does has a part in it.
TEST(Parallel, Overlaps) {
  struct Case {
    const char *schedule;
    bool pairs, split;
    double left;
  };
  for (Case c : {Case{"1f1b", true, false, 0.2}, {"dualpipev", true, false, 0.2}, {"1f1b", false, false, 0.25}, {"1f1b", false, true, 0.25}}) {
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
    std::string what = std::string(c.schedule) + (c.pairs ? " in pairs" : "") + (c.split ? " in parts" : "");
    expectSame(without, with, what);
    // Of each of 32 micro-batches and 4 layers: counts, rows and the way back, then two ways of gradients.
    EXPECT_EQ(without.exposed, 2u * 32 * 4 * 5) << what;
    EXPECT_LT(double(with.exposed), c.left * double(without.exposed)) << what;
  }
}

// More rows than an exchange has room for are an error that names rank, step, chunk and command; nothing is dropped.
TEST(Parallel, Capacity) {
  fake::RanksShape shape = layout(1, 2, 1);
  shape.capacity = 3;
  Outcome run = train(shape);
  EXPECT_NE(run.error.find(": step 1, F0.0, command "), std::string::npos) << run.error;
  EXPECT_NE(run.error.find("rows to rank "), std::string::npos) << run.error;
  EXPECT_NE(run.error.find("capacity is 3"), std::string::npos) << run.error;
}
