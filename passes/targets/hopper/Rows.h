//===- Rows.h - kernels with one block per row ----------------------------===//
//
// Norms, element-wise ops, quantizers, positions, choices: whatever goes over rows without tensor
// cores. The threads of a block share a row; sums inside it are those of passes/targets/cpu/
// RowSum.h, a warp's lanes being the partial sums, so that bits are the CPU's.
//
//===----------------------------------------------------------------------===//
#ifndef HADAL_PASSES_TARGETS_HOPPER_ROWS_H
#define HADAL_PASSES_TARGETS_HOPPER_ROWS_H

#include "mlir/Dialect/Func/IR/FuncOps.h"

namespace hadal {

/// Whether `lowerRows` takes this kernel on tensors.
bool canLowerRows(mlir::func::FuncOp kernelOnTensors);

/// Replaces it by one of the same name on memory, launched as a grid of blocks of tier "rows".
mlir::LogicalResult lowerRows(mlir::func::FuncOp kernelOnTensors);

} // namespace hadal

#endif // HADAL_PASSES_TARGETS_HOPPER_ROWS_H
