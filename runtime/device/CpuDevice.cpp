#include "runtime/device/CpuDevice.h"
#include "runtime/Abi.h"
#include "runtime/device/CodeImage.h"
#include "runtime/device/CpuFeatures.h"

#include <algorithm>
#include <cstring>

namespace hadal {

namespace {
class CpuKernelSet final : public KernelSet {
public:
  static Result<std::unique_ptr<KernelSet>> load(const Module &module) {
    auto set = std::make_unique<CpuKernelSet>();
    for (uint32_t i = 0; i < module.tables().codes()->size(); ++i)
      set->images.push_back(HADAL_TRY(CodeImage::load(module.code(i), module.path())));
    for (const fb::Kernel *kernel : *module.tables().kernels())
      set->loaded.push_back({HADAL_TRY(set->images[kernel->code()].symbol(kernel->symbol()->str())),
                             kernel->shape_as_CpuTasks()->scratch_bytes()});
    return std::unique_ptr<KernelSet>(std::move(set));
  }

private:
  std::vector<CodeImage> images; ///< of the module's codes
};
} // namespace

Status CpuDevice::accepts(const fb::Target &target) const {
  if (target.family()->string_view() != cpuArchitecture())
    return unsupported("is for " + target.family()->str() + ", this CPU is " +
                       std::string(cpuArchitecture()));
  const auto &offered = cpuFeatures();
  std::string missing;
  for (const flatbuffers::String *feature : *target.features())
    if (!std::binary_search(offered.begin(), offered.end(), feature->str()))
      missing += (missing.empty() ? "" : ", ") + feature->str();
  if (!missing.empty())
    return unsupported("needs " + missing + ", which this CPU lacks");
  return {};
}

Status checkTargets(const Device &device, const Module &module) {
  for (const fb::Code *code : *module.tables().codes())
    if (Status status = device.accepts(*code->target()); !status)
      return Error{status.error().code, module.path() + ": module " + status.error().message};
  return {};
}

Result<std::unique_ptr<KernelSet>> CpuDevice::load(const Module &module) {
  HADAL_TRY(checkTargets(*this, module));
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
