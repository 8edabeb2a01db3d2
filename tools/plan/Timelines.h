//===- Timelines.h - a simulated step as a trace and as a page ------------===//

#ifndef HADAL_TOOLS_PLAN_TIMELINES_H
#define HADAL_TOOLS_PLAN_TIMELINES_H

#include "tools/plan/Plan.h"

namespace hadal::plan {

/// As runtime/TraceEvents.h has it. A pipeline rank is a process; its forward and backward chunks,
/// computing parts and exchanges are threads. Chunks are named as in orders ("F0.3"), cat "chunk",
/// args {micro_batch, stage, layers}; both chunks of a pair are events. Parts, cat "part", name
/// their layers.
Status writeTrace(const Plan &plan, const std::string &path);

/// A page that needs nothing else: the step, a pair from within, and `report` as text.
std::string toPage(const Plan &plan, const std::string &report);

} // namespace hadal::plan

#endif // HADAL_TOOLS_PLAN_TIMELINES_H
