//===- EmitAttentionGradient.cpp - the adjoint of causal attention --------===//
//
// The adjoint of causal attention, block by block (FlashAttention-2, arXiv:2307.08691, algorithm
// 2), without atomics.
//
//   task   (block of rows, head)
//     for each run of rows of one sequence
//       as queries: for each block of 64 keys up to them
//                     S = Q K^T, dP = G V^T -> dS;  dQ += dS K
//       as keys:    for each block of 64 queries from them on
//                     S^T = K Q^T, dP^T = V G^T -> P^T, dS^T;  dK += dS^T Q, dV += P^T G
//
// A task alone writes its rows' gradients, hence no sum is shared and no temporary is larger than a
// block; the price is that S and dP are made twice. The first half grows with a row's place in its
// sequence as the second shrinks, so tasks take equal time. Every element is one chain of fused
// multiply-adds in ascending order of the other side's rows (masked ones add an exact zero), so its
// bits do not depend on blocks, tasks or the sequences beside it.
//
//===----------------------------------------------------------------------===//

#include "dialects/mla/Mla.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "passes/targets/cpu/Kernel.h"
#include "passes/targets/cpu/OuterChain.h"

using namespace mlir;
using namespace hadal;
using Values = KernelBuilder::Values;

namespace {

constexpr int64_t columnBlock = 64;

/// [T, nh, width], or [T, width] for all heads.
struct Part {
  Value memory, gradient;
  int64_t width;
  int64_t depth, panel; ///< where it begins in the block of columns, transposed and in panels
  bool shared = false;

  Values at(Value row, Value head, Value d) const {
    return shared ? Values{row, d} : Values{row, head, d};
  }
};

/// Queries: q_nope, q_rope, gradient. Keys: k_nope, k_rope, v.
struct Side {
  Part nope, rope, value;
  SmallVector<const Part *> parts() const { return {&nope, &rope, &value}; }
};

class AttentionGradientEmitter {
public:
  AttentionGradientEmitter(Kernel &kernel, mla::AttentionGradOp op)
      : kernel(kernel), b(kernel.b), op(op), lanes(b.shape.lanes), width(2 * lanes),
        tile(b.shape.rows) {}
  LogicalResult emit();

private:
  /// The rows of a task, and the block of the other side that they meet.
  struct Run {
    const Side &rows, &columns;
    bool queries; ///< rows are queries: they see columns up to themselves
    Value r0, r1, head;
    Value s0;          ///< the sequence's first row
    Value c0, count;   ///< columns
    Value first, last; ///< rows from r0 on, in whole tiles
  };
  void emitRun(bool queries, Value r0, Value r1, Value s0, Value s1, Value head);
  void packTransposed(const Run &run);
  void packPanels(const Run &run);
  void products(const Run &run, ArrayRef<const Part *> parts,
                function_ref<void(Value, Value, Values)> use);
  void scores(const Run &run);
  void probabilitiesOf(const Run &run);
  void differences(const Run &run);
  void accumulate(const Run &run, Value left, int64_t from, int64_t to);
  void write(const Part &part, Value r0, Value count, Value head);
  Value rowOf(const Run &run, Value local) {
    return b.min(b.add(run.r0, local), b.sub(run.r1, b.index(1)));
  }
  int64_t panelsOf(int64_t size) { return llvm::divideCeil(size, width); }

  Kernel &kernel;
  KernelBuilder &b;
  mla::AttentionGradOp op;
  int64_t lanes, width, tile, heads, rowBlock, depth = 0, panelCount = 0;
  Side queries, keys;
  Value lse, delta, offsets;
  Value transposed, panels, sums, probabilities, changes, columnLse, columnDelta; // scratch
};

/// The block's columns as transposed[j / width][d][j % width]. Columns past the end repeat the last
/// one: nothing reads them.
void AttentionGradientEmitter::packTransposed(const Run &run) {
  Value end = b.sub(b.add(run.c0, run.count), b.index(1));
  b.loop(b.index(0), run.count, lanes, [&](Value j) {
    Values columns;
    for (int64_t i = 0; i < lanes; ++i)
      columns.push_back(b.min(b.add(run.c0, b.add(j, i)), end));
    for (const Part *part : run.columns.parts())
      b.transposeRows(
          columns, part->width,
          [&](Value column, Value d, int64_t valid) {
            return b.loadVector(part->memory, part->at(column, run.head, d), lanes, valid);
          },
          [&](Value v, Value d, int64_t i) {
            b.storeVector(v, transposed,
                          {b.div(j, width), b.add(d, part->depth + i), b.rem(j, width)});
          });
  });
}

/// The block's columns as panels[d / width][j][d % width], padded with zeros.
void AttentionGradientEmitter::packPanels(const Run &run) {
  Value zero = b.zeros(b.vectorOf(lanes, b.getF32Type()));
  b.loop(b.index(0), run.count, 1, [&](Value j) {
    Value column = b.add(run.c0, j);
    for (const Part *part : run.columns.parts()) {
      if (run.queries && part == &run.columns.value)
        continue; // values are only multiplied with gradients, transposed
      auto panel = [&](Value p, int64_t valid) {
        for (int64_t u = 0; u < width; u += lanes) {
          int64_t here = std::clamp<int64_t>(valid - u, 0, lanes);
          Value d = b.add(b.mul(p, width), u);
          Value v =
              here ? b.loadVector(part->memory, part->at(column, run.head, d), lanes, here) : zero;
          b.storeVector(v, panels, {b.add(p, part->panel), j, b.index(u)});
        }
      };
      int64_t whole = part->width / width;
      b.loop(0, whole, 1, [&](Value p) { panel(p, width); });
      if (whole * width < part->width)
        panel(b.index(whole), part->width - whole * width);
    }
  });
}

/// Dot products of rows and columns over `parts`: a tile of rows by two vectors of columns at a
/// time, given to `use` with the tile's first row and the first of the columns.
void AttentionGradientEmitter::products(const Run &run, ArrayRef<const Part *> parts,
                                        function_ref<void(Value, Value, Values)> use) {
  Value zero = b.zeros(b.vectorOf(lanes, b.getF32Type()));
  b.loop(0, columnBlock / width, 1, [&](Value group) {
    b.loop(run.first, run.last, tile, [&](Value local) {
      Values rows, acc(2 * tile, zero);
      for (int64_t i = 0; i < tile; ++i)
        rows.push_back(rowOf(run, b.add(local, i)));
      for (const Part *part : parts)
        acc = outerChain(
            b, b.index(part->width), tile, 2, acc,
            [&](int64_t i, Value d) {
              return b.load(part->memory, part->at(rows[i], run.head, d));
            },
            [&](Value d, int64_t u) {
              return b.loadVector(transposed, {group, b.add(d, part->depth), b.index(u * lanes)},
                                  lanes);
            });
      use(local, b.mul(group, width), acc);
    });
  });
}

/// Scaled scores, -inf where a query does not see a key.
void AttentionGradientEmitter::scores(const Run &run) {
  Value scale = b.splat(b.f32(op.getScale().convertToFloat()), lanes),
        never = b.splat(b.f32(-INFINITY), lanes);
  Value steps = vector::StepOp::create(b, b.vectorOf(lanes, b.getIndexType()));
  auto seenBy = run.queries ? arith::CmpIPredicate::sle : arith::CmpIPredicate::sge;
  products(run, {&run.rows.nope, &run.rows.rope}, [&](Value local, Value j0, Values acc) {
    for (int64_t i = 0; i < tile; ++i) {
      Value row = b.splat(rowOf(run, b.add(local, i)), lanes);
      for (int64_t u = 0; u < 2; ++u) {
        Value j = b.add(j0, u * lanes);
        Value column = arith::AddIOp::create(b, steps, b.splat(b.add(run.c0, j), lanes));
        Value s = b.select(b.compare(seenBy, column, row), b.mulf(acc[2 * i + u], scale), never);
        b.storeVector(s, probabilities, {b.add(local, i), j});
      }
    }
  });
}

void AttentionGradientEmitter::probabilitiesOf(const Run &run) {
  b.loop(run.first, run.last, 1, [&](Value local) {
    Value mine = run.queries ? b.splat(b.load(lse, {rowOf(run, local), run.head}), lanes) : Value();
    b.loop(0, columnBlock, lanes, [&](Value j) {
      Value logarithm = run.queries ? mine : b.loadVector(columnLse, {j}, lanes);
      Value p =
          math::ExpOp::create(b, b.subf(b.loadVector(probabilities, {local, j}, lanes), logarithm));
      b.storeVector(p, probabilities, {local, j});
    });
  });
}

/// dS = P * (dP - delta) * scale; an exact zero for the first query, whose one probability is 1
/// whatever its score: there dP and delta are the same sum in two orders.
void AttentionGradientEmitter::differences(const Run &run) {
  Value scale = b.splat(b.f32(op.getScale().convertToFloat()), lanes),
        zeros = b.splat(b.f32(0), lanes),
        steps = vector::StepOp::create(b, b.vectorOf(lanes, b.getIndexType()));
  products(run, {&run.rows.value}, [&](Value local, Value j0, Values acc) {
    for (int64_t i = 0; i < tile; ++i) {
      Value at = b.add(local, i);
      Value row = rowOf(run, at), mine, isFirst;
      if (run.queries) {
        mine = b.splat(b.load(delta, {row, run.head}), lanes);
        isFirst = b.splat(b.equal(row, run.s0), lanes);
      }
      for (int64_t u = 0; u < 2; ++u) {
        Value j = b.add(j0, u * lanes);
        Value mean = run.queries ? mine : b.loadVector(columnDelta, {j}, lanes);
        Value first = isFirst;
        if (!run.queries)
          first = b.equal(arith::AddIOp::create(b, steps, b.splat(b.add(run.c0, j), lanes)),
                          b.splat(run.s0, lanes));
        Value p = b.loadVector(probabilities, {at, j}, lanes);
        Value change = b.mulf(b.mulf(p, b.subf(acc[2 * i + u], mean)), scale);
        b.storeVector(b.select(first, zeros, change), changes, {at, j});
      }
    }
  });
}

/// sums[panel][row] += left[row][j] * panels[panel][j], j ascending, for panels `from` .. `to`-1.
void AttentionGradientEmitter::accumulate(const Run &run, Value left, int64_t from, int64_t to) {
  b.loop(from, to, 1, [&](Value panel) {
    b.loop(run.first, run.last, tile, [&](Value local) {
      Values acc;
      for (int64_t i = 0; i < tile; ++i)
        for (int64_t u = 0; u < width; u += lanes)
          acc.push_back(b.loadVector(sums, {panel, b.add(local, i), b.index(u)}, lanes));
      acc = outerChain(
          b, run.count, tile, 2, acc,
          [&](int64_t i, Value j) {
            return b.load(left, {b.add(local, i), j});
          },
          [&](Value j, int64_t u) {
            return b.loadVector(panels, {panel, j, b.index(u * lanes)}, lanes);
          });
      for (int64_t i = 0; i < tile; ++i)
        for (int64_t u = 0; u < 2; ++u)
          b.storeVector(acc[2 * i + u], sums, {panel, b.add(local, i), b.index(u * lanes)});
    });
  });
}

void AttentionGradientEmitter::write(const Part &part, Value r0, Value count, Value head) {
  b.loop(b.index(0), count, 1, [&](Value local) {
    auto panel = [&](Value p, int64_t valid) {
      for (int64_t u = 0; u < std::min(valid, width); u += lanes)
        b.storeVector(b.loadVector(sums, {b.add(p, part.panel), local, b.index(u)}, lanes),
                      part.gradient, {b.add(r0, local), head, b.add(b.mul(p, width), u)},
                      std::min(lanes, valid - u));
    };
    int64_t whole = part.width / width;
    b.loop(0, whole, 1, [&](Value p) { panel(p, width); });
    if (whole * width < part.width)
      panel(b.index(whole), part.width - whole * width);
  });
}

void AttentionGradientEmitter::emitRun(bool asQueries, Value r0, Value r1, Value s0, Value s1,
                                       Value head) {
  const Side &rows = asQueries ? queries : keys, &columns = asQueries ? keys : queries;
  Value zero = b.zeros(b.vectorOf(lanes, b.getF32Type())), mine = b.sub(r1, r0);
  Value padded = b.mul(b.ceilDiv(mine, tile), tile);
  int64_t used = asQueries ? keys.value.panel : panelCount;
  b.loop(0, used, 1, [&](Value panel) {
    b.loop(b.index(0), padded, 1, [&](Value local) {
      for (int64_t u = 0; u < width; u += lanes)
        b.storeVector(zero, sums, {panel, local, b.index(u)});
    });
  });
  // Blocks of columns stand at multiples of 64 from the sequence's start.
  Value from = asQueries ? s0 : b.add(s0, b.mul(b.div(b.sub(r0, s0), columnBlock), columnBlock));
  Value to = asQueries ? r1 : s1;
  b.loop(from, to, columnBlock, [&](Value c0) {
    Run run{rows,       columns, asQueries,
            r0,         r1,      head,
            s0,         c0,      b.min(b.index(columnBlock), b.sub(to, c0)),
            b.index(0), padded};
    if (asQueries) // queries before the block see none of it
      run.first = b.mul(b.div(b.sub(b.max(r0, c0), r0), tile), tile);
    else // keys after the block are seen by none of it
      run.last = b.min(padded, b.mul(b.ceilDiv(b.sub(b.add(c0, columnBlock), r0), tile), tile));
    packTransposed(run);
    packPanels(run);
    if (!asQueries)
      b.loop(b.index(0), run.count, 1, [&](Value j) {
        b.store(b.load(lse, {b.add(c0, j), head}), columnLse, {j});
        b.store(b.load(delta, {b.add(c0, j), head}), columnDelta, {j});
      });
    scores(run);
    probabilitiesOf(run);
    differences(run);
    accumulate(run, changes, 0, keys.value.panel);
    if (!asQueries)
      accumulate(run, probabilities, keys.value.panel, panelCount);
  });
  write(rows.nope, r0, mine, head);
  write(rows.rope, r0, mine, head);
  if (!asQueries)
    write(rows.value, r0, mine, head);
}

LogicalResult AttentionGradientEmitter::emit() {
  bool missing = false;
  auto memory = [&](Value tensor) {
    Value m = kernel.memory(tensor);
    missing |= !m;
    return m;
  };
  auto part = [&](Value of, Value gradient) {
    auto type = cast<RankedTensorType>(of.getType());
    Part p{memory(of),
           gradient ? memory(gradient) : Value(),
           type.getShape().back(),
           depth,
           panelCount,
           type.getRank() == 2};
    depth += p.width, panelCount += panelsOf(p.width);
    return p;
  };
  queries = {part(op.getQNope(), op.getQNopeGrad()), part(op.getQRope(), op.getQRopeGrad()),
             part(op.getGradient(), {})};
  depth = panelCount = 0;
  keys = {part(op.getKNope(), op.getKNopeGrad()), part(op.getKRope(), op.getKRopeGrad()),
          part(op.getV(), op.getVGrad())};
  lse = memory(op.getLse()), delta = memory(op.getDelta()), offsets = memory(op.getOffsets());
  if (missing)
    return kernel.tensors.emitError(
        "attention gradient kernel wants its operands to be arguments or views of them");
  heads = op.getQNope().getType().getDimSize(1);
  // Enough rows to make the packing of a block small beside its products.
  rowBlock = 96 / tile * tile;
  int64_t bytes = 0;
  Type f32 = b.getF32Type();
  transposed = b.scratchView(kernel.scratch, bytes, {columnBlock / width, depth, width}, f32);
  panels = b.scratchView(kernel.scratch, bytes, {panelCount, columnBlock, width}, f32);
  sums = b.scratchView(kernel.scratch, bytes, {panelCount, rowBlock, width}, f32);
  probabilities = b.scratchView(kernel.scratch, bytes, {rowBlock, columnBlock}, f32);
  changes = b.scratchView(kernel.scratch, bytes, {rowBlock, columnBlock}, f32);
  columnLse = b.scratchView(kernel.scratch, bytes, {columnBlock}, f32);
  columnDelta = b.scratchView(kernel.scratch, bytes, {columnBlock}, f32);

  Value rows = b.dim(queries.nope.gradient, 0), sequences = b.sub(b.dim(offsets, 0), b.index(1));
  b.loop(kernel.begin, kernel.end, 1, [&](Value task) {
    Value head = b.rem(task, heads), first = b.mul(b.div(task, heads), rowBlock);
    Value last = b.min(b.add(first, rowBlock), rows);
    b.loop(b.index(0), sequences, 1, [&](Value sequence) {
      Value s0 = b.toIndex(b.load(offsets, {sequence})),
            s1 = b.toIndex(b.load(offsets, {b.add(sequence, 1)}));
      Value r0 = b.max(first, s0), r1 = b.min(last, s1);
      b.when(b.less(r0, r1), [&] {
        emitRun(/*asQueries=*/true, r0, r1, s0, s1, head);
        emitRun(/*asQueries=*/false, r0, r1, s0, s1, head);
      });
    });
  });
  kernel.finish({kernel.resultDim(0, 0).ceilDiv(rowBlock) * heads}, bytes);
  return success();
}

} // namespace

LogicalResult hadal::emitAttentionGradient(Kernel &kernel, Operation *op) {
  return AttentionGradientEmitter(kernel, cast<mla::AttentionGradOp>(op)).emit();
}
