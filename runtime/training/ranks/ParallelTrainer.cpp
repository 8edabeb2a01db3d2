//===- ParallelTrainer.cpp - steps of training over ranks -----------------===//

#include "runtime/training/ranks/ParallelTrainer.h"
#include "runtime/module/Names.h"

#include "runtime/module/Verify.h"
#include "runtime/ranks/Gather.h"
#include "runtime/ranks/OpenSends.h"
#include "runtime/ranks/Tags.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <utility>

using namespace hadal;

Result<std::unique_ptr<ParallelTrainer>>
ParallelTrainer::create(Executor &executor, Trainables &trainables, const SumPlan &plan,
                        const RankLayout &layout, Comm &comm, Trace *trace,
                        const ParallelOptions &options) {
  HADAL_TRY(verifyModule(executor.module()));
  const fb::Training &table = *HADAL_TRY(trainingOf(executor.module()));
  std::unique_ptr<ParallelTrainer> trainer(new ParallelTrainer(table, trainables, executor, plan,
                                                               layout, comm, trace, options,
                                                               HADAL_TRY(Adder::create(executor))));
  HADAL_TRY(trainer->prepare());
  return trainer;
}

Status ParallelTrainer::prepare() {
  for (const char *name :
       {names::program::zero, names::program::squareSum, names::program::globalNorm,
        names::program::schedule, names::program::adamw})
    programs[name] = std::make_unique<ProgramRun>(HADAL_TRY(executor.prepare(name)));
  if (executor.module().findProgram(
          names::program::balance)) // without experts there is nothing to balance
    programs[names::program::balance] =
        std::make_unique<ProgramRun>(HADAL_TRY(executor.prepare(names::program::balance)));
  for (unsigned direction = 0; direction < layout.directions(); ++direction)
    if (std::string name =
            names::program::quantizeWeightsOf(layout.stageOf(layout.ppOf(layout.rank), direction));
        executor.module().findProgram(name) && !quantizeWeights.count(name))
      quantizeWeights.emplace(name, HADAL_TRY(executor.prepare(name)));
  sums = HADAL_TRY(RankSums::create(
      {executor, trainables, plan, layout, runner, comm, streamComm, adder, options.timeout}));
  return {};
}

std::string ParallelTrainer::at(const char *doing) const {
  return "step " + std::to_string(current) + ", " + doing;
}

/// The sums of squares of the gradients that this rank updates, in the order of the tensors.
Status ParallelTrainer::addSquares(std::string &said) {
  ProgramRun &squareSum = *programs[names::program::squareSum];
  for (const TrainedTensor &tensor : trainables.tensors())
    if (!tensor.correction && trainables.isUpdatedHere(tensor)) {
      int64_t elements = table.trainables()->Get(tensor.trainable)->packed_elements();
      DeviceAddress gradient = trainables.data(Values::Gradient, tensor.trainable) +
                               tensor.element * elements * int64_t(sizeof(float));
      HADAL_TRY(squareSum.setRegister(names::reg::elements, elements));
      HADAL_TRY(squareSum.bind(names::argument::gradient,
                               DeviceView{ElementType::F32, {elements}, gradient}));
      HADAL_TRY(squareSum.execute());
      said.append(static_cast<const char *>(HADAL_TRY(squareSum.output(names::argument::sum)).data),
                  sizeof(double));
    }
  return {};
}

/// Losses and loads, and the norm of what was joined of gradients, from the ranks that have them to
/// all.
Status ParallelTrainer::tellAll(RankSums::Joined joined) {
  // What each rank says, in an order that all know.
  std::string mine;
  if (joined == RankSums::Joined::All)
    HADAL_TRY(addSquares(mine));
  for (const SumUnit &unit : plan.units)
    if (unit.trainable < 0)
      for (const RankSums::Piece &piece : sums->piecesOf(unit))
        if (piece.rank == layout.rank) {
          std::string said(piece.view.bytes(), 0);
          HADAL_TRY(executor.download(said.data(), piece.view.address, said.size()));
          mine += said;
        }
  std::vector<std::string> all =
      HADAL_TRY(gatherAll(comm, mine, options.timeout, at("joins norms, losses and loads")));

  std::vector<uint64_t> heard(all.size(), 0);
  auto hear = [&](unsigned rank, uint64_t bytes) -> Result<const char *> {
    if (heard[rank] + bytes > all[rank].size())
      return ioError("rank " + std::to_string(rank) +
                     " says less than it should: are all ranks running the same module?");
    return all[rank].data() + std::exchange(heard[rank], heard[rank] + bytes);
  };
  squares.clear();
  for (const TrainedTensor &tensor : trainables.tensors())
    if (!tensor.correction && joined == RankSums::Joined::All) {
      squares.push_back(0);
      std::memcpy(&squares.back(), HADAL_TRY(hear(trainables.updatedBy(tensor), sizeof(double))),
                  sizeof(double));
    }
  for (const SumUnit &unit : plan.units) {
    if (unit.trainable >= 0)
      continue;
    DeviceView state = HADAL_TRY(executor.state(unit.state));
    std::shared_ptr<std::byte> part = HADAL_TRY(pool.take(state.bytes()));
    bool isFirst = true;
    for (const RankSums::Piece &piece : sums->piecesOf(unit)) {
      HADAL_TRY(executor.upload(isFirst ? state.address : part.get(),
                                HADAL_TRY(hear(piece.rank, state.bytes())), state.bytes()));
      if (!std::exchange(isFirst, false))
        HADAL_TRY(adder.add(state.element, part.get(), state.address, *elementCount(state.shape)));
    }
  }
  return joined == RankSums::Joined::All ? joinNorms() : Status();
}

Status ParallelTrainer::joinNorms() {
  ProgramRun &globalNorm = *programs[names::program::globalNorm];
  int64_t count = static_cast<int64_t>(squares.size());
  HADAL_TRY(globalNorm.setRegister(names::reg::tensors, count));
  HADAL_TRY(globalNorm.bind(names::argument::sums,
                            TensorView{ElementType::F64, {count}, squares.data()}));
  HADAL_TRY(globalNorm.execute());
  norm = *static_cast<const float *>(HADAL_TRY(globalNorm.output(names::argument::gradNorm)).data);
  return {};
}

//===----------------------------------------------------------------------===//
// Steps
//===----------------------------------------------------------------------===//

/// The chunks of a step and their sums, down to its losses.
Result<StepResult> ParallelTrainer::pass(int64_t step, std::span<const TrainingRow> rows,
                                         OrderRunner::Pass kind) {
  isCommon = true; // what rows have wrong with them is wrong on all ranks
  Input input = HADAL_TRY(inputOf(step, rows));
  isCommon = false;
  current = step;
  StepResult result;
  result.step = step;
  result.tokens = input.tokens;
  result.predictions = input.counts[0];
  HADAL_TRY(sums->begin(step, static_cast<int64_t>(input.batches.size()) / table.sum_groups()));
  HADAL_TRY(programs[names::program::zero]->execute());
  for (auto &[name, program] : quantizeWeights)
    HADAL_TRY(program.execute());
  OrderRunner::Hooks hooks;
  hooks.enter = [&](unsigned stage) { return sums->enter(stage); };
  hooks.done = [&](unsigned stage, unsigned microBatch, StageProgram program) {
    return sums->endProgram(stage, microBatch, program);
  };
  HADAL_TRY(runner.run(step, input.batches, input.counts, hooks, kind));
  auto joined =
      kind == OrderRunner::Pass::Forward ? RankSums::Joined::Figures : RankSums::Joined::All;
  HADAL_TRY(sums->join(joined));
  HADAL_TRY(tellAll(joined));

  DeviceView losses = HADAL_TRY(executor.state(names::state::losses));
  std::vector<float> values(losses.bytes() / sizeof(float));
  HADAL_TRY(executor.download(values.data(), losses.address, losses.bytes()));
  result.takeLosses(values, table.mtp_depth());
  return result;
}

Result<StepResult> ParallelTrainer::gradients(int64_t step, std::span<const TrainingRow> rows) {
  StepResult result = HADAL_TRY(pass(step, rows, OrderRunner::Pass::Whole));
  result.gradientNorm = norm;
  HADAL_TRY(checkFinite(result));
  return result;
}

Result<StepResult> ParallelTrainer::evaluate(int64_t step, std::span<const TrainingRow> rows) {
  return pass(step, rows, OrderRunner::Pass::Forward);
}

/// Every rank sees the same figures; which tensor is to blame they find together.
Status ParallelTrainer::checkFinite(const StepResult &result) {
  std::string message = notFinite(result);
  if (message.empty())
    return {};
  struct Findings {
    uint64_t weight = UINT64_MAX, gradient = UINT64_MAX; ///< first tensor that is not finite
    uint64_t largestWeight = 0, largestGradient = 0;
    uint32_t weightBits = 0, gradientBits = 0;
  } mine;
  const TrainedTensor *first = trainables.tensors().data();
  auto number = [&](const TrainedTensor *tensor) {
    return tensor ? uint64_t(tensor - first) : UINT64_MAX;
  };
  mine.weight = number(HADAL_TRY(trainables.findNotFinite(Values::Weight)));
  mine.gradient = number(HADAL_TRY(trainables.findNotFinite(Values::Gradient)));
  mine.largestWeight = number(HADAL_TRY(trainables.findLargest(Values::Weight, &mine.weightBits)));
  mine.largestGradient =
      number(HADAL_TRY(trainables.findLargest(Values::Gradient, &mine.gradientBits)));
  std::string said(reinterpret_cast<const char *>(&mine), sizeof mine);
  Findings all;
  for (const std::string &text :
       HADAL_TRY(gatherAll(comm, said, options.timeout, at("looks for what is not finite")))) {
    Findings theirs;
    std::memcpy(&theirs, text.data(), sizeof theirs);
    all.weight = std::min(all.weight, theirs.weight);
    all.gradient = std::min(all.gradient, theirs.gradient);
    if (theirs.weightBits > all.weightBits)
      all.weightBits = theirs.weightBits, all.largestWeight = theirs.largestWeight;
    if (theirs.gradientBits > all.gradientBits)
      all.gradientBits = theirs.gradientBits, all.largestGradient = theirs.largestGradient;
  }
  isCommon = true;
  if (all.weight != UINT64_MAX)
    return invalidArgument(message + named(first[all.weight]) + " is not finite");
  if (all.gradient != UINT64_MAX)
    return invalidArgument(message + "the gradient of " + named(first[all.gradient]) +
                           " is not finite");
  return invalidArgument(message + "the largest gradient is that of " +
                         named(first[all.largestGradient]) + ", the largest weight in " +
                         named(first[all.largestWeight]));
}

/// AdamW where the totals are, weights to the others.
Status ParallelTrainer::update(const OptimizerSettings &settings, StepResult &result) {
  ProgramRun &schedule = *programs[names::program::schedule],
             &adamw = *programs[names::program::adamw];
  HADAL_TRY(bindSettings(schedule, settings, current));
  HADAL_TRY(schedule.execute());
  result.rate = *static_cast<const float *>(HADAL_TRY(schedule.output(names::argument::lr)).data);

  OpenSends sends(executor, streamComm, options.timeout);
  std::vector<std::pair<unsigned, Message>> arriving;
  for (const SumUnit &unit : plan.units)
    if (unit.trainable >= 0 && unit.root != layout.rank &&
        std::binary_search(unit.replicas.begin(), unit.replicas.end(), layout.rank))
      arriving.push_back({unit.root, HADAL_TRY(streamComm.receive(
                                         unit.root, stepTag(StepTag::Weight),
                                         trainables.data(Values::Weight, unit.trainable),
                                         uint64_t(elementsOf(table, unit)) * sizeof(float)))});
  for (const SumUnit &unit : plan.units) {
    if (unit.trainable < 0 || unit.root != layout.rank)
      continue;
    int64_t elements = elementsOf(table, unit);
    HADAL_TRY(adamw.setRegister(names::reg::elements, elements));
    for (size_t i = 0; i < valuesCount; ++i) {
      std::string name(valuesName(Values(i)));
      DeviceAddress data = trainables.data(Values(i), unit.trainable);
      if (adamw.hasArgument(name) && data)
        HADAL_TRY(adamw.bind(
            name, DeviceView{trainables.elementOf(Values(i), unit.trainable), {elements}, data}));
    }
    HADAL_TRY(adamw.execute());
    for (unsigned replica : unit.replicas)
      if (replica != layout.rank)
        HADAL_TRY(sends.add(replica, stepTag(StepTag::Weight),
                            trainables.data(Values::Weight, unit.trainable),
                            uint64_t(elements) * sizeof(float)));
  }
  if (auto balance = programs.find(names::program::balance); balance != programs.end()) {
    HADAL_TRY(balance->second->execute());
    TensorView violation = HADAL_TRY(balance->second->output(names::argument::violation));
    auto *first = static_cast<const float *>(violation.data);
    result.violation.assign(first, first + violation.shape[0]);
  }
  for (auto [from, message] : arriving)
    HADAL_TRY(
        streamComm.wait(message, options.timeout, from, [&] { return at("receives weights"); }));
  return sends.finish(at("sends weights"));
}

Result<StepResult> ParallelTrainer::step(int64_t step, std::span<const TrainingRow> rows,
                                         const OptimizerSettings &settings) {
  auto begin = std::chrono::steady_clock::now();
  StepResult result = HADAL_TRY(gradients(step, rows));
  HADAL_TRY(update(settings, result));
  trainables.noteChange();
  result.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  return result;
}
