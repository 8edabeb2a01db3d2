//===- WeightPacking.h - kernels that lay tensors out -----------*- C++ -*-===//

#ifndef HADAL_PASSES_TARGETS_CPU_WEIGHTPACKING_H
#define HADAL_PASSES_TARGETS_CPU_WEIGHTPACKING_H

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "passes/targets/cpu/KernelBuilder.h"

namespace hadal {

/// Lowers the kernel of an exec.relayout: into packed weights, whose tasks are panels, or as
/// stored, a task for each 65,536 elements. Its buffers are source, destination and, where f8 is
/// widened, scales. False: the kernel is another.
mlir::FailureOr<bool> lowerRelayout(mlir::func::FuncOp kernel, VectorShape shape);

} // namespace hadal

#endif // HADAL_PASSES_TARGETS_CPU_WEIGHTPACKING_H
