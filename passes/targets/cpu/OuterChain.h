//===- OuterChain.h - sums of outer products in registers -------*- C++ -*-===//

#ifndef HADAL_PASSES_TARGETS_CPU_OUTERCHAIN_H
#define HADAL_PASSES_TARGETS_CPU_OUTERCHAIN_H

#include "passes/targets/cpu/KernelBuilder.h"

namespace hadal {

/// Sums of `rows` numbers on the left by `vectors` vectors on the right:
///
///   acc[i * vectors + v] += left(i, k) * right(k, v)     for k = 0 .. count-1, ascending
///
/// Each lane is one chain of fused multiply-adds that starts from `acc`. Returns the sums.
KernelBuilder::Values outerChain(KernelBuilder &b, mlir::Value count, int64_t rows, int64_t vectors,
                                 KernelBuilder::Values acc,
                                 llvm::function_ref<mlir::Value(int64_t i, mlir::Value k)> left,
                                 llvm::function_ref<mlir::Value(mlir::Value k, int64_t v)> right);

} // namespace hadal

#endif // HADAL_PASSES_TARGETS_CPU_OUTERCHAIN_H
