//===- SameBits.cpp - one model's modules on their ranks, as threads ----===//
//
//   SameBits [--close LOSS NORM] FIRST.hadal OTHER.hadal ...
//
// Each module trains from the same values on the same rows, each rank of it in a thread of this
// process. All have to end as the first does: figures of every step and all weights to the bit, or
// with --close losses and norms to relative tolerances. The first step is a smaller one: a
// micro-batch in each group of the sums. Before each step its rows are evaluated: forward alone,
// the losses are those of the step.
//
//===--------------------------------------------------------------------===//

#include "runtime/comm/InProcessComm.h"
#include "runtime/device/CpuDevice.h"
#include "runtime/training/ranks/ParallelTrainer.h"

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <thread>

using namespace hadal;

namespace {

struct Outcome {
  std::vector<std::vector<float>> figures;
  std::map<std::string, std::vector<float>> weights;
  std::string error;
};

std::vector<TrainingRow> rowsOf(const Module &module, int64_t count, int64_t step) {
  const fb::Training &table = *module.tables().training();
  std::vector<TrainingRow> rows(count);
  for (int64_t i = 0; i < count; ++i)
    for (int64_t t = 0; t < table.sequence(); ++t)
      rows[i].tokens.push_back(
          int32_t((i * 131 + t * t * 17 + step * 29 + t) % module.tables().model()->vocab_size()));
  return rows;
}

Status trainRank(const Module &module, bool growsBatch, unsigned number, Comm *comm,
                 std::mutex &mutex, Outcome &run) {
  const fb::Training &table = *module.tables().training();
  CpuDevice device(1);
  WeightStore store;
  auto executor = HADAL_TRY(Executor::create(module, device, store));
  std::unique_ptr<Trainer> trainer;
  std::optional<RankLayout> layout;
  std::optional<SumPlan> plan;
  std::optional<Trainables> trainables;
  if (comm) {
    layout.emplace(HADAL_TRY(RankLayout::of(table, number)));
    plan.emplace(SumPlan::of(module.tables(), *layout));
    trainables.emplace(HADAL_TRY(Trainables::create(*executor, plan->sharesOf(table, *layout))));
    ParallelOptions options;
    options.overlap = table.ranks()->overlap();
    options.timeout = Comm::Seconds(60);
    trainer = HADAL_TRY(
        ParallelTrainer::create(*executor, *trainables, *plan, *layout, *comm, nullptr, options));
  } else {
    trainables.emplace(HADAL_TRY(Trainables::create(*executor)));
    trainer = HADAL_TRY(Trainer::create(*executor, *trainables));
  }
  HADAL_TRY(trainables->draw(3));
  OptimizerSettings settings;
  for (int step = 1; step <= 3; ++step) {
    int64_t count = step == 1 && growsBatch ? trainer->rowsOfBatch() * trainer->sumGroups()
                                            : trainer->rowsOfStep();
    std::vector<TrainingRow> rows = rowsOf(module, count, step);
    StepResult alone = HADAL_TRY(trainer->evaluate(step, rows)),
               result = HADAL_TRY(trainer->step(step, rows, settings));
    // Sums that the engine joins as it likes are equal to their last digits only.
    bool isFast = comm && table.ranks()->fast_reduction();
    bool isEqual = isFast ? std::abs(alone.loss - result.loss) <= 1e-6f * std::abs(result.loss)
                          : alone.loss == result.loss && alone.mtpLosses == result.mtpLosses &&
                                alone.balanceLoss == result.balanceLoss;
    if (!isEqual)
      return invalidArgument("step " + std::to_string(step) + ": evaluated, the loss is " +
                             std::to_string(alone.loss) + ", in the step " +
                             std::to_string(result.loss));
    std::vector<float> figures = {result.loss, result.balanceLoss, result.gradientNorm};
    figures.insert(figures.end(), result.mtpLosses.begin(), result.mtpLosses.end());
    figures.insert(figures.end(), result.violation.begin(), result.violation.end());
    std::lock_guard lock(mutex);
    if (number == 0)
      run.figures.push_back(figures);
  }
  std::lock_guard lock(mutex);
  for (const TrainedTensor &tensor : trainables->tensors()) {
    if (!trainables->isHere(tensor))
      continue;
    TensorView view = HADAL_TRY(trainables->unpack(Values::Weight, tensor));
    auto *data = static_cast<const float *>(view.data);
    std::vector<float> copy(data, data + *elementCount(view.shape));
    auto [it, isNew] = run.weights.insert({tensor.name, copy});
    if (!isNew && std::memcmp(it->second.data(), copy.data(), view.bytes()) != 0)
      return invalidArgument("copies of " + it->first + " differ");
  }
  return {};
}

Outcome train(const std::string &path, bool growsBatch) {
  Outcome run;
  auto module = Module::open(path);
  if (!module.ok()) {
    run.error = module.error().message;
    return run;
  }
  std::mutex mutex;
  const fb::Ranks *ranks = module->tables().training()->ranks();
  if (!ranks) {
    if (Status status = trainRank(*module, growsBatch, 0, nullptr, mutex, run); !status)
      run.error = status.error().message;
    return run;
  }
  unsigned count = ranks->pp() * ranks->ep() * ranks->dp();
  InProcessWorld world(count);
  std::vector<std::thread> threads;
  for (unsigned number = 0; number < count; ++number)
    threads.emplace_back([&, number] {
      std::unique_ptr<Comm> comm = world.comm(number);
      Status status = trainRank(*module, growsBatch, number, comm.get(), mutex, run);
      if (status)
        return;
      comm->abort(status.error().message);
      std::lock_guard lock(mutex);
      if (run.error.empty() || run.error.find("stopped: ") != std::string::npos)
        run.error = status.error().message;
    });
  for (std::thread &thread : threads)
    thread.join();
  return run;
}

/// The first difference, or nothing.
std::string difference(const Outcome &a, const Outcome &b, double lossTolerance,
                       double normTolerance) {
  for (size_t i = 0; i < a.figures.size(); ++i)
    for (size_t j = 0; j < a.figures[i].size(); ++j) {
      float wanted = a.figures[i][j], got = b.figures[i][j];
      if (lossTolerance && j != 0 && j != 2)
        continue;
      double tolerance = j == 0 ? lossTolerance : normTolerance;
      if (std::memcmp(&wanted, &got, 4) != 0 &&
          !(std::abs(wanted - got) <= tolerance * std::abs(wanted)))
        return "figure " + std::to_string(j) + " of step " + std::to_string(i + 1) + ": " +
               std::to_string(wanted) + " and " + std::to_string(got);
    }
  if (lossTolerance)
    return {};
  if (a.weights.size() != b.weights.size())
    return std::to_string(a.weights.size()) + " and " + std::to_string(b.weights.size()) +
           " tensors";
  for (const auto &[name, values] : a.weights)
    if (auto other = b.weights.find(name);
        other == b.weights.end() ||
        std::memcmp(values.data(), other->second.data(), values.size() * 4) != 0)
      return "weights of " + name;
  return {};
}

} // namespace

int main(int argc, char **argv) {
  std::vector<std::string> paths(argv + 1, argv + argc);
  double lossTolerance = 0, normTolerance = 0;
  if (paths.size() > 3 && paths[0] == "--close") {
    lossTolerance = std::atof(paths[1].c_str());
    normTolerance = std::atof(paths[2].c_str());
    paths.erase(paths.begin(), paths.begin() + 3);
  }
  std::optional<Outcome> first;
  int failed = 0;
  for (const std::string &path : paths) {
    Outcome run = train(path, /*growsBatch=*/lossTolerance == 0);
    std::string problem = run.error;
    if (problem.empty() && first)
      problem = difference(*first, run, lossTolerance, normTolerance);
    std::printf("%s: %s", path.c_str(), problem.empty() ? "ok" : problem.c_str());
    if (run.error.empty())
      std::printf(", loss %.9g, norm %.9g", run.figures.back()[0], run.figures.back()[2]);
    std::printf("\n");
    std::fflush(stdout);
    failed += !problem.empty();
    if (!first)
      first = std::move(run);
  }
  return failed ? 1 : 0;
}
