//===- Launch.h - a grid of blocks, run on the host's cores -------------===//
//
// A launch is one kernel over a grid. Its clusters (blocks, where there are none) are independent
// and run on all workers at the same time, each with an order of threads and copies of its own that
// follows from the seed, the launch's number and the cluster's.
//
//===--------------------------------------------------------------------===//

#ifndef HADAL_RUNTIME_EMULATED_LAUNCH_H
#define HADAL_RUNTIME_EMULATED_LAUNCH_H

#include "runtime/emulated/Shadow.h"

#include <array>
#include <atomic>
#include <cstdint>
#include <mutex>
#include <string>
#include <vector>

namespace hadal::emulated {

/// What emulated kernels are: see EmulatorCalls.h.
using KernelEntry = void (*)(void *const *params);

/// Memory that kernels may reach: ranges of addresses that do not touch one another.
class GlobalRanges {
public:
  struct Range {
    uint64_t begin = 0, end = 0;
  };
  GlobalRanges() = default;
  explicit GlobalRanges(std::vector<Range> ranges);

  /// Whether one of them holds all of [address, address + bytes).
  bool contain(uint64_t address, uint64_t bytes) const;
  /// "at 0x7f..., byte 520 of an allocation of 512,": where an address lies, for a report.
  std::string describe(uint64_t address) const;

private:
  std::vector<Range> ranges;
};

/// How a launch went wrong: it says which error a real device's driver would return.
enum class Failure { Race, Deadlock, Poison, Trap, IllegalAddress };
/// "race", "deadlock", "poison", "trap", "illegal address".
const char *nameOf(Failure failure);

struct Launch {
  KernelEntry entry = nullptr;
  void *const *params = nullptr;
  std::array<uint32_t, 3> grid{1, 1, 1}, block{1, 1, 1};
  uint32_t clusterSize = 1; ///< blocks along x; divides grid[0]
  uint64_t sharedBytes = 0;
  uint64_t seed = 0, number = 0;
  std::vector<const char *> locations; ///< names of ops, by number
  const GlobalRanges *memory = nullptr;

  uint32_t threadsPerBlock() const { return block[0] * block[1] * block[2]; }
  uint64_t blocks() const { return uint64_t(grid[0]) * grid[1] * grid[2]; }
  uint64_t clusters() const { return blocks() / clusterSize; }

  /// " at 'NAME'" for a location that has one, else nothing.
  std::string place(int32_t at) const;
  /// The first failure counts. Any thread.
  void fail(Failure failure, const std::string &what);
  bool failed() const { return hasFailed.load(std::memory_order_relaxed); }

  /// After run: how it failed, and one line that says what went wrong, where, in which threads.
  Failure failure = Failure::Trap;
  std::string report;

  GlobalShadow globalShadow;
  /// A thread waited for another block by an atomic operation.
  std::atomic<bool> blocksOrdered{false};

private:
  std::atomic<bool> hasFailed{false};
  std::mutex mutex;
};

/// Most blocks of a cluster, most bytes of shared memory of a block, most threads of a block.
inline constexpr uint32_t maxClusterSize = 16, maxThreads = 1024;
inline constexpr uint64_t maxSharedBytes = 232448;

/// Runs all blocks; launch.failed() says how it went. One launch at a time.
void run(Launch &launch);

} // namespace hadal::emulated

#endif // HADAL_RUNTIME_EMULATED_LAUNCH_H
