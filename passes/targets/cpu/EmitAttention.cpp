//===- EmitAttention.cpp - causal attention on expanded heads -------------===//
//
// Causal attention on expanded heads, one block of queries at a time (FlashAttention-2,
// arXiv:2307.08691, algorithm 1).
//
//   task   (block of rows, head)
//     for each run of rows of one sequence
//       for each block of 64 keys, at absolute positions of that sequence
//         K^T block packed -> S = Q K^T (vectors over keys) -> running maximum and sum
//                          -> O += P V (vectors over outputs)
//
// Key blocks stand at absolute positions and every row keeps its own maximum and sum, so a row's
// bits do not depend on the rows or sequences beside it.
//
//===----------------------------------------------------------------------===//

#include "dialects/mla/Mla.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "passes/targets/cpu/Kernel.h"
#include "passes/targets/cpu/OuterChain.h"
#include "passes/targets/cpu/RowSum.h"

using namespace mlir;
using namespace hadal;
using Values = KernelBuilder::Values;

namespace {

constexpr int64_t keyBlock = 64;

class AttentionEmitter {
public:
  AttentionEmitter(Kernel &kernel, mla::AttentionOp op) : kernel(kernel), b(kernel.b), op(op) {}
  LogicalResult emit();

private:
  void emitRun(Value r0, Value r1, Value s0, Value head);
  void packKeys(Value k0, Value count, Value head);
  void scores(int64_t rows, Value row, Value r0, Value head, Value k0);
  void normalise(Value row, Value r0, Value k0);
  void accumulate(int64_t rows, Value row, Value k0, Value count, Value head);
  void inTiles(Value from, Value to, function_ref<void(int64_t, Value)> tile);

  Kernel &kernel;
  KernelBuilder &b;
  mla::AttentionOp op;
  Value qNope, qRope, kNope, kRope, v, offsets, out, lse;
  Value keys, sums, probabilities, maxima, totals; // scratch
  int64_t heads, dn, dr, dv, paddedDv, queryBlock;
};

void AttentionEmitter::inTiles(Value from, Value to, function_ref<void(int64_t, Value)> tile) {
  int64_t tileRows = b.shape.rows;
  Value after = b.add(from, b.mul(b.div(b.sub(to, from), tileRows), tileRows));
  b.loop(from, after, tileRows, [&](Value row) { tile(tileRows, row); });
  Value row = after;
  for (int64_t part = llvm::PowerOf2Ceil(tileRows) / 2; part; part /= 2) {
    Value has = b.compare(arith::CmpIPredicate::sge, b.sub(to, row), b.index(part));
    b.when(has, [&] { tile(part, row); });
    row = b.select(has, b.add(row, part), row);
  }
}

/// Keys k0 .. k0+count-1 of `head`, transposed: keys[d][j]. Keys past the end repeat the last one:
/// no query sees them.
void AttentionEmitter::packKeys(Value k0, Value count, Value head) {
  int64_t lanes = b.shape.lanes;
  Value last = b.sub(b.add(k0, count), b.index(1));
  b.loop(b.index(0), count, lanes, [&](Value j) {
    Values columns;
    for (int64_t i = 0; i < lanes; ++i)
      columns.push_back(b.min(b.add(k0, b.add(j, i)), last));
    auto pack = [&](Value memory, int64_t width, int64_t to,
                    function_ref<Values(Value, Value)> at) {
      b.transposeRows(
          columns, width,
          [&](Value key, Value d, int64_t valid) {
            return b.loadVector(memory, at(key, d), lanes, valid);
          },
          [&](Value v, Value d, int64_t i) {
            b.storeVector(v, keys, {b.add(d, to + i), j});
          });
    };
    pack(kNope, dn, 0, [&](Value key, Value d) { return Values{key, head, d}; });
    pack(kRope, dr, dn, [&](Value key, Value d) { return Values{key, d}; });
  });
}

/// Scaled scores of `rows` queries from `row` on, against the packed keys; keys after the query get
/// -inf.
void AttentionEmitter::scores(int64_t rows, Value row, Value r0, Value head, Value k0) {
  int64_t lanes = b.shape.lanes;
  auto floats = b.vectorOf(lanes, b.getF32Type());
  Value zero = b.zeros(floats), scale = b.splat(b.f32(op.getScale().convertToFloat()), lanes);
  Value never = b.splat(b.f32(-INFINITY), lanes);
  Value steps = vector::StepOp::create(b, b.vectorOf(lanes, b.getIndexType()));
  b.loop(0, keyBlock, 2 * lanes, [&](Value j0) {
    Values acc(2 * rows, zero);
    auto right = [&](int64_t d0) {
      return [&, d0](Value d, int64_t v) {
        return b.loadVector(keys, {b.add(d, d0), b.add(j0, v * lanes)}, lanes);
      };
    };
    acc = outerChain(
        b, b.index(dn), rows, 2, acc,
        [&](int64_t i, Value d) {
          return b.load(qNope, {b.add(row, i), head, d});
        },
        right(0));
    acc = outerChain(
        b, b.index(dr), rows, 2, acc,
        [&](int64_t i, Value d) {
          return b.load(qRope, {b.add(row, i), head, d});
        },
        right(dn));
    for (int64_t i = 0; i < rows; ++i)
      for (int64_t v = 0; v < 2; ++v) {
        Value j = b.add(j0, v * lanes);
        Value key = arith::AddIOp::create(b, steps, b.splat(b.add(k0, j), lanes));
        Value seen = b.compare(arith::CmpIPredicate::sle, key, b.splat(b.add(row, i), lanes));
        Value s = b.select(seen, b.mulf(acc[2 * i + v], scale), never);
        b.storeVector(s, probabilities, {b.sub(b.add(row, i), r0), j});
      }
  });
}

/// Turns a row of scores into probabilities relative to the new running maximum and rescales the
/// row's sums.
void AttentionEmitter::normalise(Value row, Value r0, Value k0) {
  int64_t lanes = b.shape.lanes;
  Value local = b.sub(row, r0);
  Value best = b.splat(b.f32(-INFINITY), lanes);
  for (int64_t j = 0; j < keyBlock; j += lanes)
    best = b.maxf(best, b.loadVector(probabilities, {local, b.index(j)}, lanes));
  Value before = b.load(maxima, {local});
  Value blockMax = vector::ReductionOp::create(b, vector::CombiningKind::MAXIMUMF, best);
  Value after = b.maxf(before, blockMax);
  Value factor = math::ExpOp::create(b, b.subf(before, after));
  Values partials = zeroPartials(b, b.getF32Type());
  Value afterAll = b.splat(after, lanes);
  for (int64_t j = 0; j < keyBlock; j += lanes) {
    Value p = math::ExpOp::create(
        b, b.subf(b.loadVector(probabilities, {local, b.index(j)}, lanes), afterAll));
    b.storeVector(p, probabilities, {local, b.index(j)});
    Value &partial = partials[j / lanes % partials.size()];
    partial = b.addf(partial, p);
  }
  Value sum = foldPartials(b, partials);
  b.store(b.addf(b.mulf(b.load(totals, {local}), factor), sum), totals, {local});
  b.store(after, maxima, {local});
  Value factors = b.splat(factor, lanes);
  for (int64_t d = 0; d < paddedDv; d += lanes)
    b.storeVector(b.mulf(b.loadVector(sums, {local, b.index(d)}, lanes), factors), sums,
                  {local, b.index(d)});
}

void AttentionEmitter::accumulate(int64_t rows, Value local, Value k0, Value count, Value head) {
  int64_t lanes = b.shape.lanes;
  auto columns = [&](Value d0, int64_t valid0, int64_t valid1) {
    Values acc;
    for (int64_t i = 0; i < rows; ++i)
      for (int64_t u = 0; u < 2; ++u)
        acc.push_back(b.loadVector(sums, {b.add(local, i), b.add(d0, u * lanes)}, lanes));
    acc = outerChain(
        b, count, rows, 2, acc,
        [&](int64_t i, Value j) {
          return b.load(probabilities, {b.add(local, i), j});
        },
        [&](Value j, int64_t u) -> Value {
          int64_t valid = u ? valid1 : valid0;
          if (!valid)
            return b.zeros(b.vectorOf(lanes, b.getF32Type()));
          return b.loadVector(v, {b.add(k0, j), head, b.add(d0, u * lanes)}, lanes, valid);
        });
    for (int64_t i = 0; i < rows; ++i)
      for (int64_t u = 0; u < 2; ++u)
        b.storeVector(acc[2 * i + u], sums, {b.add(local, i), b.add(d0, u * lanes)});
  };
  int64_t whole = dv / (2 * lanes) * (2 * lanes);
  b.loop(0, whole, 2 * lanes, [&](Value d0) { columns(d0, lanes, lanes); });
  if (whole < dv)
    columns(b.index(whole), std::min(lanes, dv - whole),
            std::clamp<int64_t>(dv - whole - lanes, 0, lanes));
}

void AttentionEmitter::emitRun(Value r0, Value r1, Value s0, Value head) {
  int64_t lanes = b.shape.lanes;
  auto floats = b.vectorOf(lanes, b.getF32Type());
  Value zero = b.zeros(floats), count = b.sub(r1, r0);
  b.loop(b.index(0), count, 1, [&](Value local) {
    b.store(b.f32(-INFINITY), maxima, {local});
    b.store(b.f32(0), totals, {local});
    for (int64_t d = 0; d < paddedDv; d += lanes)
      b.storeVector(zero, sums, {local, b.index(d)});
  });
  b.loop(s0, r1, keyBlock, [&](Value k0) {
    Value keysHere = b.min(b.index(keyBlock), b.sub(r1, k0));
    packKeys(k0, keysHere, head);
    // Rows before the block see none of it.
    Value from = b.max(r0, k0);
    inTiles(from, r1, [&](int64_t rows, Value row) { scores(rows, row, r0, head, k0); });
    b.loop(from, r1, 1, [&](Value row) { normalise(row, r0, k0); });
    inTiles(b.sub(from, r0), count,
            [&](int64_t rows, Value local) { accumulate(rows, local, k0, keysHere, head); });
  });
  b.loop(b.index(0), count, 1, [&](Value local) {
    Value total = b.splat(b.load(totals, {local}), lanes);
    for (int64_t d = 0; d < dv; d += lanes)
      b.storeVector(b.divf(b.loadVector(sums, {local, b.index(d)}, lanes), total), out,
                    {b.add(r0, local), head, b.index(d)}, std::min(lanes, dv - d));
    if (lse)
      b.store(b.addf(b.load(maxima, {local}), math::LogOp::create(b, b.load(totals, {local}))), lse,
              {b.add(r0, local), head});
  });
}

LogicalResult AttentionEmitter::emit() {
  qNope = kernel.memory(op.getQNope()), qRope = kernel.memory(op.getQRope());
  kNope = kernel.memory(op.getKNope()), kRope = kernel.memory(op.getKRope());
  v = kernel.memory(op.getV()), offsets = kernel.memory(op.getOffsets()),
  out = kernel.memory(op.getResult());
  if (!qNope || !qRope || !kNope || !kRope || !v || !offsets || !out)
    return kernel.tensors.emitError(
        "attention kernel wants its operands to be arguments or views of them");
  lse = op.getLse() ? kernel.memory(op.getLse()) : Value();
  heads = op.getQNope().getType().getDimSize(1), dn = op.getQNope().getType().getDimSize(2);
  dr = op.getQRope().getType().getDimSize(2), dv = op.getV().getType().getDimSize(2);
  int64_t lanes = b.shape.lanes;
  paddedDv = llvm::alignTo(dv, 2 * lanes), queryBlock = 8 * b.shape.rows;
  int64_t bytes = 0;
  Type f32 = b.getF32Type();
  keys = b.scratchView(kernel.scratch, bytes, {dn + dr, keyBlock}, f32);
  sums = b.scratchView(kernel.scratch, bytes, {queryBlock, paddedDv}, f32);
  probabilities = b.scratchView(kernel.scratch, bytes, {queryBlock, keyBlock}, f32);
  maxima = b.scratchView(kernel.scratch, bytes, {queryBlock}, f32);
  totals = b.scratchView(kernel.scratch, bytes, {queryBlock}, f32);

  Value rows = b.dim(out, 0), sequences = b.sub(b.dim(offsets, 0), b.index(1));
  b.loop(kernel.begin, kernel.end, 1, [&](Value task) {
    Value head = b.rem(task, heads), first = b.mul(b.div(task, heads), queryBlock);
    Value last = b.min(b.add(first, queryBlock), rows);
    b.loop(b.index(0), sequences, 1, [&](Value sequence) {
      Value s0 = b.toIndex(b.load(offsets, {sequence})),
            s1 = b.toIndex(b.load(offsets, {b.add(sequence, 1)}));
      Value r0 = b.max(first, s0), r1 = b.min(last, s1);
      b.when(b.less(r0, r1), [&] { emitRun(r0, r1, s0, head); });
    });
  });
  kernel.finish({kernel.resultDim(0, 0).ceilDiv(queryBlock) * heads}, bytes);
  return success();
}

} // namespace

LogicalResult hadal::emitAttention(Kernel &kernel, Operation *op) {
  return AttentionEmitter(kernel, cast<mla::AttentionOp>(op)).emit();
}
