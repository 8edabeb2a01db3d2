//===- Affinities.h - what a router makes of its logits ---------*- C++ -*-===//
//
// What a router makes of its logits: each row's sigmoid or softmax. For the kernels of moe.route,
// moe.balance_loss and their adjoints.
//
//===----------------------------------------------------------------------===//

#ifndef HADAL_PASSES_TARGETS_CPU_AFFINITIES_H
#define HADAL_PASSES_TARGETS_CPU_AFFINITIES_H

#include "passes/targets/cpu/KernelBuilder.h"

namespace hadal {

/// 1 / (1 + exp(-x)), of a scalar or a vector.
mlir::Value sigmoid(KernelBuilder &b, mlir::Value x);

/// Writes the affinities of row `row` of `logits` [T, count] to `into` [count], f32: sigmoids, or
/// the row's softmax, whose sum is in f64 and ascending, so that it has one order on every target.
void emitAffinities(KernelBuilder &b, mlir::Value logits, mlir::Value row, int64_t count,
                    bool softmax, mlir::Value into);

/// What the gradient with respect to an affinity `s` becomes on its way to the logit: s (1 - s) for
/// a sigmoid. A softmax couples the row: there it is s, after the row's weighted mean has been
/// taken off.
mlir::Value affinitySlope(KernelBuilder &b, bool softmax, mlir::Value s);

/// The f64 sum of the f32 `term` over 0 .. count-1, ascending.
mlir::Value sumInF64(KernelBuilder &b, int64_t count,
                     llvm::function_ref<mlir::Value(mlir::Value)> term);

inline mlir::Value toF64(KernelBuilder &b, mlir::Value v) {
  return mlir::arith::ExtFOp::create(b, b.getF64Type(), v);
}
inline mlir::Value toF32(KernelBuilder &b, mlir::Value v) {
  return mlir::arith::TruncFOp::create(b, b.getF32Type(), v);
}

} // namespace hadal

#endif // HADAL_PASSES_TARGETS_CPU_AFFINITIES_H
