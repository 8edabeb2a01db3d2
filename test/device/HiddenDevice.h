//===- HiddenDevice.h - a device whose memory no host sees --------------===//
//
// For tests: the CPU's kernels over memory that lies elsewhere than its addresses say. Addresses
// are of pages that nobody may touch, so that a host access that slips by ends the process; the
// memory itself lies beside them, and the device's operations alone find it. Operations wait in
// their stream until somebody synchronizes, so that what is read too early is not there yet.
//
//===--------------------------------------------------------------------===//

#ifndef HADAL_TEST_DEVICE_HIDDENDEVICE_H
#define HADAL_TEST_DEVICE_HIDDENDEVICE_H

#include "runtime/device/CpuDevice.h"

#include <map>
#include <mutex>

namespace hadal::test {

/// Errors of an operation come with a later synchronize: "launch: buffer 2 is no memory of the
/// device". One thread at a time per stream.
class HiddenDevice final : public Device {
public:
  explicit HiddenDevice(unsigned threads = 1);
  ~HiddenDevice() override;

  std::string_view name() const override { return "hidden"; }
  Status accepts(const fb::Target &target) const override { return cpu.accepts(target); }
  bool sharesHostMemory() const override { return false; }
  uint64_t peakBytes() const override { return most; }
  Result<DeviceBuffer> allocate(uint64_t bytes) override;
  Result<std::unique_ptr<KernelSet>> load(const Module &module) override {
    return cpu.load(module);
  }
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
  Status synchronize(Stream &stream) override;

  /// Operations that were given to streams so far.
  uint64_t operations() const { return count; }

private:
  Result<std::byte *> memoryOf(DeviceAddress address, uint64_t bytes, const char *what);
  void giveBack(uint64_t offset, uint64_t bytes);

  CpuDevice cpu;
  std::unique_ptr<Stream> cpuStream;
  std::byte *addresses = nullptr;    ///< nobody may touch them
  std::byte *memory = nullptr;       ///< at the same offsets
  std::recursive_mutex mutex;        ///< of all below, and of operations that happen
  std::map<uint64_t, uint64_t> live; ///< bytes by offset
  uint64_t end = 0;                  ///< offset of what was never taken
  uint64_t taken = 0, most = 0;      ///< bytes, now and at most
  uint64_t count = 0;
};

} // namespace hadal::test

#endif // HADAL_TEST_DEVICE_HIDDENDEVICE_H
