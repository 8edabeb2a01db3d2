//===- ExpertRanks.h - programs of an inference module over ranks ------===//
//
// Runs the programs of table Inference: stream 0 on the calling thread, exchanges with the other
// ranks beside it. All ranks run the same programs in the same order, each on sequences of its own,
// if on none. Of programs that run together one computes while another waits.
//
//===--------------------------------------------------------------------===//

#ifndef HADAL_RUNTIME_RANKS_EXPERTRANKS_H
#define HADAL_RUNTIME_RANKS_EXPERTRANKS_H

#include "runtime/ranks/ChunkRunner.h"

#include <map>

namespace hadal {

/// One thread at a time.
class ExpertRanks : public RankPrograms {
public:
  /// All of them must outlive the object; the trace may be null. A rank waits `timeout` for another
  /// before it gives up.
  ExpertRanks(Executor &executor, Comm &comm, Trace *trace, Comm::Seconds timeout);

  Status run(std::span<RankProgram> programs) override;

  /// Seconds in which nothing was computed, for messages had not come.
  double waitedSeconds() const { return runner.waitedSeconds(); }

private:
  const StagePlan &planOf(const fb::Program &program);
  std::unique_ptr<MicroBatchValues> valuesOf(const RankProgram &program, unsigned number);

  RankLayout layout;
  ChunkRunner runner;
  std::shared_ptr<std::byte> nothing; ///< where empty lists lie
  std::map<const fb::Program *, StagePlan> plans;
  int64_t number = 0; ///< of runs so far
};

} // namespace hadal

#endif // HADAL_RUNTIME_RANKS_EXPERTRANKS_H
