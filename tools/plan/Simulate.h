//===- Simulate.h - a step, chunk by chunk --------------------------------===//
//
// Runs the orders that ranks run (runtime/schedule) against the work of their chunks on a cluster:
// a rank starts its next item when it is free and what the item needs has arrived.
//
//===--------------------------------------------------------------------===//

#ifndef HADAL_TOOLS_PLAN_SIMULATE_H
#define HADAL_TOOLS_PLAN_SIMULATE_H

#include "runtime/schedule/Schedule.h"
#include "tools/plan/Layout.h"
#include "tools/plan/Timing.h"

#include <map>
#include <tuple>

namespace hadal::plan {

/// The rows of ISCA Table 4, in seconds: chunks that run alone, by kind (a whole backward chunk
/// counts as 1B); pairs; waiting; the optimizer.
struct Rows {
  double forward = 0, bubble = 0, backward = 0, weight = 0, pairs = 0, optimizer = 0;
  double sum() const { return forward + bubble + backward + weight + pairs + optimizer; }
};

/// An item of a rank's order as it ran.
struct ItemSpan {
  double begin, end;
  const ChunkTiming *timing;
  bool paired;
};

struct Memory {
  double weights = 0, gradients = 0, optimizer = 0, activations = 0;
  double sum() const { return weights + gradients + optimizer + activations; }
};

struct RankResult {
  Rows rows;
  Memory memory;
  uint32_t pairs = 0;
  double exposed = 0;          ///< of exchanges inside chunks and pairs
  std::vector<ItemSpan> spans; ///< by place in the order; both chunks of a pair have the same
};

struct StepResult {
  std::vector<RankResult> ranks; ///< by pipeline coordinate
  double pipelineSeconds = 0, optimizerSeconds = 0;
  Rows mean; ///< over ranks
  /// What `spans` point into, by kind (4: a pair) and stages.
  std::map<std::tuple<int, uint32_t, uint32_t>, ChunkTiming> timings;
  double seconds() const { return pipelineSeconds + optimizerSeconds; }
};

/// Whether chunks are issued together, which keeps SMs free for exchanges all the time.
bool hasPairs(const schedule::Schedule &schedule);

/// `schedule` is one that verify() found right, with as many stages as `work` has.
StepResult simulate(const schedule::Schedule &schedule, const StepWork &work, const Layout &layout,
                    const Cluster &cluster);

} // namespace hadal::plan

#endif // HADAL_TOOLS_PLAN_SIMULATE_H
