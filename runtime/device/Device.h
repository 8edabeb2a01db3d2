//===- Device.h - where kernels run -------------------------------------===//
//
// What the runtime asks of a device: memory, a module's kernels, and operations on streams. Nothing
// else touches what lies in a device's memory: on a GPU, and on the test device, the host cannot.
//
//===--------------------------------------------------------------------===//

#ifndef HADAL_RUNTIME_DEVICE_DEVICE_H
#define HADAL_RUNTIME_DEVICE_DEVICE_H

#include "runtime/Result.h"
#include "runtime/Tensor.h"
#include "runtime/device/Memory.h"
#include "runtime/module/Module.h"

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace hadal {

/// A place in a device's memory. Offsets in bytes may be added; what lies there is for the device's
/// operations and kernels alone, where Device::sharesHostMemory does not say otherwise.
using DeviceAddress = std::byte *;

/// A tensor in a device's memory that somebody else owns.
struct DeviceView {
  ElementType element = ElementType::F32;
  Shape shape;
  DeviceAddress address = nullptr;

  uint64_t bytes() const { return byteCount(element, shape).value_or(0); }
};

/// Memory of a device. Move-only.
class DeviceBuffer {
public:
  DeviceBuffer() = default;
  /// Host memory of a device that shares it.
  explicit DeviceBuffer(Buffer host);
  /// Memory that no host sees; `release` gives it back.
  DeviceBuffer(DeviceAddress address, uint64_t bytes, std::function<void()> release);
  DeviceBuffer(DeviceBuffer &&other) noexcept { *this = std::move(other); }
  DeviceBuffer &operator=(DeviceBuffer &&other) noexcept;
  ~DeviceBuffer();

  /// Null for the empty buffer.
  DeviceAddress address() const { return base; }
  uint64_t bytes() const { return size; }
  bool isHostVisible() const { return host.data() != nullptr; }

  /// As Buffer has them; of memory that no host sees, nothing and all.
  void populate();
  uint64_t touchedBytes() const { return isHostVisible() ? host.touchedBytes() : size; }

private:
  DeviceAddress base = nullptr;
  uint64_t size = 0;
  Buffer host;
  std::function<void()> release;
};

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

/// Where a launch is in a module: its errors may be reported long after it was issued.
struct LaunchSite {
  const fb::Program *program = nullptr;
  uint32_t number = 0; ///< launches of this run of the program before it
};

/// Operations that happen in the order in which they were issued. One thread at a time.
class Stream {
public:
  virtual ~Stream() = default;

  LaunchSite site; ///< of the next launch, for errors
};

/// A point in a stream, once it was recorded.
class Event {
public:
  virtual ~Event() = default;
};

/// Streams of one device may be used by several threads at the same time, but for load and launch,
/// which are one thread's. Operations on a stream may happen later than the call; an error of one
/// may be told by a later call on the stream.
class Device {
public:
  virtual ~Device() = default;

  /// "cpu", "cuda:0", "emulated".
  virtual std::string_view name() const = 0;

  /// Unsupported when code for `target` cannot run here: "needs avx512f, which this CPU lacks".
  virtual Status accepts(const fb::Target &target) const = 0;

  /// Whether host and device see all of each other's memory: an address is then a pointer, and a
  /// pointer an address.
  virtual bool sharesHostMemory() const = 0;

  /// Most bytes that were allocated at the same time; of a device that shares the host's memory, by
  /// the whole process.
  virtual uint64_t peakBytes() const = 0;

  /// Zeroed memory that kernels can reach, aligned to HADAL_ALIGNMENT. OutOfMemory.
  virtual Result<DeviceBuffer> allocate(uint64_t bytes) = 0;

  /// Loads the codes of a module that the device accepts, and finds its kernels.
  virtual Result<std::unique_ptr<KernelSet>> load(const Module &module) = 0;

  virtual Result<std::unique_ptr<Stream>> makeStream() = 0;
  virtual Result<std::unique_ptr<Event>> makeEvent() = 0;

  /// From the host's memory, which may change when the call has returned.
  virtual Status upload(Stream &stream, DeviceAddress to, const void *from, uint64_t bytes) = 0;
  /// To the host's memory, where it is once the stream was synchronized.
  virtual Status download(Stream &stream, void *to, DeviceAddress from, uint64_t bytes) = 0;
  /// Sets all bytes to `value`.
  virtual Status fill(Stream &stream, DeviceAddress to, uint8_t value, uint64_t bytes) = 0;
  /// Within the device's memory; the ranges may overlap.
  virtual Status copy(Stream &stream, DeviceAddress to, DeviceAddress from, uint64_t bytes) = 0;
  /// Runs tasks [0, tasks), tasks >= 1, of a kernel of this device; buffers and scalars are as in
  /// Abi.h.
  virtual Status launch(Stream &stream, const LoadedKernel &kernel,
                        std::span<const DeviceAddress> buffers, std::span<const int64_t> scalars,
                        int64_t tasks) = 0;

  /// The event is what the stream was given so far.
  virtual Status record(Stream &stream, Event &event) = 0;
  /// What the stream is given from now on begins after the event, of any stream; InvalidArgument
  /// where nothing recorded it.
  virtual Status wait(Stream &stream, Event &event) = 0;
  /// Returns when everything issued has happened.
  virtual Status synchronize(Stream &stream) = 0;
};

/// Memory of a device for something that an error names: "state cache: cannot allocate ...".
Result<DeviceBuffer> allocateFor(const std::string &what, Device &device, uint64_t bytes);

/// Whether the device accepts all codes of a module. Unsupported: "m.hadal: module needs avx512f,
/// which this CPU lacks".
Status checkTargets(const Device &device, const Module &module);

/// What lies in device memory, for the host to read: there where the host sees it, else a copy in
/// `memory`. Waits for the stream. Valid until either changes.
Result<const std::byte *> readOnHost(Device &device, Stream &stream, DeviceAddress from,
                                     uint64_t bytes, std::vector<std::byte> &memory);

} // namespace hadal

#endif // HADAL_RUNTIME_DEVICE_DEVICE_H
