//===- Sizes.h - dynamic sizes over a function's registers ------*- C++ -*-===//
#ifndef HADAL_PASSES_ANALYSIS_SIZES_H
#define HADAL_PASSES_ANALYSIS_SIZES_H

#include "mlir/IR/AffineExpr.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/Value.h"
#include "llvm/ADT/DenseMap.h"

namespace hadal {

/// Size `d` of a result, one step back: a constant, or an index value of what its op reads, in ops
/// that `b` writes. A result has the size of its destination or of what it views; else the op
/// answers (ReifyRankedShapedTypeOpInterface). Fails where no operand tells it.
mlir::FailureOr<mlir::OpFoldResult> reifySize(mlir::OpBuilder &b, mlir::OpResult tensor,
                                              unsigned d);

/// Dynamic sizes of a function's values as affine expressions over its registers (symbols): what
/// reifySize says, down to arguments and to counts that the program holds in a register
/// (GraphOpInterface). What has been found is kept: a value must not change its type while it
/// lives. Not for threads.
class Sizes {
public:
  /// Says the size of an argument, which no op tells.
  void set(mlir::Value tensor, unsigned dim, mlir::AffineExpr size) { dims[{tensor, dim}] = size; }
  /// Size `d` of a ranked tensor; fails where it is no function of the registers.
  mlir::FailureOr<mlir::AffineExpr> dim(mlir::Value tensor, unsigned d);
  /// An index value that is made of sizes and constants.
  mlir::FailureOr<mlir::AffineExpr> index(mlir::Value v);

private:
  mlir::FailureOr<mlir::AffineExpr> compute(mlir::Value tensor, unsigned d);
  mlir::FailureOr<mlir::AffineExpr> ofReshape(mlir::Operation *op, unsigned d);
  llvm::DenseMap<std::pair<mlir::Value, unsigned>, mlir::AffineExpr> dims;
};

} // namespace hadal

#endif // HADAL_PASSES_ANALYSIS_SIZES_H
