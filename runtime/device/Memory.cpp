//===- Memory.cpp - aligned host memory -----------------------------------===//

#include "runtime/device/Memory.h"
#include "runtime/Abi.h"

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <sys/mman.h>
#include <sys/sysinfo.h>
#include <utility>
#include <vector>

namespace hadal {

static constexpr uint64_t hugePage = uint64_t(2) << 20;

Buffer::Buffer(Buffer &&other) noexcept { *this = std::move(other); }

Buffer &Buffer::operator=(Buffer &&other) noexcept {
  std::swap(base, other.base);
  std::swap(bytes, other.bytes);
  std::swap(mapping, other.mapping);
  std::swap(mappingBytes, other.mappingBytes);
  return *this;
}

static std::atomic<uint64_t> live = 0, peak = 0;

static void countIn(uint64_t bytes) {
  uint64_t now = live += bytes, most = peak;
  while (most < now && !peak.compare_exchange_weak(most, now))
    ;
}

/// What this process may have at most: memory and swap, less where a container has less.
static uint64_t memoryOfMachine() {
  static const uint64_t bytes = [] {
    struct sysinfo info = {};
    uint64_t most = ::sysinfo(&info) == 0
                        ? (uint64_t(info.totalram) + info.totalswap) * info.mem_unit
                        : UINT64_MAX;
    for (const char *path :
         {"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"})
      if (std::FILE *file = std::fopen(path, "r")) {
        unsigned long long limit = 0;
        if (std::fscanf(file, "%llu", &limit) == 1 && limit > 0)
          most = std::min<uint64_t>(most, limit);
        std::fclose(file);
      }
    return most;
  }();
  return bytes;
}

uint64_t Buffer::peakBytes() { return peak; }

Buffer::~Buffer() {
  if (base)
    live -= bytes;
  if (mapping)
    ::munmap(mapping, mappingBytes);
  else
    std::free(base);
}

Result<Buffer> Buffer::allocate(uint64_t bytes) {
  Buffer buffer;
  buffer.bytes = bytes;
  auto fail = [&] { return outOfMemory("cannot allocate " + std::to_string(bytes) + " bytes"); };
  if (bytes > (uint64_t(1) << 46))
    return fail();
  // A mapping costs nothing until it is touched; a process that then takes more than there is would
  // be killed without a word.
  if (uint64_t taken = live; bytes > memoryOfMachine() || taken > memoryOfMachine() - bytes)
    return outOfMemory("cannot allocate " + std::to_string(bytes) +
                       " bytes: " + std::to_string(taken) + " are taken, this machine has " +
                       std::to_string(memoryOfMachine()));
  if (bytes < smallestMapping) {
    uint64_t rounded = (bytes / HADAL_ALIGNMENT + 1) * HADAL_ALIGNMENT;
    buffer.base = static_cast<std::byte *>(std::aligned_alloc(HADAL_ALIGNMENT, rounded));
    if (!buffer.base)
      return fail();
    std::memset(buffer.base, 0, rounded);
    countIn(bytes);
    return buffer;
  }
  bool isHuge = bytes >= 2 * hugePage;
  buffer.mappingBytes = isHuge ? (bytes + hugePage - 1) / hugePage * hugePage + hugePage : bytes;
  void *mapping = ::mmap(nullptr, buffer.mappingBytes, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (mapping == MAP_FAILED)
    return fail();
  buffer.mapping = mapping;
  countIn(bytes);
  if (!isHuge) {
    buffer.base = static_cast<std::byte *>(mapping);
    return buffer;
  }
  auto address = (reinterpret_cast<uintptr_t>(mapping) + hugePage - 1) / hugePage * hugePage;
  buffer.base = reinterpret_cast<std::byte *>(address);
  ::madvise(buffer.base, (bytes + hugePage - 1) / hugePage * hugePage, MADV_HUGEPAGE);
  return buffer;
}

uint64_t Buffer::touchedBytes() const {
  constexpr uint64_t page = 4096;
  if (!mapping)
    return bytes;
  std::vector<unsigned char> here((bytes + page - 1) / page); // `base` lies on a page
  if (::mincore(base, bytes, here.data()) != 0)
    return bytes;
  return std::min<uint64_t>(bytes,
                            page * uint64_t(std::count_if(here.begin(), here.end(),
                                                          [](unsigned char c) { return c & 1; })));
}

void Buffer::populate() {
  if (!mapping) // it was cleared, and so touched
    return;
#ifdef MADV_POPULATE_WRITE
  if (::madvise(base, bytes, MADV_POPULATE_WRITE) == 0)
    return;
#endif
  for (uint64_t at = 0; at < bytes; at += 4096)
    reinterpret_cast<volatile std::byte &>(base[at]) = std::byte{0}; // new pages are zero already
}

} // namespace hadal
