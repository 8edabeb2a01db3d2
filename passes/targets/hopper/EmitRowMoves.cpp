//===- EmitRowMoves.cpp - positions, and rows that move -------------------===//
//
// mla.rotation, mla.rope, mla.cache_append, mla.append_codes, fp8.dequantize, moe.dispatch,
// moe.combine. A block is a row; its threads copy 16 bytes at a time where rows are whole multiples
// of that.
//
//===----------------------------------------------------------------------===//

#include "dialects/mla/Mla.h"
#include "dialects/moe/Moe.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "passes/targets/cpu/ExpertTree.h"
#include "passes/targets/cpu/Fp8Codes.h"
#include "passes/targets/cpu/SineCosine.h"
#include "passes/targets/hopper/EmitRows.h"

using namespace mlir;
using namespace hadal;
using Values = KernelBuilder::Values;

/// Elements of `count`, of so many bits, that a thread takes at a time.
static int64_t lanesFor(int64_t count, int64_t bits) {
  int64_t lanes = 128 / bits;
  return count % lanes ? 1 : lanes;
}

namespace {
/// A part of a row: columns from `column` on of a row of memory.
struct Columns {
  Value memory, row;
  int64_t column = 0;
};
} // namespace

/// Copies `count` columns.
static void copyColumns(RowBlock &block, Columns from, Columns to, int64_t count) {
  KernelBuilder &b = block.b;
  int64_t bits = cast<MemRefType>(from.memory.getType()).getElementTypeBitWidth();
  int64_t lanes = lanesFor(count, bits);
  if (from.column % lanes || to.column % lanes)
    lanes = 1;
  block.places(count / lanes, lanes, [&](Value at) {
    Value v = block.load(from.memory, {from.row, b.add(at, from.column)}, lanes);
    block.store(v, to.memory, {to.row, b.add(at, to.column)});
  });
}

//===----------------------------------------------------------------------===//
// Positions, codes
//===----------------------------------------------------------------------===//

void hadal::emitRow(Kernel &kernel, mla::RotationOp op) {
  KernelBuilder &b = kernel.b;
  Value positions = kernel.memory(op.getPositions()), cos = kernel.memory(op.getCos()),
        sin = kernel.memory(op.getSin());
  auto frequencies = cast<DenseElementsAttr>(op.getFrequencies()).getValues<APFloat>();
  int64_t count = frequencies.size();
  RowBlock block(kernel, count);
  Value magnitude = b.f32(op.getMagnitude().convertToFloat());
  Value position = arith::SIToFPOp::create(b, b.getF32Type(), b.load(positions, {block.row}));
  block.places(count, 1, [&](Value j) {
    Value frequency = b.f32(0);
    for (auto [i, f] : llvm::enumerate(frequencies))
      frequency = b.select(b.equal(j, b.index(i)), b.f32(f.convertToFloat()), frequency);
    Value angle = arith::ExtFOp::create(b, b.getF64Type(), b.mulf(position, frequency));
    auto [s, c] = sineCosine(b, angle);
    auto put = [&](Value v, Value memory) {
      Value narrow = arith::TruncFOp::create(b, b.getF32Type(), v);
      b.store(b.mulf(narrow, magnitude), memory, {block.row, j});
    };
    put(c, cos);
    put(s, sin);
  });
  block.finish(kernel.resultDim(0, 0));
}

void hadal::emitRow(Kernel &kernel, mla::RopeOp op) {
  KernelBuilder &b = kernel.b;
  Value x = kernel.memory(op.getX()), cos = kernel.memory(op.getCos()),
        sin = kernel.memory(op.getSin()), out = kernel.memory(op.getResult());
  int64_t heads = op.getX().getType().getDimSize(1), half = op.getX().getType().getDimSize(2) / 2;
  RowBlock block(kernel, heads * half * 2);
  int64_t lanes = half % 4 ? 1 : 4;
  block.places(heads * half / lanes, lanes, [&](Value at) {
    Value head = b.div(at, half), j = b.rem(at, half);
    auto pick = [&](Value low, Value high, ArrayRef<int64_t> from) -> Value {
      return vector::ShuffleOp::create(b, low, high, from);
    };
    // Pairs on the unrotated side, halves on the rotated one; the adjoint goes back.
    auto isPairs = [&](bool isInput) { return op.getInterleave() && isInput != op.getAdjoint(); };
    auto loadBoth = [&]() -> std::pair<Value, Value> {
      auto part = [&](Value d) { return block.load(x, {block.row, head, d}, lanes); };
      if (!isPairs(true))
        return {part(j), part(b.add(j, half))};
      Value first = b.mul(j, 2), low = part(first), high = part(b.add(first, lanes));
      if (lanes == 1)
        return {low, high};
      return {pick(low, high, {0, 2, 4, 6}), pick(low, high, {1, 3, 5, 7})};
    };
    auto [first, second] = loadBoth();
    Value c = block.load(cos, {block.row, j}, lanes), s = block.load(sin, {block.row, j}, lanes);
    if (op.getAdjoint())
      s = arith::NegFOp::create(b, s);
    Value one = b.subf(b.mulf(first, c), b.mulf(second, s)),
          other = b.addf(b.mulf(second, c), b.mulf(first, s));
    auto put = [&](Value v, Value d) { block.store(v, out, {block.row, head, d}); };
    if (!isPairs(false)) {
      put(one, j);
      put(other, b.add(j, half));
      return;
    }
    Value at2 = b.mul(j, 2);
    put(lanes == 1 ? one : pick(one, other, {0, 4, 1, 5}), at2);
    put(lanes == 1 ? other : pick(one, other, {2, 6, 3, 7}), b.add(at2, lanes));
  });
  block.finish(kernel.resultDim(0, 0));
}

void hadal::emitRow(Kernel &kernel, mla::CacheAppendOp op) {
  KernelBuilder &b = kernel.b;
  Value slots = kernel.memory(op.getSlots()), cache = kernel.memory(op.getResult());
  int64_t rk = op.getCkv().getType().getDimSize(1), dr = op.getKRope().getType().getDimSize(1);
  RowBlock block(kernel, rk);
  Value slot = b.toIndex(b.load(slots, {block.row}));
  copyColumns(block, {kernel.memory(op.getCkv()), block.row}, {cache, slot}, rk);
  copyColumns(block, {kernel.memory(op.getKRope()), block.row}, {cache, slot, rk}, dr);
  block.finish(kernel.sizeOf(slots, 0));
}

void hadal::emitRow(Kernel &kernel, mla::AppendCodesOp op) {
  KernelBuilder &b = kernel.b;
  Value slots = kernel.memory(op.getSlots());
  int64_t width = op.getQ().getType().getDimSize(1);
  RowBlock block(kernel, width / 4);
  Value slot = b.toIndex(b.load(slots, {block.row}));
  copyColumns(block, {kernel.memory(op.getQ()), block.row}, {kernel.memory(op.getResult()), slot},
              width);
  block.finish(kernel.sizeOf(slots, 0));
}

void hadal::emitRow(Kernel &kernel, fp8::DequantizeOp op) {
  KernelBuilder &b = kernel.b;
  Value q = kernel.memory(op.getQ()), scale = kernel.memory(op.getScale()),
        out = kernel.memory(op.getResult());
  auto type = op.getResult().getType();
  int64_t rank = type.getRank(), columns = type.getDimSize(rank - 1), bm = op.getBlock()[0],
          bk = op.getBlock()[1];
  if (bk == 0 || bk > columns)
    bk = columns;
  RowBlock block(kernel, columns);
  Value row = block.row, batch;
  if (rank == 3) {
    Value rows = b.dim(out, 1);
    batch = b.div(row, rows), row = b.rem(row, rows);
  }
  Value tile = bm ? b.div(row, bm) : b.index(0);
  auto at = [&](Value row, Value column) {
    return batch ? Values{batch, row, column} : Values{row, column};
  };
  int64_t lanes = columns % 4 || bk % 4 ? 1 : 4;
  Type format = op.getQ().getType().getElementType();
  block.places(columns / lanes, lanes, [&](Value column) {
    Value one = b.load(scale, at(tile, b.div(column, bk)));
    Value codes = block.load(q, at(row, column), lanes);
    block.store(b.mulf(decodeF8(b, codes, format), b.splat(one, lanes)), out, at(row, column));
  });
  AffineExpr rows = kernel.resultDim(0, rank - 2);
  block.finish(rank == 3 ? rows * kernel.resultDim(0, 0) : rows);
}

//===----------------------------------------------------------------------===//
// Experts' rows
//===----------------------------------------------------------------------===//

void hadal::emitRow(Kernel &kernel, moe::DispatchOp op) {
  KernelBuilder &b = kernel.b;
  int64_t width = op.getX().getType().getDimSize(1);
  RowBlock block(kernel, width);
  Value from = b.toIndex(b.load(kernel.memory(op.getSource()), {block.row}));
  copyColumns(block, {kernel.memory(op.getX()), from}, {kernel.memory(op.getResult()), block.row},
              width);
  block.finish(kernel.resultDim(0, 0));
}

namespace {

/// The tree over expert ids of passes/targets/cpu/EmitRouting.cpp: here each boundary finds by
/// itself when it joins and what is left of it; then threads join their columns in that order.
class RowCombine {
public:
  RowCombine(Kernel &kernel, moe::CombineOp op)
      : kernel(kernel), b(kernel.b), op(op), width(op.getRows().getType().getDimSize(1)),
        topK(op.getExperts().getType().getDimSize(1)), block(kernel, width),
        lanes(lanesFor(width, 32)) {}

  void emit() {
    rows = kernel.memory(op.getRows()), position = kernel.memory(op.getPosition());
    experts = kernel.memory(op.getExperts()), weights = kernel.memory(op.getWeights());
    for (int64_t *place : {&code, &row, &weight, &level, &head, &right})
      *place = block.share(topK * 4);
    part = block.share(topK * block.threads * lanes * 4);
    b.loop(block.thread, b.index(topK), block.threads, [&](Value k) { takeChoice(k); });
    block.barrier();
    if (topK > 1) {
      b.loop(block.thread, b.index(topK - 1), block.threads, [&](Value i) { findLevel(i); });
      if (topK > 2) // a single boundary is one thread's
        block.barrier();
      b.loop(block.thread, b.index(topK - 1), block.threads, [&](Value i) { findJoin(i); });
      block.barrier();
    }
    block.places(width / lanes, lanes, [&](Value column) { joinColumns(column); });
    block.finish(kernel.resultDim(0, 0));
  }

private:
  Value number(int64_t offset, Value i) { return block.loadShared(offset, i, b.getI32Type()); }
  Value index(int64_t offset, Value i) { return b.toIndex(number(offset, i)); }

  /// Code, row and weight of choice k, at its place among the ids; a forced choice may come in any
  /// order.
  void takeChoice(Value k) {
    Value id = b.load(experts, {block.row, k});
    Value place = b.carry(b.index(0), b.index(topK), 1, {b.index(0)}, [&](Value i, Values n) {
      Value other = b.load(experts, {block.row, i});
      Value before = arith::OrIOp::create(
          b, b.less(other, id), arith::AndIOp::create(b, b.equal(other, id), b.less(i, k)));
      return Values{b.select(before, b.add(n[0], 1), n[0])};
    })[0];
    block.storeShared(treeCode(b, id, op.getExpertCount()), code, place);
    block.storeShared(b.load(position, {block.row, k}), row, place);
    block.storeShared(b.load(weights, {block.row, k}), weight, place);
  }

  void findLevel(Value i) {
    Value differ = arith::XOrIOp::create(b, number(code, i), number(code, b.add(i, 1)));
    Value zeros = math::CountLeadingZerosOp::create(b, differ);
    block.storeShared(b.sub(b.i32(31), zeros), level, i); // -1 for one expert twice
  }

  /// Boundaries join by ascending levels, then by ascending numbers. The left subtree begins after
  /// the nearest boundary to the left that joins later.
  void findJoin(Value i) {
    Value mine = number(level, i);
    Values found = b.carry(
        b.index(0), b.index(topK - 1), 1, {b.index(0), b.index(0)}, [&](Value j, Values found) {
          Value other = number(level, j), isLeft = b.less(j, i);
          Value isLower = b.less(other, mine);
          Value isFirst = arith::OrIOp::create(
              b, isLower, arith::AndIOp::create(b, b.equal(other, mine), isLeft));
          Value joinsLater = arith::AndIOp::create(b, isLeft, b.less(mine, other));
          return Values{b.select(isFirst, b.add(found[0], 1), found[0]),
                        b.select(joinsLater, b.add(j, 1), found[1])};
        });
    block.storeShared(b.toI32(found[1]), head, found[0]);
    block.storeShared(b.toI32(b.add(i, 1)), right, found[0]);
  }

  void joinColumns(Value column) {
    auto type = b.vectorOf(lanes, b.getF32Type());
    auto mine = [&](Value choice) {
      return b.mul(b.add(b.mul(choice, block.threads), block.thread), lanes);
    };
    for (int64_t k = 0; k < topK; ++k) {
      Value one = b.index(k);
      Value v = block.load(rows, {index(row, one), column}, lanes);
      Value w = b.splat(block.loadShared(weight, one, b.getF32Type()), lanes);
      block.storeShared(b.mulf(v, w), part, mine(one));
    }
    b.loop(0, topK - 1, 1, [&](Value i) {
      Value to = mine(index(head, i));
      Value left = block.loadShared(part, to, type);
      block.storeShared(b.addf(left, block.loadShared(part, mine(index(right, i)), type)), part,
                        to);
    });
    block.store(block.loadShared(part, mine(b.index(0)), type), kernel.memory(op.getResult()),
                {block.row, column});
  }

  Kernel &kernel;
  KernelBuilder &b;
  moe::CombineOp op;
  int64_t width, topK;
  RowBlock block;
  int64_t lanes;
  Value rows, position, experts, weights;
  int64_t code, row, weight, level, head, right, part; ///< in shared memory
};

} // namespace

void hadal::emitRow(Kernel &kernel, moe::CombineOp op) { RowCombine(kernel, op).emit(); }
