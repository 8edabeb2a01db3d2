//===- EmitStagedMatmul.cpp - products of codes, and of bf16 values -------===//
//
// Operands are decoded into scratch before they are multiplied (StagedOperands.h): a panel of
// weights once for all rows of a task, a row once for all of its panels. Of codes each part of the
// sum is a chain of its own, from zero, on the codes' values, and is then promoted: sum = fma(part,
// scale of the row * scale of the weights, sum). Where the processor multiplies pairs of bf16, the
// chain is one of pairs, with the same bits; parts as Hopper forms them are HopperSum's. Products
// without scales are one chain. Where products take AMX tiles, each part of codes is one chain in
// these, in an order of their own.
//
//   task   rows [m0, m1) x panels [p0, p1)
//     a few rows     of packed weights: these are decoded in registers and read once; for one row
//                    four panels at a time
//     more rows      block by block of the sum, its parts' panels in the second cache for all rows
//       a tile's rows
//         panel      the tile's sums, which wait in the result's memory between blocks
//         quantizer  of the rows' columns in the task, while they are in cache
//
// Tiles have few heights: rows that are missing are computed as copies of the last one, and not
// stored. A row's bits do not depend on which rows stand beside it.
//
//===----------------------------------------------------------------------===//

#include "passes/targets/cpu/Bf16Pairs.h"
#include "passes/targets/cpu/Fp8Codes.h"
#include "passes/targets/cpu/HopperSum.h"
#include "passes/targets/cpu/ProductEpilogue.h"
#include "passes/targets/cpu/ProductTasks.h"
#include "passes/targets/cpu/StagedOperands.h"
#include "passes/targets/cpu/TileProduct.h"

using namespace mlir;
using namespace hadal;
using Values = KernelBuilder::Values;

namespace {

class StagedMatmulEmitter {
public:
  StagedMatmulEmitter(Kernel &kernel, ArrayRef<Product> products, linalg::GenericOp generic)
      : kernel(kernel), b(kernel.b), products(products), generic(generic),
        first(this->products.front()), inTiles(usesTiles(first, b.shape)),
        operands(kernel, products, inTiles || usesPairs(first, b.shape)), tiles(b, 1) {}
  LogicalResult emit();

  static bool usesPairs(const Product &p, const VectorShape &shape) {
    return shape.pairs && (p.leftScale ? p.accumulate == Accumulate::F32 : !p.scale);
  }

  static bool usesTiles(const Product &p, const VectorShape &shape) {
    return shape.tiles && p.leftScale && p.accumulate == Accumulate::F32;
  }

private:
  /// Sums of `height` rows from `row` on and `panels` panels from `panel` on.
  struct Tile {
    int64_t height, panels;
    Value row, batch, panel;
    Value slot;   // of the staged panel; null: weights are decoded in registers
    Value t0, t1; // parts of the sum
    Value valid;  // rows that are there
  };
  void planTasks();
  void emitBlock(Value m0, Value m1, Value batch, Value p0, Value p1);
  void emitFewRows(Value m0, Value m1, Value batch, Value p0, Value p1);
  void emitBlock(Value m0, Value m1, Value batch, Value p0, Value p1, Value t0, Value t1);
  void prefetchNext(const Tile &tile, Value m0, Value m1, Value p0, Value p1);
  void sumTile(const Tile &tile);
  void sumInTiles(const Tile &tile);
  Values partOf(const Tile &tile, Value part, Values acc);
  Values stagedPart(const Tile &tile, Value from, Value to, Values acc);
  Values hopperPart(const Tile &tile, Value from, Value to, Values acc);
  Values partInRegisters(const Tile &tile, Value part, Values acc);
  void promote(const Tile &tile, Value part, const Values &sums);
  void beginTile(const Tile &tile, bool isFirst);
  void endTile(const Tile &tile, bool isLast);
  void quantizeRows(Value m0, Value m1, Value p0, Value p1);
  void forVectors(const Tile &tile,
                  function_ref<void(Value row, Value panel, int64_t vector, int64_t valid)> body);
  Value sumAt(Value row, int64_t vector, std::optional<Value> store = std::nullopt);
  bool promotes() const { return bool(first.scale); }
  SmallVector<int64_t> heights() const;
  int64_t mostRows() const { return inTiles ? TileProduct::side : b.shape.rows; }
  Value heightFor(Value rows);

  Kernel &kernel;
  KernelBuilder &b;
  SmallVector<Product> products;
  linalg::GenericOp generic; // the epilogue as an op, or null
  ProductEpilogue epilogue;
  fp8::QuantizeOp quantize; // of the result, or null
  const Product &first;
  const bool inTiles;
  StagedOperands operands;
  TileProduct tiles;
  bool fewInRegisters = false;
  static constexpr int64_t together = 4; // panels of one row
  static constexpr int64_t fewRows = 4;
  SumParts parts{1, 1, 1}, wholeParts{1, 1, 1};
  int64_t partsOfBlock = 0, panelsOfTask = 0, rowsOfTask = 0;
  Value out, sums, part; // part: of the sums, as AMX stores it
};

/// Of tiles, the highest one last.
SmallVector<int64_t> StagedMatmulEmitter::heights() const {
  if (inTiles)
    return {TileProduct::side / 2, TileProduct::side};
  bool isHopper = first.accumulate == Accumulate::Hopper;
  SmallVector<int64_t> all =
      isHopper ? SmallVector<int64_t>{1, 2} : SmallVector<int64_t>{1, 3, 6, 12};
  llvm::erase_if(all, [&](int64_t height) { return height > b.shape.rows; });
  return all;
}

Value StagedMatmulEmitter::heightFor(Value rows) {
  SmallVector<int64_t> all = heights();
  Value height = b.index(all.back());
  for (int64_t h : llvm::reverse(ArrayRef(all).drop_back()))
    height = b.select(b.less(b.index(h), rows), height, b.index(h));
  return height;
}

/// A vector of the tile's sums, or the place for one.
Value StagedMatmulEmitter::sumAt(Value row, int64_t vector, std::optional<Value> store) {
  SmallVector<Value> at{row, b.index(vector * b.shape.lanes)};
  if (!store)
    return b.loadVector(sums, at, b.shape.lanes);
  b.storeVector(*store, sums, at);
  return {};
}

//===----------------------------------------------------------------------===//
// Tiles
//===----------------------------------------------------------------------===//

/// acc + the products of staged steps [from, to), one after the other.
Values StagedMatmulEmitter::stagedPart(const Tile &tile, Value from, Value to, Values acc) {
  int64_t vectors = operands.vectors(), turn = 4 / operands.unit();
  return b.carry(from, to, turn, acc, [&](Value at, Values acc) {
    for (int64_t i = 0; i < turn; ++i) {
      Value step = b.add(at, i);
      Values right;
      for (int64_t v = 0; v < vectors; ++v)
        right.push_back(operands.right(tile.slot, step, v));
      for (int64_t r = 0; r < tile.height; ++r) {
        Value left = operands.left(b.index(r), step);
        for (int64_t v = 0; v < vectors; ++v) {
          Value &sum = acc[r * vectors + v];
          sum = operands.pairs ? dotPairs(b, left, right[v], sum) : b.fma(left, right[v], sum);
        }
      }
    }
    return acc;
  });
}

Values StagedMatmulEmitter::hopperPart(const Tile &tile, Value from, Value to, Values acc) {
  HopperSum hopper(b);
  return hopper.sum(from, to, acc, [&](Value step) {
    std::pair<Values, Values> values;
    for (int64_t r = 0; r < tile.height; ++r)
      values.first.push_back(operands.left(b.index(r), step));
    for (int64_t v = 0; v < operands.vectors(); ++v)
      values.second.push_back(operands.right(tile.slot, step, v));
    return values;
  });
}

/// The same of a part of packed weights, two steps in a turn.
Values StagedMatmulEmitter::partInRegisters(const Tile &tile, Value part, Values acc) {
  int64_t vectors = operands.vectors(), width = tile.panels * vectors;
  Values bases;
  for (int64_t p = 0; p < tile.panels; ++p)
    bases.push_back(operands.layout.base(b, b.add(tile.panel, p), tile.batch));
  Value begin = wholeParts.begin(b, part), to = b.mul(part, wholeParts.padded());
  auto pair = [&](Value k, Values acc) {
    for (int64_t p = 0; p < tile.panels; ++p)
      for (int64_t v = 0; v < vectors; ++v) {
        auto [even, odd] = operands.rightInMemory(bases[p], b.add(begin, k), v);
        for (int64_t r = 0; r < tile.height; ++r) {
          Value &sum = acc[r * width + p * vectors + v];
          Value row = b.index(r), step = b.add(to, k);
          if (!odd) {
            sum = dotPairs(b, operands.leftWhole(row, b.div(step, 2)), even, sum);
            continue;
          }
          sum = b.fma(operands.leftWhole(row, step), even, sum);
          sum = b.fma(operands.leftWhole(row, b.add(step, 1)), odd, sum);
        }
      }
    return acc;
  };
  int64_t turn = wholeParts.areMultiples(4) ? 4 : 2;
  return b.carry(b.index(0), wholeParts.steps(b, part), turn, acc, [&](Value k, Values acc) {
    for (int64_t i = 0; i < turn; i += 2)
      acc = pair(b.add(k, i), acc);
    return acc;
  });
}

Values StagedMatmulEmitter::partOf(const Tile &tile, Value part, Values acc) {
  if (!tile.slot)
    return partInRegisters(tile, part, acc);
  Value from = b.div(b.mul(b.sub(part, tile.t0), parts.padded()), operands.unit());
  Value steps = b.mul(b.ceilDiv(parts.steps(b, part), 4), 4 / operands.unit());
  Value to = b.add(from, steps);
  return first.accumulate == Accumulate::Hopper ? hopperPart(tile, from, to, acc)
                                                : stagedPart(tile, from, to, acc);
}

/// sum = fma(part, scales, sum).
void StagedMatmulEmitter::promote(const Tile &tile, Value part, const Values &acc) {
  int64_t vectors = operands.vectors(), width = tile.panels * vectors;
  Value t = b.sub(part, tile.t0);
  Values ofRows;
  if (operands.hasLeftScale())
    for (int64_t r = 0; r < tile.height; ++r)
      ofRows.push_back(operands.leftScale(b.index(r), t, /*whole=*/!tile.slot));
  for (int64_t v = 0; v < width; ++v) {
    Value ofWeights = operands.rightScale(b.add(tile.panel, v / vectors), tile.slot, tile.batch,
                                          part, t, v % vectors);
    for (int64_t r = 0; r < tile.height; ++r) {
      Value scale = ofRows.empty() ? ofWeights : b.mulf(ofRows[r], ofWeights);
      sumAt(b.index(r), v, b.fma(acc[r * width + v], scale, sumAt(b.index(r), v)));
    }
  }
}

/// The same where AMX computes the parts, of the rows that are there.
void StagedMatmulEmitter::sumInTiles(const Tile &tile) {
  int64_t lanes = b.shape.lanes, rowTiles = tile.height / (TileProduct::side / 2);
  Value rows = operands.stagedRows(), panels = operands.stagedPanels();
  int64_t rowLength = cast<MemRefType>(rows.getType()).getDimSize(1), width = operands.layout.panel,
          panelLength = cast<MemRefType>(panels.getType()).getDimSize(1) * width;
  b.loop(tile.t0, tile.t1, 1, [&](Value at) {
    Value t = b.sub(at, tile.t0), from = b.div(b.mul(t, parts.padded()), operands.unit());
    TileProduct::Operand left{rows, from, lanes, 0, lanes * rowLength, rowLength},
        right{panels,        b.add(b.mul(tile.slot, panelLength), b.mul(from, width)),
              lanes * width, 0,
              lanes,         width};
    tiles.zeroSums(rowTiles);
    tiles.multiply(rowTiles, left, right, b.ceilDiv(parts.steps(b, at), TileProduct::side));
    tiles.storeSums(rowTiles, part, b.index(0), width);
    Values ofWeights;
    for (int64_t v = 0; v < operands.vectors(); ++v)
      ofWeights.push_back(operands.rightScale(tile.panel, tile.slot, tile.batch, at, t, v));
    b.loop(b.index(0), tile.valid, 1, [&](Value r) {
      Value ofRow = operands.leftScale(r, t, /*whole=*/false);
      for (int64_t v = 0; v < operands.vectors(); ++v) {
        Value sum = b.loadVector(part, {r, b.index(v * lanes)}, lanes);
        sumAt(r, v, b.fma(sum, b.mulf(ofRow, ofWeights[v]), sumAt(r, v)));
      }
    });
  });
}

/// A tile of rows [m0, m1) and panels [p0, p1) asks for a part of the weights that are staged next:
/// those of the same panels, or the first ones of the panels after these, which the next task
/// reads.
void StagedMatmulEmitter::prefetchNext(const Tile &tile, Value m0, Value m1, Value p0, Value p1) {
  if (!operands.prefetches())
    return;
  Value isLast = b.equal(tile.t1, b.index(parts.count())),
        wraps = b.equal(p1, b.index(operands.layout.panels()));
  Value panel = b.select(isLast, b.select(wraps, b.index(0), p1), p0),
        part = b.select(isLast, b.index(0), tile.t1), batch = tile.batch;
  if (batch)
    batch = b.select(arith::AndIOp::create(b, isLast, wraps),
                     b.min(b.add(batch, 1), b.index(first.batch - 1)), batch);
  Value count = b.sub(p1, p0), blocks = b.ceilDiv(b.sub(m1, m0), heights().back());
  Value share = b.add(b.mul(b.div(b.sub(tile.row, m0), heights().back()), count), tile.slot);
  operands.prefetch(batch, panel, panelsOfTask, part, partsOfBlock, share, b.mul(blocks, count));
}

/// Adds the parts of a tile to its sums.
void StagedMatmulEmitter::sumTile(const Tile &tile) {
  if (inTiles)
    return sumInTiles(tile);
  int64_t width = tile.panels * operands.vectors();
  b.loop(tile.t0, tile.t1, 1, [&](Value part) {
    Values acc(tile.height * width, b.zeros(b.vectorOf(b.shape.lanes, b.getF32Type())));
    if (promotes())
      return promote(tile, part, partOf(tile, part, acc));
    for (int64_t i = 0; i < tile.height * width; ++i)
      acc[i] = sumAt(b.index(i / width), i % width);
    acc = partOf(tile, part, acc);
    for (int64_t i = 0; i < tile.height * width; ++i)
      sumAt(b.index(i / width), i % width, acc[i]);
  });
}

/// For each of the tile's rows and vectors of outputs: `vector` counts over all panels, `valid`
/// outputs of it are there.
void StagedMatmulEmitter::forVectors(const Tile &tile,
                                     function_ref<void(Value, Value, int64_t, int64_t)> body) {
  for (int64_t p = 0; p < tile.panels; ++p) {
    Value panel = b.add(tile.panel, p);
    operands.layout.onLast(b, panel, [&](bool last) {
      b.loop(b.index(0), tile.valid, 1, [&](Value r) {
        for (int64_t v = 0; v < operands.vectors(); ++v)
          body(r, panel, p * operands.vectors() + v, operands.layout.valid(last, v, b.shape.lanes));
      });
    });
  }
}

/// The sums as they begin, or as an earlier block left them in the result's memory.
void StagedMatmulEmitter::beginTile(const Tile &tile, bool isFirst) {
  int64_t width = tile.panels * operands.vectors();
  Value zero = b.zeros(b.vectorOf(b.shape.lanes, b.getF32Type()));
  if (isFirst && inTiles)
    return b.loop(b.index(0), tile.valid, 1, [&](Value r) {
      for (int64_t v = 0; v < width; ++v)
        sumAt(r, v, zero);
    });
  if (isFirst) {
    for (int64_t i = 0; i < tile.height * width; ++i)
      sumAt(b.index(i / width), i % width, zero);
    return;
  }
  forVectors(tile, [&](Value r, Value panel, int64_t vector, int64_t lanes) {
    Value column = operands.columnOf(panel, vector % operands.vectors());
    if (!lanes)
      return void(sumAt(r, vector, zero));
    auto at = outPlace(first, out, b.add(tile.row, r), column, tile.batch);
    sumAt(r, vector, b.loadVector(out, at, b.shape.lanes, lanes));
  });
}

void StagedMatmulEmitter::endTile(const Tile &tile, bool isLast) {
  int64_t vectors = operands.vectors(), each = vectors / products.size();
  forVectors(tile, [&](Value r, Value panel, int64_t vector, int64_t lanes) {
    if (vector % vectors >= each || !lanes) // one result of a pair
      return;
    Value row = b.add(tile.row, r), column = operands.columnOf(panel, vector % vectors);
    Values ofProducts;
    for (unsigned q = 0; q < products.size(); ++q)
      ofProducts.push_back(sumAt(r, vector + q * each));
    Value result = ofProducts[0];
    if (isLast && epilogue)
      result = epilogue.apply(b, ofProducts, row, column, lanes);
    b.storeVector(result, out, outPlace(first, out, row, column, tile.batch), lanes);
  });
}

/// The codes of rows [m0, m1) in panels [p0, p1), which are whole.
void StagedMatmulEmitter::quantizeRows(Value m0, Value m1, Value p0, Value p1) {
  if (!quantize)
    return;
  Value from = b.mul(p0, operands.layout.panel),
        to = b.min(b.mul(p1, operands.layout.panel), b.index(first.n));
  b.loop(m0, m1, 1, [&](Value row) { quantizeRow(kernel, quantize, row, from, to); });
}

//===----------------------------------------------------------------------===//
// Tasks
//===----------------------------------------------------------------------===//

void StagedMatmulEmitter::emitBlock(Value m0, Value m1, Value batch, Value p0, Value p1, Value t0,
                                    Value t1) {
  bool isOnly = partsOfBlock == parts.count();
  b.loop(p0, p1, 1,
         [&](Value panel) { operands.stagePanel(panel, b.sub(panel, p0), batch, t0, t1); });
  Value last = b.sub(m1, b.index(1)), isFirst = b.equal(t0, b.index(0)),
        isLast = b.equal(t1, b.index(parts.count()));
  b.loop(m0, m1, heights().back(), [&](Value row) {
    Value valid = b.min(b.sub(m1, row), b.index(heights().back()));
    Value height = heightFor(valid);
    // AMX takes missing rows as it finds them: their sums are their own.
    operands.stageRows(row, inTiles ? valid : height, last, batch, t0, t1);
    b.switchOn(height, heights(), [&](int64_t h) {
      b.loop(p0, p1, 1, [&](Value panel) {
        Tile tile{h, 1, row, batch, panel, b.sub(panel, p0), t0, t1, valid};
        if (isOnly)
          beginTile(tile, true);
        else
          b.choose(
              isFirst, [&] { beginTile(tile, true); }, [&] { beginTile(tile, false); });
        prefetchNext(tile, m0, m1, p0, p1);
        sumTile(tile);
        if (isOnly || !epilogue)
          return endTile(tile, true);
        b.choose(
            isLast, [&] { endTile(tile, true); }, [&] { endTile(tile, false); });
      });
    });
    if (quantize)
      b.when(isLast, [&] { quantizeRows(row, b.add(row, valid), p0, p1); });
  });
}

void StagedMatmulEmitter::emitFewRows(Value m0, Value m1, Value batch, Value p0, Value p1) {
  Value rows = b.sub(m1, m0), last = b.sub(m1, b.index(1));
  Value none = b.index(0), all = b.index(wholeParts.count());
  auto sum = [&](int64_t height, int64_t panels, Value panel) {
    Tile tile{height, panels, m0, batch, panel, {}, none, all, rows};
    beginTile(tile, true);
    sumTile(tile);
    endTile(tile, true);
  };
  b.choose(
      b.equal(rows, b.index(1)),
      [&] {
        operands.stageWhole(m0, b.index(1), last, batch);
        Value after = p0;
        if (operands.layout.panels() >= together) {
          after = b.add(p0, b.mul(b.div(b.sub(p1, p0), together), together));
          b.loop(p0, after, together, [&](Value panel) { sum(1, together, panel); });
        }
        b.loop(after, p1, 1, [&](Value panel) { sum(1, 1, panel); });
      },
      [&] {
        operands.stageWhole(m0, b.index(fewRows), last, batch);
        b.loop(p0, p1, 1, [&](Value panel) { sum(fewRows, 1, panel); });
      });
  quantizeRows(m0, m1, p0, p1);
}

void StagedMatmulEmitter::emitBlock(Value m0, Value m1, Value batch, Value p0, Value p1) {
  auto manyRows = [&] {
    int64_t all = parts.count();
    if (partsOfBlock == all)
      return emitBlock(m0, m1, batch, p0, p1, b.index(0), b.index(all));
    b.loop(0, all, partsOfBlock, [&](Value t0) {
      emitBlock(m0, m1, batch, p0, p1, t0, b.min(b.add(t0, partsOfBlock), b.index(all)));
    });
  };
  Value rows = b.sub(m1, m0);
  b.when(b.less(b.index(0), rows), [&] {
    if (!fewInRegisters)
      return manyRows();
    b.choose(b.less(b.index(fewRows), rows), manyRows, [&] { emitFewRows(m0, m1, batch, p0, p1); });
  });
}

/// A block's panels of a task take three quarters of a megabyte, or half of that where vectors are
/// narrower, and caches with them. AMX reads operands faster than the second cache brings them: a
/// block's rows fill half of the first one, and leave the second one to the task's results.
void StagedMatmulEmitter::planTasks() {
  int64_t steps = inTiles               ? 384
                  : b.shape.lanes == 16 ? 1024
                                        : 512,
          panels = operands.layout.panels();
  if (promotes()) {
    parts = wholeParts = SumParts::of(first, inTiles ? TileProduct::side : 4);
  } else {
    // Equal blocks, of whole panels where weights are stored in panels.
    parts = SumParts::of(first.k, llvm::alignTo(evenly(first.k, steps), 64));
    wholeParts = SumParts::of(first.k, first.k);
  }
  partsOfBlock =
      evenly(parts.count(), promotes() ? std::max<int64_t>(1, steps / parts.padded()) : 1);
  int64_t panelBytes = partsOfBlock * parts.padded() / operands.unit() * operands.layout.panel * 4;
  int64_t cache = inTiles ? 384 << 10 : b.shape.lanes == 16 ? 768 << 10 : 384 << 10;
  panelsOfTask =
      evenly(panels, std::clamp<int64_t>(cache / panelBytes, std::min(panels, together), panels));
  if (quantize) // a tile of codes is in one task
    panelsOfTask = std::min<int64_t>(
        panels, llvm::alignTo(panelsOfTask, quantize.getBlock()[1] / operands.layout.panel));
  rowsOfTask = rowsOfTasks(first, llvm::divideCeil(panels, panelsOfTask), mostRows());
}

LogicalResult StagedMatmulEmitter::emit() {
  if (failed(operands.findMemory()))
    return failure();
  out = kernel.memory(kernel.tensors.getBody().front().getTerminator()->getOperand(0));
  if (!out)
    return first.op->emitOpError("kernel wants its result to be the kernel's");
  epilogue = ProductEpilogue(kernel, generic, products);
  auto quantizers = kernel.tensors.getBody().front().getOps<fp8::QuantizeOp>();
  if (!quantizers.empty()) {
    quantize = *quantizers.begin();
    if (quantize.getX() != kernel.tensors.getBody().front().getTerminator()->getOperand(0) ||
        quantize.getBlock()[1] % operands.layout.panel)
      return quantize.emitOpError() << "in the kernel of a product wants tiles of a multiple of "
                                    << operands.layout.panel << " outputs of the kernel's result";
  }
  planTasks();
  // Hopper's sums want the values of both operands as they are; a row's sums in AMX tiles have one
  // order, whatever rows are beside it.
  fewInRegisters = !inTiles && operands.readsInRegisters() && first.accumulate == Accumulate::F32;
  int64_t scratchBytes = 0, width = operands.layout.panel;
  if (inTiles) {
    tiles.configure(kernel.scratch, scratchBytes);
    part = b.scratchView(kernel.scratch, scratchBytes, {TileProduct::side, width}, b.getF32Type());
  }
  sums = b.scratchView(kernel.scratch, scratchBytes,
                       {std::max(mostRows(), fewRows), (inTiles ? 1 : together) * width},
                       b.getF32Type());
  operands.place(heights().back(), panelsOfTask, parts, partsOfBlock, scratchBytes);
  if (fewInRegisters)
    operands.placeWhole(fewRows, wholeParts, scratchBytes);
  ProductCut cut{operands.layout.panels(), panelsOfTask, rowsOfTask, mostRows()};
  auto tasks =
      forProductTasks(kernel, first, cut, [&](Value m0, Value m1, Value batch, Value p0, Value p1) {
        emitBlock(m0, m1, batch, p0, p1);
      });
  if (inTiles)
    tiles.release();
  kernel.finish(tasks, scratchBytes);
  return success();
}

} // namespace

bool hadal::wantsStaging(Kernel &kernel, ArrayRef<Product> products) {
  const Product &first = products.front();
  if (first.leftScale)
    return true;
  Value right = kernel.memory(first.right);
  if (!right) // emitMatmul says so
    return false;
  bool isLaidOut = cast<MemRefType>(right.getType()).getRank() == 1;
  if (first.scale)
    return !isLaidOut;
  const VectorShape &shape = kernel.b.shape;
  Type weights = getElementTypeOrSelf(first.right.getType());
  bool inVectors = first.leftK == cast<RankedTensorType>(first.left.getType()).getRank() - 1;
  return shape.pairs && isHeldByBf16(first.op) && inVectors && isLaidOut &&
         (kernel.inPanels(first.right) || weights.isBF16());
}

LogicalResult hadal::emitStagedMatmul(Kernel &kernel, ArrayRef<Product> products,
                                      linalg::GenericOp epilogue) {
  return StagedMatmulEmitter(kernel, products, epilogue).emit();
}
