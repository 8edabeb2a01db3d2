// A matrix product as the kernels see it, whatever op it was: which dimensions of its operands are batch, row, output, K.
#pragma once
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include <optional>

namespace hadal {

struct Product {
  mlir::Operation *op = nullptr;
  mlir::Value left;                 ///< activations, f32 (or bf16, f16)
  mlir::Value right;                ///< weights, f32, bf16, f16 or f8E4M3FN
  mlir::Value scale;                ///< f32 scales of f8 blocks, or null
  mlir::Value offsets, active, source; ///< of a grouped product, or null
  int64_t blockN = 0, blockK = 0;   ///< of the scales
  /// Roles of the operands' dimensions, as positions; -1 where there is no batch (expert) dimension.
  int leftBatch = -1, leftRow = 0, leftK = 1;
  int rightBatch = -1, rightN = 0, rightK = 1;
  int outBatch = -1, outRow = 0, outN = 1;
  int64_t batch = 1, n = 0, k = 0;

  bool grouped() const { return bool(offsets); }
  mlir::Value result() const { return op->getResult(0); }
};

/// The product that `op` is, if the tiled kernels know it: linalg contractions with one row, one output and one reduction
/// dimension and at most one batch, into zero; fp8.matmul; moe.grouped_matmul; fp8.grouped_matmul.
std::optional<Product> matchProduct(mlir::Operation *op);

/// True if `op` is a linalg.generic that works on [rows, outputs] element by element, as a product's epilogue can.
bool isEpilogue(mlir::Operation *op);

} // namespace hadal
