//===- ParallelTrainer.h - steps of training over ranks -----------------===//

#ifndef HADAL_RUNTIME_PARALLEL_PARALLELTRAINER_H
#define HADAL_RUNTIME_PARALLEL_PARALLELTRAINER_H

#include "runtime/parallel/ChunkRunner.h"
#include "runtime/parallel/SumPlan.h"
#include "runtime/training/GroupSums.h"
#include "runtime/training/Trainer.h"

namespace hadal {

/// A rank's part in the steps of a module with a table of ranks. All ranks call the same functions with the same rows, and
/// get the same results. Every sum has the order of the design, so that layouts with equal groups have equal bits.
///
/// A step: program `zero`; the rank's order of chunks, where the sums of groups join as they end; the sums of the owners in a halving
/// tree, the uses of a parameter behind each other, the total at the rank that updates it; the norms of all gradients to
/// all ranks; `adamw` where the total is; weights to all that have them; loads to all, and `balance` everywhere.
class ParallelTrainer final : public Trainer {
public:
  /// All of them must outlive the trainer; `plan` is the one that the trainables' shares are from. The trace may be null.
  /// What verifyRanks does not pass is not run.
  static Result<std::unique_ptr<ParallelTrainer>> create(Executor &executor, Trainables &trainables, const SumPlan &plan, const RankLayout &layout,
                                                         Comm &comm, Trace *trace, const ParallelOptions &options);

  Result<StepResult> gradients(int64_t step, std::span<const TrainingRow> rows) override;
  Result<StepResult> step(int64_t step, std::span<const TrainingRow> rows, const OptimizerSettings &settings) override;

  /// Whether the last error is one that all ranks have found together, so that one of them may tell it.
  bool failedTogether() const { return isCommon; }

  double waitedSeconds() const { return runner.waitedSeconds(); }
  uint64_t valueBytes() const { return runner.peakBytes(); }

private:
  /// A sum that this rank's chunks add to.
  struct Sum {
    unsigned stage;
    const fb::Accumulator *table;
    Part part;                 ///< behind which a group ends
    TensorView state;
    Buffer own;                ///< where another stage of this rank adds to the same state: what this stage has of it
    GroupCounter counter;
  };
  struct Sending {
    unsigned to;
    Message message;
    void *clears = nullptr; ///< zeroed when it is done
    uint64_t bytes = 0;
  };

  ParallelTrainer(const fb::Training &table, Trainables &trainables, Executor &executor, const SumPlan &plan, const RankLayout &layout, Comm &comm,
                  Trace *trace, const ParallelOptions &options, Adder adder)
      : Trainer(table, trainables), executor(executor), plan(plan), layout(layout), comm(comm), options(options), adder(std::move(adder)),
        runner(executor, layout, comm, trace, options), pool(executor.device()) {}
  Status prepare();

  void enter(int stage);
  Status endPart(unsigned stage, unsigned microBatch, Part part);
  Sum *sumOf(unsigned stage, uint32_t accumulator);
  static int64_t elementsOfSegment(const Sum &sum);
  Status joinSegments(Sum &sum);
  Status beginSum(const SumUnit &unit);
  Status sendSum(const Sum &sum, unsigned to, unsigned size);
  Status sumUp(const SumUnit &unit);
  Status joinLeaves(const SumUnit &unit, const SumUse &use, Sum &sum, unsigned leaf);
  Status send(unsigned to, uint32_t tag, const void *data, uint64_t bytes, bool clears);
  Status receiveAndAdd(unsigned from, uint32_t tag, ElementType element, void *sum, int64_t elements);
  Status finishSends();
  Status tellAll();
  Status checkFinite(const StepResult &result);
  Status update(const OptimizerSettings &settings, StepResult &result);
  std::string at(const char *doing) const;
  int64_t elementsOf(const SumUnit &unit) const;

  Executor &executor;
  const SumPlan &plan;
  const RankLayout &layout;
  Comm &comm;
  ParallelOptions options;
  Adder adder;
  ChunkRunner runner;
  MemoryPool pool;
  std::vector<std::unique_ptr<Sum>> sums;
  std::map<std::string, std::unique_ptr<ProgramRun>> programs;
  int entered = -1;                ///< the stage whose part of shared states lies in them
  std::vector<Sending> sendings;
  std::vector<double> squares;     ///< of each tensor that has a gradient
  int64_t current = 0;             ///< step
  float norm = 0;
  bool isCommon = false;
};

} // namespace hadal

#endif // HADAL_RUNTIME_PARALLEL_PARALLELTRAINER_H
