//===- Timeline.h - how long a schedule takes -----------------------------===//

#ifndef HADAL_RUNTIME_SCHEDULE_TIMELINE_H
#define HADAL_RUNTIME_SCHEDULE_TIMELINE_H

#include "runtime/schedule/Schedule.h"

#include <string>
#include <utility>
#include <vector>

namespace hadal::schedule {

/// What a chunk takes, in any unit: forward, input gradient, weight gradient (a whole backward is
/// both), an overlapped pair.
struct Costs {
  double forward = 1, inputGrad = 1, weightGrad = 1, pair = 3;
};

/// What chunks take on each stage.
struct StageCosts {
  /// The same on all, in a unit that says nothing of time.
  explicit StageCosts(const Costs &costs) : stages{costs} {}
  /// In seconds, one for each stage; `source` says in words where they come from.
  StageCosts(std::vector<Costs> stages, std::string source)
      : stages(std::move(stages)), source(std::move(source)) {}

  std::vector<Costs> stages; ///< one for each, or one for all
  std::string source;        ///< empty: not seconds

  bool inSeconds() const { return !source.empty(); }
  const Costs &of(uint32_t stage) const { return stages[stages.size() == 1 ? 0 : stage]; }
  /// A forward chunk of one stage and a whole backward chunk of another; where costs differ from
  /// stage to stage, their sum.
  double pair(uint32_t forward, uint32_t backward) const;
  Costs mean() const;
  /// The shortest chunk.
  double least() const;
  /// A time in words: "24", "1.25 ms".
  std::string text(double time) const;
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
Result<Timeline> timeline(const Schedule &schedule, const StageCosts &costs);
inline Result<Timeline> timeline(const Schedule &schedule, const Costs &costs = {}) {
  return timeline(schedule, StageCosts(costs));
}

/// The published bubble of the schedule (deepseek-ai/DualPipe, README; for zb1p also where
/// micro-batches are fewer than ranks).
double bubbleFormula(const Schedule &schedule, const Costs &costs);

} // namespace hadal::schedule

#endif // HADAL_RUNTIME_SCHEDULE_TIMELINE_H
