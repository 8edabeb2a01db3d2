#include "runtime/device/ThreadPool.h"

#include <algorithm>
#include <chrono>
#include <sched.h>

namespace hadal {

static inline void pause() {
#if defined(__x86_64__)
  __asm__ volatile("pause");
#else
  __asm__ volatile("yield");
#endif
}

unsigned ThreadPool::availableThreads() {
  cpu_set_t set;
  if (::sched_getaffinity(0, sizeof set, &set) == 0)
    return std::max(1, CPU_COUNT(&set));
  return std::max(1u, std::thread::hardware_concurrency());
}

ThreadPool::ThreadPool(unsigned threads) : threadCount(threads ? threads : availableThreads()) {
  for (unsigned worker = 1; worker < threadCount; ++worker)
    workers.emplace_back([this, worker] { work(worker); });
}

ThreadPool::~ThreadPool() {
  {
    std::lock_guard lock(mutex);
    stopping.store(true);
    generation.fetch_add(1);
  }
  wake.notify_all();
  for (std::thread &worker : workers)
    worker.join();
}

void ThreadPool::takeRanges(unsigned worker) {
  for (;;) {
    int64_t begin = nextTask.fetch_add(rangeSize, std::memory_order_relaxed);
    if (begin >= taskCount)
      return;
    function(context, begin, std::min(begin + rangeSize, taskCount), worker);
  }
}

void ThreadPool::run(int64_t tasks, RangeFunction work, void *workContext) {
  if (tasks <= 0)
    return;
  if (tasks == 1 || threadCount == 1) {
    work(workContext, 0, tasks, 0);
    return;
  }
  function = work;
  context = workContext;
  taskCount = tasks;
  rangeSize = std::max<int64_t>(1, tasks / (int64_t(threadCount) * 8));
  nextTask.store(0, std::memory_order_relaxed);
  finished.store(0, std::memory_order_relaxed);
  generation.fetch_add(1, std::memory_order_seq_cst);
  if (sleepers.load(std::memory_order_seq_cst)) {
    std::lock_guard lock(mutex);
    wake.notify_all();
  }
  takeRanges(0);
  // The others end within a range's time: spin, but let them run where cores are fewer than threads.
  for (unsigned spins = 0; finished.load(std::memory_order_acquire) != threadCount - 1; ++spins) {
    if (spins < 20000)
      pause();
    else
      ::sched_yield();
  }
}

void ThreadPool::work(unsigned worker) {
  using Clock = std::chrono::steady_clock;
  uint64_t seen = 0;
  for (;;) {
    Clock::time_point begin;
    for (unsigned spins = 0; generation.load(std::memory_order_acquire) == seen; ++spins) {
      if (spins < 2000) { // some tens of microseconds
        pause();
        continue;
      }
      if (spins == 2000)
        begin = Clock::now();
      if (Clock::now() - begin < std::chrono::milliseconds(2)) {
        ::sched_yield();
        continue;
      }
      std::unique_lock lock(mutex);
      sleepers.fetch_add(1, std::memory_order_seq_cst);
      wake.wait(lock, [&] { return generation.load(std::memory_order_seq_cst) != seen; });
      sleepers.fetch_sub(1, std::memory_order_seq_cst);
    }
    ++seen; // the caller starts no launch before all have finished the last
    if (stopping.load())
      return;
    takeRanges(worker);
    finished.fetch_add(1, std::memory_order_release);
  }
}

} // namespace hadal
