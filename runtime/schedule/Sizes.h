//===- Sizes.h - what makers of schedules begin with ------------*- C++ -*-===//
//
// What the makers of schedules begin with.
//
//===----------------------------------------------------------------------===//

#ifndef HADAL_RUNTIME_SCHEDULE_SIZES_H
#define HADAL_RUNTIME_SCHEDULE_SIZES_H

#include "runtime/schedule/Schedule.h"

namespace hadal::schedule {

/// A schedule of empty orders, or why no schedule has this size.
Result<Schedule> empty(const char *name, uint32_t ranks, uint32_t microBatches);

} // namespace hadal::schedule

#endif // HADAL_RUNTIME_SCHEDULE_SIZES_H
