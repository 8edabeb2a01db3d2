//===- Kernel.h - a kernel between its two forms ----------------*- C++ -*-===//
//
// A kernel between its two forms: a function on tensors (what it computes) and a function on
// memrefs (how).
//
//===----------------------------------------------------------------------===//

#ifndef HADAL_PASSES_TARGETS_CPU_KERNEL_H
#define HADAL_PASSES_TARGETS_CPU_KERNEL_H

#include "dialects/exec/KernelAttributes.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/IRMapping.h"
#include "passes/analysis/Products.h"
#include "passes/targets/cpu/KernelBuilder.h"

namespace hadal {

/// What memory holds elements of this type as: f8 codes are bytes.
mlir::Type storageType(mlir::Type element);

/// The constant, an arith.constant, that fills all of `tensor`, which then needs no memory; else
/// null.
mlir::Value filledWith(mlir::Value tensor);

/// Rewrites one kernel from tensors to memrefs. The new function takes a memref for each argument
/// (a pair of packed weights once), one for each result that is not in place, then `begin`, `end`
/// and `scratch`. The kernel's scalars are the dynamic sizes of those memrefs in order.
/// One thread at a time.
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
  /// Gives a value that the kernel makes for itself a place.
  void setMemory(mlir::Value tensor, mlir::Value place) { memories.map(tensor, place); }
  /// True if `tensor` is an argument or a result whose memory is panels (kPanelsLayout): its memref
  /// is flat.
  bool inPanels(mlir::Value tensor) const { return panelTensors.contains(tensor); }
  /// Reports those of `values` that have no memref; `op` reads them.
  mlir::LogicalResult wantMemory(mlir::Operation *op, mlir::ValueRange values);
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
  llvm::SmallVector<int64_t> access; ///< to each buffer
  unsigned scalars = 0;
};

/// Replaces a kernel on tensors by one on memory; a failure has been reported.
mlir::LogicalResult lowerKernel(mlir::func::FuncOp kernel, const VectorShape &shape);

/// Writes the kernel of `op`, one of the ops of `kernel.tensors`; a failure has been reported.
/// LowerKernel.cpp says which emitter is for which op.
using Emitter = mlir::LogicalResult (*)(Kernel &kernel, mlir::Operation *op);

mlir::LogicalResult emitAttention(Kernel &kernel, mlir::Operation *op);
mlir::LogicalResult emitAttentionGradient(Kernel &kernel, mlir::Operation *op);
mlir::LogicalResult emitLatentAttention(Kernel &kernel, mlir::Operation *op);
mlir::LogicalResult emitPosition(Kernel &kernel, mlir::Operation *op);
mlir::LogicalResult emitRouting(Kernel &kernel, mlir::Operation *op);
mlir::LogicalResult emitRoutingGradient(Kernel &kernel, mlir::Operation *op);
mlir::LogicalResult emitQuantize(Kernel &kernel, mlir::Operation *op);
mlir::LogicalResult emitSampling(Kernel &kernel, mlir::Operation *op);
mlir::LogicalResult emitNorms(Kernel &kernel, mlir::Operation *op);
/// A sum over rows (isColumnSum).
mlir::LogicalResult emitColumnSum(Kernel &kernel, mlir::Operation *op);
/// A linalg.copy from panels or into them.
mlir::LogicalResult emitPanelCopy(Kernel &kernel, mlir::Operation *op);
/// A linalg.fill in place.
mlir::LogicalResult emitFill(Kernel &kernel, mlir::Operation *op);
/// Small tensors made element by element (tensor.from_elements), from elements of the arguments.
mlir::LogicalResult emitScalars(Kernel &kernel, mlir::Operation *op);
/// tensor.insert_slice.
mlir::LogicalResult emitInsertSlice(Kernel &kernel, mlir::Operation *op);
/// Any group of linalg ops: tiled over rows, producers fused into the row, bufferized, lowered to
/// loops. Quantizers of the result whose tiles are of one row take each row as it is made.
mlir::LogicalResult emitLinalg(Kernel &kernel, mlir::Operation *op);

/// One product or a pair, and the element-wise op after it, if any.
mlir::LogicalResult emitMatmul(Kernel &kernel, llvm::ArrayRef<Product> products,
                               mlir::linalg::GenericOp epilogue);
/// The same of codes on both sides, and of values that bf16 holds: of products that want it.
bool wantsStaging(Kernel &kernel, llvm::ArrayRef<Product> products);
mlir::LogicalResult emitStagedMatmul(Kernel &kernel, llvm::ArrayRef<Product> products,
                                     mlir::linalg::GenericOp epilogue);
mlir::LogicalResult emitWeightGradient(Kernel &kernel, const WeightGradient &gradient);
/// The same, of codes (fp8.weight_grad).
mlir::LogicalResult emitCodedWeightGradient(Kernel &kernel, const WeightGradient &gradient);
/// The same in AMX tiles: of weights in panels.
mlir::LogicalResult emitTileMatmul(Kernel &kernel, const Product &product,
                                   mlir::linalg::GenericOp epilogue);
mlir::LogicalResult emitTileWeightGradient(Kernel &kernel, const WeightGradient &gradient);

} // namespace hadal

#endif // HADAL_PASSES_TARGETS_CPU_KERNEL_H
