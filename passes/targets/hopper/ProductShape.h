//===- ProductShape.h - how a product is cut for tensor cores -------------===//
#ifndef HADAL_PASSES_TARGETS_HOPPER_PRODUCTSHAPE_H
#define HADAL_PASSES_TARGETS_HOPPER_PRODUCTSHAPE_H

#include "passes/analysis/Products.h"
#include "passes/targets/hopper/GridKernel.h"

namespace hadal {

/// The products of a kernel and their tiles: 128 rows x `columns` outputs of each product, K in
/// blocks of 128 bytes. Depends on static sizes alone.
///
/// Codes with codes are multiplied as they are; everything else as bf16, which holds what bf16
/// rounding left and E4M3 codes. A number of f32 is the sum of three of bf16, 8 bits each, and its
/// products are those of its parts, but for the smallest: no less exact than a chain of f32 fused
/// multiply-adds.
struct ProductShape {
  explicit ProductShape(llvm::ArrayRef<Product> products)
      : products(products), first(this->products.front()), ofCodes(bool(first.leftScale)),
        leftParts(partsOf(first.left, first.op)), rightParts(partsOf(first.right, first.op)) {
    int64_t most = 128 / products.size() / (rightParts > 1 ? 2 : 1);
    columns = std::min<int64_t>(most, llvm::alignTo(first.n, 16));
    // Each is filled more than once in a sum of several blocks.
    stages = std::clamp<int64_t>(blocksOfK() - 1, 1,
                                 std::min<int64_t>(4, kMostSharedBytes / (stageBytes() + 32)));
  }
  ProductShape(const ProductShape &) = delete;

  /// How many numbers of bf16 (or one code) an element of the operand is.
  static int64_t partsOf(mlir::Value operand, mlir::Operation *product) {
    mlir::Type type = mlir::getElementTypeOrSelf(operand.getType());
    return type.isF16() || (type.isF32() && !isHeldByBf16(product)) ? 3 : 1;
  }

  llvm::SmallVector<Product, 2> products;
  const Product &first;
  bool ofCodes; ///< both operands are E4M3 codes
  int64_t leftParts, rightParts;
  int64_t columns; ///< of a tile: a multiple of 16
  int64_t stages;

  static constexpr int64_t rows = 128, groupRows = 64; ///< of a block; of a warpgroup
  static constexpr int64_t warpgroup = 128;            ///< threads
  static constexpr int64_t consumers = 2, threads = (consumers + 1) * warpgroup;
  static constexpr int64_t rowBytes = 128; ///< of K in a tile
  static constexpr int64_t floatRowBytes = 256;

  /// Whether sums begin anew with each block of K, and join others with its scales.
  bool isPromoted() const { return bool(first.scale); }
  int64_t elementBytes() const { return ofCodes ? 1 : 2; }
  int64_t blockK() const { return rowBytes / elementBytes(); }
  int64_t blocksOfK() const { return llvm::divideCeil(first.k, blockK()); }
  int64_t blocksOfN() const { return llvm::divideCeil(first.n, columns); }
  int64_t numbers() const { return columns / 2; } ///< of a thread's sums of one product
  // Of a stage: the left tile, then each product's right one, part after part; then right ones in
  // f32, of which threads make parts. All begin at multiples of 1024 bytes.
  int64_t leftBytes() const { return rows * rowBytes; } ///< of one part
  int64_t rightBytes() const { return columns * rowBytes; }
  int64_t floatBytes() const { return rightParts > 1 ? columns * floatRowBytes : 0; }
  int64_t stageBytes() const { return floatOffset(products.size()); }
  int64_t rightOffset(unsigned product) const {
    return leftParts * leftBytes() + product * rightParts * rightBytes();
  }
  int64_t floatOffset(unsigned product) const {
    return rightOffset(products.size()) + product * floatBytes();
  }
  // After the stages two pipelines' barriers: of the tiles, of those in f32.
  int64_t barrierOffset() const { return stages * stageBytes(); }
  int64_t floatBarrierOffset() const { return barrierOffset() + stages * 16; }
  int64_t sharedBytes() const { return floatBarrierOffset() + stages * 16; }
  /// Pairs of parts that are multiplied, the smallest products first.
  llvm::SmallVector<std::pair<int64_t, int64_t>> terms() const {
    llvm::SmallVector<std::pair<int64_t, int64_t>> pairs;
    for (int64_t sum = std::max(leftParts, rightParts) - 1; sum >= 0; --sum)
      for (int64_t left = std::min(sum, leftParts - 1); left >= 0; --left)
        if (sum - left < rightParts)
          pairs.push_back({left, sum - left});
    return pairs;
  }
};

} // namespace hadal

#endif // HADAL_PASSES_TARGETS_HOPPER_PRODUCTSHAPE_H
