//===- RowMoves.h - rows that go elsewhere --------------------------------===//
//
// moe.dispatch and moe.exchange move rows of any element type: codes and scales go where the
// numbers would have gone that they encode.
//
//===----------------------------------------------------------------------===//

#ifndef HADAL_PASSES_QUANTIZE_ROWMOVES_H
#define HADAL_PASSES_QUANTIZE_ROWMOVES_H

#include "mlir/IR/Builders.h"

namespace hadal {

/// `move`, a moe.dispatch or moe.exchange, of `rows` [C, W] instead of its own, in the same part of
/// the model. They are not rounded on the way.
mlir::Value moveInstead(mlir::OpBuilder &b, mlir::Operation *move, mlir::Value rows);

/// The rows [R, W] of `rows` [T, W] that `source` [R] names.
mlir::Value gatherRows(mlir::OpBuilder &b, mlir::Location loc, mlir::Value rows,
                       mlir::Value source);

} // namespace hadal

#endif // HADAL_PASSES_QUANTIZE_ROWMOVES_H
