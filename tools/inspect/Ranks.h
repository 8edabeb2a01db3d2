//===- Ranks.h - what a job of many ranks says of each --------------------===//

#ifndef HADAL_TOOLS_INSPECT_RANKS_H
#define HADAL_TOOLS_INSPECT_RANKS_H

#include "tools/inspect/Describe.h"

namespace hadal::inspect {

/// A list of `rank`, its coordinates `pp`, `ep`, `dp`, `experts_per_layer`, `parameter_bytes` that
/// its stages hold, and `sent_bytes_per_step`: what chunks send (rows between expert-parallel ranks
/// as an even choice of experts has them), gradients to the ranks that update them and weights
/// back; `memory_bytes` at the peak as runtime/training/ranks/PredictMemory.h has it, with the same
/// rows, `memory` its parts, and `worst_memory_bytes` with as many rows as can come to the rank.
/// Null for a module of one rank.
Result<Json> describeRanks(const Module &module);

} // namespace hadal::inspect

#endif // HADAL_TOOLS_INSPECT_RANKS_H
