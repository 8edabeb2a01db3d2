//===- Shadow.h - who read and wrote each byte --------------------------===//
//
// Shared and global memory have a shadow of cells of 16 bytes, each with the accesses that a later
// one may conflict with: writes, and reads since. Two accesses of a byte of which one writes are a
// race where neither happened before the other, as the clocks say. An asynchronous agent (bulk
// copy, mma) sees a plain write only after the writer's proxy fence.
//
//===--------------------------------------------------------------------===//

#ifndef HADAL_RUNTIME_EMULATED_SHADOW_H
#define HADAL_RUNTIME_EMULATED_SHADOW_H

#include "runtime/emulated/Clock.h"

#include <atomic>
#include <cstdint>
#include <mutex>
#include <optional>
#include <unordered_map>
#include <vector>

namespace hadal::emulated {

/// Plain: loads and stores of threads. Async: bulk copies and mma.
enum class Proxy : uint8_t { Plain, Async };

/// One access of some bytes of a cell.
struct Access {
  uint32_t cluster = 0;
  Epoch epoch = 0;
  int32_t at = -1; ///< the op's location
  uint16_t agent = 0;
  uint16_t bytes = 0; ///< a bit for each byte of the cell
  Proxy proxy = Proxy::Plain;
};

struct Cell {
  std::vector<Access> writes, reads;
  uint32_t generation = 0;
};

/// What an access is unordered with.
struct Conflict {
  Access earlier;
  bool earlierWrote = false;
  bool unfenced = false; ///< ordered, but for the missing proxy fence
  uint64_t offset = 0;   ///< of the cell, from the start of the memory
};

/// Epochs of the proxy fences of each thread, ascending.
using Fences = std::vector<std::vector<Epoch>>;

/// Who accesses memory now.
struct Accessor {
  const View &view;
  const Fences &fences;
  uint32_t cluster;
  Proxy proxy;
  int32_t at;
  bool othersOrdered = false; ///< other clusters may have been waited for: nothing is said of them
};

/// The shadow of a block's shared memory.
class SharedShadow {
public:
  /// For a new block with `bytes` of shared memory.
  void reset(uint64_t bytes);
  std::optional<Conflict> access(bool write, const Accessor &by, uint64_t offset, uint64_t size);

private:
  std::vector<Cell> cells;
  uint32_t generation = 0;
};

/// The shadow of global memory during a launch. Threads of the host may use it at the same time.
class GlobalShadow {
public:
  std::optional<Conflict> access(bool write, const Accessor &by, uint64_t address, uint64_t size);
  /// Whether anything was noted as written: until then no read can have come too early.
  bool hasWrites() const { return written.load(std::memory_order_relaxed); }

private:
  static constexpr uint64_t pageBytes = 4096;
  struct Page {
    std::vector<Cell> cells;
  };
  std::atomic<bool> written{false};
  std::mutex mutex;
  std::unordered_map<uint64_t, Page> pages;
};

} // namespace hadal::emulated

#endif // HADAL_RUNTIME_EMULATED_SHADOW_H
