//===- DeviceMemory.h - memory that only kernels and copies reach -------===//
//
// The emulated device's memory is a range of this process's addresses that nothing may touch but
// while an operation of the device runs: a host access that slips by ends the process. Between
// allocations are red zones, whose bytes no kernel may change.
//
//===--------------------------------------------------------------------===//

#ifndef HADAL_RUNTIME_EMULATED_DEVICEMEMORY_H
#define HADAL_RUNTIME_EMULATED_DEVICEMEMORY_H

#include "runtime/emulated/Launch.h"

#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <string>

namespace hadal::emulated {

/// Any thread.
class DeviceMemory {
public:
  /// Nothing was allocated where reserve failed.
  bool reserve(uint64_t totalBytes);
  uint64_t totalBytes() const { return total; }
  uint64_t freeBytes() const;

  /// Aligned to 256 bytes and all ones; 0 where there is not enough.
  uint64_t allocate(uint64_t bytes);
  /// False where no allocation begins there.
  bool release(uint64_t address);
  /// Gives everything back.
  void clear();

  /// Whether an allocation holds all of [address, address + bytes).
  bool holds(uint64_t address, uint64_t bytes) const;
  std::vector<GlobalRanges::Range> ranges() const;
  /// A red zone that was written, and mends it: "3 bytes after the allocation of 512 bytes".
  std::optional<std::string> damagedZone();

  /// Lets this process reach the memory between open and close; they nest.
  void open();
  void close();

private:
  struct Allocation {
    uint64_t bytes = 0;    ///< as asked for
    uint64_t occupied = 0; ///< with what follows it up to the end of its red zone
  };
  char *at(uint64_t address) const { return reinterpret_cast<char *>(address); }
  void protect(bool reachable);

  mutable std::mutex mutex;
  uint64_t base = 0, total = 0;
  uint64_t reach = 0; ///< bytes from the base that were ever in use
  uint64_t inUse = 0;
  uint32_t opened = 0;
  std::map<uint64_t, Allocation> allocations;
};

} // namespace hadal::emulated

#endif // HADAL_RUNTIME_EMULATED_DEVICEMEMORY_H
