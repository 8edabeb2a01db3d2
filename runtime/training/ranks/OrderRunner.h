//===- OrderRunner.h - a rank's order of chunks -------------------------===//
//
// Runs the chunks of a step, stream 0 on the calling thread and stream 1 beside it. What may run
// side by side are the items of a window (runtime/module/CheckRanks.h): the first that has not
// ended, and the next. At the borders of calls the runner takes, of all whose messages have come,
// the first item's halves in turns, then those of the next, and weight gradients last: nobody waits
// for these.
//
// No bit depends on who runs when: programs of a micro-batch follow each other, and a micro-batch
// adds to a sum after the one before it.
//
//===--------------------------------------------------------------------===//

#ifndef HADAL_RUNTIME_TRAINING_RANKS_ORDERRUNNER_H
#define HADAL_RUNTIME_TRAINING_RANKS_ORDERRUNNER_H

#include "runtime/Executor.h"
#include "runtime/ranks/ChunkCalls.h"
#include "runtime/training/MicroBatch.h"

#include <deque>
#include <functional>
#include <map>
#include <optional>

namespace hadal {

/// What runs that differ in nothing else may differ in.
struct ParallelOptions {
  Comm::Seconds timeout{60}; ///< that a rank waits for another before it stops
  bool overlap = true;       ///< off: a chunk waits at once for what it receives
};

/// One thread at a time; its stream has one of its own.
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
  double waitedSeconds() const { return waited; }
  /// Most bytes of memory for values of micro-batches.
  uint64_t peakBytes() const { return pool.peakBytes(); }

private:
  struct Half {
    const fb::Chunk *chunk;
    std::string name;
    MicroBatchValues *values;
    std::vector<StageProgram> programs; ///< still to run, last first
    std::unique_ptr<ChunkRun> run;
    bool hasBegun = false;
    int64_t beginNs = 0;
    bool isDone() const { return !run; }
    bool isFiller() const { return run && run->program.which == StageProgram::WeightGrad; }
    /// Whether a program is still to end.
    bool has(StageProgram program) const;
  };
  /// One chunk, or two that are issued together.
  struct Item {
    uint32_t first; ///< chunk of the order
    std::vector<Half> halves;
    size_t turn = 0;
    bool isDone() const;
  };
  struct Step {
    int64_t number;
    std::span<const MicroBatch> batches;
    const std::vector<int32_t> &counts;
    const Hooks &hooks;
    Pass pass;
    int64_t filled; ///< micro-batches of each group, its first ones
  };
  enum class Progress { None, Some, Call };
  using Lock = std::unique_lock<std::mutex>;

  Status runItems(const fb::Order &order, const Step &step);
  Result<Item> prepare(const fb::Order &order, uint32_t first, const Step &step);
  void nextProgram(Half &half);
  void beginWhatMay();
  const Half *sameProgramBefore(const Half &half) const;
  bool mayCall(const Half &half, uint32_t at) const;
  Result<bool> moveOn(const Step &step, Lock &lock);
  Result<Progress> advance(Half &half, const Step &step, Lock &lock);
  Status call(Half &half, uint32_t at, const fb::Call &call, const Step &step, Lock &lock);
  void endWait();
  Status waitForMessages(const Step &step, Lock &lock);
  Error failed(const Step &step, const Error &error) const;

  Executor &executor;
  const RankLayout &layout;
  Trace *trace;
  ParallelOptions options;
  std::vector<StagePlan> plans; ///< by stage, empty where another rank has it
  MemoryPool pool;
  std::map<std::pair<unsigned, unsigned>, std::unique_ptr<MicroBatchValues>>
      inFlight;           ///< by stage and micro-batch
  std::deque<Item> items; ///< of the window
  MessageWait wait;
  double waited = 0;
  CommStream stream; ///< last: its thread ends first
};

} // namespace hadal

#endif // HADAL_RUNTIME_TRAINING_RANKS_ORDERRUNNER_H
