//===- MemoryPool.h - memory that micro-batches pass on -----------------===//

#ifndef HADAL_RUNTIME_RANKS_MEMORYPOOL_H
#define HADAL_RUNTIME_RANKS_MEMORYPOOL_H

#include "runtime/device/Device.h"
#include "runtime/ranks/PoolSizes.h"

#include <map>
#include <memory>
#include <mutex>

namespace hadal {

/// Buffers of a device, for values that come and go with every micro-batch. What is given back is
/// taken again, as it is, so that pages are asked of the system once. Any thread may use it.
class MemoryPool {
public:
  explicit MemoryPool(Device &device) : device(device) {}

  /// Memory that goes back into the pool with its last owner; the pool must outlive it. Contents
  /// are undefined.
  Result<std::shared_ptr<std::byte>> take(uint64_t bytes);

  /// Most bytes that its buffers had at the same time, taken or free.
  uint64_t peakBytes() const { return sizes.peakBytes(); }

private:
  void giveBack(DeviceBuffer buffer);

  Device &device;
  std::mutex mutex;
  PoolSizes sizes;
  std::multimap<uint64_t, DeviceBuffer> free; ///< by size
};

} // namespace hadal

#endif // HADAL_RUNTIME_RANKS_MEMORYPOOL_H
