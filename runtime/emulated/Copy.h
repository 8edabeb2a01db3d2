//===- Copy.h - bulk copies under way -----------------------------------===//

#ifndef HADAL_RUNTIME_EMULATED_COPY_H
#define HADAL_RUNTIME_EMULATED_COPY_H

#include "runtime/emulated/Clock.h"

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

namespace hadal::emulated {

struct TensorMap;
struct Thread;
class Cluster;

/// A copy that a thread issued and that happens later. A load happens at once; a store first reads
/// shared memory and later writes what it read.
struct Copy {
  enum class Kind : uint8_t { Load, Store, ThreadCopy };
  enum class Stage : uint8_t { Issued, Read, Done };

  Kind kind = Kind::Load;
  Stage stage = Stage::Issued;
  bool readAwaited = false; ///< the thread waited until it had read
  uint32_t group = 0;
  int32_t at = -1;
  View view; ///< of the agent that copies; it writes global memory one epoch later
  const TensorMap *map = nullptr; ///< null: `bytes` bytes in a row
  std::array<int32_t, 5> coordinates{};
  char *global = nullptr; ///< without a map
  uint64_t bytes = 0;     ///< what is copied; of a ThreadCopy the rest of `size` is zero
  uint64_t size = 0;      ///< in shared memory
  /// In shared memory: the destinations with their mbarriers, or the one source.
  std::vector<std::pair<char *, void *>> shared;
  std::vector<char> data;
};

/// Groups of copies that a thread waits for by their number.
struct CopyGroups {
  uint32_t open = 0; ///< number of the group that the next copy joins
  std::vector<std::shared_ptr<Copy>> copies;

  /// Whether a wait for all but the latest `pending` groups waits for the copy.
  bool isAwaited(const Copy &copy, uint32_t pending) const { return copy.group + pending < open; }
  /// Drops what such a wait has waited for.
  void forget(uint32_t pending) {
    std::erase_if(copies, [&](const auto &copy) { return isAwaited(*copy, pending); });
  }
};

/// Takes the copy one stage further; from a worker's own stack or a fiber.
void advance(Cluster &cluster, Copy &copy);

} // namespace hadal::emulated

#endif // HADAL_RUNTIME_EMULATED_COPY_H
