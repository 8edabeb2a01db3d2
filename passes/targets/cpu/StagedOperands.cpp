//===- StagedOperands.cpp - operands of a product as its tiles read them --===//

#include "passes/targets/cpu/StagedOperands.h"
#include "passes/targets/cpu/Bf16Pairs.h"
#include "passes/targets/cpu/Fp8Codes.h"
#include "passes/targets/cpu/ProductTasks.h"

using namespace mlir;
using namespace hadal;
using Values = KernelBuilder::Values;

//===----------------------------------------------------------------------===//
// Parts
//===----------------------------------------------------------------------===//

SumParts SumParts::of(const Product &p, int64_t unit) {
  int64_t tile = p.blockK ? std::min(p.blockK, p.k) : p.k;
  return {p.k, tile, p.interval ? std::min(p.interval, tile) : tile, unit};
}

Value SumParts::begin(KernelBuilder &b, Value part) const {
  if (ofTile() == 1)
    return b.mul(part, tile);
  return b.add(b.mul(b.div(part, ofTile()), tile), b.mul(b.rem(part, ofTile()), length));
}

Value SumParts::steps(KernelBuilder &b, Value part) const {
  if (areMultiples(length))
    return b.index(length);
  Value end = b.min(b.mul(b.add(tileOf(b, part), 1), tile), b.index(size));
  return b.min(b.sub(end, begin(b, part)), b.index(length));
}

//===----------------------------------------------------------------------===//
// Where things are
//===----------------------------------------------------------------------===//

StagedOperands::StagedOperands(Kernel &kernel, ArrayRef<Product> products, bool pairs)
    : layout(PanelLayout::of(products[0].n, products[0].k,
                             cast<RankedTensorType>(products[0].right.getType()).getElementType(),
                             products.size(), kernel.b.shape)),
      pairs(pairs), kernel(kernel), b(kernel.b), products(products), first(this->products.front()),
      element(layout.element),
      stored(PanelLayout::of(cast<RankedTensorType>(first.right.getType()), b.shape)) {}

LogicalResult StagedOperands::findMemory() {
  leftMemory = kernel.memory(first.left);
  if (first.source)
    source = kernel.memory(first.source);
  if (first.leftScale)
    leftScaleMemory = kernel.memory(first.leftScale);
  for (const Product &p : products) {
    rights.push_back(kernel.memory(p.right));
    if (p.scale)
      scales.push_back(kernel.memory(p.scale));
  }
  if (!leftMemory || (first.source && !source) || (first.leftScale && !leftScaleMemory) ||
      llvm::is_contained(rights, Value()) || llvm::is_contained(scales, Value()))
    return first.op->emitOpError("kernel wants its operands to be arguments or views of them");
  bool isFlat = cast<MemRefType>(rights[0].getType()).getRank() == 1;
  lie = kernel.inPanels(first.right) ? Lie::Panels : isFlat ? Lie::Packed : Lie::Plain;
  bool transposed = first.rightK < first.rightN;
  movesFactor = isCode() && first.leftScale && first.accumulate == Accumulate::F32;
  alongOutputs = lie == Lie::Packed || (lie == Lie::Plain) == transposed;
  return success();
}

bool StagedOperands::hasUniformScales() const {
  return llvm::all_of(products, [&](const Product &p) {
    return !p.scale || !p.blockN || p.blockN >= p.n || p.blockN % b.shape.lanes == 0;
  });
}

void StagedOperands::place(int64_t rowCount, int64_t panelCount, const SumParts &sum,
                           int64_t atOnce, int64_t &offset) {
  parts = sum;
  int64_t steps = llvm::alignTo(atOnce * parts.padded() / unit(), 16);
  Type number = pairs ? Type(b.getI32Type()) : b.getF32Type();
  // Whole vectors are written, and the last ones may be longer than what is left.
  panels = b.scratchView(kernel.scratch, offset,
                         {panelCount, steps + 2 * b.shape.lanes, layout.panel}, number);
  // A line further apart than they are long: powers of two would meet in one set of the cache.
  rows = b.scratchView(kernel.scratch, offset, {rowCount, steps + 16 + 2 * b.shape.lanes}, number);
  rowScales = b.scratchView(kernel.scratch, offset, {rowCount, atOnce}, b.getF32Type());
  if (!hasUniformScales())
    outputScales =
        b.scratchView(kernel.scratch, offset, {panelCount, atOnce, layout.panel}, b.getF32Type());
}

void StagedOperands::placeWhole(int64_t rowCount, const SumParts &sum, int64_t &offset) {
  wholeParts = sum;
  bool inPairs = pairs && !isCode();
  int64_t steps = llvm::alignTo(sum.count() * sum.padded() / (inPairs ? 2 : 1), 16);
  wholeRows = b.scratchView(kernel.scratch, offset, {rowCount, steps + 16 + 2 * b.shape.lanes},
                            inPairs ? Type(b.getI32Type()) : b.getF32Type());
  wholeScales = b.scratchView(kernel.scratch, offset, {rowCount, sum.count()}, b.getF32Type());
}

Value StagedOperands::columnOf(Value panel, int64_t vector) {
  int64_t each = vectors() / products.size();
  return b.add(b.mul(panel, layout.width()), vector % each * b.shape.lanes);
}

void StagedOperands::forParts(Value t0, Value t1, function_ref<void(Value, Value, Value)> body) {
  b.loop(t0, t1, 1, [&](Value part) {
    body(parts.begin(b, part), parts.steps(b, part), b.mul(b.sub(part, t0), parts.padded()));
  });
}

//===----------------------------------------------------------------------===//
// Loading
//===----------------------------------------------------------------------===//

/// A vector of `count` elements as they lie in memory.
static VectorType rawOf(Value memory, int64_t count) {
  return VectorType::get({count}, cast<MemRefType>(memory.getType()).getElementType());
}

/// `load` for 0 <= i < count: vectors of which `valid` elements are there, or all, where that is
/// known or turns out so.
Values StagedOperands::loadSteps(int64_t count, VectorType type, Value valid, bool isWhole,
                                 function_ref<Value(int64_t, Value)> load) {
  auto all = [&](Value valid) {
    Values loaded;
    for (int64_t i = 0; i < count; ++i)
      loaded.push_back(load(i, valid));
    return loaded;
  };
  if (isWhole)
    return all({});
  return b.choose(
      b.less(valid, b.index(type.getNumElements())), SmallVector<Type>(count, type),
      [&] { return all(valid); }, [&] { return all({}); });
}

/// Elements side by side as numbers or pairs of them, those of codes times a power of two.
Value StagedOperands::staged(Value raw, Type format, float times, bool inPairs) {
  bool isCode = isa<Float8E4M3FNType, Float8E5M2Type>(format);
  auto number = [&](Value v) { return isCode ? decodeF8(b, v, format, times) : b.widen(v); };
  if (!inPairs)
    return number(raw);
  if (isCode)
    return pairsOfBf16(b, decodeF8ToBf16(b, raw, format, times));
  auto [even, odd] = splitPairs(b, raw);
  return pairOf(b, number(even), number(odd));
}

void StagedOperands::put(Value v, Value slot, Value step, int64_t vector) {
  b.storeVector(v, panels, {slot, step, b.index(vector * b.shape.lanes)});
}

//===----------------------------------------------------------------------===//
// Rows
//===----------------------------------------------------------------------===//

/// Row `from` of the left operand, as row `row` here.
void StagedOperands::stageRow(Value row, Value from, Value batch, Value t0, Value t1, bool whole) {
  const SumParts &sum = whole ? wholeParts : parts;
  Type format = cast<RankedTensorType>(first.left.getType()).getElementType();
  bool inPairs = whole ? pairs && !isCode() : pairs;
  bool ofCodes = isa<Float8E4M3FNType, Float8E5M2Type>(format);
  int64_t lanes = b.shape.lanes, count = inPairs || ofCodes ? 2 * lanes : lanes;
  float times = movesFactor ? f8Factor(element) : 1;
  b.loop(t0, t1, 1, [&](Value part) {
    Value t = b.sub(part, t0), begin = sum.begin(b, part), steps = sum.steps(b, part);
    if (leftScaleMemory)
      b.store(b.load(leftScaleMemory, {from, sum.tileOf(b, part)}), whole ? wholeScales : rowScales,
              {row, t});
    Value to = b.mul(t, sum.padded() / (inPairs ? 2 : 1));
    b.loop(b.index(0), steps, count, [&](Value k) {
      Value raw = loadSteps(1, rawOf(leftMemory, count), b.sub(steps, k), sum.areMultiples(count),
                            [&](int64_t, Value valid) {
                              auto at = leftPlace(first, leftMemory, from, b.add(begin, k), batch);
                              return b.loadVector(leftMemory, at, count, b.maskOf(count, valid));
                            })[0];
      Value at = b.add(to, b.div(k, inPairs ? 2 : 1));
      b.storeVector(staged(raw, format, times, inPairs), whole ? wholeRows : rows, {row, at});
    });
  });
}

void StagedOperands::stageRows(Value row, Value count, Value last, Value batch, Value t0, Value t1,
                               bool whole) {
  b.loop(b.index(0), count, 1, [&](Value r) {
    Value from = b.min(b.add(row, r), last);
    stageRow(r, source ? b.toIndex(b.load(source, {from})) : from, batch, t0, t1, whole);
  });
}

void StagedOperands::stageRows(Value row, Value count, Value last, Value batch, Value t0,
                               Value t1) {
  stageRows(row, count, last, batch, t0, t1, /*whole=*/false);
}

void StagedOperands::stageWhole(Value row, Value count, Value last, Value batch) {
  stageRows(row, count, last, batch, b.index(0), b.index(wholeParts.count()), /*whole=*/true);
}

Value StagedOperands::left(Value row, Value step) {
  return b.splat(b.load(rows, {row, step}), b.shape.lanes);
}

Value StagedOperands::leftWhole(Value row, Value step) {
  return b.splat(b.load(wholeRows, {row, step}), b.shape.lanes);
}

//===----------------------------------------------------------------------===//
// Panels
//===----------------------------------------------------------------------===//

/// The numbers of step `k`, as f32, for the outputs of a panel's vector, of which `valid` are
/// there.
Value StagedOperands::outputsAt(Value panel, Value batch, Value k, int64_t vector, int64_t lanes,
                                int64_t valid) {
  Value memory = rights[productOf(vector)];
  if (!valid)
    return b.zeros(b.vectorOf(lanes, b.getF32Type()));
  if (lie == Lie::Panels) {
    Value at = b.add(layout.base(b, panel, batch), b.mul(k, layout.panel));
    return b.loadVector(memory, {b.add(at, vector * b.shape.lanes)}, lanes);
  }
  auto at = rightPlace(first, memory, columnOf(panel, vector), k, batch);
  Value raw = b.loadVector(memory, at, lanes, valid);
  return isCode() ? decodeF8(b, raw, element, movesFactor ? 1 / f8Factor(element) : 1)
                  : b.widen(raw);
}

std::pair<Value, Value> StagedOperands::rightInMemory(Value base, Value k, int64_t vector,
                                                      int64_t count) {
  int64_t lanes = b.shape.lanes * count;
  Value at = b.add(b.add(base, b.mul(k, layout.panel)), vector * 2 * b.shape.lanes);
  Value raw = b.loadVector(rights[0], {at}, 2 * lanes);
  if (isCode()) {
    Value pair = vector::BitCastOp::create(b, b.vectorOf(lanes, b.getI16Type()), raw);
    Value low = arith::ShLIOp::create(b, pair, b.constantLike(pair, b.getI16IntegerAttr(8)));
    return {decodeUpperF8(b, low, element), decodeUpperF8(b, pair, element)};
  }
  assert(pairs && element.isBF16() && "other weights are not staged");
  Value pair = vector::BitCastOp::create(b, b.vectorOf(lanes, b.getI32Type()), raw);
  Value by = b.constantLike(pair, b.getI32IntegerAttr(16));
  return {arith::OrIOp::create(b, arith::ShLIOp::create(b, pair, by),
                               arith::ShRUIOp::create(b, pair, by)),
          {}};
}

/// The pairs of codes of steps k and k + 1 for a vector of outputs, of which `valid` are there.
/// `isLast`: k is the part's last step; null where it never is.
Value StagedOperands::codePairs(Value panel, Value batch, Value k, Value isLast, int64_t vector,
                                int64_t valid) {
  int64_t lanes = b.shape.lanes;
  float times = movesFactor ? 1 / f8Factor(element) : 1;
  Type codes = b.vectorOf(lanes, b.getI8Type());
  if (lie == Lie::Packed) {
    Value at = b.add(layout.base(b, panel, batch), b.mul(k, layout.panel));
    Value raw = b.loadVector(rights[0], {b.add(at, vector * 2 * lanes)}, 2 * lanes);
    return staged(raw, element, times, /*inPairs=*/true);
  }
  if (!valid)
    return b.zeros(b.vectorOf(lanes, b.getI32Type()));
  Value memory = rights[productOf(vector)], column = columnOf(panel, vector);
  auto load = [&](Value k) {
    return b.loadVector(memory, rightPlace(first, memory, column, k, batch), lanes, valid);
  };
  Value even = load(k), odd;
  if (isLast)
    odd = b.choose(
        isLast, codes, [&] { return Values{b.zeros(codes)}; },
        [&] { return Values{load(b.add(k, 1))}; })[0];
  else
    odd = load(b.add(k, 1));
  SmallVector<int64_t> turns;
  for (int64_t lane = 0; lane < lanes; ++lane)
    turns.push_back(lane), turns.push_back(lanes + lane);
  return staged(vector::ShuffleOp::create(b, even, odd, turns), element, times, /*inPairs=*/true);
}

/// Weights of a step lie side by side: two steps of `count` vectors in a turn.
void StagedOperands::stageAlongOutputs(Value panel, Value slot, Value batch, Value t0, Value t1,
                                       int64_t vector, int64_t count, int64_t valid) {
  int64_t lanes = count * b.shape.lanes;
  Value zero = b.zeros(b.vectorOf(lanes, b.getF32Type()));
  auto numbers = [&](Value k, Value isLast) -> std::pair<Value, Value> {
    if (lie == Lie::Packed) {
      auto [even, odd] = rightInMemory(layout.base(b, panel, batch), k, vector, count);
      if (float factor = isCode() && !movesFactor ? f8Factor(element) : 1; factor != 1) {
        Value all = b.constantLike(even, b.getF32FloatAttr(factor));
        return {b.mulf(even, all), b.mulf(odd, all)};
      }
      return {even, odd};
    }
    Value even = outputsAt(panel, batch, k, vector, lanes, valid);
    auto next = [&] { return outputsAt(panel, batch, b.add(k, 1), vector, lanes, valid); };
    if (!isLast)
      return {even, next()};
    return {even, b.choose(
                      isLast, zero.getType(), [&] { return Values{zero}; },
                      [&] { return Values{next()}; })[0]};
  };
  bool isEven = parts.areMultiples(2), isFull = parts.areMultiples(parts.unit);
  forParts(t0, t1, [&](Value begin, Value steps, Value at) {
    auto both = [&](Value k, Value even, Value odd) {
      Value step = b.div(b.add(at, k), unit());
      if (pairs)
        return put(odd ? pairOf(b, even, odd) : even, slot, step, vector);
      put(even, slot, step, vector);
      put(odd, slot, b.add(step, 1), vector);
    };
    b.loop(b.index(0), steps, 2, [&](Value k) {
      Value isLast = isEven ? Value() : b.equal(b.add(k, 1), steps);
      if (pairs && isCode())
        return put(codePairs(panel, batch, b.add(begin, k), isLast, vector, valid), slot,
                   b.div(b.add(at, k), 2), vector);
      auto [even, odd] = numbers(b.add(begin, k), isLast);
      both(k, even, odd);
    });
    if (isFull)
      return;
    Value written = b.mul(b.ceilDiv(steps, 2), 2);
    b.loop(written, b.mul(b.ceilDiv(steps, parts.unit), parts.unit), 2,
           [&](Value k) { both(k, zero, zero); });
  });
}

/// Weights of an output lie side by side: squares of as many outputs as a vector has lanes are
/// transposed. Outputs beyond the last one are that one again, and nobody reads their sums.
void StagedOperands::stageAcross(Value panel, Value slot, Value batch, Value t0, Value t1,
                                 int64_t vector) {
  // Codes of two squares at a time, where these are of f32: integer vectors are full then.
  int64_t lanes = b.shape.lanes, count = isCode() ? 2 * lanes : lanes * unit();
  Value memory = rights[productOf(vector)], column = columnOf(panel, vector);
  bool isWhole = lie == Lie::Panels || parts.areMultiples(count); // panels end with zeros
  forParts(t0, t1, [&](Value begin, Value steps, Value at) {
    b.loop(b.index(0), steps, count, [&](Value k) {
      Value step = b.add(begin, k);
      Values raw = loadSteps(
          lanes, rawOf(memory, count), b.sub(steps, k), isWhole, [&](int64_t i, Value valid) {
            Value n = b.min(b.add(column, i), b.index(first.n - 1));
            if (lie == Lie::Panels) { // of the sum's steps
              Value base = b.div(step, stored.panel);
              if (batch)
                base = b.add(base, b.mul(batch, stored.panels()));
              return b.loadVector(
                  memory,
                  {b.add(b.add(b.mul(base, stored.panelElements()), b.mul(n, stored.panel)),
                         b.rem(step, stored.panel))},
                  count);
            }
            return b.loadVector(memory, rightPlace(first, memory, n, step, batch), count,
                                b.maskOf(count, valid));
          });
      for (Value &v : raw)
        v = staged(v, element, movesFactor ? 1 / f8Factor(element) : 1, pairs);
      for (int64_t square = 0; square < count / unit(); square += lanes) {
        Values rows = raw;
        if (count / unit() > lanes) {
          auto part = llvm::to_vector(llvm::seq(square, square + lanes));
          for (Value &row : rows)
            row = vector::ShuffleOp::create(b, row, row, part);
        }
        for (auto [i, v] : llvm::enumerate(b.transpose(rows)))
          put(v, slot, b.add(b.div(b.add(at, k), unit()), square + int64_t(i)), vector);
      }
    });
  });
}

/// The same of codes as they are stored, where a panel is two vectors of eight: squares of bytes
/// are transposed before they are decoded, both vectors' at once, in halves of registers.
void StagedOperands::stageCodesAcross(Value panel, Value slot, Value batch, Value t0, Value t1) {
  constexpr int64_t lanes = 8, count = 16; // of a vector; codes of an output at a time
  Type bytes = b.vectorOf(2 * count, b.getI8Type());
  // Bytes of two registers in turn: the lower or the upper half of each of their halves.
  auto inTurns = [&](Value a, Value c, bool isUpper) -> Value {
    SmallVector<int64_t> from;
    for (int64_t half = 0; half < 2 * count; half += count)
      for (int64_t i = 0; i < count / 2; ++i) {
        int64_t at = half + (isUpper ? count / 2 : 0) + i;
        from.push_back(at), from.push_back(2 * count + at);
      }
    return vector::ShuffleOp::create(b, a, c, from);
  };
  forParts(t0, t1, [&](Value begin, Value steps, Value at) {
    b.loop(b.index(0), steps, count, [&](Value k) {
      Value step = b.add(begin, k);
      Values raw =
          loadSteps(2 * lanes, rawOf(rights[0], count), b.sub(steps, k), parts.areMultiples(count),
                    [&](int64_t i, Value valid) {
                      Value memory = rights[productOf(i / lanes)];
                      Value n =
                          b.min(b.add(columnOf(panel, i / lanes), i % lanes), b.index(first.n - 1));
                      return b.loadVector(memory, rightPlace(first, memory, n, step, batch), count,
                                          b.maskOf(count, valid));
                    });
      Values rows;
      for (int64_t i = 0; i < lanes; ++i)
        rows.push_back(vector::ShuffleOp::create(b, raw[i], raw[i + lanes],
                                                 llvm::to_vector(llvm::seq<int64_t>(2 * count))));
      for (int level = 0; level < 3; ++level) {
        Values next;
        for (int64_t i = 0; i < lanes / 2; ++i)
          for (bool isUpper : {false, true})
            next.push_back(inTurns(rows[i], rows[i + lanes / 2], isUpper));
        rows = next;
      }
      // Each has two steps: of either, eight outputs of both vectors.
      for (int64_t i = 0; i < count; ++i) {
        Value halves = vector::BitCastOp::create(b, b.vectorOf(count, b.getI16Type()),
                                                 inTurns(b.zeros(bytes), rows[i / 2], i % 2));
        Value values = decodeUpperF8(b, halves, element);
        if (float factor = movesFactor ? 1 : f8Factor(element); factor != 1)
          values = b.mulf(values, b.constantLike(values, b.getF32FloatAttr(factor)));
        put(values, slot, b.add(b.add(at, k), i), 0);
      }
    });
  });
}

void StagedOperands::stagePanel(Value panel, Value slot, Value batch, Value t0, Value t1) {
  int64_t lanes = b.shape.lanes, each = vectors() / products.size();
  // Vectors at a time.
  int64_t count = isCode() && !pairs && each % 2 == 0 ? 2 : 1;
  bool inBytes = lie == Lie::Plain && !alongOutputs && !pairs && isCode() && lanes == 8;
  if (inBytes)
    stageCodesAcross(panel, slot, batch, t0, t1);
  for (int64_t v = 0; v < vectors() && !inBytes; v += alongOutputs ? count : 1) {
    auto along = [&](int64_t first, int64_t count, int64_t valid) {
      stageAlongOutputs(panel, slot, batch, t0, t1, first, count, valid);
    };
    if (!alongOutputs)
      stageAcross(panel, slot, batch, t0, t1, v);
    else if (lie == Lie::Plain)
      layout.onLast(b, panel, [&](bool last) {
        if (!last)
          return along(v, count, count * lanes);
        for (int64_t i = 0; i < count; ++i)
          along(v + i, 1, layout.valid(true, v + i, lanes));
      });
    else
      along(v, count, count * lanes);
  }
  if (outputScales)
    stageScales(panel, slot, batch, t0, t1);
}

void StagedOperands::prefetch(Value batch, Value panel, int64_t panelCount, Value t, int64_t atOnce,
                              Value share, Value shares) {
  int64_t outputs = panelCount * layout.width(), steps = atOnce * parts.length;
  int64_t rows = alongOutputs ? steps : outputs, length = alongOutputs ? outputs : steps;
  Value each = b.div(b.sub(b.add(b.index(rows), shares), b.index(1)), shares);
  Value begin = b.mul(share, each), n0 = b.mul(panel, layout.width()), k0 = parts.begin(b, t);
  b.loop(begin, b.min(b.add(begin, each), b.index(rows)), 1, [&](Value row) {
    Value n = alongOutputs ? n0 : b.min(b.add(n0, row), b.index(first.n - 1)),
          k = alongOutputs ? b.min(b.add(k0, row), b.index(first.k - 1)) : k0;
    for (Value memory : rights)
      for (int64_t line = 0; line < length; line += 64) // where a row ends does not matter
        b.prefetch(memory,
                   rightPlace(first, memory, alongOutputs ? b.add(n, line) : n,
                              alongOutputs ? k : b.add(k, line), batch),
                   /*isWrite=*/false, 2);
  });
}

Value StagedOperands::right(Value slot, Value step, int64_t vector) {
  return b.loadVector(panels, {slot, step, b.index(vector * b.shape.lanes)}, b.shape.lanes);
}

//===----------------------------------------------------------------------===//
// Scales
//===----------------------------------------------------------------------===//

/// Of the weights' blocks: that of output `lane` of a vector.
Value StagedOperands::scaleOf(Value panel, Value batch, Value part, int64_t vector, Value lane) {
  unsigned q = productOf(vector);
  const Product &p = products[q];
  Value n = b.min(b.add(columnOf(panel, vector), lane), b.index(p.n - 1));
  Value block = p.blockN ? b.div(n, p.blockN) : b.index(0), tile = parts.tileOf(b, part);
  return b.load(scales[q], rightPlace(p, scales[q], block, tile, batch));
}

void StagedOperands::stageScales(Value panel, Value slot, Value batch, Value t0, Value t1) {
  b.loop(t0, t1, 1, [&](Value part) {
    for (int64_t v = 0; v < vectors(); ++v)
      b.loop(0, b.shape.lanes, 1, [&](Value lane) {
        b.store(scaleOf(panel, batch, part, v, lane), outputScales,
                {slot, b.sub(part, t0), b.add(lane, v * b.shape.lanes)});
      });
  });
}

Value StagedOperands::leftScale(Value row, Value t, bool whole) {
  return b.splat(b.load(whole ? wholeScales : rowScales, {row, t}), b.shape.lanes);
}

Value StagedOperands::rightScale(Value panel, Value slot, Value batch, Value part, Value t,
                                 int64_t vector) {
  if (slot && outputScales)
    return b.loadVector(outputScales, {slot, t, b.index(vector * b.shape.lanes)}, b.shape.lanes);
  return b.splat(scaleOf(panel, batch, part, vector, b.index(0)), b.shape.lanes);
}
