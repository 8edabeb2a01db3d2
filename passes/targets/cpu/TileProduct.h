//===- TileProduct.h - f32 products in tiles of bf16 ------------*- C++ -*-===//
//
// Products of f32 matrices in the matrix tiles of AMX, which multiply bf16.
//
// An f32 is the sum of three bf16, to the bit: x0 is x rounded to 8 bits, x1 what is left rounded
// to 8 bits, x2 the rest. Six of the nine products of two such sums matter; each of the others is
// below 2^-25 of the whole. A tile sums them in f32, the smallest first, over one block of K;
// the caller joins the blocks. So a sum rounds less often than a chain over all of K would: its
// error was a quarter of the chain's at K = 1024 (rms 1.5e-7 of the result's, against 5.7e-7), two
// fifths at K = 96. Values below 2^-110 lose their lowest bits, for the tiles take subnormals as
// zero; an infinity becomes a NaN. Operands that bf16 holds exactly have one piece, and one
// product.
//
// Everything comes in squares of 32 x 32: two tiles of 16 rows, K in steps of 32. Inside a step the
// pairs that a tile multiplies together are (k, k + 16): then a pair is two vectors, and nothing
// has to be interleaved.
//
//   pieces of one operand   [step][piece][tile 0, 1][row of the tile][16 pairs], 32 bits a pair
//     left                  a row of the tile is a row of the result
//     right                 a row of the tile is a pair of K, its 16 elements are outputs
//
// Instructions: Intel 64 and IA-32 Architectures Software Developer's Manual, volume 1, chapter 18.
//
//===----------------------------------------------------------------------===//

#ifndef HADAL_PASSES_TARGETS_CPU_TILEPRODUCT_H
#define HADAL_PASSES_TARGETS_CPU_TILEPRODUCT_H

#include "passes/targets/cpu/KernelBuilder.h"

namespace hadal {

/// One thread at a time.
class TileProduct {
public:
  using Value = mlir::Value;
  using Values = mlir::SmallVector<mlir::Value>;
  static constexpr int64_t side = 32;          ///< rows, outputs and steps of K of a square
  static constexpr int64_t tileElements = 256; ///< 32-bit elements of a tile

  /// `pieces`: 3 for f32 operands, 1 for operands that bf16 holds.
  TileProduct(KernelBuilder &b, int64_t pieces) : b(b), pieces(pieces) {}

  /// 32-bit elements that the pieces of `steps` steps of one operand take.
  int64_t elements(int64_t steps) const { return steps * stepElements(); }
  /// As i32 memory in scratch for `blocks` blocks of that many.
  Value pieceView(Value scratch, int64_t &offset, int64_t blocks, int64_t steps);

  /// What a kernel begins and ends with: 64 bytes of scratch say which shape the tiles have.
  void configure(Value scratch, int64_t &offset);
  void release();

  /// The pieces of pairs: each lane's (low, high), low in the lower half.
  Values split(Value low, Value high);
  /// Splits a tile whose row i is the pairs of `rows(i)`: (low, high) for 0 <= i < 16. If
  /// `transposed`, that is a column instead. `at`: element of `memory` where the tile's first
  /// piece begins.
  void splitTile(mlir::function_ref<std::pair<Value, Value>(int64_t)> rows, bool transposed,
                 Value memory, Value at);
  /// Where pieces of the tile `tile` (0 or 1) of step `step` begin, counted from `base`.
  Value tileAt(Value base, Value step, Value tile);
  Value tileAt(Value base, Value step, int64_t tile) { return tileAt(base, step, b.index(tile)); }
  /// Stores the pieces of one row of a tile.
  void storeRow(const Values &row, Value memory, Value at);

  /// Sums of `rowTiles` x 2 tiles: zero, loaded or stored. `at`: element of f32 memory, its rows
  /// `stride` elements apart.
  void zeroSums(int64_t rowTiles);
  void loadSums(int64_t rowTiles, Value memory, Value at, int64_t stride);
  void storeSums(int64_t rowTiles, Value memory, Value at, int64_t stride);
  /// One operand of a product: where its first step begins in i32 memory, and how far apart steps,
  /// pieces, tiles and the rows of a tile are, in elements.
  struct Operand {
    Value memory, at;
    int64_t step, piece, tile, row;
  };
  /// Pieces as they are stored here.
  Operand stored(Value memory, Value at) const {
    return {memory, at, stepElements(), 2 * tileElements, tileElements, 16};
  }
  /// Adds the products of `steps` steps. Beside each, while the tiles are busy, the processor does
  /// what `beside` emits, if anything.
  void multiply(int64_t rowTiles, const Operand &left, const Operand &right, Value steps,
                mlir::function_ref<void(Value step)> beside = nullptr);

private:
  int64_t stepElements() const { return pieces * 2 * tileElements; }
  void intrinsic(llvm::StringRef name, mlir::ValueRange operands);
  Value pointer(Value memory);
  Value elementPointer(Value pointer, Value element);
  Value tile(int64_t number);
  void forSums(int64_t rowTiles, Value memory, Value at, int64_t stride, llvm::StringRef name);

  KernelBuilder &b;
  int64_t pieces;
};

} // namespace hadal

#endif // HADAL_PASSES_TARGETS_CPU_TILEPRODUCT_H
