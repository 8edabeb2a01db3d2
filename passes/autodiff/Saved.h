//===- Saved.h - what the backward half keeps -------------------*- C++ -*-===//

#ifndef HADAL_PASSES_AUTODIFF_SAVED_H
#define HADAL_PASSES_AUTODIFF_SAVED_H

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "passes/analysis/Sizes.h"
#include "llvm/ADT/SetVector.h"

namespace hadal {

/// The two halves of a function that computes losses and gradients in one block: forward is
/// whatever the losses, the loads and the returned values are made of, and the codes that are kept
/// of forward values instead of these; all else is backward.
struct Halves {
  explicit Halves(mlir::func::FuncOp f);
  llvm::DenseSet<mlir::Operation *> forward;
  /// What makes the codes that only the backward half reads: fp8.quantize in tiles of one row.
  /// Tiles along rows are operands of weight gradients, which are made where they are read.
  llvm::DenseSet<mlir::Operation *> kept;
  bool isBackward(mlir::Operation *op) const { return !forward.contains(op); }
};

/// The forward values (through views) that backward ops read, in order of the forward half.
llvm::SetVector<mlir::Value> savedValues(mlir::func::FuncOp f, const Halves &halves);

/// Bytes of a function's values in one micro-batch. `registers` are its sizes, in the order of the
/// function's exec.registers. One thread at a time.
class MicroBatchSizes {
public:
  MicroBatchSizes(mlir::func::FuncOp f, llvm::ArrayRef<int64_t> registers);
  /// 0 where they are no function of the registers.
  int64_t bytesOf(mlir::Value v);

private:
  Sizes sizes;
  llvm::SmallVector<mlir::AffineExpr> values; ///< of the registers
};

/// One line per part of the model: bytes saved for the backward half and bytes of one micro-batch
/// that are computed again.
std::string memoryTable(mlir::func::FuncOp f, llvm::ArrayRef<int64_t> registers);

} // namespace hadal

#endif // HADAL_PASSES_AUTODIFF_SAVED_H
