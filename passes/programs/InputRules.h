//===- InputRules.h - what a function's arguments must hold -----*- C++ -*-===//
//
// What a function's arguments must hold before its kernels may run. Kernels take places and sizes
// from index tensors without a check, so each index tensor that an op reads is followed back: to an
// argument, which gets a rule that the runtime checks (exec.require), or to an op
// whose results are in range by what it is. Anything else is refused.
//
//===----------------------------------------------------------------------===//

#ifndef HADAL_PASSES_PROGRAMS_INPUTRULES_H
#define HADAL_PASSES_PROGRAMS_INPUTRULES_H

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "passes/analysis/Sizes.h"

namespace hadal {

/// One thread at a time.
class InputRules {
public:
  /// As ContentRule in runtime/module/Module.fbs; expressions over the function's registers.
  struct Content {
    llvm::StringRef kind;
    mlir::BlockArgument argument;
    mlir::AffineExpr least, below;
    mlir::BlockArgument offsets;
  };
  struct Size {
    mlir::AffineExpr size, wanted;
    bool atLeast;
  };

  InputRules(mlir::func::FuncOp f, Sizes &sizes) : f(f), sizes(sizes), context(f.getContext()) {}

  /// Reads all ops of the function. Fails with a diagnostic where an index may be out of range
  /// whatever the arguments hold.
  mlir::LogicalResult derive();

  llvm::ArrayRef<Content> contents() const { return contentRules; }
  llvm::ArrayRef<Size> sizeRules() const { return sizeRulesFound; }

private:
  /// Values from `least` up to `below`; null where nothing bounds them.
  struct Range {
    mlir::AffineExpr least, below;
  };
  /// What the operand `name` of `op` has to be.
  struct Want {
    mlir::Operation *op;
    llvm::StringRef name, kind;
    Range range;
    mlir::Value offsets = {};
  };

  mlir::LogicalResult readOp(mlir::Operation *op);
  mlir::LogicalResult readMlaOp(mlir::Operation *op);
  mlir::LogicalResult readMoeOp(mlir::Operation *op);
  mlir::LogicalResult readFp8Op(mlir::Operation *op);
  mlir::LogicalResult readSampleOp(mlir::Operation *op);
  mlir::LogicalResult readTensorOp(mlir::Operation *op);
  mlir::LogicalResult readNamedSizes(mlir::Operation *op);
  mlir::LogicalResult readLinalgSizes(mlir::linalg::LinalgOp op);
  mlir::LogicalResult readSlice(mlir::Operation *op, mlir::Value whole,
                                llvm::ArrayRef<mlir::OpFoldResult> offsets,
                                llvm::ArrayRef<mlir::OpFoldResult> lengths,
                                llvm::ArrayRef<mlir::OpFoldResult> strides);
  mlir::LogicalResult readExtracts(mlir::linalg::LinalgOp op);

  /// Shorthands for what `op` wants of its operand `name`.
  mlir::LogicalResult values(mlir::Operation *op, llvm::StringRef name, mlir::Value v,
                             mlir::AffineExpr below, int64_t least = 0,
                             llvm::StringRef kind = "values");
  mlir::LogicalResult offsets(mlir::Operation *op, mlir::Value v, mlir::AffineExpr end);
  mlir::LogicalResult counts(mlir::Operation *op, mlir::Value v, mlir::AffineExpr all);
  template <typename Op> mlir::LogicalResult activeGroups(Op op);
  template <typename Op>
  mlir::LogicalResult rowTiles(Op op, mlir::AffineExpr rows, int64_t block, mlir::AffineExpr tiles);
  template <typename Op> mlir::LogicalResult grouped(Op op, mlir::AffineExpr all);
  template <typename Op> mlir::LogicalResult combination(Op op, llvm::StringRef kind);

  mlir::LogicalResult want(mlir::Value tensor, Want want);
  mlir::LogicalResult wantOfResult(mlir::OpResult result, Want want);
  mlir::LogicalResult wantOfLinalg(mlir::linalg::LinalgOp op, unsigned result, Want want);
  mlir::LogicalResult wantOfConstant(mlir::DenseIntElementsAttr values, Want want);
  mlir::LogicalResult wantScalar(mlir::Value scalar, mlir::linalg::LinalgOp op, Want want);
  /// Holds values that are known to lie in `known` to what is wanted.
  mlir::LogicalResult prove(Range known, Want want);
  mlir::LogicalResult refuse(Want want);

  Range rangeOf(mlir::Value tensor);
  Range rangeOfScalar(mlir::Value scalar, mlir::linalg::LinalgOp op);

  mlir::LogicalResult equal(mlir::Operation *op, mlir::AffineExpr a, mlir::AffineExpr b);
  mlir::LogicalResult atLeast(mlir::Operation *op, mlir::AffineExpr size, mlir::AffineExpr least);
  mlir::AffineExpr dim(mlir::Value tensor, unsigned d) {
    // A state has as many rows as its registers say, which are not the program's: there a dynamic
    // size is 0.
    auto size = sizes.dim(tensor, d);
    bool isOfState = succeeded(size) && *size == constant(0) &&
                     mlir::cast<mlir::RankedTensorType>(tensor.getType()).isDynamicDim(d);
    return failed(size) || isOfState ? mlir::AffineExpr() : *size;
  }
  mlir::AffineExpr extent(mlir::linalg::LinalgOp op, unsigned loop);
  mlir::AffineExpr constant(int64_t c) { return mlir::getAffineConstantExpr(c, context); }
  mlir::AffineExpr simple(mlir::AffineExpr e);
  static std::optional<int64_t> known(mlir::AffineExpr e); ///< of a constant
  /// True if `e` is never below 0 where symbols, which are sizes, are not.
  static bool isNonNegative(mlir::AffineExpr e);
  void add(Content rule);
  void add(Size rule);

  mlir::func::FuncOp f;
  Sizes &sizes;
  mlir::MLIRContext *context;
  llvm::SmallVector<Content> contentRules;
  llvm::SmallVector<Size> sizeRulesFound;
};

} // namespace hadal

#endif // HADAL_PASSES_PROGRAMS_INPUTRULES_H
