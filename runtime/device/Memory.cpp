#include "runtime/device/Memory.h"
#include "runtime/Abi.h"

#include <cstdlib>
#include <cstring>
#include <string>
#include <sys/mman.h>
#include <utility>

namespace hadal {

static constexpr uint64_t hugePage = uint64_t(2) << 20;
/// What is smaller comes from the heap. A rank of a training job has states that it never touches: their pages must cost nothing.
static constexpr uint64_t smallest = uint64_t(64) << 10;

Buffer::Buffer(Buffer &&other) noexcept { *this = std::move(other); }

Buffer &Buffer::operator=(Buffer &&other) noexcept {
  std::swap(base, other.base);
  std::swap(bytes, other.bytes);
  std::swap(mapping, other.mapping);
  std::swap(mappingBytes, other.mappingBytes);
  return *this;
}

Buffer::~Buffer() {
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
  if (bytes < smallest) {
    uint64_t rounded = (bytes / HADAL_ALIGNMENT + 1) * HADAL_ALIGNMENT;
    buffer.base = static_cast<std::byte *>(std::aligned_alloc(HADAL_ALIGNMENT, rounded));
    if (!buffer.base)
      return fail();
    std::memset(buffer.base, 0, rounded);
    return buffer;
  }
  bool isHuge = bytes >= 2 * hugePage;
  buffer.mappingBytes = isHuge ? (bytes + hugePage - 1) / hugePage * hugePage + hugePage : bytes;
  void *mapping = ::mmap(nullptr, buffer.mappingBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (mapping == MAP_FAILED)
    return fail();
  buffer.mapping = mapping;
  if (!isHuge) {
    buffer.base = static_cast<std::byte *>(mapping);
    return buffer;
  }
  auto address = (reinterpret_cast<uintptr_t>(mapping) + hugePage - 1) / hugePage * hugePage;
  buffer.base = reinterpret_cast<std::byte *>(address);
  ::madvise(buffer.base, (bytes + hugePage - 1) / hugePage * hugePage, MADV_HUGEPAGE);
  return buffer;
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
