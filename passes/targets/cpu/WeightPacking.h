// The right operands of products: where they come from and the kernels that pack them.
#pragma once
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "passes/analysis/Products.h"
#include "passes/targets/cpu/Packing.h"

namespace hadal {

/// A matrix (or a batch of them) inside a contiguous tensor: element (batch, n, k) stands at
/// offset + batch * batchStride + n * nStride + k * kStride of `base`.
struct MatrixView {
  mlir::Value base;  ///< ml_program.global_load_const, or any tensor value
  mlir::Value scale; ///< block scales of f8 weights that are widened while they are packed, or null
  int64_t blockN = 0, blockK = 0; ///< of `scale`, over the rows and columns of `base`
  int64_t columns = 0;            ///< of `base` as a matrix; for the scales
  int64_t offset = 0, batchStride = 0, nStride = 0, kStride = 0;
  bool stacked = false; ///< the batch is the leading dimension of `base`
};

/// The matrix that a product's right operand is, traced through slices and reshapes. Failure says
/// why.
mlir::FailureOr<MatrixView> traceRight(const Product &product);

/// One packing job: where it reads, the layout it fills, which half of the lanes.
struct PackJob {
  MatrixView view;
  PanelLayout layout;
  int64_t half = 0;
  int64_t batch = 1; ///< matrices packed by one launch, one after the other
  mlir::Type sourceElement;
  int64_t sourceElements = 0;
};

/// The kernel for a job, made on first use: tasks are panels; buffers are source, destination and,
/// with scales, scales.
mlir::func::FuncOp packKernel(mlir::ModuleOp module, const PackJob &job, VectorShape shape);

/// Copies `elements` elements; a task is a block of 65,536.
mlir::func::FuncOp copyKernel(mlir::ModuleOp module, mlir::Type element, int64_t elements,
                              VectorShape shape);

} // namespace hadal
