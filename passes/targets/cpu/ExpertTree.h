//===- ExpertTree.h - the order in which experts' outputs add up ----------===//
#ifndef HADAL_PASSES_TARGETS_CPU_EXPERTTREE_H
#define HADAL_PASSES_TARGETS_CPU_EXPERTTREE_H

#include "passes/targets/cpu/KernelBuilder.h"

namespace hadal {

/// Turns from the root of the halving tree over `experts` ids to a leaf.
int64_t treeLevels(int64_t experts);
/// The turns to the leaf of `id`, an i32, the first one in the highest bit: neighbours among the
/// ids of a token join where their codes first differ, deeper turns first.
mlir::Value treeCode(KernelBuilder &b, mlir::Value id, int64_t experts);

} // namespace hadal

#endif // HADAL_PASSES_TARGETS_CPU_EXPERTTREE_H
