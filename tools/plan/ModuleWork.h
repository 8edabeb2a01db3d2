//===- ModuleWork.h - the work of a compiled module with ranks ------------===//
//
// Everything is read from the module's tables: chunk programs with their launches (flops, buffers),
// sends and exchanges; the orders of the ranks; what accumulates. For a CPU module the cluster's
// GPUs are asked what they would make of the same programs.
//
//===--------------------------------------------------------------------===//

#ifndef HADAL_TOOLS_PLAN_MODULEWORK_H
#define HADAL_TOOLS_PLAN_MODULEWORK_H

#include "runtime/module/Module.h"
#include "tools/plan/Layout.h"

namespace hadal::plan {

/// InvalidArgument for a module without table Ranks.
Result<Layout> layoutOf(const Module &module);

/// The work of its stages for full micro-batches, each row one sequence, experts chosen evenly.
Result<StepWork> workOf(const Module &module);

} // namespace hadal::plan

#endif // HADAL_TOOLS_PLAN_MODULEWORK_H
