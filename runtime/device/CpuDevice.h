//===- CpuDevice.h - the CPU as a device --------------------------------===//

#ifndef HADAL_RUNTIME_DEVICE_CPUDEVICE_H
#define HADAL_RUNTIME_DEVICE_CPUDEVICE_H

#include "runtime/device/Device.h"
#include "runtime/device/ThreadPool.h"

namespace hadal {

/// Threads of this process. Launches are done when launch returns.
class CpuDevice final : public Device {
public:
  /// `threads` as in ThreadPool: 0 takes all CPUs that the process may use.
  explicit CpuDevice(unsigned threads = 0) : pool(threads) {}

  unsigned threads() const { return pool.threads(); }
  /// Whether all threads that were asked for are there.
  Status started() const { return pool.started(); }

  std::string_view name() const override { return "cpu"; }
  Status accepts(const fb::Target &target) const override;
  Result<Buffer> allocate(uint64_t bytes) override { return Buffer::allocate(bytes); }
  Result<std::unique_ptr<KernelSet>> load(const Module &module) override;
  void launch(const LoadedKernel &kernel, void *const *buffers, const int64_t *scalars,
              int64_t tasks) override;
  void copy(void *destination, const void *source, uint64_t bytes) override;
  void synchronize() override {}

private:
  ThreadPool pool;
  Buffer scratch;             ///< one part per worker
  uint64_t scratchStride = 0; ///< bytes of a part
};

} // namespace hadal

#endif // HADAL_RUNTIME_DEVICE_CPUDEVICE_H
