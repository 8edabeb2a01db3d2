//===- GraphOp.h - what passes ask of an op of the model --------*- C++ -*-===//

#ifndef HADAL_DIALECTS_GRAPHOP_H
#define HADAL_DIALECTS_GRAPHOP_H

#include "mlir/IR/AffineExpr.h"
#include "mlir/IR/OpDefinition.h"
#include "llvm/ADT/STLFunctionalExtras.h"

namespace hadal {

/// Sizes that an op's work is counted over, as functions of a program's registers.
struct WorkSizes {
  /// Size `dim` of a tensor; 0 where it is not known.
  llvm::function_ref<mlir::AffineExpr(mlir::Value tensor, unsigned dim)> size;
  /// Pairs of a query of `queries` and a key that it attends to.
  llvm::function_ref<mlir::AffineExpr(mlir::Value queries)> attended;
};

} // namespace hadal

#include "dialects/GraphOp.h.inc"

#endif // HADAL_DIALECTS_GRAPHOP_H
