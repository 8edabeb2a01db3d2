//===- DeviceMemory.cpp - allocations, red zones, who may reach them ----===//

#include "runtime/emulated/DeviceMemory.h"

#include <algorithm>
#include <cstring>
#include <sys/mman.h>

namespace hadal::emulated {

static constexpr uint64_t alignment = 256, zoneBytes = 256, pageBytes = 1 << 16;
static constexpr unsigned char zoneByte = 0xfb, freshByte = 0xff;

static uint64_t roundUp(uint64_t value, uint64_t to) { return (value + to - 1) / to * to; }

/// Addresses that are reserved: more than the device says to have, for the red zones.
static uint64_t reservedBytes(uint64_t total) { return total + total / 4 + (uint64_t(1) << 28); }

bool DeviceMemory::reserve(uint64_t totalBytes) {
  void *memory = ::mmap(nullptr, reservedBytes(totalBytes), PROT_NONE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED)
    return false;
  base = roundUp(reinterpret_cast<uintptr_t>(memory), pageBytes);
  total = totalBytes;
  return true;
}

uint64_t DeviceMemory::freeBytes() const {
  std::lock_guard lock(mutex);
  return total - inUse;
}

void DeviceMemory::protect(bool reachable) {
  if (reach)
    ::mprotect(at(base), reach, reachable ? PROT_READ | PROT_WRITE : PROT_NONE);
}

void DeviceMemory::open() {
  std::lock_guard lock(mutex);
  if (opened++ == 0)
    protect(true);
}

void DeviceMemory::close() {
  std::lock_guard lock(mutex);
  if (--opened == 0)
    protect(false);
}

uint64_t DeviceMemory::allocate(uint64_t bytes) {
  std::lock_guard lock(mutex);
  if (!bytes || bytes > total - inUse)
    return 0;
  uint64_t occupied = roundUp(bytes, alignment) + zoneBytes;
  uint64_t place = base + zoneBytes; // first fit
  for (auto &[begin, allocation] : allocations) {
    if (begin - place >= occupied) // the new red zone at the end is also the one before `begin`
      break;
    place = begin + allocation.occupied;
  }
  if (place + occupied > base + reservedBytes(total) - pageBytes)
    return 0;
  reach = std::max(reach, roundUp(place + occupied - base, pageBytes));
  protect(true);
  std::memset(at(place - zoneBytes), zoneByte, zoneBytes);
  std::memset(at(place), freshByte, bytes);
  std::memset(at(place + bytes), zoneByte, occupied - bytes);
  if (!opened)
    protect(false);
  allocations[place] = {bytes, occupied};
  inUse += bytes;
  return place;
}

bool DeviceMemory::release(uint64_t address) {
  std::lock_guard lock(mutex);
  auto known = allocations.find(address);
  if (known == allocations.end())
    return false;
  inUse -= known->second.bytes;
  uint64_t first = roundUp(address, pageBytes);
  uint64_t last = (address + known->second.bytes) / pageBytes * pageBytes;
  if (first < last)
    ::madvise(at(first), last - first, MADV_DONTNEED);
  allocations.erase(known);
  return true;
}

void DeviceMemory::clear() {
  std::lock_guard lock(mutex);
  if (reach)
    ::madvise(at(base), reach, MADV_DONTNEED);
  allocations.clear();
  inUse = 0;
}

bool DeviceMemory::holds(uint64_t address, uint64_t bytes) const {
  std::lock_guard lock(mutex);
  auto after = allocations.upper_bound(address);
  if (after == allocations.begin())
    return false;
  auto &[begin, allocation] = *--after;
  return address - begin <= allocation.bytes && bytes <= allocation.bytes - (address - begin);
}

std::vector<GlobalRanges::Range> DeviceMemory::ranges() const {
  std::lock_guard lock(mutex);
  std::vector<GlobalRanges::Range> ranges;
  for (auto &[begin, allocation] : allocations)
    ranges.push_back({begin, begin + allocation.bytes});
  return ranges;
}

/// The first byte of [zone, zone + bytes) that was written; bytes where none was.
static uint64_t firstWritten(const char *zone, uint64_t bytes) {
  uint64_t i = 0;
  while (i < bytes && static_cast<unsigned char>(zone[i]) == zoneByte)
    ++i;
  return i;
}

std::optional<std::string> DeviceMemory::damagedZone() {
  std::lock_guard lock(mutex);
  for (auto &[begin, allocation] : allocations) {
    char *after = at(begin + allocation.bytes), *before = at(begin - zoneBytes);
    uint64_t bytes = allocation.occupied - allocation.bytes;
    uint64_t hit = firstWritten(after, bytes), hitBefore = firstWritten(before, zoneBytes);
    if (hit == bytes && hitBefore == zoneBytes)
      continue;
    std::memset(after, zoneByte, bytes);
    std::memset(before, zoneByte, zoneBytes);
    return (hit < bytes ? std::to_string(hit) + " bytes after"
                        : std::to_string(zoneBytes - hitBefore) + " bytes before") +
           " the allocation of " + std::to_string(allocation.bytes) + " bytes";
  }
  return std::nullopt;
}

} // namespace hadal::emulated
