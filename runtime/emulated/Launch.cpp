//===- Launch.cpp - clusters handed out to workers ----------------------===//

#include "runtime/emulated/Launch.h"

#include "runtime/emulated/Cluster.h"
#include "runtime/emulated/Faults.h"

#include <algorithm>
#include <condition_variable>
#include <cstdio>
#include <thread>

namespace hadal::emulated {

GlobalRanges::GlobalRanges(std::vector<Range> given) : ranges(std::move(given)) {
  std::sort(ranges.begin(), ranges.end(),
            [](const Range &a, const Range &b) { return a.begin < b.begin; });
}

bool GlobalRanges::contain(uint64_t address, uint64_t bytes) const {
  auto after = std::upper_bound(ranges.begin(), ranges.end(), address,
                                [](uint64_t at, const Range &range) { return at < range.begin; });
  if (after == ranges.begin())
    return false;
  const Range &range = *--after;
  return address <= range.end && bytes <= range.end - address;
}

static std::string hex(uint64_t address) {
  char text[32];
  std::snprintf(text, sizeof text, "0x%llx", static_cast<unsigned long long>(address));
  return text;
}

std::string GlobalRanges::describe(uint64_t address) const {
  const Range *before = nullptr;
  for (const Range &range : ranges)
    if (range.begin <= address)
      before = &range;
  if (!before)
    return "at " + hex(address) + ", before all allocations,";
  return "at " + hex(address) + ", byte " + std::to_string(address - before->begin) +
         " of an allocation of " + std::to_string(before->end - before->begin) + ",";
}

std::string Launch::place(int32_t at) const {
  if (at < 0 || static_cast<size_t>(at) >= locations.size())
    return "";
  return std::string(" at '") + locations[at] + "'";
}

const char *nameOf(Failure failure) {
  switch (failure) {
  case Failure::Race: return "race";
  case Failure::Deadlock: return "deadlock";
  case Failure::Poison: return "poison";
  case Failure::Trap: return "trap";
  case Failure::IllegalAddress: return "illegal address";
  }
  return "";
}

void Launch::fail(Failure kind, const std::string &what) {
  std::lock_guard lock(mutex);
  if (hasFailed.load(std::memory_order_relaxed))
    return;
  failure = kind;
  report = nameOf(kind) + (": " + what);
  hasFailed.store(true, std::memory_order_relaxed);
}

namespace {

/// Threads of the host that run clusters. They live as long as the process: one may be in a kernel
/// that never ends.
class Workers {
public:
  Workers() {
    catchFaults();
    count = std::clamp(std::thread::hardware_concurrency(), 1u, 16u) - 1;
    for (uint32_t i = 0; i < count; ++i)
      std::thread([this] { serve(); }).detach();
  }

  void run(Launch &launch) {
    prepareThreadForFaults();
    next.store(0);
    if (count && launch.clusters() > 1) {
      std::lock_guard lock(mutex);
      job = &launch;
      busy = count;
      ++generation;
      wakeUp.notify_all();
    }
    take(launch);
    std::unique_lock lock(mutex);
    done.wait(lock, [this] { return busy == 0; });
    job = nullptr;
  }

private:
  void take(Launch &launch) {
    static thread_local Cluster cluster;
    while (!launch.failed()) {
      uint64_t index = next.fetch_add(1);
      if (index >= launch.clusters())
        return;
      cluster.run(launch, index);
    }
  }

  void serve() {
    prepareThreadForFaults();
    uint64_t served = 0;
    for (;;) {
      Launch *launch;
      {
        std::unique_lock lock(mutex);
        wakeUp.wait(lock, [&] { return generation != served; });
        served = generation;
        launch = job;
      }
      take(*launch);
      std::lock_guard lock(mutex);
      if (--busy == 0)
        done.notify_one();
    }
  }

  uint32_t count = 0, busy = 0;
  std::mutex mutex;
  std::condition_variable wakeUp, done;
  Launch *job = nullptr;
  uint64_t generation = 0;
  std::atomic<uint64_t> next{0};
};

} // namespace

void run(Launch &launch) {
  static Workers &workers = *new Workers; // never destroyed: its threads outlive main
  workers.run(launch);
}

} // namespace hadal::emulated
