//===- CudaStream.cpp - a stream, its pinned memory and its launches ----===//

#include "runtime/device/cuda/CudaStream.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <thread>
#include <utility>

using namespace hadal;
using namespace hadal::cuda;

/// A half of what uploads go through, and what downloads go through: enough that the device's
/// copies take much longer than starting them.
static constexpr uint64_t pinnedBytes = uint64_t(4) << 20, pinnedAlignment = 256;

/// Launches that are remembered where the driver does not say which have ended.
static constexpr size_t mostLaunched = 4096;

//===- Context, memory ----------------------------------------------------------------------===//

Context::~Context() {
  if (handle && !isLost)
    api().cuDevicePrimaryCtxRelease(device);
}

Status Context::enter() const {
  if (isLost)
    return ioError(name + " still runs a kernel that does not end");
  return driver->check(api().cuCtxSetCurrent(handle), "cuCtxSetCurrent");
}

Result<DeviceBuffer> cuda::allocateOn(std::shared_ptr<Context> context, uint64_t bytes) {
  CUdeviceptr address = 0;
  CUresult result = context->api().cuMemAlloc(&address, std::max<uint64_t>(bytes, 1));
  if (result == CUDA_ERROR_OUT_OF_MEMORY) {
    size_t free = 0, total = 0;
    context->api().cuMemGetInfo(&free, &total);
    return outOfMemory("cannot allocate " + std::to_string(bytes) + " bytes on " + context->name +
                       ": " + std::to_string(free) + " of " + std::to_string(total) + " are free");
  }
  HADAL_TRY(context->driver->check(result, "cuMemAlloc"));
  uint64_t now = context->taken += bytes, most = context->mostTaken;
  while (most < now && !context->mostTaken.compare_exchange_weak(most, now))
    ;
  auto giveBack = [context, address, bytes] {
    context->taken -= bytes;
    if (context->enter())
      context->api().cuMemFree(address);
  };
  return DeviceBuffer(reinterpret_cast<DeviceAddress>(address), bytes, giveBack);
}

Result<PinnedMemory> PinnedMemory::allocate(std::shared_ptr<Context> context, uint64_t bytes) {
  PinnedMemory memory;
  void *base = nullptr;
  CUresult result = context->api().cuMemHostAlloc(&base, bytes, CU_MEMHOSTALLOC_DEVICEMAP);
  if (result == CUDA_ERROR_OUT_OF_MEMORY)
    return outOfMemory("cannot pin " + std::to_string(bytes) + " bytes of the host's memory");
  HADAL_TRY(context->driver->check(result, "cuMemHostAlloc"));
  memory.context = std::move(context);
  memory.base = static_cast<std::byte *>(base);
  memory.size = bytes;
  return memory;
}

PinnedMemory &PinnedMemory::operator=(PinnedMemory &&other) noexcept {
  std::swap(context, other.context);
  std::swap(base, other.base);
  std::swap(size, other.size);
  return *this;
}

PinnedMemory::~PinnedMemory() {
  if (base && context->enter())
    context->api().cuMemFreeHost(base);
}

//===- The stream ---------------------------------------------------------------------------===//

Result<std::unique_ptr<CudaStream>> CudaStream::make(std::shared_ptr<Context> context,
                                                     double timeoutSeconds) {
  std::unique_ptr<CudaStream> made(new CudaStream(std::move(context), timeoutSeconds));
  const Context &in = *made->context;
  HADAL_TRY(in.driver->check(in.api().cuStreamCreate(&made->stream, CU_STREAM_NON_BLOCKING),
                             "cuStreamCreate"));
  for (Half &half : made->halves)
    HADAL_TRY(in.driver->check(in.api().cuEventCreate(&half.copied, CU_EVENT_DISABLE_TIMING),
                               "cuEventCreate"));
  made->ends = HADAL_TRY(PinnedMemory::allocate(made->context, sizeof(uint32_t)));
  std::memset(made->ends.data(), 0, sizeof(uint32_t));
  if (in.api().cuMemHostGetDevicePointer(&made->endsAt, made->ends.data(), 0) != CUDA_SUCCESS)
    made->endsAt = 0;
  return made;
}

CudaStream::~CudaStream() {
  if (!stream || !context->enter())
    return;
  (void)waitForAll(); // what it writes to is given back next
  if (!context->enter())
    return;
  for (Half &half : halves)
    if (half.copied)
      context->api().cuEventDestroy(half.copied);
  context->api().cuStreamDestroy(stream);
}

Status CudaStream::grow(DeviceBuffer &buffer, uint64_t bytes, const char *what) {
  if (buffer.bytes() >= bytes)
    return {};
  HADAL_TRY(waitForAll()); // what uses it may not have happened yet
  buffer = DeviceBuffer();
  auto larger = allocateOn(context, bytes);
  if (!larger.ok())
    return Error{larger.error().code, what + (": " + larger.error().message)};
  buffer = std::move(*larger);
  return {};
}

Result<CUdeviceptr> CudaStream::scratch(uint64_t bytes) {
  HADAL_TRY(grow(scratchMemory, bytes, "scratch"));
  return pointerOf(scratchMemory.address());
}

//===- Copies -------------------------------------------------------------------------------===//

/// What a copy takes of pinned memory: the next one begins aligned.
static constexpr uint64_t pinned(uint64_t bytes) {
  return (bytes + pinnedAlignment - 1) / pinnedAlignment * pinnedAlignment;
}

/// A half with room: the present one, or the other once its copies have happened.
Result<CudaStream::Half *> CudaStream::halfForUpload() {
  const DriverTable &api = context->api();
  if (halves[current].memory.data() && halves[current].used == pinnedBytes) {
    Half &full = halves[current];
    HADAL_TRY(check(api.cuEventRecord(full.copied, stream), "cuEventRecord"));
    full.isBusy = true;
    current ^= 1;
    if (Half &next = halves[current]; next.isBusy) {
      HADAL_TRY(waitFor([&] { return api.cuEventQuery(next.copied); }));
      next.isBusy = false;
    }
    halves[current].used = 0;
  }
  Half &half = halves[current];
  if (!half.memory.data())
    half.memory = HADAL_TRY(PinnedMemory::allocate(context, pinnedBytes));
  return &half;
}

Status CudaStream::upload(CUdeviceptr to, const std::byte *from, uint64_t bytes) {
  while (bytes) {
    Half &half = *HADAL_TRY(halfForUpload());
    uint64_t now = std::min(bytes, pinnedBytes - half.used);
    std::byte *between = half.memory.data() + half.used;
    std::memcpy(between, from, now);
    HADAL_TRY(
        check(context->api().cuMemcpyHtoDAsync(to, between, now, stream), "cuMemcpyHtoDAsync"));
    half.used += pinned(now);
    to += now, from += now, bytes -= now;
  }
  return {};
}

Status CudaStream::download(std::byte *to, CUdeviceptr from, uint64_t bytes) {
  if (!down.data())
    down = HADAL_TRY(PinnedMemory::allocate(context, pinnedBytes));
  while (bytes) {
    if (downUsed == pinnedBytes) {
      HADAL_TRY(waitForAll());
      handOut();
    }
    uint64_t now = std::min(bytes, pinnedBytes - downUsed);
    HADAL_TRY(check(context->api().cuMemcpyDtoHAsync(down.data() + downUsed, from, now, stream),
                    "cuMemcpyDtoHAsync"));
    downloads.push_back({downUsed, now, to});
    downUsed += pinned(now);
    to += now, from += now, bytes -= now;
  }
  return {};
}

/// What was downloaded, to where the caller wants it.
void CudaStream::handOut() {
  for (const Download &download : downloads)
    std::memcpy(download.to, down.data() + download.offset, download.bytes);
  downloads.clear();
  downUsed = 0;
}

Status CudaStream::copy(CUdeviceptr to, CUdeviceptr from, uint64_t bytes) {
  auto copyNow = [&](CUdeviceptr to, CUdeviceptr from) -> Status {
    return check(context->api().cuMemcpyDtoDAsync(to, from, bytes, stream), "cuMemcpyDtoDAsync");
  };
  if (to == from)
    return {};
  bool overlap = to < from + bytes && from < to + bytes;
  if (!overlap)
    return copyNow(to, from);
  HADAL_TRY(grow(between, bytes, "a copy to memory that overlaps"));
  HADAL_TRY(copyNow(pointerOf(between.address()), from));
  return copyNow(to, pointerOf(between.address()));
}

Status CudaStream::fill(CUdeviceptr to, uint8_t value, uint64_t bytes) {
  return check(context->api().cuMemsetD8Async(to, value, bytes, stream), "cuMemsetD8Async");
}

//===- Launches, and which of them fails ----------------------------------------------------===//

Status CudaStream::launch(const CUlaunchConfig &config, CUfunction function, void **parameters,
                          const fb::Kernel &kernel) {
  CUresult result = context->api().cuLaunchKernelEx(&config, function, parameters, nullptr);
  // Launches before this one may have failed; else it is this one that cannot begin.
  if (result != CUDA_SUCCESS)
    return isOfKernel(result) ? failed(result, "cuLaunchKernelEx")
                              : context->driver->failed(result, "kernel " + kernel.symbol()->str() +
                                                                    " cannot be launched");
  launched.push_back({&kernel, site, ++launches});
  if (endsAt && context->api().cuStreamWriteValue32(stream, endsAt, launches, 0) != CUDA_SUCCESS)
    endsAt = 0;
  if (launched.size() > mostLaunched)
    launched.pop_front();
  return {};
}

/// The first launch that has not ended, as far as is known.
const CudaStream::Launched *CudaStream::running() const {
  if (!endsAt)
    return nullptr;
  uint32_t ended = endedLaunches();
  for (const Launched &launch : launched)
    if (int32_t(launch.number - ended) > 0)
      return &launch;
  return nullptr;
}

uint32_t CudaStream::endedLaunches() const {
  return *reinterpret_cast<const volatile uint32_t *>(ends.data());
}

/// "kernel matmul_3, launch 12 of program layer".
static std::string nameOf(const fb::Kernel &kernel, const LaunchSite &site) {
  std::string text = "kernel " + kernel.symbol()->str();
  if (site.program)
    text +=
        ", launch " + std::to_string(site.number) + " of program " + site.program->name()->str();
  return text;
}

Error CudaStream::failed(CUresult result, const char *function) const {
  const Launched *launch = isOfKernel(result) ? running() : nullptr;
  return context->driver->failed(result, launch ? nameOf(*launch->kernel, launch->site) : function);
}

/// Polls until the query is not "not ready". Each launch has the device's timeout for itself.
Status CudaStream::waitFor(const std::function<CUresult()> &query) {
  using Clock = std::chrono::steady_clock;
  Clock::time_point since = Clock::now();
  uint32_t seen = endedLaunches();
  for (unsigned round = 0;; ++round) {
    CUresult result = query();
    if (result == CUDA_SUCCESS)
      return {};
    if (result != CUDA_ERROR_NOT_READY)
      return failed(result, "a wait for the stream");
    if (uint32_t ended = endedLaunches(); ended != seen)
      seen = ended, since = Clock::now();
    else if (timeoutSeconds > 0 &&
             std::chrono::duration<double>(Clock::now() - since).count() > timeoutSeconds)
      return hangs();
    // A decoding step takes some hundred microseconds: sleep only where it takes longer.
    if (round > 1000)
      std::this_thread::sleep_for(std::chrono::microseconds(100));
  }
}

Status CudaStream::waitForAll() {
  return waitFor([&] { return context->api().cuStreamQuery(stream); });
}

Error CudaStream::hangs() {
  const Launched *launch = running();
  context->isLost = true;
  char seconds[32];
  std::snprintf(seconds, sizeof seconds, "%g", timeoutSeconds);
  return ioError((launch ? nameOf(*launch->kernel, launch->site) + "," : "the stream's work") +
                 " has not ended after " + seconds + " s (--device-timeout)");
}

Status CudaStream::synchronize() {
  Status status = waitForAll();
  if (status)
    handOut();
  downloads.clear();
  downUsed = 0;
  launched.clear();
  for (Half &half : halves)
    half.used = 0, half.isBusy = false;
  return status;
}
