//===- Scalars.h - what losses are made of ----------------------*- C++ -*-===//
//
// Tensors of rank 0, which losses are made of. Each function appends ops at the builder's insertion
// point.
//
//===----------------------------------------------------------------------===//

#ifndef HADAL_FRONTEND_LOSSES_SCALARS_H
#define HADAL_FRONTEND_LOSSES_SCALARS_H

#include "frontend/Blocks.h"

namespace hadal::frontend {

/// The f32 constant nearest to `v`, inside a body.
mlir::Value constantF32(mlir::OpBuilder &b, mlir::Location loc, double v);

/// What `body` makes of f32 (or integer) scalars, an f32 scalar. All are tensors of rank 0.
using ScalarBody =
    llvm::function_ref<mlir::Value(mlir::OpBuilder &, mlir::Location, mlir::ValueRange)>;
mlir::Value scalarOf(GraphBuilder &b, llvm::ArrayRef<mlir::Value> inputs, ScalarBody body);

/// The sum of `vector` [N] f32, in ascending order.
mlir::Value sumOf(GraphBuilder &b, mlir::Value vector);

/// weight * sum(vector) / counts[index], where `counts` is i32. A count of 0 is taken as 1: nothing
/// to predict gives 0.
mlir::Value meanOf(GraphBuilder &b, mlir::Value vector, mlir::Value counts, int64_t index,
                   double weight);

} // namespace hadal::frontend

#endif // HADAL_FRONTEND_LOSSES_SCALARS_H
