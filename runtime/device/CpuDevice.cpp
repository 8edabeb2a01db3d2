//===- CpuDevice.cpp - the CPU as a device ------------------------------===//

#include "runtime/device/CpuDevice.h"

#include "runtime/Abi.h"
#include "runtime/device/CodeImage.h"
#include "runtime/device/CpuFeatures.h"

#include <algorithm>
#include <atomic>
#include <cstring>

namespace hadal {

namespace {
class CpuKernelSet final : public KernelSet {
public:
  static Result<std::unique_ptr<KernelSet>> load(const Module &module) {
    auto set = std::make_unique<CpuKernelSet>();
    for (uint32_t i = 0; i < module.tables().codes()->size(); ++i) {
      // Kernels of other formats run as grids.
      if (module.tables().codes()->Get(i)->format() != fb::CodeFormat_SharedObject)
        return unsupported(module.path() + ": code " + std::to_string(i) +
                           " is for a GPU, a CPU runs shared objects");
      set->images.push_back(HADAL_TRY(CodeImage::load(module.code(i), module.path())));
    }
    for (const fb::Kernel *kernel : *module.tables().kernels())
      set->loaded.push_back({HADAL_TRY(set->images[kernel->code()].symbol(kernel->symbol()->str())),
                             kernel->shape_as_CpuTasks()->scratch_bytes()});
    return std::unique_ptr<KernelSet>(std::move(set));
  }

private:
  std::vector<CodeImage> images; ///< of the module's codes
};
} // namespace

std::string missingCpuFeatures(const fb::Target &target) {
  const auto &offered = cpuFeatures();
  std::string missing;
  for (const flatbuffers::String *feature : *target.features())
    if (!std::binary_search(offered.begin(), offered.end(), feature->str()))
      missing += (missing.empty() ? "" : ", ") + feature->str();
  return missing;
}

Status CpuDevice::accepts(const fb::Target &target) const {
  if (target.family()->string_view() != cpuArchitecture())
    return unsupported("is for " + target.family()->str() + ", this CPU is " +
                       std::string(cpuArchitecture()));
  if (std::string missing = missingCpuFeatures(target); !missing.empty())
    return unsupported("needs " + missing + ", which this CPU lacks");
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

namespace {
class CpuEvent final : public Event {
public:
  std::atomic<bool> isRecorded = false;
};
} // namespace

Result<std::unique_ptr<Stream>> CpuDevice::makeStream() { return std::make_unique<Stream>(); }
Result<std::unique_ptr<Event>> CpuDevice::makeEvent() {
  return std::unique_ptr<Event>(std::make_unique<CpuEvent>());
}

Status CpuDevice::upload(Stream &, DeviceAddress to, const void *from, uint64_t bytes) {
  if (bytes)
    std::memcpy(to, from, bytes);
  return {};
}

Status CpuDevice::download(Stream &, void *to, DeviceAddress from, uint64_t bytes) {
  if (bytes)
    std::memcpy(to, from, bytes);
  return {};
}

Status CpuDevice::fill(Stream &, DeviceAddress to, uint8_t value, uint64_t bytes) {
  if (bytes)
    std::memset(to, value, bytes);
  return {};
}

Status CpuDevice::copy(Stream &, DeviceAddress to, DeviceAddress from, uint64_t bytes) {
  if (bytes)
    std::memmove(to, from, bytes);
  return {};
}

Status CpuDevice::launch(Stream &, const LoadedKernel &kernel,
                         std::span<const DeviceAddress> buffers, std::span<const int64_t> scalars,
                         int64_t tasks) {
  auto function = reinterpret_cast<HadalKernel>(kernel.handle);
  // An address is a pointer here.
  auto *pointers = reinterpret_cast<void *const *>(buffers.data());
  pool.parallelFor(tasks, [&](int64_t begin, int64_t end, unsigned worker) {
    function(pointers, scalars.data(), begin, end, scratch.data() + worker * scratchStride);
  });
  return {};
}

Status CpuDevice::record(Stream &, Event &event) {
  static_cast<CpuEvent &>(event).isRecorded = true; // all that was issued has happened
  return {};
}

Status CpuDevice::wait(Stream &, Event &event) {
  return static_cast<CpuEvent &>(event).isRecorded
             ? Status()
             : invalidArgument("a stream waits for an event that nothing recorded");
}

} // namespace hadal
