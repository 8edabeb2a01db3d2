#include "runtime/parallel/MemoryPool.h"

#include <algorithm>

using namespace hadal;

Result<std::shared_ptr<std::byte>> MemoryPool::take(uint64_t bytes) {
  // Sizes that differ by a few rows, as those of routed tokens do, share buffers.
  uint64_t step = 256;
  while (step * 16 < bytes)
    step *= 2;
  uint64_t rounded = std::max(step, (bytes + step - 1) / step * step);
  Buffer buffer;
  {
    std::lock_guard lock(mutex);
    auto found = free.lower_bound(rounded);
    if (found != free.end() && found->first <= rounded + rounded / 2) {
      buffer = std::move(found->second);
      free.erase(found);
    }
  }
  if (!buffer.data())
    buffer = HADAL_TRY(device.allocate(rounded));
  {
    std::lock_guard lock(mutex);
    taken += buffer.size();
    peak = std::max(peak, taken);
  }
  auto *owned = new Buffer(std::move(buffer));
  return std::shared_ptr<std::byte>(owned->data(), [this, owned](std::byte *) {
    giveBack(std::move(*owned));
    delete owned;
  });
}

void MemoryPool::giveBack(Buffer buffer) {
  std::lock_guard lock(mutex);
  taken -= buffer.size();
  uint64_t size = buffer.size();
  free.emplace(size, std::move(buffer));
}
