//===- ChunkRunner.h - a rank's order of chunks -------------------------===//
//
// Runs the chunks of a step, stream 0 on the calling thread and stream 1 beside it. Of two chunks that are issued together one
// computes while the other waits for messages; they take turns at the borders of their calls.
//
//===--------------------------------------------------------------------===//

#ifndef HADAL_RUNTIME_PARALLEL_CHUNKRUNNER_H
#define HADAL_RUNTIME_PARALLEL_CHUNKRUNNER_H

#include "runtime/Executor.h"
#include "runtime/parallel/CommStream.h"

#include <functional>
#include <map>
#include <optional>

namespace hadal {

/// What runs that differ in nothing else may differ in.
struct ParallelOptions {
  Comm::Seconds timeout{60};  ///< that a rank waits for another before it stops
  bool overlap = true;        ///< off: a chunk waits at once for what it receives
};

class ChunkRunner {
public:
  /// All of them must outlive the runner; the trace may be null.
  ChunkRunner(Executor &executor, const RankLayout &layout, Comm &comm, Trace *trace, const ParallelOptions &options);

  struct Hooks {
    /// Before a call of a stage's program.
    std::function<void(unsigned stage)> enter;
    /// After a part of a micro-batch in a stage. Parts of a stage come with ascending micro-batches.
    std::function<Status(unsigned stage, unsigned microBatch, Part part)> done;
  };

  /// Runs this rank's order. `batches`: all micro-batches of the step, of which this rank takes its own. Errors name rank, step, chunk and command.
  Status run(int64_t step, std::span<const MicroBatch> batches, const std::vector<int32_t> &stepCounts, const Hooks &hooks);

  const StagePlan *planOf(unsigned stage) const { return plans[stage].table ? &plans[stage] : nullptr; }

  /// Seconds in which nothing was computed, for messages had not come.
  double waitedSeconds() const { return waited; }
  /// Most bytes of memory for values of micro-batches.
  uint64_t peakBytes() const { return pool.peakBytes(); }

private:
  struct Half {
    const fb::Chunk *chunk;
    std::string name;
    MicroBatchValues *values;
    std::vector<Part> parts; ///< still to run, last first
    std::unique_ptr<ChunkRun> run;
    unsigned lane = 0;
    int64_t beginNs = -1;
    bool isDone() const { return !run; }
  };
  struct Step {
    int64_t number;
    std::span<const MicroBatch> batches;
    const std::vector<int32_t> &counts;
    const Hooks &hooks;
  };
  enum class Progress { None, Some, Call };
  using Lock = std::unique_lock<std::mutex>;

  Result<std::vector<Half>> prepare(const fb::Order &order, uint32_t at, const Step &step);
  Status begin(Half &half);
  Status runHalves(std::span<Half> halves, const Step &step);
  Result<Progress> advance(Half &half, const Step &step, Lock &lock);
  Status call(Half &half, uint32_t at, const fb::Call &call, const Step &step, Lock &lock);
  Status waitForMessages(std::span<Half> halves, const Step &step, Lock &lock);
  Error failed(const Step &step, const Error &error) const;

  Executor &executor;
  const RankLayout &layout;
  Comm &comm;
  Trace *trace;
  ParallelOptions options;
  std::vector<StagePlan> plans; ///< by stage, empty where another rank has it
  MemoryPool pool;
  std::map<std::pair<unsigned, unsigned>, std::unique_ptr<MicroBatchValues>> inFlight; ///< by stage and micro-batch
  std::optional<Comm::Clock::time_point> waitsSince;
  double waited = 0;
  CommStream stream; ///< last: its thread ends first
};

} // namespace hadal

#endif // HADAL_RUNTIME_PARALLEL_CHUNKRUNNER_H
