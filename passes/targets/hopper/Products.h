//===- Products.h - matrix products on tensor cores -----------------------===//
//
// Which products have a tensor kernel, and that kernel. Weights lie as stored, each in memory of
// its own.
//
//===----------------------------------------------------------------------===//
#ifndef HADAL_PASSES_TARGETS_HOPPER_PRODUCTS_H
#define HADAL_PASSES_TARGETS_HOPPER_PRODUCTS_H

#include "mlir/Dialect/Func/IR/FuncOps.h"

namespace hadal {

/// Whether tensor cores do the product that `op` is, in a graph or in a kernel: operands that bf16
/// holds; E4M3 codes of rows (1 x 128) and weights (128 x 128); where nothing is trained f32, f16
/// and E4M3 weights, too, in parts of bf16. Any sizes.
bool canLowerProduct(mlir::Operation *op);

/// Whether `lowerProduct` takes this kernel on tensors: such a product, or two of one left operand,
/// and the element-wise op after them.
bool isProductKernel(mlir::func::FuncOp kernelOnTensors);

/// Replaces it by one of the same name on memory, launched as a grid of blocks of tier "tensor".
mlir::LogicalResult lowerProduct(mlir::func::FuncOp kernelOnTensors);

} // namespace hadal

#endif // HADAL_PASSES_TARGETS_HOPPER_PRODUCTS_H
