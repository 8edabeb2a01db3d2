//===- ChunkRunner.h - runs a rank's chunks -----------------------------===//
//
// Runs chunk programs, in training a rank's order of them and in inference those that ranks run
// together: stream 0 on the calling thread and stream 1 beside it. At the borders of calls the
// runner takes the next of all whose messages have come, as ChunkWindow says.
//
// No bit depends on who runs when: programs of a micro-batch follow each other, and a micro-batch
// adds to a sum after the one before it.
//
//===--------------------------------------------------------------------===//

#ifndef HADAL_RUNTIME_RANKS_CHUNKRUNNER_H
#define HADAL_RUNTIME_RANKS_CHUNKRUNNER_H

#include "runtime/Executor.h"
#include "runtime/ranks/ChunkWindow.h"
#include "runtime/ranks/CommStream.h"

#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

namespace hadal {

/// What runs that differ in nothing else may differ in.
struct ParallelOptions {
  Comm::Seconds timeout{60}; ///< that a rank waits for another before it stops
  bool overlap = true;       ///< off: a chunk waits at once for what it receives
};

/// A chunk in flight. Its values must outlive its last program.
struct RunningChunk : ChunkState {
  RunningChunk(std::string name, MicroBatchValues &values, std::vector<StageProgram> programs)
      : ChunkState{values.plan, std::move(programs)}, name(std::move(name)), values(&values) {}

  std::string name; ///< "F0.3"
  MicroBatchValues *values;
  std::unique_ptr<ChunkRun> run; ///< of programs.back()
  int64_t beginNs = 0;
};

/// One thread at a time; its stream has one of its own.
class ChunkRunner {
public:
  /// All of them must outlive the runner; the trace may be null.
  ChunkRunner(Executor &executor, const RankLayout &layout, Comm &comm, Trace *trace,
              const ParallelOptions &options);

  /// What is to be run, and who hears of it.
  struct Job {
    std::string name;        ///< of this run, for people: "step 3"
    std::string errorPrefix; ///< before what goes wrong in it: "step 3, "
    const fb::Order *order;  ///< null: one item
    /// The chunks of the item at a chunk of the order, none where all are left out.
    std::function<Result<std::vector<RunningChunk>>(uint32_t first)> prepare;
    /// Before a call, the command `at` of the chunk's program. May be empty.
    std::function<Status(const RunningChunk &chunk, uint32_t at)> enter = {};
    /// After it. May be empty.
    std::function<void(const RunningChunk &chunk, const RunStatistics &statistics)> called = {};
    /// After a program of a chunk, those of a stage with ascending micro-batches; values that no
    /// later program has are given back. May be empty.
    std::function<Status(const RunningChunk &chunk, StageProgram program)> done = {};
  };

  /// Returns when all is done and sent. Errors name rank, chunk and command.
  Status run(const Job &job);

  /// Seconds in which nothing was computed, for messages had not come.
  double waitedSeconds() const { return waited; }
  /// Of values of micro-batches.
  MemoryPool &memory() { return pool; }
  const MemoryPool &memory() const { return pool; }

private:
  using Window = ChunkWindow<RunningChunk>;
  using Lock = std::unique_lock<std::mutex>;

  Status runAll(const Job &job, Window &window);
  Result<std::vector<RunningChunk>> prepare(const Job &job, uint32_t first);
  void beginProgram(RunningChunk &chunk);
  void start(ChunkRun &run) const;
  bool mayCall(const Window &window, const RunningChunk &chunk, uint32_t at) const;
  Result<ChunkProgress> advance(const Job &job, const Window &window, RunningChunk &chunk,
                                Lock &lock);
  Status call(const Job &job, RunningChunk &chunk, uint32_t at, const fb::Call &call, Lock &lock);
  Status endProgram(const Job &job, RunningChunk &chunk, Lock &lock);
  void endWait();
  Status waitForMessages(const Job &job, const Window &window, Lock &lock);
  Error failed(const Job &job, const Error &error) const;

  Executor &executor;
  const RankLayout &layout;
  Trace *trace;
  ParallelOptions options;
  MemoryPool pool;
  Comm &comm;
  std::optional<Comm::Clock::time_point> waitingSince; ///< while nothing moves
  double waited = 0;
  CommStream stream; ///< last: its thread ends first
};

} // namespace hadal

#endif // HADAL_RUNTIME_RANKS_CHUNKRUNNER_H
