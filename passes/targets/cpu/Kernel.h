// A kernel between its two forms: a function on tensors (what it computes) and a function on
// memrefs (how).
#pragma once
#include "dialects/exec/KernelAttributes.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/IRMapping.h"
#include "passes/targets/cpu/KernelBuilder.h"

namespace hadal {

/// What memory holds elements of this type as: f8 codes are bytes.
mlir::Type storageType(mlir::Type element);

/// Rewrites one kernel from tensors to memrefs. The new function takes a memref for each argument
/// (a pair of packed weights once), one for each result that is not in place, then `begin`, `end`
/// and `scratch`. The kernel's scalars are the dynamic sizes of those memrefs in order.
class Kernel {
public:
  Kernel(mlir::func::FuncOp tensors, VectorShape shape);

  mlir::func::FuncOp tensors; ///< what it computes
  mlir::func::FuncOp lowered; ///< how, being written
  KernelBuilder b;            ///< at the end of `lowered`
  mlir::Value begin, end, scratch;

  /// The memref that holds `tensor`: an argument, a result's place, or a view of one. Null if it is
  /// none of these.
  mlir::Value memory(mlir::Value tensor);
  /// True if `tensor` is an argument or a result whose memory is panels (kPanelsLayout): its memref
  /// is flat.
  bool inPanels(mlir::Value tensor) const { return panelTensors.contains(tensor); }
  /// An index value of the tensor function, cloned.
  mlir::Value indexValue(mlir::Value v);
  /// The symbol of scalar `dim` of the memref argument that holds result `result`, or its constant.
  mlir::AffineExpr resultDim(unsigned result, unsigned dim);
  mlir::AffineExpr sizeOf(mlir::Value argumentMemory, unsigned dim);

  /// Declares the number of tasks and the scratch, and closes the function.
  void finish(llvm::ArrayRef<mlir::AffineExpr> tasks, int64_t scratchBytes);

private:
  mlir::IRMapping memories;
  llvm::DenseSet<mlir::Value> panelTensors;
  unsigned scalars = 0;
};

/// Replaces a kernel on tensors by one on memory; a failure has been reported.
mlir::LogicalResult lowerKernel(mlir::func::FuncOp kernel, const VectorShape &shape);

/// Each emitter takes the kernels it knows and returns success; failure with no diagnostic means
/// "not mine".
mlir::FailureOr<bool> emitMatmul(Kernel &kernel);
/// Products and weight gradients in AMX tiles: of weights in panels, where the processor has them.
mlir::FailureOr<bool> emitTileMatmul(Kernel &kernel);
mlir::FailureOr<bool> emitTileWeightGradient(Kernel &kernel);
mlir::FailureOr<bool> emitWeightGradient(Kernel &kernel);
mlir::FailureOr<bool> emitColumnSum(Kernel &kernel);
mlir::FailureOr<bool> emitPanelCopy(Kernel &kernel);
mlir::FailureOr<bool> emitAttention(Kernel &kernel);
mlir::FailureOr<bool> emitAttentionGradient(Kernel &kernel);
mlir::FailureOr<bool> emitLatentAttention(Kernel &kernel);
mlir::FailureOr<bool> emitPosition(Kernel &kernel);
mlir::FailureOr<bool> emitRouting(Kernel &kernel);
mlir::FailureOr<bool> emitRoutingGradient(Kernel &kernel);
mlir::FailureOr<bool> emitQuantize(Kernel &kernel);
mlir::FailureOr<bool> emitSampling(Kernel &kernel);
/// tensor.insert_slice.
mlir::FailureOr<bool> emitInsertSlice(Kernel &kernel);
/// Any group of linalg ops: tiled over rows, producers fused into the row, bufferized, lowered to
/// loops.
mlir::FailureOr<bool> emitLinalg(Kernel &kernel);

} // namespace hadal
