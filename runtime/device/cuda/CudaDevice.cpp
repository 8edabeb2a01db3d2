//===- CudaDevice.cpp - a GPU as a device -------------------------------===//

#include "runtime/device/cuda/CudaDevice.h"

#include "runtime/Abi.h"
#include "runtime/device/CpuDevice.h"
#include "runtime/device/cuda/CudaKernels.h"
#include "runtime/device/cuda/CudaStream.h"

using namespace hadal;
using namespace hadal::cuda;

namespace {

class CudaEvent final : public Event {
public:
  CudaEvent(std::shared_ptr<Context> context) : context(std::move(context)) {}
  ~CudaEvent() override {
    if (event && context->enter())
      context->api().cuEventDestroy(event);
  }
  std::shared_ptr<Context> context;
  CUevent event = nullptr;
  bool isRecorded = false;
};

CudaStream &streamOf(Stream &stream) { return static_cast<CudaStream &>(stream); }

Result<int> attribute(const Driver &driver, CUdevice device, CUdevice_attribute which) {
  int value = 0;
  HADAL_TRY(driver.check(driver.table().cuDeviceGetAttribute(&value, which, device),
                         "cuDeviceGetAttribute"));
  return value;
}

} // namespace

//===- The device ---------------------------------------------------------------------------===//

CudaDevice::CudaDevice(std::shared_ptr<Context> context, double timeoutSeconds)
    : context(std::move(context)), timeoutSeconds(timeoutSeconds) {}
CudaDevice::~CudaDevice() = default;

std::string_view CudaDevice::name() const { return context->name; }
uint64_t CudaDevice::peakBytes() const { return context->mostTaken; }

Result<std::unique_ptr<CudaDevice>> CudaDevice::open(std::shared_ptr<const Driver> driver,
                                                     int ordinal, double timeoutSeconds) {
  std::string name =
      driver->isEmulated() ? std::string("emulated") : "cuda:" + std::to_string(ordinal);
  if (ordinal < 0 || ordinal >= driver->devices())
    return invalidArgument("no device " + name + ", the driver has " +
                           (driver->devices() == 1
                                ? std::string("cuda:0 alone")
                                : "cuda:0 to cuda:" + std::to_string(driver->devices() - 1)));
  auto context = std::make_shared<Context>();
  context->driver = driver;
  context->name = name;
  const DriverTable &api = driver->table();
  HADAL_TRY(driver->check(api.cuDeviceGet(&context->device, ordinal), "cuDeviceGet"));
  HADAL_TRY(driver->check(api.cuDevicePrimaryCtxRetain(&context->handle, context->device),
                          "cuDevicePrimaryCtxRetain"));
  std::unique_ptr<CudaDevice> device(new CudaDevice(std::move(context), timeoutSeconds));
  HADAL_TRY(device->start());
  return device;
}

Status CudaDevice::start() {
  HADAL_TRY(context->enter());
  const Driver &driver = *context->driver;
  CUdevice number = context->device;
  capability =
      10 * HADAL_TRY(attribute(driver, number, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)) +
      HADAL_TRY(attribute(driver, number, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR));
  multiprocessors = HADAL_TRY(attribute(driver, number, CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT));
  zeroing = HADAL_TRY(CudaStream::make(context, timeoutSeconds));
  nowhere = HADAL_TRY(allocateOn(context, HADAL_ALIGNMENT));
  return {};
}

Result<CudaDeviceFacts> CudaDevice::facts() const {
  HADAL_TRY(context->enter());
  const DriverTable &api = context->api();
  char text[256] = {};
  HADAL_TRY(context->driver->check(api.cuDeviceGetName(text, sizeof text - 1, context->device),
                                   "cuDeviceGetName"));
  size_t free = 0, total = 0;
  HADAL_TRY(context->driver->check(api.cuMemGetInfo(&free, &total), "cuMemGetInfo"));
  return CudaDeviceFacts{text, capability, multiprocessors, free, total};
}

/// The version of CUDA whose drivers first took a version of PTX (PTX ISA, "Release Notes").
static int driverOfPtx(int ptx) {
  constexpr int of8x[] = {12000, 12010, 12020, 12030, 12040, 12050, 12070, 12080, 12090};
  if (ptx < 80)
    return apiVersion;
  return ptx <= 88 ? of8x[ptx - 80] : 13000 + 10 * (ptx - 90);
}

Status CudaDevice::acceptsPtx(const fb::Target &target) const {
  std::string_view processor = target.processor()->string_view();
  bool isExact = processor.ends_with("a"); // and runs on no other
  if (isExact)
    processor.remove_suffix(1);
  auto wanted = numberAfter(processor, "sm_");
  if (!wanted || (isExact ? *wanted != capability : *wanted > capability))
    return unsupported("is for " + target.processor()->str() + ", " + context->name + " is sm_" +
                       std::to_string(capability));
  for (const flatbuffers::String *feature : *target.features())
    if (auto ptx = numberAfter(feature->string_view(), "ptx");
        ptx && driverOfPtx(*ptx) > context->driver->version())
      return unsupported("needs a driver of CUDA " + versionText(driverOfPtx(*ptx)) +
                         " or newer, for PTX " + std::to_string(*ptx / 10) + "." +
                         std::to_string(*ptx % 10) + "; that of " + context->name + " is of CUDA " +
                         versionText(context->driver->version()));
  return {};
}

Status CudaDevice::accepts(const fb::Target &target) const {
  std::string_view family = context->driver->isEmulated() ? "emulated" : "nvptx";
  if (target.family()->string_view() != family)
    return unsupported("is for " + target.family()->str() + ", this device is " + context->name);
  if (!context->driver->isEmulated())
    return acceptsPtx(target);
  if (std::string missing = missingCpuFeatures(target); !missing.empty())
    return unsupported("needs " + missing + ", which the CPU that emulates it lacks");
  return {};
}

//===- Memory, streams, events --------------------------------------------------------------===//

Result<DeviceBuffer> CudaDevice::allocate(uint64_t bytes) {
  HADAL_TRY(context->enter());
  DeviceBuffer buffer = HADAL_TRY(allocateOn(context, bytes));
  if (bytes) {
    std::lock_guard lock(mutex);
    HADAL_TRY(zeroing->fill(pointerOf(buffer.address()), 0, bytes));
    HADAL_TRY(zeroing->synchronize());
  }
  return buffer;
}

Result<std::unique_ptr<KernelSet>> CudaDevice::load(const Module &module) {
  HADAL_TRY(checkTargets(*this, module));
  HADAL_TRY(context->enter());
  return std::unique_ptr<KernelSet>(HADAL_TRY(CudaKernelSet::load(module, context)));
}

Result<std::unique_ptr<Stream>> CudaDevice::makeStream() {
  HADAL_TRY(context->enter());
  return std::unique_ptr<Stream>(HADAL_TRY(CudaStream::make(context, timeoutSeconds)));
}

Result<std::unique_ptr<Event>> CudaDevice::makeEvent() {
  HADAL_TRY(context->enter());
  auto made = std::make_unique<CudaEvent>(context);
  HADAL_TRY(context->driver->check(
      context->api().cuEventCreate(&made->event, CU_EVENT_DISABLE_TIMING), "cuEventCreate"));
  return std::unique_ptr<Event>(std::move(made));
}

Status CudaDevice::upload(Stream &stream, DeviceAddress to, const void *from, uint64_t bytes) {
  HADAL_TRY(context->enter());
  return streamOf(stream).upload(pointerOf(to), static_cast<const std::byte *>(from), bytes);
}

Status CudaDevice::download(Stream &stream, void *to, DeviceAddress from, uint64_t bytes) {
  HADAL_TRY(context->enter());
  return streamOf(stream).download(static_cast<std::byte *>(to), pointerOf(from), bytes);
}

Status CudaDevice::fill(Stream &stream, DeviceAddress to, uint8_t value, uint64_t bytes) {
  HADAL_TRY(context->enter());
  return bytes ? streamOf(stream).fill(pointerOf(to), value, bytes) : Status();
}

Status CudaDevice::copy(Stream &stream, DeviceAddress to, DeviceAddress from, uint64_t bytes) {
  HADAL_TRY(context->enter());
  return bytes ? streamOf(stream).copy(pointerOf(to), pointerOf(from), bytes) : Status();
}

Status CudaDevice::record(Stream &stream, Event &event) {
  HADAL_TRY(context->enter());
  auto &recorded = static_cast<CudaEvent &>(event);
  CudaStream &on = streamOf(stream);
  HADAL_TRY(on.check(context->api().cuEventRecord(recorded.event, on.handle()), "cuEventRecord"));
  recorded.isRecorded = true;
  return {};
}

Status CudaDevice::wait(Stream &stream, Event &event) {
  auto &recorded = static_cast<CudaEvent &>(event);
  if (!recorded.isRecorded)
    return invalidArgument("a stream waits for an event that nothing recorded");
  HADAL_TRY(context->enter());
  CudaStream &on = streamOf(stream);
  return on.check(context->api().cuStreamWaitEvent(on.handle(), recorded.event, 0),
                  "cuStreamWaitEvent");
}

Status CudaDevice::synchronize(Stream &stream) {
  HADAL_TRY(context->enter());
  return streamOf(stream).synchronize();
}

//===- Launches -----------------------------------------------------------------------------===//

/// Bytes of scratch for all blocks; a serial kernel's threads each have their own.
static Result<uint64_t> scratchOf(const CudaKernel &kernel, uint32_t blocks) {
  uint64_t parts = blocks, bytes = 0;
  if (kernel.table->tier() && kernel.table->tier()->string_view() == "serial")
    parts *= kernel.grid->threads();
  if (__builtin_mul_overflow(parts, kernel.grid->scratch_bytes(), &bytes))
    return outOfMemory("kernel " + kernel.table->symbol()->str() + " wants " +
                       std::to_string(kernel.grid->scratch_bytes()) + " bytes of scratch for " +
                       std::to_string(parts) + " parts");
  return bytes;
}

Status CudaDevice::launch(Stream &stream, const LoadedKernel &loaded,
                          std::span<const DeviceAddress> buffers, std::span<const int64_t> scalars,
                          int64_t tasks) {
  HADAL_TRY(context->enter());
  const auto &kernel = *static_cast<const CudaKernel *>(loaded.handle);
  const fb::Grid &grid = *kernel.grid;
  uint32_t blocks = HADAL_TRY(blocksOf(grid, tasks, uint32_t(multiprocessors)));
  std::vector<CUtensorMap> maps;
  HADAL_TRY(encodeTensorMaps(*context->driver, kernel, buffers, scalars, nowhere.address(), maps));
  // The driver copies what these point to.
  std::vector<const void *> parameters;
  for (const DeviceAddress &buffer : buffers)
    parameters.push_back(&buffer);
  for (const int64_t &scalar : scalars)
    parameters.push_back(&scalar);
  parameters.push_back(&tasks);
  CUdeviceptr scratch = 0;
  if (grid.scratch_bytes()) {
    auto place = streamOf(stream).scratch(HADAL_TRY(scratchOf(kernel, blocks)));
    if (!place.ok())
      return Error{place.error().code,
                   "kernel " + kernel.table->symbol()->str() + ": " + place.error().message};
    scratch = *place;
    parameters.push_back(&scratch);
  }
  for (const CUtensorMap &map : maps)
    parameters.push_back(&map);
  CUlaunchAttribute cluster = {};
  cluster.id = CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION;
  cluster.value.clusterDim = {grid.cluster(), 1, 1};
  CUlaunchConfig config = {
      blocks,  1, 1, grid.threads(), 1, 1, grid.shared_bytes(), streamOf(stream).handle(),
      nullptr, 0};
  if (grid.cluster() > 1)
    config.attrs = &cluster, config.numAttrs = 1;
  return streamOf(stream).launch(config, kernel.function, const_cast<void **>(parameters.data()),
                                 *kernel.table);
}
