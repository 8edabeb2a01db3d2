//===- HiddenDevice.cpp - a device whose memory no host sees ------------===//

#include "test/device/HiddenDevice.h"

#include "runtime/Abi.h"

#include <algorithm>
#include <cstring>
#include <deque>
#include <sys/mman.h>

using namespace hadal;
using namespace hadal::test;

namespace {

/// Address space for all that a test ever takes: no address is used twice, so that one of memory
/// that was given back is told.
constexpr uint64_t spaceBytes = uint64_t(1) << 36, pageBytes = 4096;
/// What the device says it has.
constexpr uint64_t deviceBytes = uint64_t(1) << 34;

/// What a stream was given and has not done.
struct Queue {
  std::deque<std::function<Status()>> operations;
  uint64_t begun = 0; ///< operations that left it

  Status runUntil(uint64_t last) {
    while (begun < last && !operations.empty()) {
      std::function<Status()> operation = std::move(operations.front());
      operations.pop_front();
      ++begun;
      if (Status status = operation(); !status) {
        // What comes after a failure never happens: its memory may be gone by then.
        begun += operations.size();
        operations.clear();
        return status;
      }
    }
    return {};
  }
  uint64_t given() const { return begun + operations.size(); }
};

class HiddenStream final : public Stream {
public:
  std::shared_ptr<Queue> queue = std::make_shared<Queue>();
};

class HiddenEvent final : public Event {
public:
  std::weak_ptr<Queue> queue; ///< of the stream that recorded it
  uint64_t at = 0;
  bool isRecorded = false;
};

Queue &queueOf(Stream &stream) { return *static_cast<HiddenStream &>(stream).queue; }

std::byte *reserve(int protection) {
  void *space =
      ::mmap(nullptr, spaceBytes, protection, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  return space == MAP_FAILED ? nullptr : static_cast<std::byte *>(space);
}

} // namespace

HiddenDevice::HiddenDevice(unsigned threads)
    : cpu(threads), cpuStream(std::move(*cpu.makeStream())), addresses(reserve(PROT_NONE)),
      memory(reserve(PROT_READ | PROT_WRITE)) {}

HiddenDevice::~HiddenDevice() {
  if (addresses)
    ::munmap(addresses, spaceBytes);
  if (memory)
    ::munmap(memory, spaceBytes);
}

Result<DeviceBuffer> HiddenDevice::allocate(uint64_t bytes) {
  std::lock_guard lock(mutex);
  if (!addresses || !memory)
    return outOfMemory("no address space for a device whose memory is hidden");
  // A page apart, so that what goes past the end is told.
  uint64_t reserved = bytes / pageBytes * pageBytes + 2 * pageBytes;
  if (bytes > deviceBytes || end + reserved > spaceBytes)
    return outOfMemory("cannot allocate " + std::to_string(bytes) + " bytes on the hidden device");
  uint64_t offset = end;
  end += reserved;
  live[offset] = bytes;
  most = std::max(most, taken += bytes);
  return DeviceBuffer(addresses + offset, bytes,
                      [this, offset, bytes] { giveBack(offset, bytes); });
}

void HiddenDevice::giveBack(uint64_t offset, uint64_t bytes) {
  std::lock_guard lock(mutex);
  live.erase(offset);
  taken -= bytes;
  ::madvise(memory + offset, bytes + 1, MADV_DONTNEED);
}

/// Where the memory of `bytes` at an address lies, all of one buffer.
Result<std::byte *> HiddenDevice::memoryOf(DeviceAddress address, uint64_t bytes,
                                           const char *what) {
  auto wrong = [&](const char *why) { return invalidArgument(std::string(what) + ": " + why); };
  if (address < addresses || address >= addresses + spaceBytes)
    return wrong("is no memory of the device");
  uint64_t offset = uint64_t(address - addresses);
  auto after = live.upper_bound(offset);
  if (after == live.begin())
    return wrong("is no memory of the device");
  auto [begin, size] = *std::prev(after);
  if (offset > begin + size)
    return wrong("is memory that was given back, or that nobody took");
  if (bytes > begin + size - offset)
    return wrong("goes past the end of its buffer");
  return memory + offset;
}

Result<std::unique_ptr<Stream>> HiddenDevice::makeStream() {
  return std::unique_ptr<Stream>(std::make_unique<HiddenStream>());
}
Result<std::unique_ptr<Event>> HiddenDevice::makeEvent() {
  return std::unique_ptr<Event>(std::make_unique<HiddenEvent>());
}

/// Puts an operation into its stream, to happen when that is synchronized.
static Status give(std::recursive_mutex &mutex, uint64_t &count, Stream &stream,
                   std::function<Status()> operation) {
  std::lock_guard lock(mutex);
  ++count;
  queueOf(stream).operations.push_back(std::move(operation));
  return {};
}

Status HiddenDevice::upload(Stream &stream, DeviceAddress to, const void *from, uint64_t bytes) {
  if (!bytes)
    return {};
  auto *first = static_cast<const std::byte *>(from);
  return give(mutex, count, stream,
              [this, to, data = std::vector<std::byte>(first, first + bytes)]() -> Status {
                std::byte *place = HADAL_TRY(memoryOf(to, data.size(), "upload"));
                std::memcpy(place, data.data(), data.size());
                return {};
              });
}

Status HiddenDevice::download(Stream &stream, void *to, DeviceAddress from, uint64_t bytes) {
  if (!bytes)
    return {};
  return give(mutex, count, stream, [this, to, from, bytes]() -> Status {
    std::memcpy(to, HADAL_TRY(memoryOf(from, bytes, "download")), bytes);
    return {};
  });
}

Status HiddenDevice::fill(Stream &stream, DeviceAddress to, uint8_t value, uint64_t bytes) {
  if (!bytes)
    return {};
  return give(mutex, count, stream, [this, to, value, bytes]() -> Status {
    std::memset(HADAL_TRY(memoryOf(to, bytes, "fill")), value, bytes);
    return {};
  });
}

Status HiddenDevice::copy(Stream &stream, DeviceAddress to, DeviceAddress from, uint64_t bytes) {
  if (!bytes)
    return {};
  return give(mutex, count, stream, [this, to, from, bytes]() -> Status {
    std::byte *source = HADAL_TRY(memoryOf(from, bytes, "copy's source"));
    std::memmove(HADAL_TRY(memoryOf(to, bytes, "copy's destination")), source, bytes);
    return {};
  });
}

Status HiddenDevice::launch(Stream &stream, const LoadedKernel &kernel,
                            std::span<const DeviceAddress> buffers,
                            std::span<const int64_t> scalars, int64_t tasks) {
  return give(mutex, count, stream,
              [this, kernel, tasks, buffers = std::vector(buffers.begin(), buffers.end()),
               scalars = std::vector(scalars.begin(), scalars.end())]() -> Status {
                std::vector<DeviceAddress> places;
                for (size_t i = 0; i < buffers.size(); ++i)
                  places.push_back(
                      buffers[i] // an empty list has no address
                          ? HADAL_TRY(memoryOf(buffers[i], 0,
                                               ("launch: buffer " + std::to_string(i)).c_str()))
                          : nullptr);
                return cpu.launch(*cpuStream, kernel, places, scalars, tasks);
              });
}

Status HiddenDevice::record(Stream &stream, Event &event) {
  std::lock_guard lock(mutex);
  auto &recorded = static_cast<HiddenEvent &>(event);
  recorded.queue = static_cast<HiddenStream &>(stream).queue;
  recorded.at = queueOf(stream).given();
  recorded.isRecorded = true;
  return {};
}

Status HiddenDevice::wait(Stream &stream, Event &event) {
  auto &recorded = static_cast<HiddenEvent &>(event);
  if (!recorded.isRecorded)
    return invalidArgument("a stream waits for an event that nothing recorded");
  return give(mutex, count, stream, [queue = recorded.queue, at = recorded.at]() -> Status {
    std::shared_ptr<Queue> other = queue.lock();
    return other ? other->runUntil(at) : Status();
  });
}

Status HiddenDevice::synchronize(Stream &stream) {
  std::lock_guard lock(mutex);
  return queueOf(stream).runUntil(UINT64_MAX);
}
