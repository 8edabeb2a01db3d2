//===- Flops.h - the work of an op ------------------------------*- C++ -*-===//
#ifndef HADAL_PASSES_ANALYSIS_FLOPS_H
#define HADAL_PASSES_ANALYSIS_FLOPS_H

#include "passes/analysis/Sizes.h"

namespace hadal {

/// Multiplications and additions of `op` over the registers of its function: of products and weight
/// gradients, and of what an op says itself (GraphOpInterface); 0 for all else. `attended` is the
/// register of pairs of queries and keys, or null: then an attention is over one sequence.
mlir::AffineExpr flopsOf(mlir::Operation *op, Sizes &sizes, mlir::AffineExpr attended);

} // namespace hadal

#endif // HADAL_PASSES_ANALYSIS_FLOPS_H
