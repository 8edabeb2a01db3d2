//===- ThreadPool.h - workers for one launch at a time ------------------===//

#ifndef HADAL_RUNTIME_DEVICE_THREADPOOL_H
#define HADAL_RUNTIME_DEVICE_THREADPOOL_H

#include "runtime/Result.h"

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace hadal {

/// A fixed set of workers; the calling thread is worker 0. One parallelFor at a time, from one
/// thread at a time.
///
/// A launch takes a microsecond or so: after a launch the workers spin for some tens of
/// microseconds, then yield, and only then sleep, so that launches that follow each other closely
/// never pay for a wake-up. A worker that the system did not let run has no part in the launch, and
/// is not waited for.
class ThreadPool {
public:
  /// `threads` >= 1 counts the caller; 0 takes what the process may use (its affinity mask).
  explicit ThreadPool(unsigned threads = 0);
  ~ThreadPool();
  ThreadPool(const ThreadPool &) = delete;
  ThreadPool &operator=(const ThreadPool &) = delete;

  /// How many there are, which is less than was asked for where started() is an error.
  unsigned threads() const { return threadCount; }

  /// Unsupported: "cannot start 1024 threads, 63 are running: Resource temporarily unavailable".
  Status started() const { return problem.empty() ? Status() : unsupported(problem); }

  /// CPUs that this process may run on.
  static unsigned availableThreads();

  using RangeFunction = void (*)(void *context, int64_t begin, int64_t end, unsigned worker);

  /// Covers [0, tasks) by disjoint contiguous ranges, each run by one worker, and returns when all
  /// are done. Workers take ranges as they get free, shorter ones towards the end. One task, or one
  /// thread, runs on the caller and wakes nobody.
  void run(int64_t tasks, RangeFunction function, void *context);

  /// run for a callable `function(begin, end, worker)`; it must not throw.
  template <typename F> void parallelFor(int64_t tasks, F &&function) {
    run(
        tasks,
        [](void *context, int64_t begin, int64_t end, unsigned worker) {
          (*static_cast<std::remove_reference_t<F> *>(context))(begin, end, worker);
        },
        const_cast<void *>(static_cast<const void *>(&function)));
  }

private:
  void work(unsigned worker);
  void join(uint64_t now, unsigned worker);
  void takeRanges(unsigned worker);

  unsigned threadCount;
  std::string problem;

  // The launch in progress. Written by the caller while no worker is a member of it.
  RangeFunction function = nullptr;
  void *context = nullptr;
  int64_t taskCount = 0;

  alignas(64) std::atomic<int64_t> nextTask{0};
  // Number of the launch, whether it is open, and how many workers are its members. The caller
  // closes it when it finds no range left, and waits for members only: a core that runs something
  // else holds nobody up.
  static constexpr uint64_t membersMask = 0xffff, isOpen = 0x10000, oneLaunch = 0x20000;
  alignas(64) std::atomic<uint64_t> launch{0};
  alignas(64) std::atomic<unsigned> sleepers{0};
  std::atomic<bool> stopping{false};
  std::mutex mutex;
  std::condition_variable wake;
  std::vector<std::thread> workers;
};

} // namespace hadal

#endif // HADAL_RUNTIME_DEVICE_THREADPOOL_H
