//===- PackedBatch.h - whole prompts as the inputs of a program ---------===//
//
// Programs prefill, inspect and inspect_routed take sequences of different lengths, one after the
// other, each from its first position on.
//
//===--------------------------------------------------------------------===//

#ifndef HADAL_RUNTIME_INFERENCE_PACKEDBATCH_H
#define HADAL_RUNTIME_INFERENCE_PACKEDBATCH_H

#include "runtime/Executor.h"

#include <span>
#include <vector>

namespace hadal {

/// Of which rows of a sequence the logits are wanted.
enum class LogitRows { Last, AllButLast, All };

/// Must stay as it is from bind() to the last execute(). One thread at a time.
class PackedBatch {
public:
  /// Of the sequences to come the first takes slots from `firstSlot` on: batches that run at the
  /// same time share one cache.
  void clear(int64_t firstSlot = 0);

  /// Adds a sequence (not empty) whose position p is stored in slot pages[p / pageTokens] *
  /// pageTokens + p % pageTokens.
  void add(std::span<const int32_t> tokens, std::span<const int32_t> pages, int64_t pageTokens,
           LogitRows rows);

  /// Adds a sequence that takes the next slots in order.
  void add(std::span<const int32_t> tokens, LogitRows rows);

  /// The same; the logits of its rows [from, to) are wanted.
  void add(std::span<const int32_t> tokens, int32_t from, int32_t to);

  int64_t tokens() const { return static_cast<int64_t>(tokenIds.size()); }
  int64_t sequences() const { return static_cast<int64_t>(offsets.size()) - 1; }
  int64_t logitRows() const { return static_cast<int64_t>(logitRowIds.size()); }

  /// Sets the registers and inputs of `run` that describe the batch.
  Status bind(ProgramRun &run) const;

private:
  template <typename SlotOf>
  void addTokens(std::span<const int32_t> tokens, int32_t from, int32_t to, SlotOf slotOf);

  std::vector<int32_t> tokenIds, positions, slots, logitRowIds, offsets = {0};
  int64_t firstSlot = 0;
  int64_t attended = 0; ///< pairs of a row and a position that it sees
};

} // namespace hadal

#endif // HADAL_RUNTIME_INFERENCE_PACKEDBATCH_H
