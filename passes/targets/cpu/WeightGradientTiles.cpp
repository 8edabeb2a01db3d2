//===- WeightGradientTiles.cpp - operands and sums of weight gradients ----===//

#include "passes/targets/cpu/WeightGradientTiles.h"
#include "passes/targets/cpu/Bf16Pairs.h"
#include "passes/targets/cpu/ProductTasks.h"

using namespace mlir;
using namespace hadal;
using Values = KernelBuilder::Values;

LogicalResult WeightGradientTiles::prepare() {
  auto operand = [&](Value tensor, Value scale, Value source, int64_t size) {
    Operand result;
    result.size = size;
    if (scale) {
      result.format = getElementTypeOrSelf(tensor.getType());
      result.made = tensor.getDefiningOp<fp8::QuantizeOp>();
    }
    result.memory = kernel.memory(result.made ? result.made.getX() : tensor);
    if (scale && !result.made)
      result.scales = kernel.memory(scale);
    if (source)
      result.source = kernel.memory(source);
    return result;
  };
  Operand x = operand(g.rows, g.rowsScale, g.source, g.k),
          dy = operand(g.gradient, g.gradientScale, {}, g.n);
  out = kernel.memory(g.result());
  if (g.init)
    init = kernel.memory(g.init);
  auto isThere = [](const Operand &o) { return o.memory && (!o.format || o.made || o.scales); };
  if (!out || !isThere(x) || !isThere(dy) || (g.init && !init) || (g.source && !x.source))
    return kernel.tensors.emitError(
        "weight gradient kernel wants its operands to be arguments or views of them");
  inPlace = init == out;
  inPanels = kernel.inPanels(g.result());
  if (g.init && kernel.inPanels(g.init) != inPanels)
    return kernel.tensors.emitError("weight gradient kernel wants init and result to lie alike");
  broadcastSide = inPanels ? x : dy, vectorSide = inPanels ? dy : x;
  bool isHeld = g.rowsScale ? g.accumulate == Accumulate::F32 : isHeldByBf16(g.op);
  pairs = (b.shape.pairs && isHeld) || inTiles;
  cut();
  copiedRange = b.scratchView(kernel.scratch, scratchBytes, {(range / height + 1) * valuesOfTile()},
                              copiedType());
  copiedPanels = b.scratchView(kernel.scratch, scratchBytes, {panelsOfTask, copiedRows(), panel},
                               copiedType());
  layOutScales(broadcastSide, range);
  layOutScales(vectorSide, panelsOfTask * panel);
  return success();
}

/// Copied values, copied panels and the part of OUT stay in the second cache: 1.25 MB where vectors
/// are as wide as in processors that have 2 MB, half a megabyte elsewhere. Smaller matrices are cut
/// further, so that there are enough tasks.
void WeightGradientTiles::cut() {
  layout = PanelLayout::of(vectorSide.size, broadcastSide.size, b.getF32Type(), 1, b.shape);
  panel = layout.panel, vectors = panel / b.shape.lanes;
  bool wide = b.shape.lanes == 16;
  // Parts alike: a short one at the end would copy the other operand for little.
  range =
      llvm::alignTo(evenly(broadcastSide.size, llvm::alignTo(wide ? 512 : 256, height)), height);
  panelsOfTask = evenly(layout.panels(), (wide ? 256 : 128) / panel);
  while (range >= (inTiles ? 4 : 16) * height && g.batch * strips() * ranges() < 8)
    range = llvm::alignTo(range / 2, height);
}

WeightGradientTiles::Part WeightGradientTiles::partOf(Value expert, Value strip, Value rangeAt) {
  Value a0 = b.mul(rangeAt, range), p0 = b.mul(strip, panelsOfTask),
        p1 = b.min(b.add(p0, panelsOfTask), b.index(layout.panels()));
  broadcastSide.begin = a0;
  broadcastSide.end = b.min(b.add(a0, range), b.index(broadcastSide.size));
  vectorSide.begin = b.mul(p0, panel);
  vectorSide.end = b.min(b.mul(p1, panel), b.index(vectorSide.size));
  return {expert,
          p0,
          p1,
          a0,
          b.div(b.sub(broadcastSide.end, a0), height),
          b.equal(rangeAt, b.index(ranges() - 1))};
}

//===----------------------------------------------------------------------===//
// Scales that are made here
//===----------------------------------------------------------------------===//

void WeightGradientTiles::layOutScales(Operand &operand, int64_t columns) {
  if (!operand.made)
    return;
  // Vectors of the last columns end after them.
  auto view = [&](Type type) {
    return b.scratchView(kernel.scratch, scratchBytes, {columns + 16}, type);
  };
  operand.most = view(b.getI32Type());
  operand.scales = view(b.getF32Type());
  operand.divisors.inversePower = view(b.getF32Type());
  if (!operand.made.getPow2()) {
    operand.divisors.mantissa = view(b.getF32Type());
    operand.divisors.inverseMantissa = view(b.getF32Type());
  }
}

void WeightGradientTiles::makeScales(Value t0, Value t1) {
  for (const Operand &operand : {broadcastSide, vectorSide})
    if (operand.made)
      makeScales(operand, t0, t1);
}

void WeightGradientTiles::makeScales(const Operand &operand, Value t0, Value t1) {
  int64_t lanes = b.shape.lanes;
  bool pow2 = fp8::QuantizeOp(operand.made).getPow2();
  auto format = fp8::QuantizeOp(operand.made).codeFormat();
  Value size = b.index(operand.size), columns = b.sub(operand.end, operand.begin);
  // Whole vectors, which may read columns of the next part, and what is left at the row's end.
  Value whole = b.min(b.mul(b.ceilDiv(columns, lanes), lanes),
                      b.mul(b.div(b.sub(size, operand.begin), lanes), lanes));
  auto forVectors = [&](function_ref<void(Value column, Value mask)> body) {
    b.loop(b.index(0), whole, lanes, [&](Value column) { body(column, {}); });
    b.when(b.less(whole, columns), [&] {
      Value valid = b.sub(b.sub(size, operand.begin), whole);
      body(whole, b.maskOf(lanes, valid));
    });
  };
  auto bits = b.vectorOf(lanes, b.getI32Type());
  forVectors([&](Value column, Value) { b.storeVector(b.zeros(bits), operand.most, {column}); });
  auto take = [&](Value first, int64_t count) { // rows
    forVectors([&](Value column, Value mask) {
      Value most = b.loadVector(operand.most, {column}, lanes);
      for (int64_t i = 0; i < count; ++i) {
        SmallVector<Value> at{b.add(first, i), b.add(operand.begin, column)};
        most = largerBits(b, most, b.widen(b.loadVector(operand.memory, at, lanes, mask)));
      }
      b.storeVector(most, operand.most, {column});
    });
  };
  Value main = b.add(t0, b.mul(b.div(b.sub(t1, t0), 4), 4));
  b.loop(t0, main, 4, [&](Value t) { take(t, 4); });
  b.loop(main, t1, 1, [&](Value t) { take(t, 1); });
  forVectors([&](Value column, Value) {
    Value scale = scaleOf(b, b.loadVector(operand.most, {column}, lanes), format, pow2);
    b.storeVector(scale, operand.scales, {column});
    Divisor parts = inParts(b, scale, pow2);
    b.storeVector(parts.inversePower, operand.divisors.inversePower, {column});
    if (pow2)
      return;
    b.storeVector(parts.mantissa, operand.divisors.mantissa, {column});
    b.storeVector(parts.inverseMantissa, operand.divisors.inverseMantissa, {column});
  });
}

Value WeightGradientTiles::scalesAt(const Operand &operand, Value tile, Value column, int64_t lanes,
                                    int64_t valid) {
  SmallVector<Value> at{tile, column};
  if (operand.made)
    at = {b.sub(column, operand.begin)}, valid = lanes;
  return lanes ? b.loadVector(operand.scales, at, lanes, valid) : b.load(operand.scales, at);
}

//===----------------------------------------------------------------------===//
// Copies
//===----------------------------------------------------------------------===//

Value WeightGradientTiles::load(const Operand &operand, Rows rows, Value column, int64_t lanes,
                                int64_t valid) {
  if (valid == 0)
    return b.zeros(b.vectorOf(lanes, copiedType()));
  auto loadRaw = [&](Value row, Value condition) {
    Value v = b.loadVector(operand.memory, {row, column}, lanes, valid);
    return condition ? b.select(condition, v, b.zeros(v.getType())) : v;
  };
  if (pairs && operand.format && !operand.made) { // turns of codes, then all of them at once
    Value first = loadRaw(rows.first, rows.hasFirst),
          second = rows.second ? loadRaw(rows.second, rows.hasSecond) : b.zeros(first.getType());
    SmallVector<int64_t> turns;
    for (int64_t lane = 0; lane < lanes; ++lane)
      turns.push_back(lane), turns.push_back(lanes + lane);
    Value both = vector::ShuffleOp::create(b, first, second, turns);
    return pairsOfBf16(b, decodeF8ToBf16(b, both, operand.format));
  }
  auto load = [&](Value row, Value condition) {
    Value v = loadRaw(row, condition);
    if (!operand.made)
      return operand.format ? decodeF8(b, v, operand.format) : v;
    fp8::QuantizeOp made = operand.made;
    auto part = [&](Value view) {
      return view ? b.loadVector(view, {b.sub(column, operand.begin)}, lanes) : Value();
    };
    Divisor divisor{part(operand.divisors.inversePower), part(operand.divisors.mantissa),
                    part(operand.divisors.inverseMantissa)};
    return nearest(b, b.widen(v), divisor, made.codeFormat());
  };
  Value first = load(rows.first, rows.hasFirst);
  if (!pairs)
    return first;
  return pairOf(b, first,
                rows.second ? load(rows.second, rows.hasSecond) : b.zeros(first.getType()));
}

/// Runs `copy` for each row that is copied, with its place.
void WeightGradientTiles::forRows(const Operand &operand, Value t0, Value count,
                                  function_ref<void(Rows, Value)> copy) {
  auto rowOf = [&](Value t) {
    Value row = b.add(t0, t);
    return operand.source ? b.toIndex(b.load(operand.source, {row})) : row;
  };
  if (!pairs)
    return b.loop(b.index(0), count, 1, [&](Value t) { copy({rowOf(t), {}, {}, {}}, t); });
  Value whole = b.div(count, 2);
  b.loop(b.index(0), whole, 1, [&](Value i) {
    Value t = b.mul(i, 2);
    copy({rowOf(t), rowOf(b.add(t, 1)), {}, {}}, i);
  });
  Value last = b.mul(whole, 2);
  b.when(b.less(last, count), [&] { copy({rowOf(last), {}, {}, {}}, whole); });
}

/// [tile][t][height], tiles a line further apart than they are long: powers of two would meet in
/// one set of the cache. A row's vector is longer than its place; the next row, which comes after
/// it, takes what is too much.
void WeightGradientTiles::copyRange(const Part &part, Value t0, Value count) {
  int64_t rest = broadcastSide.size % height, width = llvm::PowerOf2Ceil(height);
  // Tiles whose vectors end in the row.
  Value fits = b.max(b.sub(b.index(broadcastSide.size - width + height), part.a0), b.index(0));
  Value whole = b.min(part.tiles, b.div(fits, height));
  forRows(broadcastSide, t0, count, [&](Rows rows, Value t) {
    auto copy = [&](Value tile, int64_t lanes, int64_t valid) {
      Value column = b.add(part.a0, b.mul(tile, height)),
            to = b.add(b.mul(tile, valuesOfTile()), b.mul(t, height));
      b.storeVector(load(broadcastSide, rows, column, lanes, valid), copiedRange, {to});
    };
    b.loop(b.index(0), whole, 1, [&](Value tile) { copy(tile, width, width); });
    b.loop(whole, part.tiles, 1, [&](Value tile) { copy(tile, width, height); });
    if (rest)
      b.when(part.isLast, [&] { copy(part.tiles, width, rest); });
  });
}

/// [tile][height][t], pairs of them, filled up with zeros to whole tiles of AMX.
void WeightGradientTiles::copyTurned(const Part &part, Value t0, Value count) {
  Value whole = b.div(count, TileProduct::side);
  b.loop(b.index(0), whole, 1,
         [&](Value step) { copyTurned(part, t0, count, step, /*isWhole=*/true); });
  b.when(b.less(b.mul(whole, TileProduct::side), count),
         [&] { copyTurned(part, t0, count, whole, /*isWhole=*/false); });
}

/// A step's 32 rows: squares of 16 pairs and 16 values change sides.
void WeightGradientTiles::copyTurned(const Part &part, Value t0, Value count, Value step,
                                     bool isWhole) {
  const Operand &operand = broadcastSide;
  SmallVector<Rows> pairsOfRows(16);
  for (int64_t i = 0; i < TileProduct::side; ++i) {
    Value t = b.add(b.mul(step, TileProduct::side), i), isThere;
    if (!isWhole) {
      isThere = b.less(t, count);
      t = b.min(t, b.sub(count, b.index(1)));
    }
    Value row = b.add(t0, t);
    if (operand.source)
      row = b.toIndex(b.load(operand.source, {row}));
    Rows &rows = pairsOfRows[i / 2];
    (i % 2 ? rows.second : rows.first) = row;
    (i % 2 ? rows.hasSecond : rows.hasFirst) = isThere;
  }
  auto floats = b.vectorOf(16, b.getF32Type()), bits = b.vectorOf(16, b.getI32Type());
  auto square = [&](Value tile, Value half, int64_t valid) {
    Value value = b.mul(half, 16), column = b.add(b.add(part.a0, b.mul(tile, height)), value);
    Values turned;
    for (const Rows &rows : pairsOfRows)
      turned.push_back(arith::BitcastOp::create(b, floats, load(operand, rows, column, 16, valid)));
    Value to =
        b.add(b.add(b.mul(tile, valuesOfTile()), b.mul(value, lengthOfValue())), b.mul(step, 16));
    for (auto [i, v] : llvm::enumerate(b.transpose(turned)))
      b.storeVector(arith::BitcastOp::create(b, bits, v), copiedRange,
                    {b.add(to, i * lengthOfValue())});
  };
  b.loop(b.index(0), part.tiles, 1,
         [&](Value tile) { b.loop(0, 2, 1, [&](Value half) { square(tile, half, 16); }); });
  int64_t rest = operand.size % height;
  if (!rest)
    return;
  b.when(part.isLast, [&] {
    for (int64_t half = 0; 16 * half < rest; ++half)
      square(part.tiles, b.index(half), std::min<int64_t>(rest - 16 * half, 16));
  });
}

/// [panel][t][lanes], a row after the other: its panels stand side by side.
void WeightGradientTiles::copyPanels(const Part &part, Value t0, Value count) {
  int64_t lanes = b.shape.lanes;
  bool partial = !layout.areWhole();
  Value whole = partial ? b.min(part.p1, b.index(layout.panels() - 1)) : part.p1;
  forRows(vectorSide, t0, count, [&](Rows rows, Value t) {
    auto copy = [&](Value p, bool last) {
      for (int64_t v = 0; v < vectors; ++v)
        b.storeVector(load(vectorSide, rows, b.add(b.mul(p, panel), v * lanes), lanes,
                           layout.valid(last, v, lanes)),
                      copiedPanels, {b.sub(p, part.p0), t, b.index(v * lanes)});
    };
    b.loop(part.p0, whole, 1, [&](Value p) { copy(p, false); });
    if (partial)
      b.when(b.less(whole, part.p1), [&] { copy(whole, true); });
  });
  if (!inTiles)
    return;
  Value pairs = b.ceilDiv(count, 2), zero = b.zeros(b.vectorOf(lanes, copiedType()));
  b.loop(pairs, b.mul(b.ceilDiv(pairs, 16), 16), 1, [&](Value t) {
    b.loop(b.index(0), b.sub(part.p1, part.p0), 1, [&](Value p) {
      for (int64_t v = 0; v < vectors; ++v)
        b.storeVector(zero, copiedPanels, {p, t, b.index(v * lanes)});
    });
  });
}

void WeightGradientTiles::copy(const Part &part, Value t0, Value count) {
  if (inTiles)
    copyTurned(part, t0, count);
  else
    copyRange(part, t0, count);
  copyPanels(part, t0, count);
}

//===----------------------------------------------------------------------===//
// Tiles
//===----------------------------------------------------------------------===//

void WeightGradientTiles::forTiles(const Part &part, function_ref<void(const Place &)> tile) {
  int64_t rest = broadcastSide.size % height;
  b.loop(part.p0, part.p1, 1, [&](Value p) {
    auto at = [&](int64_t rows, Value i) {
      Value a0 = b.add(part.a0, b.mul(i, height)), values = b.mul(i, valuesOfTile());
      layout.onLast(b, p, [&](bool last) {
        tile({rows, part.expert, p, b.sub(p, part.p0), a0, values, last});
      });
    };
    b.loop(b.index(0), part.tiles, 1, [&](Value i) { at(height, i); });
    if (rest)
      b.when(part.isLast, [&] { at(rest, part.tiles); });
  });
}

void WeightGradientTiles::zeroPadding(const Part &part) {
  if (!inPanels || broadcastSide.size % 2 == 0)
    return;
  b.when(part.isLast, [&] {
    b.loop(part.p0, part.p1, 1, [&](Value p) {
      Place at{1, part.expert, p, {}, b.index(broadcastSide.size), {}, false};
      for (int64_t v = 0; v < vectors; ++v)
        place(out, at, at.first, v, b.zeros(b.vectorOf(b.shape.lanes, b.getF32Type())));
    });
  });
}

Value WeightGradientTiles::place(Value memory, const Place &tile, Value a, int64_t vector,
                                 Value stored) {
  int64_t lanes = b.shape.lanes, valid = layout.valid(tile.last, vector, lanes);
  SmallVector<Value> at;
  if (cast<MemRefType>(memory.getType()).getRank() == 1) { // panels
    Value base = layout.base(b, tile.panel, tile.expert);
    at = {b.add(b.add(base, b.mul(a, panel)), vector * lanes)};
    // Lanes without an output are there, and hold zero.
    if (stored && valid < lanes) {
      SmallVector<bool> present;
      for (int64_t lane = 0; lane < lanes; ++lane)
        present.push_back(lane < valid);
      Value mask = arith::ConstantOp::create(
          b, DenseElementsAttr::get(b.vectorOf(lanes, b.getI1Type()), present));
      stored = arith::SelectOp::create(b, mask, stored, b.zeros(stored.getType()));
    }
    valid = lanes;
  } else {
    at = {a, b.add(b.mul(tile.panel, panel), vector * lanes)};
    if (tile.expert)
      at.insert(at.begin(), tile.expert);
  }
  if (!stored)
    return valid ? b.loadVector(memory, at, lanes, valid)
                 : b.zeros(b.vectorOf(lanes, b.getF32Type()));
  if (valid)
    b.storeVector(stored, memory, at, valid);
  return {};
}

Values WeightGradientTiles::load(Value memory, const Place &at) {
  Values sums;
  for (int64_t r = 0; r < at.rows; ++r)
    for (int64_t v = 0; v < vectors; ++v)
      sums.push_back(place(memory, at, b.add(at.first, r), v));
  return sums;
}

void WeightGradientTiles::store(const Values &sums, const Place &at) {
  for (int64_t r = 0; r < at.rows; ++r)
    for (int64_t v = 0; v < vectors; ++v)
      place(out, at, b.add(at.first, r), v, sums[r * vectors + v]);
}

Values WeightGradientTiles::vectorsOf(Value t, const Place &at) {
  Values row;
  for (int64_t v = 0; v < vectors; ++v)
    row.push_back(
        b.loadVector(copiedPanels, {at.copied, t, b.index(v * b.shape.lanes)}, b.shape.lanes));
  return row;
}

Value WeightGradientTiles::broadcast(Value t, int64_t row, const Place &at) {
  Value from = b.add(b.add(at.values, b.mul(t, height)), row);
  return b.splat(b.load(copiedRange, {from}), b.shape.lanes);
}

Values WeightGradientTiles::chain(Value t0, Value t1, const Place &at, Values sums) {
  auto step = [&](Value t, Values sums) {
    Values row = vectorsOf(t, at);
    for (int64_t r = 0; r < at.rows; ++r) {
      Value x = broadcast(t, r, at);
      for (int64_t v = 0; v < vectors; ++v) {
        Value &sum = sums[r * vectors + v];
        sum = pairs ? dotPairs(b, x, row[v], sum) : b.fma(x, row[v], sum);
      }
    }
    return sums;
  };
  if (pairs)
    t0 = b.div(t0, 2), t1 = b.ceilDiv(t1, 2);
  Value main = b.add(t0, b.mul(b.div(b.sub(t1, t0), 4), 4));
  sums = b.carry(t0, main, 4, sums, [&](Value t, Values sums) {
    for (int64_t i = 0; i < 4; ++i)
      sums = step(b.add(t, i), sums);
    return sums;
  });
  return b.carry(main, t1, 1, sums, step);
}

void WeightGradientTiles::multiplyTiles(Value t0, Value t1, const Place &at, Value sums) {
  int64_t rowTiles = at.rows > 16 ? 2 : 1;
  Value first = b.div(t0, 2);
  Value panelAt = b.add(b.mul(at.copied, copiedRows()), first);
  TileProduct::Operand left{copiedRange, b.add(at.values, first), 16,
                            0,           16 * lengthOfValue(),    lengthOfValue()},
      right{copiedPanels, b.mul(panelAt, panel), 16 * panel, 0, 16, panel};
  amx.zeroSums(rowTiles);
  amx.multiply(rowTiles, left, right, b.ceilDiv(b.sub(t1, t0), TileProduct::side));
  amx.storeSums(rowTiles, sums, b.index(0), panel);
}

void WeightGradientTiles::prefetchNext(const Place &at) {
  if (!inPanels)
    return;
  Value base = layout.base(b, at.panel, at.expert);
  Value begin = b.add(base, b.mul(b.add(at.first, at.rows), panel));
  for (int64_t line = 0; line < at.rows * panel; line += 16)
    b.prefetch(out, {b.add(begin, line)}, /*isWrite=*/true, 3);
}
