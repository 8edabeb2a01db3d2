//===- EmitTileWeightGradient.cpp - weights' gradients in AMX tiles -------===//
//
// Gradients of weights in panels (kPanelsLayout), in AMX tiles (TileProduct.h): OUT[n, k] += sum
// over rows t of gradient[t, n] * X[t, k].
//
// The sum runs over rows. Squares of OUT, 32 k x 32 n as a panel holds them, begin from what is
// there and go back there; rows of X, whose pairs are transposed, are the left operand, rows of the
// gradient the right one. The tiles add a block's rows, 32 at a time, to what OUT holds, so where
// rows begin and end is all that decides the order of sums.
//
//   task   one expert: panels [p0, p1) x part of K
//     block of rows      the pieces of both operands stay in the second cache, beside the task's
//                        part of OUT
//       panel            32 by 32; what is left of K through a copy of its own, for a tile would
//                        write 16 rows
//
//===----------------------------------------------------------------------===//

#include "passes/analysis/Products.h"
#include "passes/targets/cpu/Kernel.h"
#include "passes/targets/cpu/Packing.h"
#include "passes/targets/cpu/ProductTasks.h"
#include "passes/targets/cpu/TileProduct.h"

using namespace mlir;
using namespace hadal;
using Values = KernelBuilder::Values;

namespace {

class TileWeightGradientEmitter {
public:
  TileWeightGradientEmitter(Kernel &kernel, WeightGradient g)
      : kernel(kernel), b(kernel.b), g(g), tiles(b, isHeldByBf16(g.op) ? 1 : 3),
        layout(PanelLayout::of(g.n, g.k, b.getF32Type(), 1, b.shape)) {}
  LogicalResult emit();

private:
  static constexpr int64_t side = TileProduct::side;
  void emitTask(Value expert, Value from, Value to, Value strip, Value range);
  void splitBlock(Value t0, Value count, Value k0, Value p0, Value p1);
  void splitLeft(Value t, Value step, Value k0, Value end, bool whole);
  void splitRight(Value t, Value step, Value p0, Value p1, Value end, bool whole);
  void square(Value expert, Value panel, Value k, Value leftAt, Value rightAt, Value steps,
              Value isFirst, int64_t present, Value next);
  int64_t panels() const { return layout.panels(); }
  int64_t rangeSquares() const { return range / side; }

  Kernel &kernel;
  KernelBuilder &b;
  WeightGradient g;
  TileProduct tiles;
  PanelLayout layout;
  Value rows, gradient, out, init, source; // init: null where out holds it or it is zero
  bool inPlace = false;
  Value leftPieces, rightPieces, rest;
  int64_t block = 0, range = 0, panelsOfTask = 0; // rows; of K; panels
};

/// The pairs of 16 k, transposed: `t` is the first row of the step.
void TileWeightGradientEmitter::splitLeft(Value t, Value step, Value k0, Value end, bool whole) {
  int64_t pieces = tiles.elements(block / side);
  Value nothing = b.zeros(b.vectorOf(16, b.getF32Type()));
  SmallVector<Value> at(side), present(side); // rows of the step
  for (int64_t i = 0; i < side; ++i) {
    Value row = b.add(t, i);
    if (!whole) {
      present[i] = b.less(row, end);
      row = b.select(present[i], row, b.sub(end, b.index(1)));
    }
    at[i] = source ? b.toIndex(b.load(source, {row})) : row;
  }
  auto tile = [&](Value k, Value to, int64_t valid) {
    auto load = [&](int64_t i) {
      if (valid <= 0)
        return nothing;
      Value v = b.loadVector(rows, {at[i], k}, 16, std::min<int64_t>(valid, 16));
      return whole ? v : b.select(present[i], v, nothing);
    };
    tiles.splitTile([&](int64_t i) { return std::pair(load(i), load(i + 16)); },
                    /*transposed=*/true, leftPieces, to);
  };
  auto square = [&](Value q, int64_t valid) {
    Value k = b.add(k0, b.mul(q, side));
    auto fill = [&](Value at, int64_t present) {
      tile(b.add(k, b.mul(at, 16)), tiles.tileAt(b.mul(q, pieces), step, at), present);
    };
    // A loop, where both tiles are alike: transposing a square is much code.
    if (valid == side)
      return b.loop(0, 2, 1, [&](Value at) { fill(at, 16); });
    for (int64_t at = 0; at < 2; ++at)
      fill(b.index(at), valid - 16 * at);
  };
  Value squares = b.div(b.min(b.sub(b.index(g.k), k0), b.index(range)), side); // whole ones
  b.loop(b.index(0), squares, 1, [&](Value q) { square(q, side); });
  if (g.k % side)
    b.when(b.less(b.add(k0, b.mul(squares, side)), b.min(b.index(g.k), b.add(k0, range))),
           [&] { square(squares, g.k % side); });
}

/// The pairs of 16 n.
void TileWeightGradientEmitter::splitRight(Value t, Value step, Value p0, Value p1, Value end,
                                           bool whole) {
  int64_t pieces = tiles.elements(block / side);
  Value nothing = b.zeros(b.vectorOf(16, b.getF32Type()));
  auto split = [&](Value panel, int64_t outputs) {
    for (int64_t tile = 0; tile < 2; ++tile) {
      int64_t valid = std::clamp<int64_t>(outputs - 16 * tile, 0, 16);
      Value n = b.add(b.mul(panel, side), 16 * tile),
            to = tiles.tileAt(b.mul(b.sub(panel, p0), pieces), step, tile);
      b.loop(0, 16, 1, [&](Value i) {
        auto load = [&](Value row) {
          if (!valid)
            return nothing;
          if (whole)
            return b.loadVector(gradient, {row, n}, 16, valid);
          Value isThere = b.less(row, end);
          return b.select(isThere,
                          b.loadVector(gradient,
                                       {b.select(isThere, row, b.sub(end, b.index(1))), n}, 16,
                                       valid),
                          nothing);
        };
        Value row = b.add(t, i);
        tiles.storeRow(tiles.split(load(row), load(b.add(row, 16))), rightPieces,
                       b.add(to, b.mul(i, 16)));
      });
    }
  };
  bool partial = g.n % side;
  Value wholePanels = partial ? b.min(p1, b.index(panels() - 1)) : p1;
  b.loop(p0, wholePanels, 1, [&](Value panel) { split(panel, side); });
  if (partial)
    b.when(b.less(wholePanels, p1), [&] { split(wholePanels, g.n % side); });
}

void TileWeightGradientEmitter::splitBlock(Value t0, Value count, Value k0, Value p0, Value p1) {
  Value whole = b.div(count, side), end = b.add(t0, count);
  b.loop(b.index(0), whole, 1, [&](Value step) {
    Value t = b.add(t0, b.mul(step, side));
    splitLeft(t, step, k0, end, true);
    splitRight(t, step, p0, p1, end, true);
  });
  b.when(b.less(b.mul(whole, side), count), [&] {
    Value t = b.add(t0, b.mul(whole, side));
    splitLeft(t, whole, k0, end, false);
    splitRight(t, whole, p0, p1, end, false);
  });
}

/// k rows [k, k + present) of a panel. The square after it begins `next` elements further on.
void TileWeightGradientEmitter::square(Value expert, Value panel, Value k, Value leftAt,
                                       Value rightAt, Value steps, Value isFirst, int64_t present,
                                       Value next) {
  Value at = b.add(layout.base(b, panel, expert), b.mul(k, side));
  int64_t rowTiles = present > 16 ? 2 : 1;
  auto load = [&](Value memory) {
    if (present == side)
      return tiles.loadSums(2, memory, at, side);
    b.loop(0, present * side, 16,
           [&](Value i) { b.storeVector(b.loadVector(memory, {b.add(at, i)}, 16), rest, {i}); });
    tiles.loadSums(rowTiles, rest, b.index(0), side);
  };
  if (inPlace)
    load(out);
  else
    b.choose(
        isFirst, [&] { init ? load(init) : tiles.zeroSums(rowTiles); }, [&] { load(out); });
  // The next square comes from further away than the pieces.
  Value each = b.div(b.add(steps, side * side / 16 - 1), b.max(steps, b.index(1)));
  Value from = b.add(at, next), all = b.index(cast<MemRefType>(out.getType()).getDimSize(0) - 1);
  tiles.multiply(rowTiles, tiles.stored(leftPieces, leftAt), tiles.stored(rightPieces, rightAt),
                 steps, [&](Value step) {
                   Value part = b.add(from, b.mul(b.mul(step, each), 16));
                   b.loop(b.index(0), each, 1, [&](Value i) {
                     b.prefetch(out, b.min(b.add(part, b.mul(i, 16)), all), true, 3);
                   });
                 });
  if (present == side)
    return tiles.storeSums(2, out, at, side);
  tiles.storeSums(rowTiles, rest, b.index(0), side);
  b.loop(0, present * side, 16,
         [&](Value i) { b.storeVector(b.loadVector(rest, {i}, 16), out, {b.add(at, i)}); });
}

void TileWeightGradientEmitter::emitTask(Value expert, Value from, Value to, Value strip,
                                         Value rangeAt) {
  Value p0 = b.mul(strip, panelsOfTask), p1 = b.min(b.add(p0, panelsOfTask), b.index(panels())),
        k0 = b.mul(rangeAt, range);
  int64_t pieces = tiles.elements(block / side),
          rest = layout.paddedK() % side; // an odd K's last row is there, and zero
  Value squares = b.div(b.min(b.sub(b.index(layout.paddedK()), k0), b.index(range)), side);
  // Without rows there is still something to write where init is elsewhere.
  Value end = inPlace ? to : b.max(to, b.add(from, 1));
  b.loop(from, end, block, [&](Value t0) {
    Value count = b.max(b.min(b.sub(to, t0), b.index(block)), b.index(0)),
          steps = b.ceilDiv(count, side), isFirst = b.equal(t0, from);
    splitBlock(t0, count, k0, p0, p1);
    b.loop(p0, p1, 1, [&](Value panel) {
      Value rightAt = b.mul(b.sub(panel, p0), pieces);
      b.loop(b.index(0), squares, 1, [&](Value q) {
        Value isLast = b.equal(b.add(q, 1), squares),
              toNextPanel = b.sub(b.index(layout.panelElements()), b.mul(q, side * side));
        square(expert, panel, b.add(k0, b.mul(q, side)), b.mul(q, pieces), rightAt, steps, isFirst,
               side, b.select(isLast, toNextPanel, b.index(side * side)));
      });
      if (rest)
        b.when(b.less(b.add(k0, b.mul(squares, side)),
                      b.min(b.index(layout.paddedK()), b.add(k0, range))),
               [&] {
                 square(expert, panel, b.add(k0, b.mul(squares, side)), b.mul(squares, pieces),
                        rightAt, steps, isFirst, rest,
                        b.sub(b.index(layout.panelElements()), b.mul(squares, side * side)));
               });
    });
  });
}

LogicalResult TileWeightGradientEmitter::emit() {
  out = kernel.memory(g.result());
  rows = kernel.memory(g.rows), gradient = kernel.memory(g.gradient);
  if (g.init)
    init = kernel.memory(g.init);
  if (!out || !rows || !gradient || (g.init && !init))
    return kernel.tensors.emitError(
        "weight gradient kernel wants its operands to be arguments or views of them");
  inPlace = init == out;
  if (g.init && !kernel.inPanels(g.init))
    return kernel.tensors.emitError("weight gradient kernel wants init and result to lie alike");
  source = g.source ? kernel.memory(g.source) : Value();

  // Parts alike. Pieces and the task's part of OUT stay in the second cache, which has two
  // megabytes.
  block = 192;
  range = llvm::alignTo(evenly(layout.paddedK(), 352), side);
  panelsOfTask = evenly(panels(), 12);
  int64_t strips = llvm::divideCeil(panels(), panelsOfTask);
  while (range >= 4 * side && g.batch * strips * llvm::divideCeil(layout.paddedK(), range) <
                                  8) // so that there are enough tasks
    range = llvm::alignTo(range / 2, side);
  int64_t ranges = llvm::divideCeil(layout.paddedK(), range);

  int64_t scratchBytes = 0;
  tiles.configure(kernel.scratch, scratchBytes);
  rest = b.scratchView(kernel.scratch, scratchBytes, {side * side}, b.getF32Type());
  leftPieces = tiles.pieceView(kernel.scratch, scratchBytes, rangeSquares(), block / side);
  rightPieces = tiles.pieceView(kernel.scratch, scratchBytes, panelsOfTask, block / side);
  auto tasks = forWeightGradientTasks(
      kernel, g, inPlace, strips, ranges, [&](Value expert, Value strip, Value rangeAt) {
        forGroups(kernel, g, expert, b.dim(gradient, 0),
                  [&](Value, Value from, Value to) { emitTask(expert, from, to, strip, rangeAt); });
      });
  tiles.release();
  kernel.finish(tasks, scratchBytes);
  return success();
}

} // namespace

LogicalResult hadal::emitTileWeightGradient(Kernel &kernel, const WeightGradient &gradient) {
  return TileWeightGradientEmitter(kernel, gradient).emit();
}
