//===- Device.h - where kernels run -------------------------------------===//
//
// What the executor asks of a device: memory, a module's kernels, launches and copies, which run in
// the order in which they were issued.
//
//===--------------------------------------------------------------------===//

#ifndef HADAL_RUNTIME_DEVICE_DEVICE_H
#define HADAL_RUNTIME_DEVICE_DEVICE_H

#include "runtime/Result.h"
#include "runtime/device/Memory.h"
#include "runtime/module/Module.h"

#include <cstdint>
#include <memory>
#include <vector>

namespace hadal {

/// A kernel that is ready to be launched. What `handle` means is the device's matter.
struct LoadedKernel {
  void *handle = nullptr;
  uint64_t scratchBytes = 0;
};

/// A module's kernels on a device, in the order of its table `kernels`; unloads them on
/// destruction.
class KernelSet {
public:
  virtual ~KernelSet() = default;
  const std::vector<LoadedKernel> &kernels() const { return loaded; }

protected:
  std::vector<LoadedKernel> loaded;
};

class Device {
public:
  virtual ~Device() = default;

  /// "cpu".
  virtual std::string_view name() const = 0;

  /// Unsupported when code for `target` cannot run here: "needs avx512f, which this CPU lacks".
  virtual Status accepts(const fb::Target &target) const = 0;

  /// Zeroed memory that kernels can reach.
  virtual Result<Buffer> allocate(uint64_t bytes) = 0;

  /// Loads the codes of a module that the device accepts, and finds its kernels.
  virtual Result<std::unique_ptr<KernelSet>> load(const Module &module) = 0;

  /// Runs tasks [0, tasks), tasks >= 1, of a kernel of this device. `buffers` and `scalars` as in
  /// Abi.h.
  virtual void launch(const LoadedKernel &kernel, void *const *buffers, const int64_t *scalars,
                      int64_t tasks) = 0;

  /// Copies bytes; the ranges may overlap.
  virtual void copy(void *destination, const void *source, uint64_t bytes) = 0;

  /// Returns when everything issued has happened.
  virtual void synchronize() = 0;
};

/// Whether the device accepts all codes of a module. Unsupported: "m.hadal: module needs avx512f,
/// which this CPU lacks".
Status checkTargets(const Device &device, const Module &module);

} // namespace hadal

#endif // HADAL_RUNTIME_DEVICE_DEVICE_H
