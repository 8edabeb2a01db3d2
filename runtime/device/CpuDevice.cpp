#include "runtime/device/CpuDevice.h"
#include "runtime/Abi.h"
#include "runtime/device/CodeImage.h"

#include <algorithm>
#include <cstring>

namespace hadal {

namespace {
class CpuKernelSet final : public KernelSet {
public:
  static Result<std::unique_ptr<KernelSet>> load(const Module &module) {
    HADAL_TRY(module.checkTarget());
    auto set = std::make_unique<CpuKernelSet>();
    set->image = HADAL_TRY(CodeImage::load(module.code(), module.path()));
    for (const fb::Kernel *kernel : *module.tables().kernels())
      set->loaded.push_back(
          {HADAL_TRY(set->image.symbol(kernel->symbol()->str())), kernel->scratch_bytes()});
    return std::unique_ptr<KernelSet>(std::move(set));
  }

private:
  CodeImage image;
};
} // namespace

Result<std::unique_ptr<KernelSet>> CpuDevice::load(const Module &module) {
  std::unique_ptr<KernelSet> set = HADAL_TRY(CpuKernelSet::load(module));
  uint64_t most = 0;
  for (const LoadedKernel &kernel : set->kernels())
    most = std::max(most, kernel.scratchBytes);
  // A line apart, so that workers never write to one cache line; a page and a line, so that equal
  // places of two parts do not compete for one set of the cache.
  uint64_t stride = (most + 4095) / 4096 * 4096 + 4096 + HADAL_ALIGNMENT;
  if (most && stride > scratchStride) {
    scratch = HADAL_TRY(Buffer::allocate(stride * pool.threads()));
    scratchStride = stride;
  }
  return set;
}

void CpuDevice::launch(const LoadedKernel &kernel, void *const *buffers, const int64_t *scalars,
                       int64_t tasks) {
  auto function = reinterpret_cast<HadalKernel>(kernel.handle);
  pool.parallelFor(tasks, [&](int64_t begin, int64_t end, unsigned worker) {
    function(buffers, scalars, begin, end, scratch.data() + worker * scratchStride);
  });
}

void CpuDevice::copy(void *destination, const void *source, uint64_t bytes) {
  std::memmove(destination, source, bytes);
}

} // namespace hadal
