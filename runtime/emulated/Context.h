//===- Context.h - what the emulated driver has made --------------------===//

#ifndef HADAL_RUNTIME_EMULATED_CONTEXT_H
#define HADAL_RUNTIME_EMULATED_CONTEXT_H

#include "runtime/device/cuda/DriverTypes.h"
#include "runtime/emulated/DeviceMemory.h"
#include "runtime/emulated/Images.h"
#include "runtime/emulated/Mutants.h"
#include "runtime/emulated/Queues.h"

#include <array>
#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

namespace hadal::emulated {

/// A launch that a stream was given.
struct PendingLaunch {
  PendingLaunch(const Function &function, void *const *values)
      : function(function), parameters(function, values) {}

  Function function;
  Parameters parameters;
  std::array<uint32_t, 3> grid{}, block{};
  uint32_t clusterSize = 1;
  uint64_t sharedBytes = 0, number = 0;
};

/// The device's primary context, the only one. Lives as long as the process.
class Context {
public:
  static Context &get();

  /// NotInitialized, InvalidContext where the calling thread has none, the error of a kernel.
  cuda::CUresult check();
  void setCurrent(bool current);

  /// Runs a launch on the device's thread: the error that its failure is on a GPU.
  cuda::CUresult run(const PendingLaunch &pending);
  /// The function of a handle, with `mutex` held; null where there is none.
  Function *find(cuda::CUfunction handle);
  bool isPinned(uint64_t address, uint64_t bytes);
  /// Everything as at first. LaunchTimeout where a kernel does not end: it keeps what it has, and
  /// the context its error.
  cuda::CUresult reset();

  /// One line about the last failure; null where there was none.
  const char *report();
  void setReport(const std::string &line);

  std::mutex mutex; ///< of what follows, but for `memory` and `queues`
  std::atomic<bool> initialized{false};
  uint32_t retained = 0;
  uint64_t seed = 0, launches = 0;
  std::map<uint64_t, uint64_t> hostMemory; ///< bytes by address
  std::vector<std::unique_ptr<Event>> events;
  std::vector<std::unique_ptr<Image>> images;
  DeviceMemory memory;
  Queues queues;

private:
  /// Runs a launch whose seed and grid are set, or one of its mutants with its parameters.
  void run(Launch &launch, const PendingLaunch &pending, const Function &function,
           const GlobalRanges &reachable);
  /// Runs it again with another kernel of its parameters: Mutants::Rerun.
  std::string rerun(const PendingLaunch &pending, const Function &kernel, uint64_t otherSeed,
                    bool oneCluster, const GlobalRanges &reachable, std::string &report);

  std::unique_ptr<Mutants> mutants = Mutants::ofEnvironment();
  std::mutex reportMutex;
  std::string lastReport, shownReport;
};

} // namespace hadal::emulated

#endif // HADAL_RUNTIME_EMULATED_CONTEXT_H
