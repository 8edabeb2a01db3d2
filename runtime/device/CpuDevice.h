//===- CpuDevice.h - the CPU as a device --------------------------------===//

#ifndef HADAL_RUNTIME_DEVICE_CPUDEVICE_H
#define HADAL_RUNTIME_DEVICE_CPUDEVICE_H

#include "runtime/device/Device.h"
#include "runtime/device/ThreadPool.h"

namespace hadal {

/// "avx512f, avx512bw": the features of a target that this CPU lacks.
std::string missingCpuFeatures(const fb::Target &target);

/// Threads of this process. All operations are done when they return.
class CpuDevice final : public Device {
public:
  /// `threads` as in ThreadPool: 0 takes all CPUs that the process may use.
  explicit CpuDevice(unsigned threads = 0) : pool(threads) {}

  unsigned threads() const { return pool.threads(); }
  /// Whether all threads that were asked for are there.
  Status started() const { return pool.started(); }

  std::string_view name() const override { return "cpu"; }
  Status accepts(const fb::Target &target) const override;
  bool sharesHostMemory() const override { return true; }
  uint64_t peakBytes() const override { return Buffer::peakBytes(); }
  Result<DeviceBuffer> allocate(uint64_t bytes) override {
    return DeviceBuffer(HADAL_TRY(Buffer::allocate(bytes)));
  }
  Result<std::unique_ptr<KernelSet>> load(const Module &module) override;
  Result<std::unique_ptr<Stream>> makeStream() override;
  Result<std::unique_ptr<Event>> makeEvent() override;
  Status upload(Stream &stream, DeviceAddress to, const void *from, uint64_t bytes) override;
  Status download(Stream &stream, void *to, DeviceAddress from, uint64_t bytes) override;
  Status fill(Stream &stream, DeviceAddress to, uint8_t value, uint64_t bytes) override;
  Status copy(Stream &stream, DeviceAddress to, DeviceAddress from, uint64_t bytes) override;
  Status launch(Stream &stream, const LoadedKernel &kernel, std::span<const DeviceAddress> buffers,
                std::span<const int64_t> scalars, int64_t tasks) override;
  Status record(Stream &stream, Event &event) override;
  Status wait(Stream &stream, Event &event) override;
  Status synchronize(Stream &) override { return {}; }

private:
  ThreadPool pool;
  Buffer scratch;             ///< one part per worker
  uint64_t scratchStride = 0; ///< bytes of a part
};

} // namespace hadal

#endif // HADAL_RUNTIME_DEVICE_CPUDEVICE_H
