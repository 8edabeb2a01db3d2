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

CUresult Context::run(const PendingLaunch &pending) {
  std::vector<GlobalRanges::Range> ranges = memory.ranges();
  {
    std::lock_guard lock(mutex);
    for (auto &[address, bytes] : hostMemory)
      ranges.push_back({address, address + bytes});
  }
  GlobalRanges reachable(std::move(ranges));
  Launch launch;
  launch.kernel = pending.function.name;
  launch.entry = pending.function.entry;
  launch.params = pending.parameters.pointers();
  launch.grid = pending.grid;
  launch.block = pending.block;
  launch.clusterSize = pending.clusterSize;
  launch.sharedBytes = pending.sharedBytes;
  launch.seed = seed;
  launch.number = pending.number;
  launch.locations = pending.function.locations;
  launch.memory = &reachable;
  emulated::run(launch);
  if (!launch.failed())
    if (auto zone = memory.damagedZone())
      launch.fail(Failure::IllegalAddress, "a write " + *zone);
  if (!launch.failed())
    return CUDA_SUCCESS;
  setReport(launch.report);
  return errorOf(launch.failure);
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
