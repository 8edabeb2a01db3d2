//===- PoolSizes.h - which buffers a pool of memory has -----------------===//

#ifndef HADAL_RUNTIME_RANKS_POOLSIZES_H
#define HADAL_RUNTIME_RANKS_POOLSIZES_H

#include <cstdint>
#include <set>
#include <vector>

namespace hadal {

/// Decides what MemoryPool does, by sizes alone: a prediction runs the same decisions without
/// memory. What is given back is taken again; of what lies free only a sixteenth of the most that
/// was ever taken is kept beyond it, so that sizes which change from step to step do not pile up.
/// One thread at a time.
class PoolSizes {
public:
  struct Choice {
    uint64_t size;                 ///< of the buffer
    bool isNew;                    ///< else one of that size lies free
    std::vector<uint64_t> dropped; ///< free buffers to be given up for it
  };
  Choice take(uint64_t bytes);
  void giveBack(uint64_t size);
  /// There was no memory for a new buffer.
  void lose(uint64_t size) { taken -= size, all -= size; }

  /// Of all buffers, and the most there were.
  uint64_t bytes() const { return all; }
  uint64_t peakBytes() const { return peak; }

private:
  std::multiset<uint64_t> free;
  uint64_t taken = 0, mostTaken = 0, all = 0, peak = 0;
};

} // namespace hadal

#endif // HADAL_RUNTIME_RANKS_POOLSIZES_H
