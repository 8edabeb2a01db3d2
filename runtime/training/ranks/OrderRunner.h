//===- OrderRunner.h - a rank's order of chunks -------------------------===//
//
// The chunks of a training step as ChunkRunner runs them: which micro-batch each is of, and what
// that one is given.
//
//===--------------------------------------------------------------------===//

#ifndef HADAL_RUNTIME_TRAINING_RANKS_ORDERRUNNER_H
#define HADAL_RUNTIME_TRAINING_RANKS_ORDERRUNNER_H

#include "runtime/ranks/ChunkRunner.h"
#include "runtime/training/MicroBatch.h"

#include <functional>
#include <map>

namespace hadal {

/// One thread at a time.
class OrderRunner {
public:
  /// All of them must outlive the runner; the trace may be null.
  OrderRunner(Executor &executor, const RankLayout &layout, Comm &comm, Trace *trace,
              const ParallelOptions &options);

  enum class Pass {
    Whole,
    Forward, ///< the forward chunks alone: losses and loads, no gradients
  };

  struct Hooks {
    /// Before a call that adds to a stage's sums.
    std::function<Status(unsigned stage)> enter;
    /// After a program of a micro-batch in a stage. Programs of a stage come with ascending
    /// micro-batches.
    std::function<Status(unsigned stage, unsigned microBatch, StageProgram program)> done;
  };

  /// Runs this rank's order. `batches`: all micro-batches of the step, as many in each group of the
  /// sums, of which this rank takes its own. Errors name rank, step, chunk and command.
  Status run(int64_t step, std::span<const MicroBatch> batches,
             const std::vector<int32_t> &stepCounts, const Hooks &hooks, Pass pass = Pass::Whole);

  const StagePlan *planOf(unsigned stage) const {
    return plans[stage].table ? &plans[stage] : nullptr;
  }

  /// Seconds in which nothing was computed, for messages had not come.
  double waitedSeconds() const { return runner.waitedSeconds(); }
  /// Most bytes of memory for values of micro-batches.
  uint64_t peakBytes() const { return runner.memory().peakBytes(); }

private:
  struct Step {
    std::span<const MicroBatch> batches;
    const std::vector<int32_t> &counts;
    Pass pass;
    int64_t filled; ///< micro-batches of each group, its first ones
  };
  Result<std::vector<RunningChunk>> prepare(const fb::Order &order, uint32_t first,
                                            const Step &step);
  Result<std::unique_ptr<MicroBatchValues>> valuesOf(unsigned stage, const fb::Chunk &chunk,
                                                     const Step &step);

  Executor &executor;
  const RankLayout &layout;
  std::vector<StagePlan> plans; ///< by stage, empty where another rank has it
  ChunkRunner runner;           ///< before the values, whose memory is its pool's
  std::map<std::pair<unsigned, unsigned>, std::unique_ptr<MicroBatchValues>>
      inFlight; ///< by stage and micro-batch
};

} // namespace hadal

#endif // HADAL_RUNTIME_TRAINING_RANKS_ORDERRUNNER_H
