//===- CudaDevice.h - a GPU as a device ---------------------------------===//
//
// A CUDA device over a table of driver functions: NVIDIA's driver, or one that executes the
// same kernels on the CPU ("emulated"). Device memory is the device's alone; uploads and
// downloads go through pinned memory of their stream, so that pages of mapped files are read once,
// by this process.
//
//===--------------------------------------------------------------------===//

#ifndef HADAL_RUNTIME_DEVICE_CUDA_CUDADEVICE_H
#define HADAL_RUNTIME_DEVICE_CUDA_CUDADEVICE_H

#include "runtime/device/Device.h"
#include "runtime/device/cuda/Driver.h"

#include <mutex>

namespace hadal {

namespace cuda {
struct Context;
class CudaStream;
} // namespace cuda

/// What a device is, for people.
struct CudaDeviceFacts {
  std::string name;   ///< "NVIDIA H200"
  int capability = 0; ///< 90: sm_90
  int multiprocessors = 0;
  uint64_t freeBytes = 0, totalBytes = 0;
};

class CudaDevice final : public Device {
public:
  /// Device number `ordinal` of a driver. A launch that has not ended after `timeoutSeconds` is an
  /// error, after which the device does nothing more; 0: none is. InvalidArgument: "no device
  /// cuda:99, the driver has cuda:0 to cuda:3".
  static Result<std::unique_ptr<CudaDevice>> open(std::shared_ptr<const cuda::Driver> driver,
                                                  int ordinal, double timeoutSeconds = 0);
  ~CudaDevice() override;

  /// "cuda:0", or "emulated".
  std::string_view name() const override;
  Result<CudaDeviceFacts> facts() const;

  Status accepts(const fb::Target &target) const override;
  bool sharesHostMemory() const override { return false; }
  uint64_t peakBytes() const override;
  Result<DeviceBuffer> allocate(uint64_t bytes) override;
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
  Status synchronize(Stream &stream) override;

private:
  CudaDevice(std::shared_ptr<cuda::Context> context, double timeoutSeconds);
  Status start();
  Status acceptsPtx(const fb::Target &target) const;

  std::shared_ptr<cuda::Context> context;
  double timeoutSeconds;
  int capability = 0, multiprocessors = 0;
  std::mutex mutex; ///< of the stream that zeroes what is allocated
  std::unique_ptr<cuda::CudaStream> zeroing;
  DeviceBuffer nowhere; ///< for tensor maps of buffers that have no address
};

} // namespace hadal

#endif // HADAL_RUNTIME_DEVICE_CUDA_CUDADEVICE_H
