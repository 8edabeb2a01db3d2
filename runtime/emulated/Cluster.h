//===- Cluster.h - blocks that run together, and their threads ----------===//
//
// A worker runs one cluster at a time: its threads as fibers, its asynchronous copies at random
// moments. A thread that never waits costs no switch: the fiber that ran it goes on with the next.
//
//===--------------------------------------------------------------------===//

#ifndef HADAL_RUNTIME_EMULATED_CLUSTER_H
#define HADAL_RUNTIME_EMULATED_CLUSTER_H

#include "runtime/emulated/Clock.h"
#include "runtime/emulated/Copy.h"
#include "runtime/emulated/Fiber.h"
#include "runtime/emulated/Launch.h"
#include "runtime/emulated/Mma.h"
#include "runtime/emulated/Shadow.h"

#include <array>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

namespace hadal::emulated {

struct Block;

/// A GPU thread.
struct Thread {
  enum class State : uint8_t { Fresh, Running, Ready, Waiting, Done };

  uint32_t index = 0; ///< in its block
  Agent agent = 0;    ///< in its cluster: blocks one after the other
  Block *block = nullptr;
  Fiber *fiber = nullptr;
  State state = State::Fresh;

  Clock clock;
  Epoch epoch = 1;
  /// What the last fence released, for relaxed operations after it.
  Clock fencedClock;
  Epoch fencedEpoch = 0;

  const char *waitsFor = nullptr; ///< while Waiting
  int32_t waitsAt = -1;
  uint32_t value = 0, result = 0; ///< of the exchange within the warp that it takes part in
  bool arrivedAtCluster = false;
  uint64_t clusterPhase = 0; ///< of the cluster's barrier, when it arrived
  char *matrixRow = nullptr; ///< of the ldmatrix or stmatrix that it takes part in
  uint32_t *matrixRegisters = nullptr;

  CopyGroups stores, copies; ///< bulk stores and cp.async of this thread
  MmaState mma;

  uint32_t lane() const { return index % 32; }
};

struct Barrier {
  uint32_t wanted = 0, arrived = 0;
  int32_t at = -1;
  ClockSum sum;
  std::vector<Thread *> waiting;
};

struct MBarrier {
  uint32_t count = 0, pending = 0, parity = 0;
  int64_t bytes = 0; ///< expected and not there yet
  int32_t at = -1;
  Agent initializer = 0;
  Epoch initialized = 0;
  ClockSum sum;
  Clock ended; ///< what the end of the last phase knew
  std::vector<Thread *> waiting;
};

/// A thread block.
struct Block {
  uint32_t rank = 0;               ///< in its cluster
  std::array<uint32_t, 3> index{}; ///< in the grid
  uint64_t number = 0;             ///< in the grid, x fastest
  char *shared = nullptr;
  SharedShadow shadow;
  std::array<Barrier, 16> barriers;
  std::map<uint32_t, MBarrier> mbarriers;    ///< by offset
  std::vector<std::vector<Gathering>> warps; ///< exchanges under way
  std::vector<MmaGroup> mmaGroups;           ///< by warpgroup
  uint32_t live = 0;
  bool ended = false;
  /// Accesses by other blocks: the end of the block has to come after them.
  std::map<Agent, std::pair<Epoch, int32_t>> visitors;
};

/// One worker's cluster: run again and again.
class Cluster {
public:
  Cluster();
  ~Cluster();
  Cluster(const Cluster &) = delete;

  /// Runs the launch's cluster `index` to its end or to a failure.
  void run(Launch &launch, uint64_t index);

  /// The cluster whose fiber runs on this thread of the host.
  static Cluster &here();
  /// Null where none does: outside of kernels.
  static Cluster *current();

  Launch &launch() { return *active; }
  Thread &self() { return *running; }
  Block &block() { return *running->block; }
  Block &blockAt(uint32_t rank) { return *blocks[rank]; }
  uint32_t threadsPerBlock() const { return perBlock; }

  /// --- Threads
  /// Lets others run until somebody wakes this thread.
  void wait(const char *what, int32_t at);
  void wake(Thread &thread);
  void wakeAll(std::vector<Thread *> &waiting);
  /// Lets others run.
  void yield();
  /// Waits until `wanted` threads have joined the gathering; the last one runs `together` first.
  template <typename Together>
  void gather(Gathering &gathering, const char *what, int32_t at, size_t wanted,
              Together together) {
    Thread &thread = self();
    if (!gathering.threads.empty() && gathering.what != what)
      return failMixed(gathering, what, at);
    gathering.what = what;
    gathering.at = at;
    gathering.threads.push_back(&thread);
    if (gathering.threads.size() < wanted)
      return wait(what, at);
    std::vector<Thread *> all = std::move(gathering.threads);
    gathering.threads.clear();
    together(all);
    for (Thread *other : all)
      if (other != &thread)
        wake(*other);
  }
  /// The gathering of a warp's lanes of `mask` for `what`.
  Gathering &gathering(const char *what, uint32_t mask);

  /// --- Order
  View view(const Thread &thread) const;
  /// A view for an agent that starts from what the thread knows now; the thread steps on.
  View agentView(Thread &thread, Agent agent, Epoch epoch);
  /// The same for a copy.
  View copyView(Thread &thread);
  void join(Thread &thread, const Clock &clock) { thread.clock = joins.join(thread.clock, clock); }
  void join(Thread &thread, Agent agent, Epoch epoch);
  /// Steps on: what the thread does from now on is not covered by what it released.
  void step(Thread &thread) { ++thread.epoch; }
  Agent warpAgent(const Thread &thread) const {
    return static_cast<Agent>(threads.size()) + thread.block->rank * warpsPerBlock +
           thread.index / 32;
  }
  /// All of them learn what each of them knows, and of `agent` up to `epoch`.
  void joinAll(const std::vector<Thread *> &all, Agent agent = 0, Epoch epoch = 0);
  /// An atomic operation with `order` at an address.
  void orderThrough(uint64_t address, int32_t order, Thread &thread);
  Fences fences;     ///< fence.proxy.async
  Fences initFences; ///< those, and fence.mbarrier_init

  /// --- Memory
  /// The block whose shared memory holds the address; null for other memory.
  Block *owner(const void *address);
  uint32_t offset(const void *address) const;
  /// Notes an access for `view`; false where it failed.
  bool noteShared(Block &block, bool write, const View &view, Proxy proxy, uint64_t offset,
                  uint64_t bytes, int32_t at);
  bool noteGlobal(bool write, const View &view, Proxy proxy, uint64_t address, uint64_t bytes,
                  int32_t at);
  /// The mbarrier at an address, that `view` has to know of; null and failed where there is none.
  MBarrier *mbarrier(void *address, const View &view, bool asynchronous, int32_t at,
                     Block **block = nullptr);
  /// After a change: ends the phase where it is complete.
  void check(MBarrier &mbarrier, int32_t at);
  void checkClusterBarrier();

  /// A use of a block's shared memory or mbarriers from another block.
  void visit(Block &block, const View &view, int32_t at);

  /// A copy that goes on at random from now on.
  void remember(const std::shared_ptr<Copy> &copy);

  /// --- The cluster's barrier
  struct {
    uint32_t arrived = 0;
    uint64_t phase = 0;
    ClockSum sum;
    Clock ended;
    std::vector<Thread *> waiting;
  } barrier;

  /// --- Failures
  /// Reports, and never returns on a fiber; on the worker's own stack it returns.
  void fail(Failure failure, const std::string &what);
  std::string name(Agent agent) const; ///< "thread 3 of block 7", "mma of warp 2 of block 7"
  /// " at 'NAME' by thread 3 of block 7": the running thread, in an op with that location.
  std::string whereAndWho(int32_t at) { return active->place(at) + " by " + name(self().agent); }
  /// The stack that the running thread is on; null outside of kernels.
  Fiber *runningFiber() { return fiber; }

private:
  static void fiberBody();
  void start(Launch &launch, uint64_t index);
  void startBlock(Block &block, uint32_t rank);
  void endOf(Thread &thread);
  void endOf(Block &block);
  void finish();
  Thread *nextFresh();
  void resume(Fiber &next);
  void startFiber();
  void leave(); ///< to the worker's own stack
  void reportDeadlock();
  /// A race of two accesses of `where`, the later one by `view`.
  void reportConflict(const Conflict &conflict, bool write, const View &view,
                      const std::string &where, int32_t at);
  void failMixed(Gathering &gathering, const char *what, int32_t at);
  void advanceSome();
  void settle();
  bool chance(uint32_t in) { return random() % in == 0; }
  uint32_t number() const { return static_cast<uint32_t>(index); } ///< as accesses name it

  Launch *active = nullptr;
  uint64_t index = 0;
  uint32_t perBlock = 0, warpsPerBlock = 0, live = 0;
  char *sharedBase = nullptr;
  std::vector<std::unique_ptr<Block>> blocks;
  std::vector<Thread> threads;
  std::vector<uint32_t> order; ///< in which fresh threads start
  size_t started = 0;
  std::vector<Thread *> ready;
  Thread *running = nullptr;
  Fiber *fiber = nullptr;
  void *home = nullptr;
  std::vector<std::unique_ptr<Fiber>> fibers; ///< all
  std::vector<Fiber *> idle;                  ///< those parked at the end of their body
  bool failed = false;
  std::minstd_rand random;
  ClockJoins joins;
  Clock zero;
  std::map<uint64_t, ClockSum> released; ///< by the address of atomic operations
  std::vector<std::shared_ptr<Copy>> copiesUnderWay;
  std::vector<Epoch> copyEpochs;  ///< by agent of a copy
  std::vector<Agent> copyIssuers; ///< the threads that issued the last ones
  size_t nextCopyAgent = 0;
};

} // namespace hadal::emulated

#endif // HADAL_RUNTIME_EMULATED_CLUSTER_H
