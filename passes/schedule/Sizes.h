// What the makers of schedules begin with.
#ifndef HADAL_PASSES_SCHEDULE_SIZES_H
#define HADAL_PASSES_SCHEDULE_SIZES_H

#include "passes/schedule/Schedule.h"

namespace hadal::schedule {

/// A schedule of empty orders, or why no schedule has this size.
Result<Schedule> empty(const char *name, uint32_t ranks, uint32_t microBatches);

} // namespace hadal::schedule

#endif // HADAL_PASSES_SCHEDULE_SIZES_H
