//===- ChunkCosts.h - what the chunks of a module take --------------------===//

#ifndef HADAL_TOOLS_INSPECT_CHUNKCOSTS_H
#define HADAL_TOOLS_INSPECT_CHUNKCOSTS_H

#include "runtime/module/Module.h"
#include "runtime/schedule/Timeline.h"

#include <string>

namespace hadal::inspect {

/// Seconds of each stage's chunks from the FLOPs of their launches at `gflops` GFLOP/s; what has no
/// FLOPs takes no time. InvalidArgument for a module that is not for training on many ranks, or
/// has chunks without FLOPs.
Result<schedule::StageCosts> costsByRate(const Module &module, double gflops);

/// Seconds of each stage's chunks as measured: medians of what their programs took in a trace that
/// `hadal-run train --trace` wrote with this module; exchanges and waits are not in them.
/// InvalidFile for what is no trace, or does not have all programs of its stages.
Result<schedule::StageCosts> costsByTrace(const Module &module, const std::string &path);

} // namespace hadal::inspect

#endif // HADAL_TOOLS_INSPECT_CHUNKCOSTS_H
