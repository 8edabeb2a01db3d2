//===- CudaKernels.h - a module's kernels in a driver -------------------===//
//
// For the files of this folder alone.
//
//===--------------------------------------------------------------------===//

#ifndef HADAL_RUNTIME_DEVICE_CUDA_CUDAKERNELS_H
#define HADAL_RUNTIME_DEVICE_CUDA_CUDAKERNELS_H

#include "runtime/device/Device.h"
#include "runtime/device/cuda/CudaStream.h"

#include <map>

namespace hadal::cuda {

/// A kernel that was found; its table is the module's, which must outlive it.
struct CudaKernel {
  CUfunction function = nullptr;
  const fb::Kernel *table = nullptr;
  const fb::Grid *grid = nullptr;
};

class CudaKernelSet final : public KernelSet {
public:
  /// Wants the context to be current.
  static Result<std::unique_ptr<CudaKernelSet>> load(const Module &module,
                                                     std::shared_ptr<Context> context);
  ~CudaKernelSet() override;

private:
  explicit CudaKernelSet(std::shared_ptr<Context> context)
      : context(std::move(context)), driver(*this->context->driver) {}
  Result<CUmodule> image(const Module &module, uint32_t code);
  Result<CUmodule> imageOf(const Module &module, const fb::Kernel &kernel);
  Status find(const Module &module, const fb::Kernel &kernel);

  std::shared_ptr<Context> context;
  const Driver &driver;
  std::map<uint32_t, CUmodule> images; ///< of codes that were loaded; null: refused
  std::vector<std::unique_ptr<CudaKernel>> found;
};

/// How many blocks a launch of `tasks` tasks has, on a device of so many multiprocessors: whole
/// clusters. InvalidArgument where it is more than a grid can have.
Result<uint32_t> blocksOf(const fb::Grid &grid, int64_t tasks, uint32_t multiprocessors);

/// The tensor maps of a launch, over its scalars. A dimension of size 0 is given size 1: kernels
/// load nothing of it. `nowhere`: an address of the device for a buffer that has none.
Status encodeTensorMaps(const Driver &driver, const CudaKernel &kernel,
                        std::span<const DeviceAddress> buffers, std::span<const int64_t> scalars,
                        DeviceAddress nowhere, std::vector<CUtensorMap> &maps);

} // namespace hadal::cuda

#endif // HADAL_RUNTIME_DEVICE_CUDA_CUDAKERNELS_H
