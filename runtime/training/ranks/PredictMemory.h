//===- PredictMemory.h - what a rank of a training job will take --------===//
//
// Follows from the module: the states that a rank touches, the sums of groups, and the values of
// micro-batches, for which the rank's order of chunks runs once with sizes in place of memory, as
// OrderRunner and MemoryPool do with memory.
//
//===--------------------------------------------------------------------===//

#ifndef HADAL_RUNTIME_TRAINING_RANKS_PREDICTMEMORY_H
#define HADAL_RUNTIME_TRAINING_RANKS_PREDICTMEMORY_H

#include "runtime/module/Module.h"
#include "runtime/training/ranks/ChunkSizes.h"

#include <string_view>
#include <utility>
#include <vector>

namespace hadal {

/// Bytes of a rank after its first step, when everything has had its largest size: memory that
/// comes and goes is kept.
struct RankMemory {
  uint64_t weights = 0;   ///< that its stages read, and copies of them in other types
  uint64_t gradients = 0; ///< sums of its chunks, and totals of what it updates
  uint64_t moments = 0;   ///< and averages, of what it updates
  uint64_t partialSums =
      0; ///< of groups, and what two stages on a rank keep apart of a state that both add to
  uint64_t values =
      0; ///< of micro-batches in flight, messages between stages and exchanged rows among them
  uint64_t messages = 0;    ///< sums of other ranks
  uint64_t temporaries = 0; ///< of programs, and of one worker
  uint64_t other = 0; ///< states that are none of these, a step's tokens, a tensor for a checkpoint

  uint64_t total() const {
    return weights + gradients + moments + partialSums + values + messages + temporaries + other;
  }
  /// Each with its name, in the order above.
  std::vector<std::pair<std::string_view, uint64_t>> parts() const;
  bool operator==(const RankMemory &) const = default;
};

/// How many rows exchanges bring to a rank is data: as balancedRegisters and worstRegisters have it
/// (module/RankSizes.h).
enum class RowsOfExperts { Balanced, Worst };

/// What a rank's process takes beside that: hadal-run, its libraries, MPI's among them, and further
/// workers' stacks and scratch. 21 to 23 MB were seen on 2 to 8 ranks of one machine.
inline constexpr uint64_t rankProcessBytes = uint64_t(22) << 20;

/// Of each rank of a training module with a table of ranks; InvalidArgument for others. An error
/// where a size cannot be evaluated.
Result<std::vector<RankMemory>> predictMemory(const Module &module, RowsOfExperts rows);

/// What each pipeline rank of such a module holds of micro-batches' values at most, with balanced
/// experts, whenever messages come.
Result<std::vector<RankPeak>> predictPeaks(const Module &module);

} // namespace hadal

#endif // HADAL_RUNTIME_TRAINING_RANKS_PREDICTMEMORY_H
