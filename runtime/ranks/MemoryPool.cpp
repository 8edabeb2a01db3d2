//===- MemoryPool.cpp - memory that micro-batches pass on -----------------===//

#include "runtime/ranks/MemoryPool.h"

using namespace hadal;

Result<std::shared_ptr<std::byte>> MemoryPool::take(uint64_t bytes) {
  DeviceBuffer buffer;
  {
    std::vector<DeviceBuffer> dropped; // before the new one is there
    std::unique_lock lock(mutex);
    auto pick = [&](uint64_t size) {
      auto found = free.find(size);
      DeviceBuffer picked = std::move(found->second);
      free.erase(found);
      return picked;
    };
    PoolSizes::Choice choice = sizes.take(bytes);
    for (uint64_t size : choice.dropped)
      dropped.push_back(pick(size));
    if (!choice.isNew)
      buffer = pick(choice.size);
    lock.unlock();
    dropped.clear();
    if (choice.isNew) {
      auto made = allocateFor("values of a micro-batch", device, choice.size);
      if (!made.ok()) {
        lock.lock();
        sizes.lose(choice.size);
        return made.error();
      }
      buffer = std::move(*made);
    }
  }
  auto *owned = new DeviceBuffer(std::move(buffer));
  return std::shared_ptr<std::byte>(owned->address(), [this, owned](std::byte *) {
    giveBack(std::move(*owned));
    delete owned;
  });
}

void MemoryPool::giveBack(DeviceBuffer buffer) {
  std::lock_guard lock(mutex);
  uint64_t size = buffer.bytes();
  sizes.giveBack(size);
  free.emplace(size, std::move(buffer));
}
