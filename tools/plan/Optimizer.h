//===- Optimizer.h - the optimizer's part of a step -----------------------===//

#ifndef HADAL_TOOLS_PLAN_OPTIMIZER_H
#define HADAL_TOOLS_PLAN_OPTIMIZER_H

#include "runtime/schedule/Schedule.h"
#include "tools/plan/Cluster.h"
#include "tools/plan/Layout.h"

namespace hadal::plan {

/// Gradients to the ranks that update (ZeRO-1), AdamW on a rank's share, new weights back: seconds
/// by pipeline coordinate.
std::vector<double> optimizerSeconds(const schedule::Schedule &schedule, const StepWork &work,
                                     const Layout &layout, const Cluster &cluster);

} // namespace hadal::plan

#endif // HADAL_TOOLS_PLAN_OPTIMIZER_H
