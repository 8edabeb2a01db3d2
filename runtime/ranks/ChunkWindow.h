//===- ChunkWindow.h - which chunk of a rank goes next ------------------===//
//
// What may run side by side are the items of a window (runtime/module/CheckRanks.h): the first that
// has not ended, and the next. Of all that can go on these go first: the first item's chunks in
// turns, then those of the next, and weight gradients last, for nobody waits for them. Who runs
// chunks and who only adds up what they take go by the same rules.
//
//===--------------------------------------------------------------------===//

#ifndef HADAL_RUNTIME_RANKS_CHUNKWINDOW_H
#define HADAL_RUNTIME_RANKS_CHUNKWINDOW_H

#include "runtime/module/CheckRanks.h"
#include "runtime/module/StagePlan.h"

#include <algorithm>
#include <deque>
#include <vector>

namespace hadal {

/// What a chunk did when it was asked to go on.
enum class ChunkProgress { None, Some, Call };

/// The part of a chunk in flight that its place in the window is decided by.
struct ChunkState {
  const StagePlan *plan = nullptr;
  std::vector<StageProgram> programs; ///< still to end, last first: the one at the end runs
  bool hasBegun = false;

  bool isDone() const { return programs.empty(); }
  /// Nobody waits for a weight gradient.
  bool isFiller() const { return !isDone() && programs.back() == StageProgram::WeightGrad; }
  bool has(StageProgram program) const {
    return std::find(programs.begin(), programs.end(), program) != programs.end();
  }
};

/// Chunks in flight, of a type that has ChunkState's members. One thread at a time.
template <typename Chunk> class ChunkWindow {
public:
  /// One chunk, or two that are issued together, or programs that ranks run together.
  struct Item {
    uint32_t first; ///< chunk of the order
    std::vector<Chunk> chunks;
    size_t turn = 0;
    bool isDone() const {
      return std::all_of(chunks.begin(), chunks.end(), [](const Chunk &c) { return c.isDone(); });
    }
  };

  /// `order` may be null: then there is one item.
  ChunkWindow(const fb::Order *order, bool overlap) : order(order), overlap(overlap) {}

  /// Drops items that have ended and adds what may run then: `prepare(first)` has the chunks of the
  /// item at chunk `first`, which may be none. False: all have ended.
  template <typename Prepare> Result<bool> refill(const Prepare &prepare) {
    while (!items.empty() && items.front().isDone())
      items.pop_front();
    do {
      uint32_t first = items.empty() ? next : items.front().first;
      for (uint32_t end = endAfter(first, overlap); next < end; next = endAfter(next, false))
        if (std::vector<Chunk> chunks = HADAL_TRY(prepare(next)); !chunks.empty())
          items.push_back({next, std::move(chunks)});
    } while (items.empty() && next < count());
    return !items.empty();
  }

  /// Programs of a micro-batch run one after the other, and chunks begin in their order; weight
  /// gradients, which fill gaps, when they can. `mayBegin(chunk)`: the micro-batch's program before
  /// has ended. `begin(chunk)`: it may go on from now on.
  template <typename MayBegin, typename Begin>
  void beginWhatMay(const MayBegin &mayBegin, const Begin &begin) {
    for (Item &item : items)
      for (Chunk &chunk : item.chunks) {
        if (!chunk.isDone() && !chunk.hasBegun && mayBegin(chunk)) {
          chunk.hasBegun = true;
          begin(chunk);
        }
        if (!chunk.isDone() && !(overlap && (chunk.hasBegun || chunk.isFiller())))
          return;
      }
  }

  /// The last chunk before this one that has the same program of the stage still to end; null where
  /// none has.
  const Chunk *sameProgramBefore(const Chunk &chunk) const {
    const Chunk *found = nullptr;
    for (const Item &item : items)
      for (const Chunk &before : item.chunks) {
        if (&before == &chunk)
          return found;
        if (before.plan == chunk.plan && before.has(chunk.programs.back()))
          found = &before;
      }
    return found;
  }

  /// Asks one chunk after the other to go on, until one does: `advance(chunk)` does what can be
  /// done up to the end of a call or of a program. Whether any did.
  template <typename Advance> Result<bool> moveOn(const Advance &advance) {
    for (bool fillers : {false, true})
      for (Item &item : items)
        for (size_t i = 0; i < item.chunks.size(); ++i) {
          size_t at = (item.turn + i) % item.chunks.size();
          Chunk &chunk = item.chunks[at];
          if (chunk.isDone() || !chunk.hasBegun || chunk.isFiller() != fillers)
            continue;
          ChunkProgress progress = HADAL_TRY(advance(chunk));
          if (progress == ChunkProgress::None)
            continue;
          item.turn = progress == ChunkProgress::Call ? at + 1 : at;
          return true;
        }
    return false;
  }

  std::deque<Item> items;

private:
  uint32_t count() const { return order ? order->chunks()->size() : 1; }
  uint32_t endAfter(uint32_t first, bool whole) const {
    if (!order || first == count())
      return count();
    return endOfWindow(*order, first, whole);
  }

  const fb::Order *order;
  bool overlap;
  uint32_t next = 0; ///< chunk that is not in the window yet
};

} // namespace hadal

#endif // HADAL_RUNTIME_RANKS_CHUNKWINDOW_H
