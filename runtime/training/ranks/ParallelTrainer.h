//===- ParallelTrainer.h - steps of training over ranks -----------------===//

#ifndef HADAL_RUNTIME_TRAINING_RANKS_PARALLELTRAINER_H
#define HADAL_RUNTIME_TRAINING_RANKS_PARALLELTRAINER_H

#include "runtime/training/Trainer.h"
#include "runtime/training/ranks/RankSums.h"

namespace hadal {

/// A rank's part in the steps of a module with a table of ranks. All ranks call the same functions
/// with the same rows, and get the same results. Every sum has a fixed order, so that layouts with
/// equal groups have equal bits, unless the module leaves the order to the engine
/// (`--reduction=fast`).
///
/// A step: program `zero`; the rank's order of chunks; their sums over ranks, the total at the rank
/// that updates the parameter (RankSums.h); the norms of all gradients to all ranks; `adamw` where
/// the total is; weights to all that have them; loads to all, and `balance` everywhere.
/// One thread at a time.
class ParallelTrainer final : public Trainer {
public:
  /// All of them must outlive the trainer; `plan` is the one that the trainables' shares are from.
  /// The trace may be null. What verifyModule does not pass is not run.
  static Result<std::unique_ptr<ParallelTrainer>>
  create(Executor &executor, Trainables &trainables, const SumPlan &plan, const RankLayout &layout,
         Comm &comm, Trace *trace, const ParallelOptions &options);

  Result<StepResult> gradients(int64_t step, std::span<const TrainingRow> rows) override;
  Result<StepResult> evaluate(int64_t step, std::span<const TrainingRow> rows) override;
  Result<StepResult> step(int64_t step, std::span<const TrainingRow> rows,
                          const OptimizerSettings &settings) override;

  /// Whether the last error is one that all ranks have found together, so that one of them may tell
  /// it.
  bool failedTogether() const { return isCommon; }

  double waitedSeconds() const { return runner.waitedSeconds(); }
  uint64_t valueBytes() const { return runner.peakBytes(); }
  /// Of the engine, that this rank took part in; 0 where sums have the fixed order.
  uint64_t reductions() const { return sums->reductions(); }

private:
  ParallelTrainer(const fb::Training &table, Trainables &trainables, Executor &executor,
                  const SumPlan &plan, const RankLayout &layout, Comm &comm, Trace *trace,
                  const ParallelOptions &options, Adder adder)
      : Trainer(table, trainables), executor(executor), plan(plan), layout(layout), comm(comm),
        options(options), adder(std::move(adder)), runner(executor, layout, comm, trace, options),
        streamComm(comm, executor.device()), pool(executor.device()) {}
  Status prepare();
  Result<StepResult> pass(int64_t step, std::span<const TrainingRow> rows, OrderRunner::Pass kind);
  Status addSquares(std::string &said);
  Status tellAll(RankSums::Joined joined);
  Status joinNorms();
  Status checkFinite(const StepResult &result);
  Status update(const OptimizerSettings &settings, StepResult &result);
  std::string at(const char *doing) const;

  Executor &executor;
  const SumPlan &plan;
  const RankLayout &layout;
  Comm &comm;
  ParallelOptions options;
  Adder adder;
  OrderRunner runner;
  StreamComm streamComm; ///< of sums and weights
  MemoryPool pool;
  std::unique_ptr<RankSums> sums;
  std::map<std::string, std::unique_ptr<ProgramRun>> programs;
  std::map<std::string, ProgramRun> quantizeWeights; ///< of this rank's stages, in FP8
  std::vector<double> squares;                       ///< of each tensor that has a gradient
  int64_t current = 0;                               ///< step
  float norm = 0;
  bool isCommon = false;
};

} // namespace hadal

#endif // HADAL_RUNTIME_TRAINING_RANKS_PARALLELTRAINER_H
