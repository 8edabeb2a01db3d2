//===- ProductShape.h - how a product is cut for tensor cores -------------===//
#ifndef HADAL_PASSES_TARGETS_HOPPER_PRODUCTSHAPE_H
#define HADAL_PASSES_TARGETS_HOPPER_PRODUCTSHAPE_H

#include "passes/analysis/Products.h"

namespace hadal {

/// The products of a kernel and their tiles: 128 rows x `columns` outputs of each product, K in
/// blocks of 128 bytes. Depends on static sizes alone.
struct ProductShape {
  explicit ProductShape(llvm::ArrayRef<Product> products)
      : products(products), first(this->products.front()), isFp8(bool(first.leftScale)) {
    int64_t most = products.size() == 1 ? 128 : 64;
    columns = std::min<int64_t>(most, llvm::alignTo(first.n, 16));
  }

  ProductShape(const ProductShape &) = delete;

  llvm::SmallVector<Product, 2> products;
  const Product &first;
  bool isFp8;
  int64_t columns; ///< of a tile: a multiple of 16

  static constexpr int64_t rows = 128, groupRows = 64; ///< of a block; of a warpgroup
  static constexpr int64_t warpgroup = 128;            ///< threads
  static constexpr int64_t consumers = 2, threads = (consumers + 1) * warpgroup;
  static constexpr int64_t rowBytes = 128; ///< of K in a tile
  static constexpr int64_t stages = 4;

  int64_t elementBytes() const { return isFp8 ? 1 : 2; }
  int64_t blockK() const { return rowBytes / elementBytes(); }
  int64_t blocksOfK() const { return llvm::divideCeil(first.k, blockK()); }
  int64_t blocksOfN() const { return llvm::divideCeil(first.n, columns); }
  int64_t numbers() const { return columns / 2; } ///< of a thread's sums of one product
  // Of a stage: the left tile, then each product's right one. All begin at multiples of 1024 bytes.
  int64_t leftBytes() const { return rows * rowBytes; }
  int64_t rightBytes() const { return columns * rowBytes; }
  int64_t stageBytes() const { return leftBytes() + products.size() * rightBytes(); }
  int64_t rightOffset(unsigned product) const { return leftBytes() + product * rightBytes(); }
  int64_t barrierOffset() const { return stages * stageBytes(); }
  int64_t sharedBytes() const { return barrierOffset() + stages * 16; }
};

} // namespace hadal

#endif // HADAL_PASSES_TARGETS_HOPPER_PRODUCTSHAPE_H
