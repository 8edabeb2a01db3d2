//===- Shadow.cpp - cells and conflicts ---------------------------------===//

#include "runtime/emulated/Shadow.h"

#include <algorithm>

namespace hadal::emulated {

static constexpr uint64_t cellBytes = 16;

/// The bits of a cell's bytes among [offset, offset + size), the cell beginning at `cell`.
static uint16_t bytesInCell(uint64_t cell, uint64_t offset, uint64_t size) {
  uint64_t begin = std::max(cell, offset) - cell;
  uint64_t end = std::min(cell + cellBytes, offset + size) - cell;
  return static_cast<uint16_t>(((uint32_t(1) << end) - 1) & ~((uint32_t(1) << begin) - 1));
}

static bool happenedBefore(const Access &earlier, const Accessor &now) {
  if (earlier.cluster != now.cluster)
    return now.othersOrdered;
  return now.view[earlier.agent] >= earlier.epoch;
}

/// Whether the writer issued a proxy fence after the write, and `now` knows of it.
static bool fenced(const Access &write, const Accessor &now) {
  if (write.proxy == Proxy::Async || now.proxy == Proxy::Plain)
    return true;
  if (write.cluster != now.cluster || write.agent >= now.fences.size())
    return true;
  const std::vector<Epoch> &fences = now.fences[write.agent];
  auto fence = std::lower_bound(fences.begin(), fences.end(), write.epoch);
  return fence != fences.end() && *fence <= now.view[write.agent];
}

static bool ordered(const Access &earlier, bool wrote, const Accessor &now, Conflict &conflict) {
  bool before = happenedBefore(earlier, now);
  if (before && (!wrote || fenced(earlier, now)))
    return true;
  conflict = {earlier, wrote, before};
  return false;
}

/// Notes a read of bytes of one cell; false and `conflict` where it is a race.
static bool noteRead(Cell &cell, const Accessor &by, uint16_t bytes, Conflict &conflict) {
  for (const Access &write : cell.writes)
    if ((write.bytes & bytes) && !ordered(write, true, by, conflict))
      return false;
  auto self = static_cast<uint16_t>(by.view.self);
  for (Access &read : cell.reads) {
    if (read.agent != self || read.cluster != by.cluster)
      continue;
    read.epoch = by.view.epoch;
    read.bytes |= bytes;
    read.at = by.at;
    return true;
  }
  // An access ordered after this read is also after the reads that this one follows.
  if (cell.reads.size() >= 8)
    std::erase_if(cell.reads, [&](const Access &read) {
      return (read.bytes & ~bytes) == 0 && read.cluster == by.cluster &&
             by.view[read.agent] >= read.epoch;
    });
  cell.reads.push_back({by.cluster, by.view.epoch, by.at, self, bytes, by.proxy});
  return true;
}

/// The same of a write.
static bool noteWrite(Cell &cell, const Accessor &by, uint16_t bytes, Conflict &conflict) {
  for (const Access &write : cell.writes)
    if ((write.bytes & bytes) && !ordered(write, true, by, conflict))
      return false;
  for (const Access &read : cell.reads)
    if ((read.bytes & bytes) && !ordered(read, false, by, conflict))
      return false;
  for (std::vector<Access> *accesses : {&cell.writes, &cell.reads}) {
    for (Access &access : *accesses)
      access.bytes &= static_cast<uint16_t>(~bytes);
    std::erase_if(*accesses, [](const Access &access) { return access.bytes == 0; });
  }
  cell.writes.push_back(
      {by.cluster, by.view.epoch, by.at, static_cast<uint16_t>(by.view.self), bytes, by.proxy});
  return true;
}

/// Notes an access of [offset, offset + size); `cellAt` gives the cell that begins at an offset.
template <typename CellAt>
static std::optional<Conflict> note(bool write, const Accessor &by, uint64_t offset, uint64_t size,
                                    CellAt cellAt) {
  Conflict conflict;
  for (uint64_t at = offset / cellBytes * cellBytes; at < offset + size; at += cellBytes) {
    Cell &cell = cellAt(at);
    uint16_t bytes = bytesInCell(at, offset, size);
    if (write ? noteWrite(cell, by, bytes, conflict) : noteRead(cell, by, bytes, conflict))
      continue;
    conflict.offset = at;
    return conflict;
  }
  return std::nullopt;
}

void SharedShadow::reset(uint64_t bytes) {
  ++generation;
  size_t wanted = (bytes + cellBytes - 1) / cellBytes;
  if (cells.size() < wanted)
    cells.resize(wanted);
}

std::optional<Conflict> SharedShadow::access(bool write, const Accessor &by, uint64_t offset,
                                             uint64_t size) {
  return note(write, by, offset, size, [&](uint64_t at) -> Cell & {
    Cell &cell = cells[at / cellBytes];
    if (cell.generation != generation) {
      cell.writes.clear();
      cell.reads.clear();
      cell.generation = generation;
    }
    return cell;
  });
}

std::optional<Conflict> GlobalShadow::access(bool write, const Accessor &by, uint64_t address,
                                             uint64_t size) {
  if (write)
    written.store(true, std::memory_order_relaxed);
  std::lock_guard lock(mutex);
  Page *page = nullptr;
  return note(write, by, address, size, [&](uint64_t at) -> Cell & {
    if (!page || at % pageBytes == 0)
      page = &pages[at / pageBytes];
    if (page->cells.empty())
      page->cells.resize(pageBytes / cellBytes);
    return page->cells[at % pageBytes / cellBytes];
  });
}

} // namespace hadal::emulated
