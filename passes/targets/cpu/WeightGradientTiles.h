//===- WeightGradientTiles.h - operands and sums of weight gradients ------===//
//
// OUT[n, k] += sum over rows t, ascending, of gradient[t, n] * X[t, k].
//
// One operand runs along the vectors, the other is broadcast. Where OUT lies in panels of outputs,
// vectors run over n (a panel of the gradient) and k is broadcast; where it lies plainly, vectors
// run over k and n is broadcast. Both operands are rows of T, so a block of T is copied first:
// vectors as [t][panel], broadcast values as [tile][t][rows of the tile]. Then the inner loop reads
// two streams. Codes become f32 while they are copied, and numbers are quantized there where the
// codes are for this kernel alone. Where the processor multiplies pairs of bf16
// (Bf16Pairs.h) and these hold the operands' values, rows are copied in pairs. For AMX tiles, of
// codes, broadcast values are copied as the tiles' rows, too: [tile][values of the tile][t].
//
//   task   one expert: vectors' panels [p0, p1) x broadcast range [a0, a1)
//     block of rows      copy the range and the panels
//       panel            tiles of 6 x 16 (or 12 x 32, or 32 x 32)
//
//===----------------------------------------------------------------------===//
#ifndef HADAL_PASSES_TARGETS_CPU_WEIGHTGRADIENTTILES_H
#define HADAL_PASSES_TARGETS_CPU_WEIGHTGRADIENTTILES_H

#include "dialects/fp8/Fp8.h"
#include "passes/analysis/Products.h"
#include "passes/targets/cpu/Fp8Codes.h"
#include "passes/targets/cpu/Kernel.h"
#include "passes/targets/cpu/Packing.h"
#include "passes/targets/cpu/TileProduct.h"

namespace hadal {

/// One thread at a time.
class WeightGradientTiles {
public:
  using Value = mlir::Value;
  using Values = KernelBuilder::Values;

  /// `block` rows are copied at a time; a tile has `height` broadcast values: TileProduct::side of
  /// them if `inTiles`, for AMX. These want codes, and OUT as stored.
  WeightGradientTiles(Kernel &kernel, WeightGradient g, int64_t block, int64_t height,
                      bool inTiles = false)
      : kernel(kernel), b(kernel.b), g(g), block(block), height(height), inTiles(inTiles),
        amx(kernel.b, 1) {}

protected:
  /// One operand: rows of `size` values, row t at source[t] if there is one.
  struct Operand {
    Value memory, source;
    Value scales;      ///< of codes: a row for each tile of rows; or `made` here, one for a part
    mlir::Type format; ///< of codes, or null
    int64_t size;
    fp8::QuantizeOp made; ///< what memory holds is quantized so, or null
    Value begin, end;     ///< the task's columns
    Value most;           ///< the part's columns' largest |x|, where scales are made
    Divisor divisors;     ///< views of theirs
  };
  /// A task's part of OUT.
  struct Part {
    Value expert; ///< or null
    Value p0, p1; ///< panels of the vectors
    Value a0;     ///< first broadcast value
    Value tiles;  ///< whole ones
    Value isLast; ///< whether the broadcast values end here
  };
  /// A tile: `rows` is its height or what is left of the operand.
  struct Place {
    int64_t rows;
    Value expert;        ///< or null
    Value panel, copied; ///< of the vectors; among the copied ones
    Value first;         ///< of the broadcast values
    Value values;        ///< where they are in copiedRange
    bool last;           ///< the last panel, which is not whole
  };

  /// Finds the kernel's memory, cuts OUT into parts and lays out the copies; a failure has been
  /// reported.
  mlir::LogicalResult prepare();
  int64_t strips() const { return llvm::divideCeil(layout.panels(), panelsOfTask); }
  int64_t ranges() const { return llvm::divideCeil(broadcastSide.size, range); }
  Part partOf(Value expert, Value strip, Value rangeAt);
  Value rowCount() { return b.dim((inPanels ? vectorSide : broadcastSide).memory, 0); }

  /// Makes the scales of rows [t0, t1), a tile, of what is quantized here.
  void makeScales(Value t0, Value t1);
  /// Scales of columns [column, column + lanes), in the row of scales `tile`: `lanes` 0 for one
  /// alone.
  Value scalesAt(const Operand &operand, Value tile, Value column, int64_t lanes, int64_t valid);
  /// Copies rows [t0, t0 + count).
  void copy(const Part &part, Value t0, Value count);
  /// All tiles of a part, the panel of each copied once.
  void forTiles(const Part &part, llvm::function_ref<void(const Place &)> tile);
  /// Panels have an even number of rows: writes the one that an odd number leaves.
  void zeroPadding(const Part &part);

  /// The vectors of a tile in `memory`, which lies as OUT does.
  Values load(Value memory, const Place &at);
  void store(const Values &sums, const Place &at);
  /// Adds the copied rows [t0, t1) to `sums`, each one chain; t0 is even.
  Values chain(Value t0, Value t1, const Place &at, Values sums);
  /// The same from zero, in AMX tiles: into `sums` [height, panel].
  void multiplyTiles(Value t0, Value t1, const Place &at, Value sums);
  /// One vector of `memory`, laid out as OUT is, of the broadcast value `value`; stores
  /// `stored`, if any.
  Value place(Value memory, const Place &at, Value value, int64_t vector, Value stored = {});
  /// The vectors of copied row t, and one of its broadcast values in all lanes.
  Values vectorsOf(Value t, const Place &at);
  Value broadcast(Value t, int64_t row, const Place &at);
  /// Asks for the tile after this one.
  void prefetchNext(const Place &at);

  Kernel &kernel;
  KernelBuilder &b;
  WeightGradient g;
  Operand broadcastSide, vectorSide;
  Value out, init; ///< init: null where it is zero
  bool inPanels = false, inPlace = false;
  PanelLayout layout{};                ///< of the vectors; OUT's where OUT is in panels
  int64_t block, height;               ///< rows copied; broadcast values of a tile
  int64_t panel = 0, vectors = 0;      ///< lanes of a panel; its vectors
  int64_t range = 0, panelsOfTask = 1; ///< broadcast values and panels of a task
  bool pairs = false;                  ///< two rows are copied as one, of pairs of bf16
  const bool inTiles;
  TileProduct amx;
  int64_t scratchBytes = 0;

private:
  /// A row of an operand, or the two of a pair: `second` may be null, for zeros; so are those
  /// whose condition, if there is one, is false.
  struct Rows {
    Value first, second;
    Value hasFirst, hasSecond;
  };
  Value load(const Operand &operand, Rows rows, Value column, int64_t lanes, int64_t valid = -1);
  void forRows(const Operand &operand, Value t0, Value count,
               llvm::function_ref<void(Rows, Value)> copy);
  int64_t copiedRows() const {
    int64_t rows = pairs ? llvm::divideCeil(block, 2) : block;
    return inTiles ? llvm::alignTo(rows, 16) : rows;
  }
  int64_t lengthOfValue() const { return copiedRows() + 16; } ///< in AMX's tiles
  int64_t valuesOfTile() const {
    return inTiles ? lengthOfValue() * height : copiedRows() * height + 16;
  }
  mlir::Type copiedType() { return pairs ? mlir::Type(b.getI32Type()) : b.getF32Type(); }
  void cut();
  void layOutScales(Operand &operand, int64_t columns);
  void makeScales(const Operand &operand, Value t0, Value t1);
  void copyRange(const Part &part, Value t0, Value count);
  void copyTurned(const Part &part, Value t0, Value count);
  void copyTurned(const Part &part, Value t0, Value count, Value step, bool isWhole);
  void copyPanels(const Part &part, Value t0, Value count);

  Value copiedRange, copiedPanels;
};

} // namespace hadal

#endif // HADAL_PASSES_TARGETS_CPU_WEIGHTGRADIENTTILES_H
