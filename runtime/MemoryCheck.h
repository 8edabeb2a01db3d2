//===- MemoryCheck.h - memory that shows misuse ---------------------------===//
//
// For debugging: what nothing has written yet holds a pattern that is NaN in every number, and
// zones at both ends of a buffer hold another one that must not change.
//
//===--------------------------------------------------------------------===//

#ifndef HADAL_RUNTIME_MEMORYCHECK_H
#define HADAL_RUNTIME_MEMORYCHECK_H

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

namespace hadal::memory {

/// Length of a guard zone, and so an alignment that buffers keep.
inline constexpr uint64_t guardBytes = 64;
/// What a guard zone is filled with.
inline constexpr uint8_t guardByte = 0xB7;

/// Fills memory, from its first byte on, with the pattern of what was not written.
void poison(std::span<std::byte> memory);

/// Whether all of it still is as poison() left it; false where there is less than one word of 8
/// bytes.
bool isUnwritten(std::span<const std::byte> memory);

/// The first byte of the first whole word that is as poison() left it.
std::optional<uint64_t> firstUnwritten(std::span<const std::byte> memory);

/// The first byte of a guard zone that has changed.
std::optional<uint64_t> firstChanged(std::span<const std::byte> zone);

} // namespace hadal::memory

#endif // HADAL_RUNTIME_MEMORYCHECK_H
