//===- EmitTileMatmul.cpp - products in AMX tiles -------------------------===//
//
// Products over weights in panels (kPanelsLayout), in AMX tiles (TileProduct.h).
//
// Each block of K is a sum of its own, from zero; blocks join in ascending order, in f32. Where
// blocks end depends on K alone, and a row's bits do not depend on which rows are beside it.
//
//   task   rows [m0, m1) x panels [p0, p1)
//     block of K         the pieces of the task's panels, which stay in the second cache for all
//                        rows
//       32 rows          their pieces
//         panel          two by two tiles of sums; one by two where 16 rows or fewer are left
//
// A panel is 32 outputs. Where the product sums over them (the gradient of activations), its pairs
// are transposed while they are split.
//
//===----------------------------------------------------------------------===//

#include "passes/analysis/Products.h"
#include "passes/targets/cpu/Kernel.h"
#include "passes/targets/cpu/Packing.h"
#include "passes/targets/cpu/ProductEpilogue.h"
#include "passes/targets/cpu/ProductTasks.h"
#include "passes/targets/cpu/TileProduct.h"

using namespace mlir;
using namespace hadal;
using Values = KernelBuilder::Values;

namespace {

class TileMatmulEmitter {
public:
  TileMatmulEmitter(Kernel &kernel, Product p, linalg::GenericOp generic)
      : kernel(kernel), b(kernel.b), p(p), generic(generic), tiles(b, isHeldByBf16(p.op) ? 1 : 3),
        layout(PanelLayout::of(p.n, p.k, b.getF32Type(), 1, b.shape)),
        stored(PanelLayout::of(cast<RankedTensorType>(p.right.getType()), b.shape)),
        transposed(p.rightK < p.rightN) {}
  LogicalResult emit();

private:
  static constexpr int64_t side = TileProduct::side;
  struct Block {
    Value begin;           // of K
    int64_t count;         // of it
    Value isFirst, isLast; // null where there is but one
    int64_t wholeSteps() const { return count / side; }
    int64_t rest() const { return count % side; }
    int64_t steps() const { return llvm::divideCeil(count, side); }
  };
  void emitTask(Value m0, Value m1, Value batch, Value p0, Value p1);
  void emitBlock(Value m0, Value m1, Value batch, Value p0, Value p1, const Block &block);
  void splitPanel(Value batch, Value panel, const Block &block, Value at);
  void splitTransposedPanel(Value batch, Value panel, const Block &block, Value at);
  void splitRows(Value m0, Value rows, Value batch, const Block &block);
  std::pair<Value, Value> nextWeights(Value batch, Value panel, Value count, const Block &block);
  void joinRows(Value m0, Value rows, Value batch, Value panel, const Block &block);
  void joinRow(Value row, Value sumsRow, Value batch, Value panel, bool isFirst, bool isLast,
               bool lastPanel);
  Value zero() { return b.zeros(b.vectorOf(16, b.getF32Type())); }
  int64_t panels() const { return layout.panels(); }

  Kernel &kernel;
  KernelBuilder &b;
  Product p;
  linalg::GenericOp generic;
  TileProduct tiles;
  PanelLayout layout; // of the outputs
  PanelLayout stored; // of the weights: as layout, or N for K
  bool transposed;
  ProductEpilogue epilogue;
  Value left, right, out, source;
  Value leftPieces, rightPieces, sums;
  int64_t blockLength = 0, panelsOfTask = 0, rowsOfTask = 0;
};

/// K runs down the stored panel: a pair is two of its rows.
void TileMatmulEmitter::splitPanel(Value batch, Value panel, const Block &block, Value at) {
  Value base = b.add(stored.base(b, panel, batch), b.mul(block.begin, side));
  auto row = [&](Value k, int64_t tile) {
    return b.loadVector(right, {b.add(b.add(base, b.mul(k, side)), 16 * tile)}, 16);
  };
  b.loop(0, block.wholeSteps(), 1, [&](Value step) {
    Value first = b.mul(step, side);
    for (int64_t tile = 0; tile < 2; ++tile) {
      Value to = tiles.tileAt(at, step, tile);
      b.loop(0, 16, 1, [&](Value i) {
        Value k = b.add(first, i);
        tiles.storeRow(tiles.split(row(k, tile), row(b.add(k, 16), tile)), rightPieces,
                       b.add(to, b.mul(i, 16)));
      });
    }
  });
  if (int64_t rest = block.rest())
    for (int64_t tile = 0; tile < 2; ++tile)
      tiles.splitTile(
          [&](int64_t i) {
            int64_t first = block.wholeSteps() * side + i;
            return std::pair(i < rest ? row(b.index(first), tile) : zero(),
                             i + 16 < rest ? row(b.index(first + 16), tile) : zero());
          },
          /*transposed=*/false, rightPieces, tiles.tileAt(at, b.index(block.wholeSteps()), tile));
}

/// K runs along the rows of stored panels, one panel per step; the outputs of `panel` are 32 of
/// their rows.
void TileMatmulEmitter::splitTransposedPanel(Value batch, Value panel, const Block &block,
                                             Value at) {
  Value first = b.div(block.begin, side);
  if (batch)
    first = b.add(first, b.mul(batch, stored.panels()));
  auto split = [&](int64_t outputs) { // that are there
    b.loop(0, block.steps(), 1, [&](Value step) {
      Value base =
          b.add(b.mul(b.add(first, step), stored.panelElements()), b.mul(panel, side * side));
      auto splitTile = [&](Value tile, int64_t present) {
        Value rows = b.add(base, b.mul(tile, 16 * side));
        tiles.splitTile(
            [&](int64_t i) {
              if (i >= present)
                return std::pair(zero(), zero());
              Value row = b.add(rows, i * side);
              return std::pair(b.loadVector(right, {row}, 16),
                               b.loadVector(right, {b.add(row, 16)}, 16));
            },
            /*transposed=*/true, rightPieces, tiles.tileAt(at, step, tile));
      };
      // A loop, where both tiles are alike: transposing a square is much code.
      if (outputs == side)
        return b.loop(0, 2, 1, [&](Value tile) { splitTile(tile, 16); });
      for (int64_t tile = 0; tile < 2; ++tile)
        splitTile(b.index(tile), outputs - 16 * tile);
    });
  };
  layout.onLast(b, panel, [&](bool last) { split(last ? p.n % side : side); });
}

/// Rows [m0, m0 + rows) of the block; those that are missing keep what was there, and their sums
/// are not read.
void TileMatmulEmitter::splitRows(Value m0, Value rows, Value batch, const Block &block) {
  b.loop(b.index(0), rows, 1, [&](Value r) {
    Value row = b.add(m0, r);
    if (source)
      row = b.toIndex(b.load(source, {row}));
    Value to = b.add(b.mul(b.div(r, 16), TileProduct::tileElements), b.mul(b.rem(r, 16), 16));
    auto part = [&](Value step, int64_t tile, int64_t valid) {
      if (valid <= 0)
        return zero();
      Value k = b.add(b.add(block.begin, b.mul(step, side)), 16 * tile);
      return b.widen(
          b.loadVector(left, leftPlace(p, left, row, k, batch), 16, std::min<int64_t>(valid, 16)));
    };
    auto step = [&](Value step, int64_t valid) {
      tiles.storeRow(tiles.split(part(step, 0, valid), part(step, 1, valid - 16)), leftPieces,
                     tiles.tileAt(to, step, 0));
    };
    b.loop(0, block.wholeSteps(), 1, [&](Value s) { step(s, side); });
    if (block.rest())
      step(b.index(block.wholeSteps()), block.rest());
  });
}

/// Where the weights begin that a task reads next in place of those of `panel`, one of `count`: the
/// next block's, or the first block of the panels after the task's, which the next task reads. And
/// how far apart the 4 KiB of each of its steps are, in elements.
std::pair<Value, Value> TileMatmulEmitter::nextWeights(Value batch, Value panel, Value count,
                                                       const Block &block) {
  Value next = b.add(panel, count), matrix = batch ? batch : b.index(0), first = b.index(0);
  Value wraps = b.less(b.index(panels() - 1), next);
  Value at = b.select(wraps, b.sub(next, b.index(panels())), next),
        of = b.add(matrix, b.select(wraps, b.index(1), b.index(0)));
  if (block.isLast) {
    at = b.select(block.isLast, at, panel), of = b.select(block.isLast, of, matrix);
    first = b.select(block.isLast, first, b.div(b.add(block.begin, block.count), side));
  }
  Value stands = b.mul(of, stored.panels() * stored.panelElements());
  if (transposed)
    return {b.add(stands, b.add(b.mul(first, stored.panelElements()), b.mul(at, side * side))),
            b.index(stored.panelElements())};
  return {b.add(stands, b.add(b.mul(at, stored.panelElements()), b.mul(first, side * side))),
          b.index(side * side)};
}

void TileMatmulEmitter::joinRow(Value row, Value sumsRow, Value batch, Value panel, bool isFirst,
                                bool isLast, bool lastPanel) {
  for (int64_t tile = 0; tile < 2; ++tile) {
    int64_t valid = layout.valid(lastPanel, tile, 16);
    if (!valid)
      continue;
    Value column = b.add(b.mul(panel, side), 16 * tile);
    SmallVector<Value> at = outPlace(p, out, row, column, batch);
    Value sum = b.loadVector(sums, {sumsRow, b.index(16 * tile)}, 16);
    if (!isFirst)
      sum = b.addf(b.loadVector(out, at, 16, valid), sum);
    if (isLast && epilogue)
      sum = epilogue.apply(b, {sum}, row, column, valid);
    b.storeVector(sum, out, at, valid);
  }
}

/// Adds the tiles' sums to what earlier blocks left in the result's memory.
void TileMatmulEmitter::joinRows(Value m0, Value rows, Value batch, Value panel,
                                 const Block &block) {
  auto join = [&](bool isFirst, bool isLast) {
    layout.onLast(b, panel, [&](bool lastPanel) {
      b.loop(b.index(0), rows, 1,
             [&](Value r) { joinRow(b.add(m0, r), r, batch, panel, isFirst, isLast, lastPanel); });
    });
  };
  if (!block.isFirst)
    return join(true, true);
  b.choose(
      block.isFirst, [&] { join(true, false); },
      [&] {
        if (!epilogue)
          return join(false, false);
        b.choose(
            block.isLast, [&] { join(false, true); }, [&] { join(false, false); });
      });
}

void TileMatmulEmitter::emitBlock(Value m0, Value m1, Value batch, Value p0, Value p1,
                                  const Block &block) {
  int64_t panelPieces = tiles.elements(llvm::divideCeil(blockLength, side));
  auto piecesOf = [&](Value panel) { return b.mul(b.sub(panel, p0), panelPieces); };
  b.loop(p0, p1, 1, [&](Value panel) {
    if (transposed)
      splitTransposedPanel(batch, panel, block, piecesOf(panel));
    else
      splitPanel(batch, panel, block, piecesOf(panel));
  });
  // Weights come from memory. What is read next is asked for while the tiles are busy, a part for
  // each block of rows.
  int64_t lines = side * side / 16, all = cast<MemRefType>(right.getType()).getDimSize(0);
  Value blocks = b.ceilDiv(b.sub(m1, m0), side),
        each = b.div(b.add(blocks, lines - 1), b.max(blocks, b.index(1)));
  b.loop(m0, m1, side, [&](Value row) {
    Value rows = b.min(b.sub(m1, row), b.index(side)),
          part = b.mul(b.mul(b.div(b.sub(row, m0), side), each), 16);
    splitRows(row, rows, batch, block);
    auto multiply = [&](int64_t rowTiles) {
      b.loop(p0, p1, 1, [&](Value panel) {
        auto [next, apart] = nextWeights(batch, panel, b.sub(p1, p0), block);
        Value begin = b.add(next, part);
        tiles.zeroSums(rowTiles);
        tiles.multiply(
            rowTiles, tiles.stored(leftPieces, b.index(0)),
            tiles.stored(rightPieces, piecesOf(panel)), b.index(block.steps()), [&](Value step) {
              Value at = b.add(begin, b.mul(step, apart));
              b.loop(b.index(0), each, 1, [&](Value i) {
                b.prefetch(right, b.min(b.add(at, b.mul(i, 16)), b.index(all - 1)), false, 2);
              });
            });
        tiles.storeSums(rowTiles, sums, b.index(0), side);
        joinRows(row, rows, batch, panel, block);
      });
    };
    b.choose(
        b.less(b.index(16), rows), [&] { multiply(2); }, [&] { multiply(1); });
  });
}

void TileMatmulEmitter::emitTask(Value m0, Value m1, Value batch, Value p0, Value p1) {
  int64_t whole = p.k / blockLength, rest = p.k % blockLength;
  Value no = b.less(b.index(0), b.index(0)), yes = b.less(b.index(0), b.index(1));
  if (whole + (rest != 0) == 1)
    return emitBlock(m0, m1, batch, p0, p1, {b.index(0), p.k, {}, {}});
  b.loop(0, whole, 1, [&](Value i) {
    Value isLast = rest ? no : b.equal(i, b.index(whole - 1));
    emitBlock(m0, m1, batch, p0, p1,
              {b.mul(i, blockLength), blockLength, b.equal(i, b.index(0)), isLast});
  });
  if (rest)
    emitBlock(m0, m1, batch, p0, p1, {b.index(whole * blockLength), rest, no, yes});
}

LogicalResult TileMatmulEmitter::emit() {
  left = kernel.memory(p.left);
  right = kernel.memory(p.right);
  out = kernel.memory(kernel.tensors.getBody().front().getTerminator()->getOperand(0));
  if (!left || !right || !out)
    return kernel.tensors.emitError(
        "matmul kernel wants its operands to be arguments or views of them");
  if (p.source)
    source = kernel.memory(p.source);
  epilogue = ProductEpilogue(kernel, generic, p);

  // Blocks alike. The pieces of a task's panels take three quarters of a megabyte of the second
  // cache, which has two.
  blockLength = llvm::alignTo(evenly(p.k, 384), side);
  int64_t panelBytes = 4 * tiles.elements(blockLength / side);
  panelsOfTask = evenly(panels(), std::max<int64_t>((768 << 10) / panelBytes, 4));
  int64_t parts = llvm::divideCeil(panels(), panelsOfTask);
  // Rows of a matrix with few outputs are cut further, so that there are enough tasks.
  rowsOfTask = p.grouped() || parts >= 8 ? 1024 : parts >= 3 ? 512 : parts > 1 ? 256 : 128;

  int64_t scratchBytes = 0;
  tiles.configure(kernel.scratch, scratchBytes);
  sums = b.scratchView(kernel.scratch, scratchBytes, {side, side}, b.getF32Type());
  leftPieces = tiles.pieceView(kernel.scratch, scratchBytes, 1, blockLength / side);
  rightPieces = tiles.pieceView(kernel.scratch, scratchBytes, panelsOfTask, blockLength / side);
  ProductCut cut{panels(), panelsOfTask, rowsOfTask, side};
  auto tasks =
      forProductTasks(kernel, p, cut, [&](Value m0, Value m1, Value batch, Value p0, Value p1) {
        emitTask(m0, m1, batch, p0, p1);
      });
  tiles.release();
  kernel.finish(tasks, scratchBytes);
  return success();
}

} // namespace

LogicalResult hadal::emitTileMatmul(Kernel &kernel, const Product &product,
                                    linalg::GenericOp epilogue) {
  return TileMatmulEmitter(kernel, product, epilogue).emit();
}
