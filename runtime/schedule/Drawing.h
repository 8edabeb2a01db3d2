//===- Drawing.h - pictures of schedules ----------------------------------===//

#ifndef HADAL_RUNTIME_SCHEDULE_DRAWING_H
#define HADAL_RUNTIME_SCHEDULE_DRAWING_H

#include "runtime/schedule/Timeline.h"

namespace hadal::schedule {

/// A row a rank, a column a unit of time (the shortest of the costs; in seconds a tenth of the
/// longest item at least), a bar where a chunk begins:
///
///     rank 0 |F0 |F1 |F2 |f0 |i0 |w0 |F3+b1     |...
///
/// Letters as in toText, small in direction 1; dots where the rank waits. After it each rank's idle
/// share, below it the bubble and the formula's, and where seconds come from.
std::string drawText(const Schedule &schedule, const Timeline &line, const StageCosts &costs);
inline std::string drawText(const Schedule &schedule, const Timeline &line, const Costs &costs) {
  return drawText(schedule, line, StageCosts(costs));
}

} // namespace hadal::schedule

#endif // HADAL_RUNTIME_SCHEDULE_DRAWING_H
