//===- Walk.h - orders, run side by side ------------------------*- C++ -*-===//
//
// Runs orders side by side as far as they go.
//
//===----------------------------------------------------------------------===//

#ifndef HADAL_RUNTIME_SCHEDULE_WALK_H
#define HADAL_RUNTIME_SCHEDULE_WALK_H

#include "runtime/schedule/Schedule.h"

#include <algorithm>
#include <functional>
#include <optional>

namespace hadal::schedule {

/// What a chunk leaves behind for others: the forward of a stage, its input gradient, its weight
/// gradient.
struct Event {
  enum What : uint32_t { Output, InputGradient, WeightGradient } what;
  uint32_t direction, stage, microBatch; ///< direction 0 for dualpipev, whose two legs are one way
};

/// The number of an event, below eventCount().
size_t numberOf(const Schedule &schedule, const Event &event);
size_t eventCount(const Schedule &schedule);

/// What `chunk` on `rank` waits for, and what it makes.
std::vector<Event> needs(const Schedule &schedule, uint32_t rank, const Chunk &chunk);
std::vector<Event> makes(const Schedule &schedule, uint32_t rank, const Chunk &chunk);

/// Where a rank stands that cannot go on.
struct Stuck {
  uint32_t rank;
  size_t item;
  Event missing;
};

/// Visits all chunks in an order that respects needs(): each rank goes on until something is
/// missing, pairs wait for what both chunks need. `visit` gets rank, item, and 1 or 2 chunks.
/// Chunks must be in range.
std::optional<Stuck> walk(const Schedule &schedule,
                          const std::function<void(uint32_t, size_t, size_t)> &visit);

} // namespace hadal::schedule

#endif // HADAL_RUNTIME_SCHEDULE_WALK_H
