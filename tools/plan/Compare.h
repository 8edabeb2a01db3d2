//===- Compare.h - the same step under other schedules or layouts ---------===//

#ifndef HADAL_TOOLS_PLAN_COMPARE_H
#define HADAL_TOOLS_PLAN_COMPARE_H

#include "tools/plan/Plan.h"

namespace hadal::plan {

/// A plan, or why there is none.
struct Candidate {
  Layout layout;
  Result<std::unique_ptr<Plan>> plan;
};

/// The four schedules on the layout's ranks, DualPipeV also on half of them, which then hold as
/// many stages.
std::vector<Candidate> compareSchedules(const WorkSource &source, const Layout &layout,
                                        const Cluster &cluster);

/// Powers of two for pp and ep that use as many GPUs as `layout` does, those that have plans: the
/// fastest that fit in memory first.
std::vector<Candidate> compareLayouts(const WorkSource &source, const Layout &layout,
                                      const Cluster &cluster);

/// A table, and after it a line for each that has no plan.
std::string toText(const std::vector<Candidate> &candidates);

} // namespace hadal::plan

#endif // HADAL_TOOLS_PLAN_COMPARE_H
