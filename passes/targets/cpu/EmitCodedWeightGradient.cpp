//===- EmitCodedWeightGradient.cpp - gradients of weights, of FP8 codes ---===//
//
// OUT[n, k] += sum over rows t, ascending, of gradient[t, n] * X[t, k], both codes with one scale
// for each column of a tile of rows (DeepSeek-V3, arXiv:2412.19437, section 3.3.2): a tile's part
// is a chain of fused multiply-adds on the codes' numbers, from zero, which joins the sum with the
// product of the two scales. A tile of rows is copied and decoded at a time, and OUT waits in
// memory between tiles. In AMX tiles a part is one chain, too, in an order of its own.
//
//===----------------------------------------------------------------------===//

#include "passes/targets/cpu/HopperSum.h"
#include "passes/targets/cpu/ProductTasks.h"
#include "passes/targets/cpu/WeightGradientTiles.h"

using namespace mlir;
using namespace hadal;
using Values = KernelBuilder::Values;

namespace {

/// Rows copied at once where a tile is a whole group.
constexpr int64_t blockOfGroup = 128, mostRows = 256;

class CodedWeightGradientEmitter : WeightGradientTiles {
public:
  CodedWeightGradientEmitter(Kernel &kernel, const WeightGradient &g)
      : WeightGradientTiles(kernel, g, blockOf(g), heightOf(kernel, g), usesTiles(kernel, g)) {}
  LogicalResult emit();

private:
  static int64_t blockOf(const WeightGradient &g) { return g.tile ? g.tile : blockOfGroup; }
  /// Parts begin where AMX's steps do.
  static bool usesTiles(Kernel &kernel, const WeightGradient &g) {
    return kernel.b.shape.tiles && g.accumulate == Accumulate::F32 &&
           !kernel.inPanels(g.result()) && g.interval &&
           (g.interval % TileProduct::side == 0 || g.interval >= blockOf(g));
  }
  /// A step of Hopper's sum holds three numbers for each of a tile's.
  static int64_t heightOf(Kernel &kernel, const WeightGradient &g) {
    if (usesTiles(kernel, g))
      return TileProduct::side;
    int64_t rows = kernel.b.shape.rows;
    return g.accumulate == Accumulate::Hopper ? std::max<int64_t>(rows / 3, 1) : rows;
  }
  struct Block { // of rows of a group
    Value count, scales;
    Value isFirst, isLast;
  };
  void begin(const Part &part);
  void tile(const Part &part, const Place &at, const Block &block);
  Values sum(Value t0, Value t1, const Place &at, Values parts);
  Values vectorScales(const Place &at, Value scales);
  void promote(const Values &parts, const Place &at, Value scales);
  void promoteTiles(const Place &at, Value scales);
  Values held(const Place &at, Value first, const Values *stored);

  Value tileParts; ///< of the sum, of AMX's tiles; or null
  Value heldParts; ///< of a group's sum, where it has more rows than are copied at once; or null
};

/// What the sums start from, where it is not there already.
void CodedWeightGradientEmitter::begin(const Part &part) {
  if (inPlace)
    return;
  forTiles(part, [&](const Place &at) {
    Value zero = b.zeros(b.vectorOf(b.shape.lanes, b.getF32Type()));
    auto begin = [&](const Place &at) {
      store(init ? load(init, at) : Values(at.rows * vectors, zero), at);
    };
    if (!inTiles)
      return begin(at);
    b.loop(0, at.rows, 1, [&](Value r) { // for there are more than registers
      Place row = at;
      row.rows = 1, row.first = b.add(at.first, r);
      begin(row);
    });
  });
  zeroPadding(part);
}

/// Adds the products of copied rows [t0, t1) to `parts`.
Values CodedWeightGradientEmitter::sum(Value t0, Value t1, const Place &at, Values parts) {
  if (g.accumulate == Accumulate::F32)
    return chain(t0, t1, at, parts);
  HopperSum hopper(b);
  return hopper.sum(t0, t1, parts, [&](Value t) {
    Values left;
    for (int64_t r = 0; r < at.rows; ++r)
      left.push_back(broadcast(t, r, at));
    return std::pair(left, vectorsOf(t, at));
  });
}

Values CodedWeightGradientEmitter::vectorScales(const Place &at, Value scales) {
  int64_t lanes = b.shape.lanes;
  Values right;
  for (int64_t v = 0; v < vectors; ++v) {
    int64_t valid = layout.valid(at.last, v, lanes);
    Value column = b.add(b.mul(at.panel, panel), v * lanes);
    right.push_back(valid ? scalesAt(vectorSide, scales, column, lanes, valid)
                          : b.zeros(b.vectorOf(lanes, b.getF32Type())));
  }
  return right;
}

/// Adds parts, times their scales, to what OUT holds.
void CodedWeightGradientEmitter::promote(const Values &parts, const Place &at, Value scales) {
  int64_t lanes = b.shape.lanes;
  Values right = vectorScales(at, scales);
  Values sums = load(out, at);
  for (int64_t r = 0; r < at.rows; ++r) {
    Value left = b.splat(scalesAt(broadcastSide, scales, b.add(at.first, r), 0, 0), lanes);
    for (int64_t v = 0; v < vectors; ++v) {
      Value &sum = sums[r * vectors + v];
      sum = b.fma(parts[r * vectors + v], b.mulf(left, right[v]), sum);
    }
  }
  store(sums, at);
}

/// The same of the parts that AMX stored.
void CodedWeightGradientEmitter::promoteTiles(const Place &at, Value scales) {
  int64_t lanes = b.shape.lanes;
  Values right = vectorScales(at, scales);
  b.loop(0, at.rows, 1, [&](Value r) {
    Value a = b.add(at.first, r);
    Value left = b.splat(scalesAt(broadcastSide, scales, a, 0, 0), lanes);
    for (int64_t v = 0; v < vectors; ++v) {
      Value part = b.loadVector(tileParts, {r, b.index(v * lanes)}, lanes);
      place(out, at, a, v, b.fma(part, b.mulf(left, right[v]), place(out, at, a, v)));
    }
  });
}

/// Parts that wait for a group's other rows: loads or stores a tile's.
Values CodedWeightGradientEmitter::held(const Place &at, Value first, const Values *stored) {
  Values parts;
  for (int64_t r = 0; r < at.rows; ++r)
    for (int64_t v = 0; v < vectors; ++v) {
      SmallVector<Value> place{at.copied, b.add(first, r), b.index(v * b.shape.lanes)};
      if (stored)
        b.storeVector((*stored)[r * vectors + v], heldParts, place);
      else
        parts.push_back(b.loadVector(heldParts, place, b.shape.lanes));
    }
  return parts;
}

void CodedWeightGradientEmitter::tile(const Part &part, const Place &at, const Block &rows) {
  Type type = b.vectorOf(b.shape.lanes, b.getF32Type());
  Values zeros(at.rows * vectors, b.zeros(type));
  prefetchNext(at);
  if (!heldParts) {
    auto parts = [&](Value t0) {
      Value t1 = b.min(b.add(t0, g.interval), rows.count);
      if (!inTiles)
        return promote(sum(t0, t1, at, zeros), at, rows.scales);
      multiplyTiles(t0, t1, at, tileParts);
      promoteTiles(at, rows.scales);
    };
    return g.interval < block ? b.loop(b.index(0), rows.count, g.interval, parts)
                              : parts(b.index(0));
  }
  Value first = b.sub(at.first, part.a0);
  Values parts = b.choose(
      rows.isFirst, SmallVector<Type>(zeros.size(), type), [&] { return zeros; },
      [&] { return held(at, first, nullptr); });
  parts = sum(b.index(0), rows.count, at, parts);
  b.choose(
      rows.isLast, [&] { promote(parts, at, rows.scales); }, [&] { held(at, first, &parts); });
}

LogicalResult CodedWeightGradientEmitter::emit() {
  if (block > mostRows)
    return g.op->emitOpError() << "kernel wants tiles of at most " << mostRows << " rows, got "
                               << block;
  if (failed(prepare()))
    return failure();
  if (inTiles) {
    amx.configure(kernel.scratch, scratchBytes);
    tileParts =
        b.scratchView(kernel.scratch, scratchBytes, {TileProduct::side, panel}, b.getF32Type());
  }
  if (!g.interval)
    heldParts =
        b.scratchView(kernel.scratch, scratchBytes, {panelsOfTask, range, panel}, b.getF32Type());
  auto tasks = forWeightGradientTasks(
      kernel, g, inPlace, strips(), ranges(), [&](Value expert, Value strip, Value rangeAt) {
        Part part = partOf(expert, strip, rangeAt);
        begin(part);
        forGroups(kernel, g, expert, rowCount(), [&](Value group, Value from, Value to) {
          // A group's rows of scales come after those that all rows before it may have at most.
          Value scales = g.tile ? b.add(b.div(from, g.tile), group) : group;
          if (!g.tile)
            makeScales(from, to);
          b.loop(from, to, block, [&](Value t0) {
            Block rows{b.min(b.sub(to, t0), b.index(block)), scales, b.equal(t0, from), {}};
            if (g.tile)
              rows.scales = b.add(scales, b.div(b.sub(t0, from), g.tile));
            rows.isLast = b.equal(b.add(t0, rows.count), to);
            if (g.tile)
              makeScales(t0, b.add(t0, rows.count));
            copy(part, t0, rows.count);
            forTiles(part, [&](const Place &at) { tile(part, at, rows); });
          });
        });
      });
  if (inTiles)
    amx.release();
  kernel.finish(tasks, scratchBytes);
  return success();
}

} // namespace

LogicalResult hadal::emitCodedWeightGradient(Kernel &kernel, const WeightGradient &gradient) {
  return CodedWeightGradientEmitter(kernel, gradient).emit();
}
