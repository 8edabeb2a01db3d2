//===- CudaStream.h - a stream, its pinned memory and its launches ------===//
//
// For the files of this folder alone.
//
//===--------------------------------------------------------------------===//

#ifndef HADAL_RUNTIME_DEVICE_CUDA_CUDASTREAM_H
#define HADAL_RUNTIME_DEVICE_CUDA_CUDASTREAM_H

#include "runtime/device/Device.h"
#include "runtime/device/cuda/Driver.h"

#include <array>
#include <atomic>
#include <deque>

namespace hadal::cuda {

/// What streams and buffers of a device share. After a kernel that never ends nothing is given
/// back: the driver would wait for it.
struct Context {
  std::shared_ptr<const Driver> driver;
  CUdevice device = 0;
  CUcontext handle = nullptr;
  std::string name; ///< "cuda:0"
  std::atomic<bool> isLost{false};
  std::atomic<uint64_t> taken{0}, mostTaken{0}; ///< bytes

  ~Context();
  /// Of this thread from now on. What every call of the driver begins with.
  Status enter() const;
  const DriverTable &api() const { return driver->table(); }
};

/// Host memory that the device copies to and from by itself. Move-only.
class PinnedMemory {
public:
  PinnedMemory() = default;
  static Result<PinnedMemory> allocate(std::shared_ptr<Context> context, uint64_t bytes);
  PinnedMemory(PinnedMemory &&other) noexcept { *this = std::move(other); }
  PinnedMemory &operator=(PinnedMemory &&other) noexcept;
  ~PinnedMemory();

  std::byte *data() const { return base; }
  uint64_t bytes() const { return size; }

private:
  std::shared_ptr<Context> context;
  std::byte *base = nullptr;
  uint64_t size = 0;
};

/// One thread at a time.
class CudaStream final : public Stream {
public:
  /// `timeoutSeconds` for one launch; 0: none.
  static Result<std::unique_ptr<CudaStream>> make(std::shared_ptr<Context> context,
                                                  double timeoutSeconds);
  ~CudaStream() override;

  Status upload(CUdeviceptr to, const std::byte *from, uint64_t bytes);
  Status download(std::byte *to, CUdeviceptr from, uint64_t bytes);
  Status copy(CUdeviceptr to, CUdeviceptr from, uint64_t bytes);
  Status fill(CUdeviceptr to, uint8_t value, uint64_t bytes);
  Status launch(const CUlaunchConfig &config, CUfunction function, void **parameters,
                const fb::Kernel &kernel);
  Status synchronize();

  /// Memory of the device that is this stream's until the next call: what launches use one after
  /// the other.
  Result<CUdeviceptr> scratch(uint64_t bytes);

  CUstream handle() const { return stream; }
  /// An error of a call on this stream: names the launch that failed, where one did.
  Status check(CUresult result, const char *function) const {
    return result == CUDA_SUCCESS ? Status() : Status(failed(result, function));
  }

private:
  /// Half of the pinned memory of uploads: free again once the event is over.
  struct Half {
    PinnedMemory memory;
    CUevent copied = nullptr;
    uint64_t used = 0;
    bool isBusy = false;
  };
  /// A download whose bytes the caller gets when the stream was synchronized.
  struct Download {
    uint64_t offset, bytes;
    std::byte *to;
  };
  /// A launch that may not have ended.
  struct Launched {
    const fb::Kernel *kernel;
    LaunchSite site;
    uint32_t number;
  };

  CudaStream(std::shared_ptr<Context> context, double timeoutSeconds)
      : context(std::move(context)), timeoutSeconds(timeoutSeconds) {}
  Result<Half *> halfForUpload();
  Status grow(DeviceBuffer &buffer, uint64_t bytes, const char *what);
  Status waitFor(const std::function<CUresult()> &query);
  Status waitForAll();
  void handOut();
  uint32_t endedLaunches() const;
  const Launched *running() const;
  Error failed(CUresult result, const char *function) const;
  Error hangs();

  std::shared_ptr<Context> context;
  double timeoutSeconds;
  CUstream stream = nullptr;
  std::array<Half, 2> halves;
  size_t current = 0; ///< half
  PinnedMemory down;
  uint64_t downUsed = 0;
  std::vector<Download> downloads;
  DeviceBuffer scratchMemory, between;
  PinnedMemory ends;      ///< the number of the last launch that has ended, which the stream writes
  CUdeviceptr endsAt = 0; ///< null where the driver cannot write it
  uint32_t launches = 0;
  std::deque<Launched> launched;
};

/// Whether a kernel has failed: every later call of the device says so, too.
constexpr bool isOfKernel(CUresult result) {
  constexpr int deviceAssert = 710, hardwareStack = 714; // and up to a failure of no known kind
  return result == CUDA_ERROR_ILLEGAL_ADDRESS || result == CUDA_ERROR_LAUNCH_TIMEOUT ||
         result == deviceAssert || (result >= hardwareStack && result <= CUDA_ERROR_LAUNCH_FAILED);
}

/// Memory of the device, not yet zeroed. OutOfMemory: "cannot allocate 123 bytes on cuda:0, 45 of
/// 678 are free".
Result<DeviceBuffer> allocateOn(std::shared_ptr<Context> context, uint64_t bytes);

inline CUdeviceptr pointerOf(DeviceAddress address) {
  return reinterpret_cast<CUdeviceptr>(address);
}

} // namespace hadal::cuda

#endif // HADAL_RUNTIME_DEVICE_CUDA_CUDASTREAM_H
