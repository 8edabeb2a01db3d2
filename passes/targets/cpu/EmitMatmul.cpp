//===- EmitMatmul.cpp - products over packed weights ----------------------===//
//
// Matrix products over packed weights, for one row or many.
//
// Weights lie in panels of `panel` outputs, [panel][K][outputs], K in pairs where an element is
// narrower than f32 (so that a pair widens by a shift and a mask). A tile keeps rows x outputs
// accumulators in registers and walks K once, upwards, so each output is one chain of fused
// multiply-adds whatever the tile: a row's bits do not depend on which rows stand beside it. f8
// weights are widened without their scale; each tile of K is a chain of its own that the scale
// then joins to the sum, as the tensor cores' promotion does (DeepSeek-V3, arXiv:2412.19437,
// section 3.3).
//
// Weights that are read in both directions (kPanelsLayout) have panels of N. A product that sums
// over N (the gradient of activations) transposes them, square by square in registers, into a
// scratch panel of K's outputs; N goes in blocks, between which the sums wait in the result's
// memory: the same chain.
//
//   task   rows [m0, m1) x panels [p0, p1)
//     one row        four panels at a time: four streams of weights keep the memory busy
//     many rows      panel by panel, tiles of `tileRows` rows, then what is left; the panel stays
//                    in the first cache
//     in panels      block by block of the sum: the task's panels (transposed first, if need be)
//                    stay in the second cache; tile by tile of rows, all of them
//
//===----------------------------------------------------------------------===//

#include "passes/analysis/Products.h"
#include "passes/targets/cpu/Fp8Codes.h"
#include "passes/targets/cpu/Kernel.h"
#include "passes/targets/cpu/Packing.h"
#include "passes/targets/cpu/ProductEpilogue.h"
#include "passes/targets/cpu/ProductTasks.h"
#include <functional>

using namespace mlir;
using namespace hadal;
using Values = KernelBuilder::Values;

namespace {

class MatmulEmitter {
public:
  MatmulEmitter(Kernel &kernel, ArrayRef<Product> products, linalg::GenericOp generic)
      : kernel(kernel), b(kernel.b), products(products), generic(generic),
        first(this->products.front()),
        layout(PanelLayout::of(first.n, first.k,
                               cast<RankedTensorType>(first.right.getType()).getElementType(),
                               this->products.size(), b.shape)) {
    transposed = kernel.inPanels(first.right) && first.rightK < first.rightN;
    stored = PanelLayout::of(cast<RankedTensorType>(first.right.getType()), b.shape);
  }

  LogicalResult emit();

private:
  struct Place { // where a tile stands
    Value row, batch, panel;
  };
  struct Block { // of the sum, where it does not run through
    Value begin;
    int64_t count;
    Value isFirst, isLast; // null where there is but one
  };
  void emitTask(Value m0, Value m1, Value batch, Value p0, Value p1);
  void emitBlocks(Value m0, Value m1, Value batch, Value p0, Value p1);
  void transposePanel(Value batch, Value panel, const Block &block, Value result);
  void forTiles(Value m0, Value m1, function_ref<void(int64_t, Value)> tile);
  void tile(int64_t rows, int64_t panels, Place at, Value widened, const Block *block = nullptr);
  Values loadTile(int64_t rows, int64_t panels, Place at);
  Values chain(Value k0, int64_t count, Values acc, ArrayRef<Value> leftRows, Place at,
               ArrayRef<Value> bases, Value widened);
  SmallVector<Values> loadPair(Value k, bool both, ArrayRef<Value> bases, Value widened);
  void widenPair(Value base, Value k, int64_t vector, int64_t lanes, Value out[2]);
  Value loadLeft(Value leftRow, Value batch, Value k);
  void storeTile(const Values &acc, int64_t rows, int64_t panels, Place at);
  void storeVectors(const Values &acc, int64_t rows, int64_t panel, int64_t panels, Place at,
                    bool last);
  void widenPanel(Value base, Value widened);
  void prefetch(Value at);
  void lookAhead(Value m0, Value row, Value base);
  void lookAhead(Value m0, Value row, Value next, const Block &block);
  int64_t blockLength() const;
  int64_t lineElements() const { return 64 / layout.elementBytes(); }
  Value scaleOf(unsigned product, Place at, Value kTile);

  Kernel &kernel;
  KernelBuilder &b;
  SmallVector<Product> products;
  linalg::GenericOp generic; // the epilogue as an op, or null
  ProductEpilogue epilogue;
  Product &first;
  PanelLayout layout; // of the outputs
  PanelLayout stored; // of weights in panels: as layout, or N for K
  bool transposed = false;
  Value left, right, out, source;
  SmallVector<Value> scales;
  std::function<void(Value)> ahead;         // what a tile asks for at step k, or null
  int64_t vectors = 0;                      // of a panel
  int64_t tileRows = 0;                     // rows of a whole tile
  int64_t rowsOfTask = 0, panelsOfTask = 4; // at most; rows a multiple of `tileRows`
  bool isFp8 = false;
  Value leftBegin; // of a block, or null
};

Value MatmulEmitter::loadLeft(Value leftRow, Value batch, Value k) {
  return b.widen(b.load(left, leftPlace(first, left, leftRow, k, batch)));
}

/// Widens two rows of K of `lanes` outputs that lie interleaved.
void MatmulEmitter::widenPair(Value base, Value k, int64_t vector, int64_t lanes, Value out[2]) {
  Value at = b.add(b.add(base, b.mul(k, layout.panel)), vector * 2 * b.shape.lanes);
  Type element = cast<MemRefType>(right.getType()).getElementType();
  Value raw = b.loadVector(right, {at}, 2 * lanes);
  auto constant = [&](VectorType type, int64_t v) -> Value {
    return arith::ConstantOp::create(
        b, DenseElementsAttr::get(type, b.getIntegerAttr(type.getElementType(), v)));
  };
  if (element.isF16()) { // f16 converts lane by lane
    SmallVector<int64_t> even, odd;
    for (int64_t i = 0; i < lanes; ++i)
      even.push_back(2 * i), odd.push_back(2 * i + 1);
    out[0] = b.widen(vector::ShuffleOp::create(b, raw, raw, even));
    out[1] = b.widen(vector::ShuffleOp::create(b, raw, raw, odd));
    return;
  }
  if (element.isBF16()) {
    auto bits = b.vectorOf(lanes, b.getI32Type()), wide = b.vectorOf(lanes, b.getF32Type());
    Value pair = vector::BitCastOp::create(b, bits, raw);
    out[0] = arith::BitcastOp::create(b, wide, arith::ShLIOp::create(b, pair, constant(bits, 16)));
    out[1] = arith::BitcastOp::create(
        b, wide, arith::AndIOp::create(b, pair, constant(bits, int32_t(0xffff0000))));
    return;
  }
  // E4M3 codes, their values times 2^-8: scaleOf has the factor.
  auto words = b.vectorOf(lanes, b.getI16Type());
  Value pair = vector::BitCastOp::create(b, words, raw);
  out[0] = decodeUpperF8(b, arith::ShLIOp::create(b, pair, constant(words, 8)), element);
  out[1] = decodeUpperF8(b, pair, element);
}

/// The vectors of rows k and (if `both`) k+1 of each panel.
SmallVector<Values> MatmulEmitter::loadPair(Value k, bool both, ArrayRef<Value> bases,
                                            Value widened) {
  SmallVector<Values> rows(2);
  int64_t lanes = b.shape.lanes;
  for (Value base : bases) {
    if (widened || layout.element.isF32()) {
      for (int64_t i = 0; i < (both ? 2 : 1); ++i)
        for (int64_t v = 0; v < vectors; ++v) {
          Value row = b.add(k, i);
          rows[i].push_back(
              widened
                  ? b.loadVector(widened, {row, b.index(v * lanes)}, lanes)
                  : b.loadVector(right, {b.add(b.add(base, b.mul(row, layout.panel)), v * lanes)},
                                 lanes));
        }
      continue;
    }
    for (int64_t v = 0; v < vectors; ++v) {
      Value pair[2];
      widenPair(base, k, v, lanes, pair);
      rows[0].push_back(pair[0]);
      rows[1].push_back(pair[1]);
    }
  }
  return rows;
}

/// acc[row][vector] += left(row, k) * right(k, vector) for k0 <= k < k0 + count, one k after the
/// other.
Values MatmulEmitter::chain(Value k0, int64_t count, Values acc, ArrayRef<Value> leftRows, Place at,
                            ArrayRef<Value> bases, Value widened) {
  int64_t width = bases.size() * vectors;
  auto step = [&](Value k, bool both, Values acc) {
    auto rows = loadPair(k, both, bases, widened);
    for (int64_t i = 0; i < (both ? 2 : 1); ++i)
      for (auto [r, leftRow] : llvm::enumerate(leftRows)) {
        Value kk = b.add(k, i);
        Value a = b.splat(loadLeft(leftRow, at.batch, leftBegin ? b.add(leftBegin, kk) : kk),
                          b.shape.lanes);
        for (int64_t v = 0; v < width; ++v)
          acc[r * width + v] = b.fma(a, rows[i][v], acc[r * width + v]);
      }
    return acc;
  };
  // Tiles of what whole ones leave over are most of a kernel's code, and of the time to compile it.
  // With three rows and more, two steps are work enough for each turn of the loop.
  int64_t rows = leftRows.size(), steps = rows <= 2 || rows == tileRows ? 4 : 2;
  int64_t main = count / steps * steps;
  if (main)
    acc = b.carry(k0, b.add(k0, main), steps, acc, [&](Value k, Values acc) {
      if (ahead)
        ahead(k);
      acc = step(k, true, acc);
      return steps == 4 ? step(b.add(k, 2), true, acc) : acc;
    });
  if (count - main >= 2)
    acc = step(b.add(k0, main), true, acc);
  if (count % 2)
    acc = step(b.add(k0, count - 1), false, acc);
  return acc;
}

// A product waits for weights once for all its rows: the tiles of one panel ask for the next
// one, a line or two every four steps of K, and find it in the second cache. Left to itself, the
// first tile would wait for memory and the others leave it idle.

void MatmulEmitter::prefetch(Value at) { b.prefetch(right, at, /*isWrite=*/false, 2); }

/// What the tile at `row` of the task that begins at `m0` asks for.
void MatmulEmitter::lookAhead(Value m0, Value row, Value base) {
  int64_t line = lineElements(), span = llvm::divideCeil(first.k, 4) * 2 * line,
          all = first.batch * layout.panels() * layout.panelElements();
  if (span > all)
    return;
  Value part = b.mul(b.div(b.sub(row, m0), tileRows), span);
  Value begin = b.min(b.add(b.add(base, layout.panelElements()), part), b.index(all - span));
  ahead = [=, this](Value k) {
    Value at = b.add(begin, b.mul(k, line / 2));
    prefetch(at);
    prefetch(b.add(at, line));
  };
}

/// The same for a block of the sum. What the tiles want next begins at `next`: one piece, or where
/// it is to be transposed the squares of `panel` steps that transposePanel reads.
void MatmulEmitter::lookAhead(Value m0, Value row, Value next, const Block &block) {
  int64_t line = lineElements(), each = block.count / 4,
          lines = block.count * layout.panel / line; // of a tile; of all
  int64_t square = stored.panel * layout.panel / line, squares = block.count / stored.panel;
  int64_t span = transposed ? (squares - 1) * stored.panelElements() + square * line : lines * line;
  int64_t all = first.batch * stored.panels() * stored.panelElements();
  // In sums that long the rows come from memory, too: asking for both at once took twice the time.
  if (span > all || (transposed && !squares) || first.k > 8 * blockLength())
    return;
  Value begin = b.min(next, b.index(all - span));
  Value part = b.min(b.mul(b.div(b.sub(row, m0), tileRows), each),
                     b.index(transposed ? squares * square - each : lines - each));
  Value k0 = transposed ? b.index(0) : block.begin;
  ahead = [=, this](Value k) {
    Value l = b.add(part, b.div(b.sub(k, k0), 4));
    if (transposed)
      prefetch(b.add(begin, b.add(b.mul(b.div(l, square), stored.panelElements()),
                                  b.mul(b.rem(l, square), line))));
    else
      prefetch(b.add(begin, b.mul(l, line)));
  };
}

Value MatmulEmitter::scaleOf(unsigned product, Place at, Value kTile) {
  int64_t width = layout.width();
  Value n = b.div(b.mul(at.panel, width), first.blockN);
  SmallVector<Value> index{n, kTile};
  if (cast<MemRefType>(scales[product].getType()).getRank() == 3)
    index.insert(index.begin(), at.batch);
  return b.mulf(b.load(scales[product], index), b.f32(f8Factor(layout.element)));
}

void MatmulEmitter::tile(int64_t rows, int64_t panels, Place at, Value widened,
                         const Block *block) {
  int64_t lanes = b.shape.lanes, width = panels * vectors;
  auto vectorType = b.vectorOf(lanes, b.getF32Type());
  Value zero = b.zeros(vectorType);
  SmallVector<Value> leftRows, bases;
  for (int64_t r = 0; r < rows; ++r) {
    Value row = b.add(at.row, r);
    leftRows.push_back(source ? b.toIndex(b.load(source, {row})) : row);
  }
  Value firstPanel = layout.numberOf(b, at.panel, at.batch);
  for (int64_t p = 0; p < panels; ++p)
    bases.push_back(b.mul(b.add(firstPanel, p), layout.panelElements()));
  Values acc(rows * width, zero);
  if (block) {
    leftBegin = widened ? block->begin : Value();
    if (block->isFirst)
      acc = b.choose(
          block->isFirst, SmallVector<Type>(acc.size(), vectorType), [&] { return acc; },
          [&] { return loadTile(rows, panels, at); });
    acc =
        chain(widened ? b.index(0) : block->begin, block->count, acc, leftRows, at, bases, widened);
    leftBegin = {};
    if (!block->isLast || !epilogue) {
      storeTile(acc, rows, panels, at);
      return;
    }
    ProductEpilogue later = epilogue;
    b.choose(
        block->isLast, [&] { storeTile(acc, rows, panels, at); },
        [&] {
          epilogue = {};
          storeTile(acc, rows, panels, at);
          epilogue = later;
        });
    return;
  }
  if (!isFp8) {
    acc = chain(b.index(0), first.k, acc, leftRows, at, bases, widened);
  } else {
    auto ofTile = [&](Value kTile, int64_t count, Values sums) {
      Values part = chain(b.mul(kTile, first.blockK), count, Values(rows * width, zero), leftRows,
                          at, bases, widened);
      for (int64_t p = 0; p < panels; ++p)
        for (unsigned q = 0; q < products.size(); ++q) {
          Value scale = b.splat(scaleOf(q, {at.row, at.batch, b.add(at.panel, p)}, kTile), lanes);
          int64_t each = vectors / products.size();
          for (int64_t r = 0; r < rows; ++r)
            for (int64_t v = q * each; v < int64_t(q + 1) * each; ++v) {
              Value &sum = sums[r * width + p * vectors + v];
              sum = b.fma(part[r * width + p * vectors + v], scale, sum);
            }
        }
      return sums;
    };
    int64_t full = first.k / first.blockK;
    if (full)
      acc = b.carry(b.index(0), b.index(full), 1, acc,
                    [&](Value kTile, Values sums) { return ofTile(kTile, first.blockK, sums); });
    if (first.k % first.blockK)
      acc = ofTile(b.index(full), first.k % first.blockK, acc);
  }
  storeTile(acc, rows, panels, at);
}

void MatmulEmitter::storeTile(const Values &acc, int64_t rows, int64_t panels, Place at) {
  for (int64_t p = 0; p < panels; ++p)
    layout.onLast(b, b.add(at.panel, p),
                  [&](bool last) { storeVectors(acc, rows, p, panels, at, last); });
}

/// The sums that an earlier block left in the result's memory.
Values MatmulEmitter::loadTile(int64_t rows, int64_t panels, Place at) {
  int64_t lanes = b.shape.lanes;
  Type type = b.vectorOf(lanes, b.getF32Type());
  auto load = [&](int64_t p, bool last) {
    Values loaded;
    Value column = b.mul(b.add(at.panel, p), layout.width());
    for (int64_t r = 0; r < rows; ++r)
      for (int64_t v = 0; v < vectors; ++v) {
        int64_t valid = layout.valid(last, v, lanes);
        if (!valid) {
          loaded.push_back(b.zeros(type));
          continue;
        }
        Value row = b.add(at.row, r), n = b.add(column, v * lanes);
        loaded.push_back(b.loadVector(out, outPlace(first, out, row, n, at.batch), lanes, valid));
      }
    return loaded;
  };
  Values all(rows * panels * vectors);
  for (int64_t p = 0; p < panels; ++p) {
    Values loaded;
    if (layout.areWhole())
      loaded = load(p, false);
    else
      loaded = b.choose(
          b.equal(b.add(at.panel, p), b.index(layout.panels() - 1)),
          SmallVector<Type>(rows * vectors, type), [&] { return load(p, true); },
          [&] { return load(p, false); });
    for (int64_t r = 0; r < rows; ++r)
      for (int64_t v = 0; v < vectors; ++v)
        all[r * panels * vectors + p * vectors + v] = loaded[r * vectors + v];
  }
  return all;
}

void MatmulEmitter::storeVectors(const Values &acc, int64_t rows, int64_t panel, int64_t panels,
                                 Place at, bool last) {
  int64_t lanes = b.shape.lanes, each = vectors / products.size(), all = panels * vectors;
  Value column0 = b.mul(b.add(at.panel, panel), layout.width());
  for (int64_t v = 0; v < each; ++v) {
    int64_t valid = layout.valid(last, v, lanes);
    if (!valid)
      continue;
    Value column = b.add(column0, v * lanes);
    for (int64_t r = 0; r < rows; ++r) {
      Value row = b.add(at.row, r), result = acc[r * all + panel * vectors + v];
      if (epilogue) {
        SmallVector<Value> sums;
        for (unsigned q = 0; q < products.size(); ++q)
          sums.push_back(acc[r * all + panel * vectors + q * each + v]);
        result = epilogue.apply(b, sums, row, column, valid);
      }
      b.storeVector(result, out, outPlace(first, out, row, column, at.batch), valid);
    }
  }
}

/// Widens a whole panel once, for many tiles of rows.
void MatmulEmitter::widenPanel(Value base, Value widened) {
  b.loop(b.index(0), b.index(layout.paddedK()), 2, [&](Value k) {
    for (int64_t v = 0; v < vectors; ++v) {
      Value pair[2];
      widenPair(base, k, v, b.shape.lanes, pair);
      for (int64_t i = 0; i < 2; ++i)
        b.storeVector(pair[i], widened, {b.add(k, i), b.index(v * b.shape.lanes)});
    }
  });
}

/// Covers rows [m0, m1) with tiles.
void MatmulEmitter::forTiles(Value m0, Value m1, function_ref<void(int64_t, Value)> tile) {
  // 6 + 1 would be a slow tile: too few chains to hide an addition's latency. 4 + 3 are two good
  // ones.
  Value rows = b.sub(m1, m0), whole = b.div(rows, tileRows), rest = b.rem(rows, tileRows);
  Value thin = arith::AndIOp::create(
      b, b.less(b.index(0), whole),
      arith::AndIOp::create(b, b.less(b.index(0), rest), b.less(rest, b.index(3))));
  whole = b.select(thin, b.sub(whole, b.index(1)), whole);
  rest = b.select(thin, b.add(rest, tileRows), rest);
  Value row = b.add(m0, b.mul(whole, tileRows));
  b.loop(m0, row, tileRows, [&](Value at) { tile(tileRows, at); });
  SmallVector<int64_t> cases;
  for (int64_t r = 1; r < tileRows; ++r)
    cases.push_back(r);
  // One place for the code of each height: the thin rest is two turns of the loop.
  Value four = b.select(thin, b.index(4), b.index(0)), after = b.add(row, four);
  b.loop(b.select(thin, b.index(0), b.index(1)), b.index(2), 1, [&](Value turn) {
    Value isLast = b.equal(turn, b.index(1)), at = b.select(isLast, after, row);
    b.switchOn(b.select(isLast, b.sub(rest, four), four), cases, [&](int64_t r) { tile(r, at); });
  });
}

/// Rows [block.begin, + count) of the sum for the outputs of `panel`: element (i, lane) of `result`
/// is W[block.begin + i, panel * width + lane]. Blocks begin where a stored panel does.
void MatmulEmitter::transposePanel(Value batch, Value panel, const Block &block, Value result) {
  int64_t lanes = b.shape.lanes;
  Value storedPanel = stored.numberOf(b, b.div(block.begin, stored.panel), batch);
  Value column = b.mul(panel, layout.panel); // K of the stored panel
  layout.onLast(b, panel, [&](bool last) {
    b.loop(0, llvm::divideCeil(block.count, stored.panel), 1, [&](Value square) {
      Value base = b.add(b.mul(b.add(storedPanel, square), stored.panelElements()),
                         b.mul(column, stored.panel));
      for (int64_t n = 0; n < stored.panel; n += lanes)
        for (int64_t k = 0; k < layout.panel; k += lanes) {
          int64_t valid = layout.valid(last, k / lanes, lanes);
          Values rows;
          for (int64_t i = 0; i < lanes; ++i)
            rows.push_back(
                i < valid ? b.loadVector(right, {b.add(base, (k + i) * stored.panel + n)}, lanes)
                          : b.zeros(b.vectorOf(lanes, b.getF32Type())));
          if (valid)
            rows = b.transpose(rows);
          for (int64_t i = 0; i < lanes; ++i)
            b.storeVector(rows[i], result, {b.add(b.mul(square, stored.panel), n + i), b.index(k)});
        }
    });
  });
}

/// How many steps of a sum a block has: a multiple of the stored panel, all blocks alike where that
/// is possible. Processors with AVX-512 have second caches of twice the size.
int64_t MatmulEmitter::blockLength() const {
  int64_t most = b.shape.lanes == 16 ? 1024 : 512, panel = stored.panel;
  if (first.k <= most)
    return first.k;
  for (int64_t length = most / panel * panel; 2 * length >= most; length -= panel)
    if (first.k % length == 0)
      return length;
  return most / panel * panel;
}

/// Weights in panels: blocks of the sum outermost, rows next, so that a block of the task's panels
/// stays in the second cache for all rows, which pass by once.
void MatmulEmitter::emitBlocks(Value m0, Value m1, Value batch, Value p0, Value p1) {
  int64_t length = blockLength(), whole = first.k / length, rest = first.k % length,
          padded = llvm::alignTo(length, stored.panel);
  bool one = whole + (rest != 0) == 1;
  int64_t offset = 0;
  Value transposedPanel;
  if (transposed)
    transposedPanel =
        b.scratchView(kernel.scratch, offset, {panelsOfTask, padded, layout.panel}, b.getF32Type());
  auto panelAsRead = [&](Value panel) -> Value {
    if (!transposed)
      return {};
    SmallVector<OpFoldResult> at{b.sub(panel, p0), b.getIndexAttr(0), b.getIndexAttr(0)},
        steps(3, b.getIndexAttr(1));
    SmallVector<OpFoldResult> sizes{b.getIndexAttr(1), b.getIndexAttr(padded),
                                    b.getIndexAttr(layout.panel)};
    auto type = memref::SubViewOp::inferRankReducedResultType(
        {padded, layout.panel}, cast<MemRefType>(transposedPanel.getType()), at, sizes, steps);
    return memref::SubViewOp::create(b, cast<MemRefType>(type), transposedPanel, at, sizes, steps);
  };
  auto stands = [&](Value panel, Value k) { // a panel's block
    Value at = transposed ? b.div(k, stored.panel) : panel, in = transposed ? panel : k;
    return b.add(stored.base(b, at, batch),
                 b.mul(in, transposed ? layout.panel * stored.panel : stored.panel));
  };
  auto sum = [&](const Block &block) {
    if (transposed)
      b.loop(p0, p1, 1,
             [&](Value panel) { transposePanel(batch, panel, block, panelAsRead(panel)); });
    forTiles(m0, m1, [&](int64_t rows, Value row) {
      b.loop(p0, p1, 1, [&](Value panel) {
        if (rows == tileRows) { // next comes this panel's next block, or a panel of the next task
          Value next = stands(b.add(panel, b.sub(p1, p0)), b.index(0));
          if (!one)
            next = b.select(block.isLast, next, stands(panel, b.add(block.begin, block.count)));
          lookAhead(m0, row, next, block);
        }
        tile(rows, 1, {row, batch, panel}, panelAsRead(panel), &block);
        ahead = {};
      });
    });
  };
  Value no = b.less(b.index(0), b.index(0)), yes = b.less(b.index(0), b.index(1));
  if (one)
    return sum({b.index(0), length, {}, {}});
  b.loop(0, whole, 1, [&](Value i) {
    sum({b.mul(i, length), length, b.equal(i, b.index(0)),
         rest ? no : b.equal(i, b.index(whole - 1))});
  });
  if (rest)
    sum({b.index(whole * length), rest, no, yes});
}

void MatmulEmitter::emitTask(Value m0, Value m1, Value batch, Value p0, Value p1) {
  if (transposed)
    return emitBlocks(m0, m1, batch, p0, p1);
  Value rows = b.sub(m1, m0);
  auto tiles = [&](Value panel, Value widened) {
    Value base = layout.base(b, panel, batch);
    forTiles(m0, m1, [&](int64_t rows, Value row) {
      if (rows == tileRows)
        lookAhead(m0, row, base);
      tile(rows, 1, {row, batch, panel}, widened);
      ahead = {};
    });
  };
  constexpr int64_t together = 4;
  auto oneRow = [&] {
    Value after = p0;
    if (layout.panels() >= together) {
      after = b.add(p0, b.mul(b.div(b.sub(p1, p0), together), together));
      b.loop(p0, after, together, [&](Value panel) { tile(1, together, {m0, batch, panel}, {}); });
    }
    b.loop(after, p1, 1, [&](Value panel) { tile(1, 1, {m0, batch, panel}, {}); });
  };
  auto manyRows = [&] {
    if (kernel.inPanels(first.right))
      return emitBlocks(m0, m1, batch, p0, p1);
    // A tileRows tile hides the two instructions that widen a bf16: then the panel is better read
    // half as wide.
    if (!layout.pairs() || (layout.element.isBF16() && tileRows >= 12)) {
      b.loop(p0, p1, 1, [&](Value panel) { tiles(panel, {}); });
      return;
    }
    b.choose(
        b.less(rows, b.index(2 * tileRows)),
        [&] { b.loop(p0, p1, 1, [&](Value panel) { tiles(panel, {}); }); },
        [&] {
          int64_t offset = 0;
          Value widened = b.scratchView(kernel.scratch, offset, {layout.paddedK(), layout.panel},
                                        b.getF32Type());
          b.loop(p0, p1, 1, [&](Value panel) {
            widenPanel(layout.base(b, panel, batch), widened);
            tiles(panel, widened);
          });
        });
  };
  b.choose(b.equal(rows, b.index(1)), oneRow, manyRows);
}

LogicalResult MatmulEmitter::emit() {
  left = kernel.memory(first.left);
  right = kernel.memory(first.right);
  Operation *terminator = kernel.tensors.getBody().front().getTerminator();
  out = kernel.memory(terminator->getOperand(0));
  if (!left || !right || !out)
    return kernel.tensors.emitError(
        "matmul kernel wants its operands to be arguments or views of them");
  if (first.source)
    source = kernel.memory(first.source);
  if (cast<MemRefType>(right.getType()).getRank() != 1 ||
      llvm::any_of(products, [&](Product &p) { return kernel.memory(p.right) != right; }))
    return kernel.tensors.emitError()
           << "matmul kernel wants weights that lie as " << kPackedLayout << " or " << kPanelsLayout
           << ", those of a pair in one memory";
  if (products.size() > 1 &&
      llvm::any_of(products, [&](Product &p) { return kernel.inPanels(p.right); }))
    return kernel.tensors.emitError("matmul kernel wants weights in panels one product at a time");
  isFp8 = isa<Float8E4M3FNType>(layout.element);
  vectors = layout.panel / b.shape.lanes;
  tileRows = isFp8 ? std::min<int64_t>(b.shape.rows, 8)
                   : b.shape.rows; // sums of blocks take registers too
  for (Product &p : products)
    if (p.scale)
      scales.push_back(kernel.memory(p.scale));
  if (isFp8 && first.blockN % layout.panel)
    return kernel.tensors.emitError() << "fp8 matmul wants scale blocks of a multiple of "
                                      << layout.panel << " outputs, got " << first.blockN;
  epilogue = ProductEpilogue(kernel, generic, products);

  // Rows of a task at most: as many as keep the left block in half of the second cache. Weights in
  // panels stay there instead.
  int64_t scratchBytes = layout.widenedBytes();
  rowsOfTask = std::clamp<int64_t>((512 << 10) / (4 * first.k) / tileRows * tileRows, 2 * tileRows,
                                   24 * tileRows);
  if (kernel.inPanels(first.right)) {
    // A block of a task's panels has half a megabyte (a quarter where vectors are narrower), and
    // four panels at least.
    int64_t most = std::max<int64_t>(
        128 * (b.shape.lanes == 16 ? 1024 : 512) / blockLength() / layout.panel, 4);
    panelsOfTask = evenly(layout.panels(), most);
    rowsOfTask = rowsOfTasks(first, llvm::divideCeil(layout.panels(), panelsOfTask), tileRows);
  }
  if (transposed)
    scratchBytes = panelsOfTask * llvm::alignTo(blockLength(), stored.panel) * layout.panel * 4;
  ProductCut cut{layout.panels(), panelsOfTask, rowsOfTask, tileRows};
  auto tasks =
      forProductTasks(kernel, first, cut, [&](Value m0, Value m1, Value batch, Value p0, Value p1) {
        if (!first.grouped())
          return emitTask(m0, m1, batch, p0, p1);
        Value rows = b.sub(m1, m0), each = rowsOfBlock(b, rows, rowsOfTask, tileRows);
        b.loop(b.index(0), b.ceilDiv(rows, rowsOfTask), 1, [&](Value i) {
          Value begin = b.add(m0, b.mul(i, each));
          emitTask(begin, b.min(b.add(begin, each), m1), batch, p0, p1);
        });
      });
  kernel.finish(tasks, scratchBytes);
  return success();
}

} // namespace

LogicalResult hadal::emitMatmul(Kernel &kernel, ArrayRef<Product> products,
                                linalg::GenericOp epilogue) {
  return MatmulEmitter(kernel, products, epilogue).emit();
}
