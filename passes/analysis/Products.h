//===- Products.h - matrix products and sums, whatever op they are --------===//
//
// Which dimensions of an op's operands are batch, row, output, K. Passes and kernels ask here, so
// that all of them call the same ops products.
//
//===----------------------------------------------------------------------===//
#ifndef HADAL_PASSES_ANALYSIS_PRODUCTS_H
#define HADAL_PASSES_ANALYSIS_PRODUCTS_H

#include "dialects/job/Job.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include <optional>

namespace hadal {

/// Whether the f32 operands of a product or a weight gradient have values that bf16 holds exactly.
inline bool isHeldByBf16(mlir::Operation *op) { return op->hasAttr(job::kBf16ValuesAttr); }

/// How a product of codes adds up the k of one part: as f32 fused multiply-adds do, or as a Hopper
/// tensor core is reported to (fp8.matmul).
enum class Accumulate { F32, Hopper };

struct Product {
  mlir::Operation *op = nullptr;
  mlir::Value left;                    ///< activations, f32 (or bf16, f16); codes with `leftScale`
  mlir::Value right;                   ///< weights, f32, bf16, f16 or codes
  mlir::Value scale;                   ///< f32 scales of the blocks of `right`, or null
  mlir::Value leftScale;               ///< f32 scales [rows of left, tiles of K], or null
  mlir::Value offsets, active, source; ///< of a grouped product, or null
  /// Sizes of the blocks along N and K here, whatever dimensions of `right` those are; 0: all of
  /// it. `scale` has the dimensions of `right`, each divided by its block. Tiles of `left` are 1 x
  /// blockK.
  int64_t blockN = 0, blockK = 0;
  /// With `leftScale`: a part of the sum has so many k, and is promoted with its tile's scales;
  /// 0: all of K, and the sum is the part times the scales.
  int64_t interval = 0;
  Accumulate accumulate = Accumulate::F32;
  /// Roles of the operands' dimensions, as positions; -1 where there is no batch (expert)
  /// dimension.
  int leftBatch = -1, leftRow = 0, leftK = 1;
  int rightBatch = -1, rightN = 0, rightK = 1;
  int outBatch = -1, outRow = 0, outN = 1;
  int64_t batch = 1, n = 0, k = 0;

  bool grouped() const { return bool(offsets); }
  mlir::Value result() const { return op->getResult(0); }
};

/// The product that `op` is, if the tiled kernels know it: linalg contractions with one row, one
/// output and one reduction dimension and at most one batch, into zero; fp8.matmul;
/// moe.grouped_matmul; fp8.grouped_matmul.
std::optional<Product> matchProduct(mlir::Operation *op);

/// The gradient of a weight as the kernels see it: OUT[n, k] = init[n, k] + sum over rows t,
/// ascending, of gradient[t, n] * rows[t, k]; a grouped one sums the rows of each expert into that
/// expert's matrix.
struct WeightGradient {
  mlir::Operation *op = nullptr;
  mlir::Value rows;                    ///< f32 [T, K], or codes with `rowsScale`
  mlir::Value gradient;                ///< f32 [T, N], or codes with `gradientScale`
  mlir::Value init;                    ///< f32 [N, K] or [E, N, K]; null: zero
  mlir::Value rowsScale;               ///< of codes: f32 [S, K] (fp8.weight_grad), or null
  mlir::Value gradientScale;           ///< of codes: f32 [S, N], or null
  mlir::Value offsets, active, source; ///< of a grouped one, or null
  int64_t batch = 1, n = 0, k = 0;
  /// Of codes: rows of a tile (0: all of a group); a part of the sum has `interval` of them (0: a
  /// whole group), and is promoted with its tile's scales.
  int64_t tile = 0, interval = 0;
  Accumulate accumulate = Accumulate::F32;

  bool grouped() const { return bool(offsets); }
  mlir::Value result() const { return op->getResult(0); }
};

/// The weight gradient that `op` is: moe.grouped_weight_grad, fp8.weight_grad, or a linalg
/// contraction over the leading dimension of both operands that is no product of matchProduct (an
/// activation has no static rows).
std::optional<WeightGradient> matchWeightGradient(mlir::Operation *op);

/// True if `op` is a linalg.generic that adds up rows: one column loop, one row loop that sums by
/// arith.addf, a payload that runs on vectors of columns. The gradients of norm weights and biases.
bool isColumnSum(mlir::Operation *op);

/// True if ops that read or feed `op` element by element must not share its kernel: a weight
/// gradient or a column sum.
inline bool standsAlone(mlir::Operation *op) { return isColumnSum(op) || matchWeightGradient(op); }

/// True if `v` is a linalg.fill with zero.
bool isZeroFill(mlir::Value v);

/// True if `op` is a linalg.generic that works on [rows, outputs] element by element, as a
/// product's epilogue can.
bool isEpilogue(mlir::Operation *op);

} // namespace hadal

#endif // HADAL_PASSES_ANALYSIS_PRODUCTS_H
