//===- Context.cpp - the one context of the emulated driver -------------===//

#include "runtime/emulated/Context.h"

#include <cstdlib>

namespace hadal::emulated {

using namespace hadal::cuda;

static thread_local bool isCurrent = false;

Context &Context::get() {
  static Context &context = *new Context; // the device's thread may outlive main
  return context;
}

CUresult Context::check() {
  if (!initialized)
    return CUDA_ERROR_NOT_INITIALIZED;
  if (!isCurrent)
    return CUDA_ERROR_INVALID_CONTEXT;
  return queues.error();
}

void Context::setCurrent(bool current) { isCurrent = current; }

static CUresult errorOf(Failure failure) {
  switch (failure) {
  case Failure::IllegalAddress: return CUDA_ERROR_ILLEGAL_ADDRESS;
  case Failure::Deadlock: return CUDA_ERROR_LAUNCH_TIMEOUT;
  case Failure::Race:
  case Failure::Poison:
  case Failure::Trap: return CUDA_ERROR_LAUNCH_FAILED;
  }
  return CUDA_ERROR_LAUNCH_FAILED;
}

void Context::run(Launch &launch, const PendingLaunch &pending, const Function &function,
                  const GlobalRanges &reachable) {
  launch.entry = function.entry;
  launch.params = pending.parameters.pointers();
  launch.block = pending.block;
  launch.clusterSize = pending.clusterSize;
  launch.sharedBytes = pending.sharedBytes;
  launch.number = pending.number;
  launch.locations = function.locations;
  launch.memory = &reachable;
  emulated::run(launch);
  if (!launch.failed())
    if (auto zone = memory.damagedZone())
      launch.fail(Failure::IllegalAddress, "a write " + *zone);
}

std::string Context::rerun(const PendingLaunch &pending, const Function &kernel, uint64_t otherSeed,
                           bool oneCluster, const GlobalRanges &reachable, std::string &report) {
  Launch launch;
  launch.seed = otherSeed;
  launch.grid = pending.grid;
  if (oneCluster)
    launch.grid = {pending.clusterSize, 1, 1};
  run(launch, pending, kernel, reachable);
  report = launch.report;
  if (!launch.failed())
    return "";
  return launch.failure == Failure::IllegalAddress ? "trap" : nameOf(launch.failure);
}

CUresult Context::run(const PendingLaunch &pending) {
  std::vector<GlobalRanges::Range> allocations = memory.ranges(), ranges = allocations;
  {
    std::lock_guard lock(mutex);
    for (auto &[address, bytes] : hostMemory)
      ranges.push_back({address, address + bytes});
  }
  GlobalRanges reachable(std::move(ranges));
  bool mutates = mutants && mutants->wants(pending.function.name);
  Mutants::Snapshot before = mutates ? Mutants::take(allocations) : Mutants::Snapshot();
  Launch launch;
  launch.seed = seed;
  launch.grid = pending.grid;
  run(launch, pending, pending.function, reachable);
  if (launch.failed()) {
    setReport(launch.report);
    return errorOf(launch.failure);
  }
  if (mutates)
    mutants->attempt(
        pending.function, allocations, before,
        [&](const Function &kernel, uint64_t otherSeed, bool oneCluster, std::string &report) {
          return rerun(pending, kernel, otherSeed, oneCluster, reachable, report);
        });
  return CUDA_SUCCESS;
}

Function *Context::find(CUfunction handle) {
  auto *function = reinterpret_cast<Function *>(handle);
  for (const auto &image : images)
    if (image->has(function))
      return function;
  return nullptr;
}

bool Context::isPinned(uint64_t address, uint64_t bytes) {
  std::lock_guard lock(mutex);
  auto after = hostMemory.upper_bound(address);
  if (after == hostMemory.begin())
    return false;
  auto &[begin, size] = *--after;
  return address - begin <= size && bytes <= size - (address - begin);
}

CUresult Context::reset() {
  if (CUresult error = queues.reset())
    return error;
  std::lock_guard lock(mutex);
  events.clear();
  images.clear();
  for (auto &[address, bytes] : hostMemory)
    std::free(reinterpret_cast<void *>(address));
  hostMemory.clear();
  memory.clear();
  setReport("");
  return CUDA_SUCCESS;
}

const char *Context::report() {
  std::lock_guard lock(reportMutex);
  shownReport = lastReport;
  return shownReport.empty() ? nullptr : shownReport.c_str();
}

void Context::setReport(const std::string &line) {
  std::lock_guard lock(reportMutex);
  lastReport = line;
}

} // namespace hadal::emulated
