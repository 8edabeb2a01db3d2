//===- ThreadPool.cpp - workers for one launch at a time ------------------===//

#include "runtime/device/ThreadPool.h"

#include <algorithm>
#include <chrono>
#include <exception>
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
  try {
    workers.reserve(threadCount - 1);
    for (unsigned worker = 1; worker < threadCount; ++worker)
      workers.emplace_back([this, worker] { work(worker); });
  } catch (const std::exception
               &error) { // of the library, where memory or the number of threads is limited
    problem = "cannot start " + std::to_string(threadCount) + " threads, " +
              std::to_string(workers.size() + 1) + " are running: " + error.what();
    threadCount = static_cast<unsigned>(workers.size()) + 1;
  }
}

ThreadPool::~ThreadPool() {
  {
    std::lock_guard lock(mutex);
    stopping.store(true);
    launch.fetch_add(oneLaunch);
  }
  wake.notify_all();
  for (std::thread &worker : workers)
    worker.join();
}

void ThreadPool::takeRanges(unsigned worker) {
  // Long ranges first, since kernels prefetch what the next task reads; short ones at the end, for
  // all to end together.
  int64_t begin = nextTask.load(std::memory_order_relaxed);
  while (begin < taskCount) {
    int64_t end = begin + std::max<int64_t>(1, (taskCount - begin) / (int64_t(threadCount) * 4));
    if (!nextTask.compare_exchange_weak(begin, end, std::memory_order_relaxed))
      continue;
    function(context, begin, end, worker);
    begin = nextTask.load(std::memory_order_relaxed);
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
  nextTask.store(0, std::memory_order_relaxed);
  launch.fetch_add(oneLaunch + isOpen, std::memory_order_seq_cst);
  if (sleepers.load(std::memory_order_seq_cst)) {
    std::lock_guard lock(mutex);
    wake.notify_all();
  }
  takeRanges(0);
  // Nothing is left to take. Those at work end within a range's time; one that the system let not
  // run yet has no part in this.
  uint64_t now = launch.fetch_sub(isOpen, std::memory_order_acq_rel);
  for (unsigned spins = 0; now & membersMask; ++spins) {
    if (spins < 500)
      pause();
    else
      ::sched_yield();
    now = launch.load(std::memory_order_acquire);
  }
}

/// Joins the launch `now` unless it was closed meanwhile, and works.
void ThreadPool::join(uint64_t now, unsigned worker) {
  while (now & isOpen) {
    // A success reads what the caller wrote before it opened the launch, and it waits for members
    // before it writes again.
    if (!launch.compare_exchange_weak(now, now + 1, std::memory_order_acq_rel,
                                      std::memory_order_acquire))
      continue;
    takeRanges(worker);
    launch.fetch_sub(1, std::memory_order_release);
    return;
  }
}

void ThreadPool::work(unsigned worker) {
  using Clock = std::chrono::steady_clock;
  uint64_t seen = 0; // number of the last launch
  for (;;) {
    Clock::time_point begin;
    uint64_t now = launch.load(std::memory_order_acquire);
    for (unsigned spins = 0; now / oneLaunch == seen;
         ++spins, now = launch.load(std::memory_order_acquire)) {
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
      wake.wait(lock, [&] { return launch.load(std::memory_order_seq_cst) / oneLaunch != seen; });
      sleepers.fetch_sub(1, std::memory_order_seq_cst);
    }
    seen = now / oneLaunch;
    if (stopping.load())
      return;
    join(now, worker);
  }
}

} // namespace hadal
