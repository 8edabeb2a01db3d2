//===- CheckCodes.cpp - what a module's codes and kernels must hold -----===//

#include "runtime/module/CheckCodes.h"

#include "runtime/module/Check.h"

#include <algorithm>
#include <iterator>
#include <string_view>

namespace hadal {

// What any GPU has at most (CUDA C++ Programming Guide, "Technical Specifications"), and what a
// tensor map can say (CUDA driver API, cuTensorMapEncodeTiled).
static constexpr uint32_t maxThreads = 1024, maxCluster = 16, maxSharedBytes = 227u << 10,
                          maxDimensions = 5, maxBox = 256;
static constexpr uint64_t maxScratchBytes = uint64_t(1) << 40;

static Status checkTarget(const fb::Target *target) {
  if (!target || !target->family() || !target->processor() || !target->features())
    return invalidFile("target is incomplete");
  for (auto *feature : *target->features())
    if (!feature)
      return invalidFile("target has a feature without a name");
  return {};
}

static Status checkCode(const fb::Code *code) {
  HADAL_TRY(checkTarget(code ? code->target() : nullptr));
  if (static_cast<unsigned>(code->format()) > static_cast<unsigned>(fb::CodeFormat_MAX))
    return invalidFile("code has unknown format " +
                       std::to_string(static_cast<unsigned>(code->format())));
  if (!code->bytes() || code->bytes()->size() == 0)
    return invalidFile("the code image is missing");
  return {};
}

/// What a kernel says of the memory that it binds.
static Status checkBuffers(const fb::Kernel &kernel) {
  if (!kernel.buffers() || kernel.buffers()->size() == 0)
    return {};
  if (kernel.buffers()->size() != kernel.bindings())
    return invalidFile("describes " + std::to_string(kernel.buffers()->size()) +
                       " buffers, binds " + std::to_string(kernel.bindings()));
  for (const fb::KernelBuffer *buffer : *kernel.buffers()) {
    if (!buffer || static_cast<unsigned>(buffer->access()) > static_cast<unsigned>(fb::Access_MAX))
      return invalidFile("describes a buffer in no known way");
    HADAL_TRY(checkExpression(buffer->bytes(), kernel.scalars(), "a buffer's bytes"));
  }
  return {};
}

static Status checkTensorMap(const fb::Kernel &kernel, const fb::TensorMap *map) {
  if (!map || !map->sizes() || !map->stride_bytes() || !map->box())
    return invalidFile("has an incomplete tensor map");
  if (map->binding() >= kernel.bindings())
    return invalidFile("has a tensor map of binding " + std::to_string(map->binding()) + " of " +
                       std::to_string(kernel.bindings()));
  HADAL_TRY(checkElement(map->element(), "a tensor map"));
  uint32_t dimensions = map->sizes()->size();
  if (dimensions == 0 || dimensions > maxDimensions || map->box()->size() != dimensions ||
      map->stride_bytes()->size() != dimensions - 1)
    return invalidFile("has a tensor map of " + std::to_string(dimensions) + " sizes, " +
                       std::to_string(map->stride_bytes()->size()) + " strides and " +
                       std::to_string(map->box()->size()) + " sizes of the box");
  for (const fb::Expr *size : *map->sizes())
    HADAL_TRY(checkExpression(size, kernel.scalars(), "a tensor map's size"));
  for (const fb::Expr *stride : *map->stride_bytes())
    HADAL_TRY(checkExpression(stride, kernel.scalars(), "a tensor map's stride"));
  for (uint32_t size : *map->box())
    if (size == 0 || size > maxBox)
      return invalidFile("has a tensor map with a box of " + std::to_string(size) +
                         " elements, wants 1 to " + std::to_string(maxBox));
  static constexpr uint32_t swizzles[] = {0, 32, 64, 128};
  if (std::find(std::begin(swizzles), std::end(swizzles), map->swizzle_bytes()) ==
      std::end(swizzles))
    return invalidFile("has a tensor map that swizzles " + std::to_string(map->swizzle_bytes()) +
                       " bytes, wants 0, 32, 64 or 128");
  return {};
}

/// The tier of a grid, and the tasks and scratch of its blocks.
static Status checkTier(const fb::Kernel &kernel, const fb::Grid &grid) {
  static constexpr std::string_view tiers[] = {"serial", "rows", "tensor"};
  std::string_view tier = kernel.tier() ? kernel.tier()->string_view() : std::string_view();
  if (std::find(std::begin(tiers), std::end(tiers), tier) == std::end(tiers))
    return invalidFile("is of the tier \"" + std::string(tier) +
                       "\", wants serial, rows or tensor");
  if (grid.tasks_per_block() == 0 || grid.tasks_per_block() > grid.threads())
    return invalidFile("has " + std::to_string(grid.tasks_per_block()) +
                       " tasks in each block, possible are 1 to " + std::to_string(grid.threads()));
  if (grid.scratch_bytes() > maxScratchBytes)
    return invalidFile("wants " + std::to_string(grid.scratch_bytes()) +
                       " bytes of scratch for each thread or block");
  return {};
}

static Status checkGrid(const fb::Kernel &kernel, const fb::Grid &grid) {
  auto within = [](const char *what, uint32_t value, uint32_t least, uint32_t most) -> Status {
    if (value >= least && value <= most)
      return {};
    return invalidFile(std::string("wants ") + std::to_string(value) + " " + what +
                       ", possible are " + std::to_string(least) + " to " + std::to_string(most));
  };
  HADAL_TRY(within("threads in each block", grid.threads(), 1, maxThreads));
  HADAL_TRY(within("blocks in each cluster", grid.cluster(), 1, maxCluster));
  HADAL_TRY(within("bytes of shared memory", grid.shared_bytes(), 0, maxSharedBytes));
  HADAL_TRY(checkTier(kernel, grid));
  if (grid.tensor_maps())
    for (const fb::TensorMap *map : *grid.tensor_maps())
      HADAL_TRY(checkTensorMap(kernel, map));
  return {};
}

/// What an assembler said of the kernel, and where its code is.
static Status checkAssembled(const fb::Module &module, const fb::Kernel &kernel) {
  if (const fb::KernelStatistics *statistics = kernel.statistics())
    for (const auto *texts : {statistics->warnings(), statistics->opcodes()})
      if (texts && std::find(texts->begin(), texts->end(), nullptr) != texts->end())
        return invalidFile("has statistics with a text that is missing");
  if (kernel.cubin() == -1)
    return {};
  if (kernel.cubin() < 0 || uint32_t(kernel.cubin()) >= module.codes()->size() ||
      module.codes()->Get(kernel.cubin())->format() != fb::CodeFormat_Cubin ||
      module.codes()->Get(kernel.code())->format() != fb::CodeFormat_Ptx)
    return invalidFile("has a cubin in code " + std::to_string(kernel.cubin()) +
                       ", wants one beside PTX");
  return {};
}

static Status checkShape(const fb::Kernel &kernel, const fb::Code &code) {
  bool isShared = code.format() == fb::CodeFormat_SharedObject,
       isEmulated = code.target()->family()->string_view() == "emulated";
  if (const fb::CpuTasks *tasks = kernel.shape_as_CpuTasks()) {
    if (!isShared || isEmulated)
      return invalidFile("runs as tasks of a CPU, its code is no shared object for one");
    if (kernel.tier() && kernel.tier()->size())
      return invalidFile("runs as tasks of a CPU, which have no tier");
    if (tasks->scratch_bytes() > maxScratchBytes)
      return invalidFile("wants " + std::to_string(tasks->scratch_bytes()) +
                         " bytes of scratch for each worker");
    return {};
  }
  if (const fb::Grid *grid = kernel.shape_as_Grid()) {
    if (isShared != isEmulated)
      return invalidFile(isShared ? "runs as a grid, its code is a shared object"
                                  : "is for the emulated device, its code is no shared object");
    return checkGrid(kernel, *grid);
  }
  return invalidFile("has no shape that is known");
}

Status checkCodes(const fb::Module &module) {
  if (!module.codes() || module.codes()->size() == 0)
    return invalidFile("the code image is missing");
  for (const fb::Code *code : *module.codes())
    HADAL_TRY(checkCode(code));
  for (const fb::Kernel *kernel : *module.kernels()) {
    if (!kernel || !kernel->symbol())
      return invalidFile("a kernel has no symbol");
    auto check = [&]() -> Status {
      if (kernel->code() >= module.codes()->size())
        return invalidFile("is in code " + std::to_string(kernel->code()) + " of " +
                           std::to_string(module.codes()->size()));
      HADAL_TRY(checkBuffers(*kernel));
      HADAL_TRY(checkShape(*kernel, *module.codes()->Get(kernel->code())));
      return checkAssembled(module, *kernel);
    };
    if (Status status = check(); !status)
      return invalidFile("kernel " + kernel->symbol()->str() + " " + status.error().message);
  }
  return {};
}

Status checkLayout(const fb::Layout *layout, const std::string &of) {
  if (!layout)
    return {};
  if (!layout->name() || layout->name()->size() == 0)
    return invalidFile(of + " has a layout without a name");
  if (layout->numbers())
    for (const fb::LayoutNumber *number : *layout->numbers())
      if (!number || !number->name())
        return invalidFile(of + " has a layout with a number without a name");
  return {};
}

} // namespace hadal
