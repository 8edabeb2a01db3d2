//===- Mutants.h - kernels with one synchronization less, run beside ----===//
//
// With HADAL_EMULATOR_MUTANTS=FILE the device runs, after each launch of a kernel, the kernel's
// mutants on the same memory, over several seeds, until one run fails or leaves other bytes than
// the kernel did; then all is as if nothing had happened. hadal-kernel-mutants makes FILE and reads
// what is written beside it.
//
//===--------------------------------------------------------------------===//

#ifndef HADAL_RUNTIME_EMULATED_MUTANTS_H
#define HADAL_RUNTIME_EMULATED_MUTANTS_H

#include "runtime/emulated/DeviceMemory.h"
#include "runtime/emulated/Images.h"
#include "runtime/emulated/Launch.h"

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace hadal::emulated {

/// Lines of FILE: "seeds N", then for each mutant "KERNEL PATH", a shared object. What came out
/// is in FILE.outcomes, a line for each mutant: "OUTCOME LAUNCHES REPORT", OUTCOME being race,
/// deadlock, poison, trap, wrong or none, and LAUNCHES how many launches it was tried on. REPORT
/// says what the failure was; for "none", why the mutant does not load, where that is the case.
class Mutants {
public:
  /// Of HADAL_EMULATOR_MUTANTS; null without it. A file that does not read has no mutants.
  static std::unique_ptr<Mutants> ofEnvironment();

  /// Whether mutants of this kernel are still to be tried.
  bool wants(const std::string &kernel) const;

  /// All bytes of all allocations.
  using Snapshot = std::vector<std::vector<char>>;
  static Snapshot take(const std::vector<GlobalRanges::Range> &ranges);
  static void restore(const std::vector<GlobalRanges::Range> &ranges, const Snapshot &snapshot);

  /// Runs a launch with another entry and seed, all of its blocks or one cluster alone: how it
  /// failed, "" where it did not.
  using Rerun = std::function<std::string(const Function &kernel, uint64_t seed, bool oneCluster,
                                          std::string &report)>;
  /// Tries the mutants of a kernel that just ran, from `before`; memory is then as it was when this
  /// was called. Where one cluster does the work of all, as in kernels that go from tile to tile,
  /// it does it here: so stages come round even where there is little work.
  void attempt(const Function &kernel, const std::vector<GlobalRanges::Range> &ranges,
               const Snapshot &before, const Rerun &rerun);

private:
  /// Launches that a mutant is tried on: other sizes may show what these do not.
  static constexpr uint64_t mostLaunches = 12;

  struct Mutant {
    std::string kernel, path, outcome = "none", report;
    uint64_t launches = 0;
    std::unique_ptr<Image> image; ///< loaded when it is first tried

    /// Whether it is still to be tried.
    bool isOpen() const { return outcome == "none" && launches < mostLaunches; }
  };
  void load(Mutant &mutant);
  void attempt(Mutant &mutant, const std::vector<GlobalRanges::Range> &ranges,
               const Snapshot &before, const Snapshot &after, bool oneCluster, const Rerun &rerun);
  void write() const;

  std::string path;
  uint64_t seeds = 8;
  std::vector<Mutant> mutants;
};

} // namespace hadal::emulated

#endif // HADAL_RUNTIME_EMULATED_MUTANTS_H
