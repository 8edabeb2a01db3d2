//===- Timeline.h - how long a schedule takes -----------------------------===//

#ifndef HADAL_RUNTIME_SCHEDULE_TIMELINE_H
#define HADAL_RUNTIME_SCHEDULE_TIMELINE_H

#include "runtime/schedule/Schedule.h"

namespace hadal::schedule {

/// What a chunk takes, in any unit: forward, input gradient, weight gradient (a whole backward is
/// both), an overlapped pair.
struct Costs {
  double forward = 1, inputGrad = 1, weightGrad = 1, pair = 3;
};

struct Span {
  double begin = 0, end = 0;
};

struct Timeline {
  std::vector<std::vector<Span>>
      spans;                ///< by rank and item; the two chunks of a pair have the same
  std::vector<double> busy; ///< by rank
  double end = 0;

  /// The idle time of the rank that idles most, which is what published formulas give.
  double bubble() const;
};

/// A chunk begins when its rank is free and what it needs has been done; messages take no time.
/// InvalidFile where verify() finds one.
Result<Timeline> timeline(const Schedule &schedule, const Costs &costs = {});

/// The published bubble of the schedule (deepseek-ai/DualPipe, README; for zb1p also where
/// micro-batches are fewer than ranks).
double bubbleFormula(const Schedule &schedule, const Costs &costs);

} // namespace hadal::schedule

#endif // HADAL_RUNTIME_SCHEDULE_TIMELINE_H
