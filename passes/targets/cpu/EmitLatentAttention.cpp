//===- EmitLatentAttention.cpp - attention over the latent cache ----------===//
//
// Attention of new tokens over the latent cache, absorbed: all heads share each cached row, so
// vectors run over heads.
//
//   task   (new token, group of heads)
//     for each block of 64 positions
//       (codes: their rows become numbers in scratch, which is read instead of the cache)
//       S[j][heads] = cache row j . q[.][heads]         one chain over latent and rope key
//       running maximum and sum, one lane per head
//       O[r][heads] += cache[j][r] * P[j][heads]        one chain over j
//
// Blocks stand at absolute positions; lanes never mix, so a head's bits depend on nothing but its
// token and the cache.
//
//===----------------------------------------------------------------------===//

#include "dialects/mla/Mla.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "passes/targets/cpu/Fp8Codes.h"
#include "passes/targets/cpu/Kernel.h"
#include "passes/targets/cpu/OuterChain.h"

using namespace mlir;
using namespace hadal;
using Values = KernelBuilder::Values;

namespace {

constexpr int64_t keyBlock = 64;

class LatentAttentionEmitter {
public:
  LatentAttentionEmitter(Kernel &kernel, mla::LatentAttentionOp op)
      : kernel(kernel), b(kernel.b), op(op) {}
  LogicalResult emit();

private:
  void packQueries(Value row, Value head0, Value headCount);
  Value sequenceOf(Value row);
  void decodeRow(Value slot, Value j);
  /// Where the block's row j is read.
  Value placeOf(Value j) { return codes ? j : b.toIndex(b.load(slots, {j})); }
  void scoreRows(int64_t rows, Value j);
  Values softmax(Value count, Values state);
  void accumulate(int64_t rows, Value r, Value count, ArrayRef<Value> factors);

  Kernel &kernel;
  KernelBuilder &b;
  mla::LatentAttentionOp op;
  Value qLatent, qRope, cache, table, positions, offsets, out;
  Value codes; ///< of latents, or null
  Value keys;  ///< [slots or rows of a block, rk + dr]: the cache, or what codes stand for
  Value queries, scores, sums, slots; // scratch
  int64_t heads, rk, dr, lanes, vectors, group;
};

/// The sequence of a row: how many sequences after the first begin at or before it.
Value LatentAttentionEmitter::sequenceOf(Value row) {
  if (!offsets)
    return row;
  Value last = b.sub(b.dim(offsets, 0), b.index(1));
  return b.carry(b.index(1), last, 1, {b.index(0)}, [&](Value i, Values count) {
    Value begins = b.less(row, b.toIndex(b.load(offsets, {i})));
    return Values{b.select(begins, count[0], b.add(count[0], 1))};
  })[0];
}

void LatentAttentionEmitter::packQueries(Value row, Value head0, Value headCount) {
  Value zero = b.zeros(b.vectorOf(lanes, b.getF32Type()));
  b.loop(0, rk + dr, 1, [&](Value k) {
    for (int64_t v = 0; v < vectors; ++v)
      b.storeVector(zero, queries, {k, b.index(v * lanes)});
  });
  b.loop(b.index(0), headCount, 1, [&](Value h) {
    Value head = b.add(head0, h);
    b.loop(0, rk, 1, [&](Value k) { b.store(b.load(qLatent, {row, head, k}), queries, {k, h}); });
    b.loop(0, dr, 1, [&](Value k) {
      b.store(b.load(qRope, {row, head, k}), queries, {b.add(k, rk), h});
    });
  });
}

/// The numbers of a cached row: codes times scales, then the key.
void LatentAttentionEmitter::decodeRow(Value slot, Value j) {
  Type format = op.getCodes().getType().getElementType();
  int64_t tile = *op.getTile(), tiles = llvm::divideCeil(rk, tile);
  for (int64_t t = 0; t < tiles; ++t) {
    Value scale = b.splat(b.load(cache, {slot, b.index(t)}), lanes);
    int64_t first = t * tile, last = std::min(first + tile, rk),
            whole = first + (last - first) / lanes * lanes;
    auto widen = [&](Value k, int64_t count) {
      Value code = b.loadVector(codes, {slot, k}, lanes, count);
      b.storeVector(b.mulf(decodeF8(b, code, format), scale), keys, {j, k}, count);
    };
    b.loop(first, whole, lanes, [&](Value k) { widen(k, lanes); });
    if (whole < last)
      widen(b.index(whole), last - whole);
  }
  b.loop(0, dr, 1, [&](Value k) {
    b.store(b.load(cache, {slot, b.add(k, tiles)}), keys, {j, b.add(k, rk)});
  });
}

void LatentAttentionEmitter::scoreRows(int64_t rows, Value j) {
  Value zero = b.zeros(b.vectorOf(lanes, b.getF32Type()));
  SmallVector<Value> slot;
  for (int64_t i = 0; i < rows; ++i)
    slot.push_back(placeOf(b.add(j, i)));
  Values acc = outerChain(
      b, b.index(rk + dr), rows, vectors, Values(rows * vectors, zero),
      [&](int64_t i, Value k) {
        return b.load(keys, {slot[i], k});
      },
      [&](Value k, int64_t v) {
        return b.loadVector(queries, {k, b.index(v * lanes)}, lanes);
      });
  Value scale = b.splat(b.f32(op.getScale().convertToFloat()), lanes);
  for (int64_t i = 0; i < rows; ++i)
    for (int64_t v = 0; v < vectors; ++v)
      b.storeVector(b.mulf(acc[i * vectors + v], scale), scores, {b.add(j, i), b.index(v * lanes)});
}

/// Scores to probabilities; `state` is maximum and total of each vector of heads; returns them and
/// the factors of the sums.
Values LatentAttentionEmitter::softmax(Value count, Values state) {
  Values after, factors;
  for (int64_t v = 0; v < vectors; ++v) {
    Value at = b.index(v * lanes), before = state[2 * v];
    Value best = b.carry(b.index(0), count, 1, {before}, [&](Value j, Values m) {
      return Values{b.maxf(m[0], b.loadVector(scores, {j, at}, lanes))};
    })[0];
    Value factor = math::ExpOp::create(b, b.subf(before, best));
    Value total =
        b.carry(b.index(0), count, 1, {b.mulf(state[2 * v + 1], factor)}, [&](Value j, Values t) {
          Value p = math::ExpOp::create(b, b.subf(b.loadVector(scores, {j, at}, lanes), best));
          b.storeVector(p, scores, {j, at});
          return Values{b.addf(t[0], p)};
        })[0];
    after.append({best, total});
    factors.push_back(factor);
  }
  after.append(factors);
  return after;
}

void LatentAttentionEmitter::accumulate(int64_t rows, Value r, Value count,
                                        ArrayRef<Value> factors) {
  Values acc;
  for (int64_t i = 0; i < rows; ++i)
    for (int64_t v = 0; v < vectors; ++v)
      acc.push_back(
          b.mulf(b.loadVector(sums, {b.add(r, i), b.index(v * lanes)}, lanes), factors[v]));
  Value place; // of row j, once for all i
  acc = outerChain(
      b, count, rows, vectors, acc,
      [&](int64_t i, Value j) {
        place = i ? place : placeOf(j);
        return b.load(keys, {place, b.add(r, i)});
      },
      [&](Value j, int64_t v) {
        return b.loadVector(scores, {j, b.index(v * lanes)}, lanes);
      });
  for (int64_t i = 0; i < rows; ++i)
    for (int64_t v = 0; v < vectors; ++v)
      b.storeVector(acc[i * vectors + v], sums, {b.add(r, i), b.index(v * lanes)});
}

LogicalResult LatentAttentionEmitter::emit() {
  qLatent = kernel.memory(op.getQLatent()), qRope = kernel.memory(op.getQRope()),
  cache = kernel.memory(op.getCache());
  table = kernel.memory(op.getPageTable()), positions = kernel.memory(op.getPositions()),
  out = kernel.memory(op.getResult());
  if (op.getOffsets())
    offsets = kernel.memory(op.getOffsets());
  if (op.getCodes())
    codes = kernel.memory(op.getCodes());
  if (!qLatent || !qRope || !cache || !table || !positions || !out ||
      !offsets != !op.getOffsets() || !codes != !op.getCodes())
    return kernel.tensors.emitError(
        "latent attention kernel wants its operands to be arguments or views of them");
  heads = op.getQLatent().getType().getDimSize(1), rk = op.getQLatent().getType().getDimSize(2);
  dr = op.getQRope().getType().getDimSize(2), lanes = b.shape.lanes;
  vectors = heads > lanes ? 2 : 1, group = vectors * lanes;
  int64_t groups = llvm::divideCeil(heads, group), pageTokens = op.getPageTokens(), bytes = 0,
          rows = b.shape.rows;
  Type f32 = b.getF32Type();
  queries = b.scratchView(kernel.scratch, bytes, {rk + dr, group}, f32);
  scores = b.scratchView(kernel.scratch, bytes, {keyBlock, group}, f32);
  sums = b.scratchView(kernel.scratch, bytes, {rk, group}, f32);
  slots = b.scratchView(kernel.scratch, bytes, {keyBlock}, b.getI64Type());
  keys = codes ? b.scratchView(kernel.scratch, bytes, {keyBlock, rk + dr}, f32) : cache;
  auto vectorType = b.vectorOf(lanes, f32);

  b.loop(kernel.begin, kernel.end, 1, [&](Value task) {
    Value row = b.div(task, groups), head0 = b.mul(b.rem(task, groups), group);
    Value sequence = sequenceOf(row);
    Value headCount = b.min(b.index(group), b.sub(b.index(heads), head0));
    packQueries(row, head0, headCount);
    b.loop(0, rk, 1, [&](Value r) {
      for (int64_t v = 0; v < vectors; ++v)
        b.storeVector(b.zeros(vectorType), sums, {r, b.index(v * lanes)});
    });
    Value length = b.add(b.toIndex(b.load(positions, {row})), 1);
    Values state;
    for (int64_t v = 0; v < vectors; ++v)
      state.append({b.splat(b.f32(-INFINITY), lanes), b.zeros(vectorType)});
    state = b.carry(b.index(0), length, keyBlock, state, [&](Value k0, Values state) {
      Value count = b.min(b.index(keyBlock), b.sub(length, k0));
      b.loop(b.index(0), count, 1, [&](Value j) {
        Value position = b.add(k0, j);
        Value page = b.toIndex(b.load(table, {sequence, b.div(position, pageTokens)}));
        Value slot = b.add(b.mul(page, pageTokens), b.rem(position, pageTokens));
        if (codes)
          return decodeRow(slot, j);
        b.store(arith::IndexCastOp::create(b, b.getI64Type(), slot), slots, {j});
      });
      Value whole = b.mul(b.div(count, rows), rows);
      b.loop(b.index(0), whole, rows, [&](Value j) { scoreRows(rows, j); });
      b.loop(whole, count, 1, [&](Value j) { scoreRows(1, j); });
      Values next = softmax(count, state);
      Values factors(next.begin() + 2 * vectors, next.end());
      next.resize(2 * vectors);
      int64_t wholeRows = rk / rows * rows;
      b.loop(0, wholeRows, rows, [&](Value r) { accumulate(rows, r, count, factors); });
      for (int64_t r = wholeRows; r < rk; ++r)
        accumulate(1, b.index(r), count, factors);
      return next;
    });
    for (int64_t v = 0; v < vectors; ++v)
      b.loop(0, rk, 1, [&](Value r) {
        Value o = b.loadVector(sums, {r, b.index(v * lanes)}, lanes);
        b.storeVector(b.divf(o, state[2 * v + 1]), sums, {r, b.index(v * lanes)});
      });
    b.loop(b.index(0), headCount, 1, [&](Value h) {
      b.loop(0, rk, 1, [&](Value r) {
        b.store(b.load(sums, {r, h}), out, {row, b.add(head0, h), r});
      });
    });
  });
  kernel.finish({kernel.resultDim(0, 0) * groups}, bytes);
  return success();
}

} // namespace

LogicalResult hadal::emitLatentAttention(Kernel &kernel, Operation *op) {
  return LatentAttentionEmitter(kernel, cast<mla::LatentAttentionOp>(op)).emit();
}
