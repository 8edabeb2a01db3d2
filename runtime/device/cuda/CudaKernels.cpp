//===- CudaKernels.cpp - a module's kernels in a driver -----------------===//

#include "runtime/device/cuda/CudaKernels.h"

#include "runtime/module/Expr.h"

#include <algorithm>
#include <array>
#include <cstring>

using namespace hadal;
using namespace hadal::cuda;

CudaKernelSet::~CudaKernelSet() {
  bool isThere = context->enter().ok();
  for (auto &[code, image] : images)
    if (image && isThere)
      driver.table().cuModuleUnload(image);
}

Result<std::unique_ptr<CudaKernelSet>> CudaKernelSet::load(const Module &module,
                                                           std::shared_ptr<Context> context) {
  std::unique_ptr<CudaKernelSet> set(new CudaKernelSet(std::move(context)));
  for (const fb::Kernel *kernel : *module.tables().kernels())
    HADAL_TRY(set->find(module, *kernel));
  return set;
}

/// A log of several lines as one.
static std::string asOneLine(std::string_view log) {
  std::string line;
  for (char c : log.substr(0, log.find('\0')))
    if (c == '\n' && !line.empty() && !line.ends_with("; "))
      line += "; ";
    else if (c != '\n' && c != '\r' && !(c == ' ' && line.ends_with(' ')))
      line += c;
  while (line.ends_with(';') || line.ends_with(' '))
    line.pop_back();
  return line;
}

Result<CUmodule> CudaKernelSet::image(const Module &module, uint32_t code) {
  const fb::Code &table = *module.tables().codes()->Get(code);
  std::span<const std::byte> bytes = module.code(code);
  // PTX ends by a zero byte; the images of others say how long they are.
  std::string text;
  const void *image = bytes.data();
  if (table.format() == fb::CodeFormat_Ptx) {
    text.assign(reinterpret_cast<const char *>(bytes.data()), bytes.size());
    image = text.c_str();
  }
  std::array<char, 8192> log = {};
  CUjit_option names[] = {CU_JIT_ERROR_LOG_BUFFER, CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES};
  void *values[] = {log.data(), reinterpret_cast<void *>(log.size() - 1)};
  CUmodule loaded = nullptr;
  CUresult result = driver.table().cuModuleLoadDataEx(&loaded, image, 2, names, values);
  if (result == CUDA_SUCCESS)
    return loaded;
  std::string said = asOneLine({log.data(), log.size()});
  Error error = driver.failed(result, module.path() + ": the driver does not load code " +
                                          std::to_string(code) + ", " +
                                          fb::EnumNameCodeFormat(table.format()));
  if (!said.empty())
    error.message += "; " + said;
  return error;
}

/// What a driver cannot take as machine code, being older or for another processor, it makes of the
/// PTX.
Result<CUmodule> CudaKernelSet::imageOf(const Module &module, const fb::Kernel &kernel) {
  if (kernel.cubin() >= 0) {
    auto [at, isNew] = images.try_emplace(uint32_t(kernel.cubin()), nullptr);
    if (isNew)
      if (auto loaded = image(module, at->first); loaded.ok())
        at->second = *loaded;
    if (at->second)
      return at->second;
  }
  auto [at, isNew] = images.try_emplace(kernel.code(), nullptr);
  if (isNew)
    at->second = HADAL_TRY(image(module, at->first));
  return at->second;
}

/// What a block may have without asking (CUDA C++ Programming Guide).
static constexpr uint32_t sharedBytesWithoutAsking = 48 << 10, portableCluster = 8;

Status CudaKernelSet::find(const Module &module, const fb::Kernel &table) {
  std::string name = table.symbol()->str();
  auto kernel = std::make_unique<CudaKernel>();
  kernel->table = &table;
  kernel->grid = table.shape_as_Grid();
  if (!kernel->grid)
    return unsupported(module.path() + ": kernel " + name + " is for a CPU's threads");
  CUmodule image = HADAL_TRY(imageOf(module, table));
  const DriverTable &api = driver.table();
  std::string of = module.path() + ": kernel " + name;
  if (CUresult result = api.cuModuleGetFunction(&kernel->function, image, name.c_str()))
    return result == CUDA_ERROR_NOT_FOUND ? notFound(of + " is not in its code")
                                          : driver.failed(result, of);
  auto ask = [&](CUfunction_attribute attribute, uint32_t value, const char *what) -> Status {
    CUresult result = api.cuFuncSetAttribute(kernel->function, attribute, int(value));
    return result == CUDA_SUCCESS
               ? Status()
               : Status(driver.failed(result, of + " wants " + std::to_string(value) + what));
  };
  if (uint32_t bytes = kernel->grid->shared_bytes(); bytes > sharedBytesWithoutAsking)
    HADAL_TRY(ask(CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, bytes, " shared bytes"));
  if (kernel->grid->cluster() > portableCluster)
    HADAL_TRY(ask(CU_FUNC_ATTRIBUTE_NON_PORTABLE_CLUSTER_SIZE_ALLOWED, 1, " large cluster"));
  loaded.push_back({kernel.get(), kernel->grid->scratch_bytes()});
  found.push_back(std::move(kernel));
  return {};
}

Result<uint32_t> cuda::blocksOf(const fb::Grid &grid, int64_t tasks, uint32_t multiprocessors) {
  uint64_t perBlock = std::max(1u, grid.tasks_per_block()), cluster = grid.cluster();
  uint64_t blocks = (uint64_t(tasks) + perBlock - 1) / perBlock;
  if (grid.persistent())
    blocks = std::min<uint64_t>(blocks, std::max<uint64_t>(multiprocessors / cluster, 1) * cluster);
  blocks = (blocks + cluster - 1) / cluster * cluster;
  if (blocks > INT32_MAX)
    return invalidArgument("a launch of " + std::to_string(tasks) + " tasks, of " +
                           std::to_string(blocks) + " blocks; a grid has at most " +
                           std::to_string(INT32_MAX));
  return uint32_t(blocks);
}

static CUtensorMapDataType typeOfMap(ElementType element) {
  switch (element) {
  case ElementType::F32: return CU_TENSOR_MAP_DATA_TYPE_FLOAT32;
  case ElementType::F64: return CU_TENSOR_MAP_DATA_TYPE_FLOAT64;
  case ElementType::BF16: return CU_TENSOR_MAP_DATA_TYPE_BFLOAT16;
  case ElementType::F16: return CU_TENSOR_MAP_DATA_TYPE_FLOAT16;
  default: break;
  }
  switch (byteSize(element)) { // copied as they are
  case 2: return CU_TENSOR_MAP_DATA_TYPE_UINT16;
  case 4: return CU_TENSOR_MAP_DATA_TYPE_UINT32;
  case 8: return CU_TENSOR_MAP_DATA_TYPE_UINT64;
  default: return CU_TENSOR_MAP_DATA_TYPE_UINT8;
  }
}

static CUtensorMapSwizzle swizzleOf(uint32_t bytes) {
  switch (bytes) {
  case 32: return CU_TENSOR_MAP_SWIZZLE_32B;
  case 64: return CU_TENSOR_MAP_SWIZZLE_64B;
  case 128: return CU_TENSOR_MAP_SWIZZLE_128B;
  default: return CU_TENSOR_MAP_SWIZZLE_NONE;
  }
}

static Status valuesOf(const flatbuffers::Vector<flatbuffers::Offset<fb::Expr>> &expressions,
                       std::span<const int64_t> scalars, std::vector<uint64_t> &values) {
  values.clear();
  for (const fb::Expr *e : expressions) {
    int64_t value = HADAL_TRY(evaluate({e->code()->data(), e->code()->size()}, scalars));
    values.push_back(uint64_t(std::max<int64_t>(value, 1)));
  }
  return {};
}

static std::string listOf(std::span<const uint64_t> values) {
  std::string text;
  for (uint64_t value : values)
    text += (text.empty() ? "" : ", ") + std::to_string(value);
  return "[" + text + "]";
}

static Status encode(const Driver &driver, const fb::TensorMap &table, DeviceAddress address,
                     std::span<const int64_t> scalars, CUtensorMap &map) {
  std::vector<uint64_t> sizes, strides;
  HADAL_TRY(valuesOf(*table.sizes(), scalars, sizes));
  HADAL_TRY(valuesOf(*table.stride_bytes(), scalars, strides));
  std::vector<uint32_t> ones(sizes.size(), 1);
  CUresult result = driver.table().cuTensorMapEncodeTiled(
      &map, typeOfMap(elementType(table.element())), uint32_t(sizes.size()), address, sizes.data(),
      strides.data(), table.box()->data(), ones.data(), CU_TENSOR_MAP_INTERLEAVE_NONE,
      swizzleOf(table.swizzle_bytes()), CU_TENSOR_MAP_L2_PROMOTION_L2_128B,
      CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  if (result == CUDA_SUCCESS)
    return {};
  return driver.failed(
      result, "of binding " + std::to_string(table.binding()) + ", sizes " + listOf(sizes) +
                  ", strides " + listOf(strides) + " bytes, " + "at byte " +
                  std::to_string(reinterpret_cast<uintptr_t>(address) % 128) + " of 128");
}

Status cuda::encodeTensorMaps(const Driver &driver, const CudaKernel &kernel,
                              std::span<const DeviceAddress> buffers,
                              std::span<const int64_t> scalars, DeviceAddress nowhere,
                              std::vector<CUtensorMap> &maps) {
  maps.clear();
  const auto *tables = kernel.grid->tensor_maps();
  if (!tables)
    return {};
  maps.resize(tables->size());
  for (uint32_t i = 0; i < tables->size(); ++i) {
    const fb::TensorMap &table = *tables->Get(i);
    DeviceAddress address = buffers[table.binding()];
    if (Status status = encode(driver, table, address ? address : nowhere, scalars, maps[i]);
        !status)
      return Error{status.error().code, "kernel " + kernel.table->symbol()->str() +
                                            ": tensor map " + std::to_string(i) + " " +
                                            status.error().message};
  }
  return {};
}
