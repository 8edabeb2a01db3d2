//===- MemoryCheck.cpp - memory that shows misuse -------------------------===//

#include "runtime/MemoryCheck.h"

#include <algorithm>
#include <cstring>

namespace hadal::memory {

/// A NaN as two F32 and as an F64, and as an index out of every range.
static constexpr uint64_t unwritten = 0x7FF7A5A67FC7A5A6;

void poison(std::span<std::byte> memory) {
  for (size_t at = 0; at < memory.size(); at += sizeof unwritten)
    std::memcpy(memory.data() + at, &unwritten, std::min(sizeof unwritten, memory.size() - at));
}

static bool isUnwrittenWord(std::span<const std::byte> memory, size_t at) {
  return std::memcmp(memory.data() + at, &unwritten, sizeof unwritten) == 0;
}

bool isUnwritten(std::span<const std::byte> memory) {
  for (size_t at = 0; at + sizeof unwritten <= memory.size(); at += sizeof unwritten)
    if (!isUnwrittenWord(memory, at))
      return false;
  return memory.size() >= sizeof unwritten;
}

std::optional<uint64_t> firstUnwritten(std::span<const std::byte> memory) {
  for (size_t at = 0; at + sizeof unwritten <= memory.size(); at += sizeof unwritten)
    if (isUnwrittenWord(memory, at))
      return at;
  return std::nullopt;
}

std::optional<uint64_t> firstChanged(std::span<const std::byte> zone) {
  auto at =
      std::find_if(zone.begin(), zone.end(), [](std::byte b) { return b != std::byte(guardByte); });
  return at == zone.end() ? std::nullopt : std::optional<uint64_t>(uint64_t(at - zone.begin()));
}

} // namespace hadal::memory
