//===- EmitRoutingGradient.cpp - adjoints of experts' bookkeeping ---------===//
//
// Adjoints of the mixture of experts' bookkeeping, and its balance loss: moe.combine_grad,
// route_grad, balance_loss, balance_loss_grad, scatter_add.
//
//===----------------------------------------------------------------------===//

#include "dialects/moe/Moe.h"
#include "passes/targets/cpu/Affinities.h"
#include "passes/targets/cpu/Kernel.h"
#include "passes/targets/cpu/RowSum.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;
using namespace hadal;
using Values = KernelBuilder::Values;

namespace {

/// A task is a token: its rows are those its choices lie in, and no other token's.
void emitCombineGrad(Kernel &kernel, moe::CombineGradOp op) {
  KernelBuilder &b = kernel.b;
  Value rows = kernel.memory(op.getRows()), position = kernel.memory(op.getPosition()),
        weights = kernel.memory(op.getWeights());
  Value constant = filledWith(op.getGradient()), gradient = kernel.memory(op.getGradient());
  Value rowsGrad = kernel.memory(op.getRowsGrad()),
        weightsGrad = kernel.memory(op.getWeightsGrad());
  int64_t width = op.getRows().getType().getDimSize(1),
          topK = op.getPosition().getType().getDimSize(1), lanes = b.shape.lanes;
  b.loop(kernel.begin, kernel.end, 1, [&](Value token) {
    auto choice = [&](Value k) {
      Value row = b.toIndex(b.load(position, {token, k})),
            weight = b.splat(b.load(weights, {token, k}), lanes);
      auto columns = [&](RowVector c, Value dot) {
        Value g = constant ? b.splat(b.clone(*constant.getDefiningOp())->getResult(0), lanes)
                           : b.loadVector(gradient, {token, c.at}, lanes, c.mask);
        b.storeVector(b.mulf(g, weight), rowsGrad, {row, c.at}, c.valid);
        return b.fma(b.loadVector(rows, {row, c.at}, lanes, c.mask), g, dot);
      };
      b.store(sumRow(b, b.getF32Type(), b.index(0), b.index(width), columns), weightsGrad,
              {token, k});
    };
    b.loop(0, topK, 1, [&](Value k) {
      if (!op.getPartial())
        return choice(k);
      Value present = b.compare(arith::CmpIPredicate::sge, b.load(position, {token, k}), b.i32(0));
      b.choose(
          present, [&] { choice(k); },
          [&] {
            b.store(b.f32(0), weightsGrad, {token, k});
          });
    });
  });
  kernel.finish({kernel.resultDim(1, 0)}, 0);
}

/// A task is a token.
void emitRouteGrad(Kernel &kernel, moe::RouteGradOp op) {
  KernelBuilder &b = kernel.b;
  Value logits = kernel.memory(op.getLogits()), experts = kernel.memory(op.getExperts());
  Value gradient = kernel.memory(op.getGradient()), out = kernel.memory(op.getLogitsGrad());
  int64_t count = op.getLogits().getType().getDimSize(1),
          topK = op.getExperts().getType().getDimSize(1), bytes = 0;
  bool softmax = op.getSoftmax();
  Value affinity = b.scratchView(kernel.scratch, bytes, {topK}, b.getF32Type()),
        changes = b.scratchView(kernel.scratch, bytes, {topK}, b.getF32Type());
  Value all = softmax ? b.scratchView(kernel.scratch, bytes, {count}, b.getF32Type()) : Value();
  b.loop(kernel.begin, kernel.end, 1, [&](Value token) {
    auto expertOf = [&](Value k) { return b.toIndex(b.load(experts, {token, k})); };
    if (softmax)
      emitAffinities(b, logits, token, count, softmax, all);
    b.loop(0, topK, 1, [&](Value k) {
      b.store(softmax ? b.load(all, {expertOf(k)})
                      : sigmoid(b, b.load(logits, {token, expertOf(k)})),
              affinity, {k});
    });
    Value total = b.f64(1), mean = b.f64(0); // without normalize
    if (op.getNormalize()) {
      total =
          b.addf(sumInF64(b, topK, [&](Value k) { return b.load(affinity, {k}); }), b.f64(1e-20));
      mean = b.divf(sumInF64(b, topK,
                             [&](Value k) {
                               return b.mulf(b.load(gradient, {token, k}), b.load(affinity, {k}));
                             }),
                    total);
    }
    Value factor = b.divf(b.f64(op.getScale().convertToFloat()), total);
    b.loop(0, topK, 1, [&](Value k) {
      b.store(toF32(b, b.mulf(b.subf(toF64(b, b.load(gradient, {token, k})), mean), factor)),
              changes, {k});
    });
    // A softmax hands what its affinities gain together to all logits, the chosen ones and the
    // others.
    Value shared =
        softmax ? toF32(b, sumInF64(b, topK,
                                    [&](Value k) {
                                      return b.mulf(b.load(changes, {k}), b.load(affinity, {k}));
                                    }))
                : Value();
    b.loop(0, count, 1, [&](Value e) {
      b.store(softmax ? Value(arith::NegFOp::create(b, b.mulf(shared, b.load(all, {e}))))
                      : b.f32(0),
              out, {token, e});
    });
    b.loop(0, topK, 1, [&](Value k) {
      Value e = expertOf(k), slope = affinitySlope(b, softmax, b.load(affinity, {k}));
      // Onto what is there: a forced choice may name an expert twice.
      b.store(b.addf(b.load(out, {token, e}), b.mulf(b.load(changes, {k}), slope)), out,
              {token, e});
    });
  });
  kernel.finish({kernel.resultDim(0, 0)}, bytes);
}

/// Counts in `chosen` [padded] the experts that a row of `affinity` [padded] chooses. An expert is
/// chosen if fewer than `top_k` come before it; counting these for each expert takes no order of
/// choices, so it runs in vectors.
void countLargest(KernelBuilder &b, Value affinity, Value chosen, int64_t count, int64_t padded,
                  int64_t topK) {
  int64_t lanes = b.shape.lanes;
  auto integers = b.vectorOf(lanes, b.getI32Type());
  Value steps = arith::IndexCastOp::create(
      b, integers, vector::StepOp::create(b, b.vectorOf(lanes, b.getIndexType())));
  Value one = b.splat(b.i32(1), lanes), none = b.zeros(integers),
        most = b.splat(b.i32(topK), lanes);
  b.loop(0, padded, lanes, [&](Value e) {
    Value mine = b.loadVector(affinity, {e}, lanes);
    Value id = b.add(steps, b.splat(b.toI32(e), lanes));
    Value before = b.carry(b.index(0), b.index(count), 1, {none}, [&](Value other, Values before) {
      Value theirs = b.splat(b.load(affinity, {other}), lanes);
      Value tie = arith::CmpFOp::create(b, arith::CmpFPredicate::OEQ, theirs, mine);
      Value lower = arith::AndIOp::create(b, tie, b.less(b.splat(b.toI32(other), lanes), id));
      Value first = arith::OrIOp::create(b, b.greater(theirs, mine), lower);
      return Values{b.add(before[0], b.select(first, one, none))};
    })[0];
    Value had = b.loadVector(chosen, {e}, lanes);
    b.storeVector(b.add(had, b.select(b.less(before, most), one, none)), chosen, {e});
  });
}

/// A task is a sequence. Sums run over its tokens, thousands of terms: in f64.
void emitBalanceLoss(Kernel &kernel, moe::BalanceLossOp op) {
  KernelBuilder &b = kernel.b;
  Value logits = kernel.memory(op.getLogits()), offsets = kernel.memory(op.getOffsets());
  Value given = op.getExperts() ? kernel.memory(op.getExperts()) : Value();
  Value loss = kernel.memory(op.getLoss()), fractions = kernel.memory(op.getFractions());
  int64_t count = op.getLogits().getType().getDimSize(1), topK = op.getTopK(),
          lanes = b.shape.lanes, bytes = 0;
  int64_t padded = llvm::alignTo(count, lanes), whole = count / lanes * lanes;
  Type f32 = b.getF32Type(), f64 = b.getF64Type(), i32 = b.getI32Type();
  Value affinity = b.scratchView(kernel.scratch, bytes, {padded}, f32);
  Value shares = b.scratchView(kernel.scratch, bytes, {count}, f64),
        chosen = b.scratchView(kernel.scratch, bytes, {padded}, i32);
  auto sigmoids = [&](Value token, Value e, int64_t valid) {
    b.storeVector(sigmoid(b, b.loadVector(logits, {token, e}, lanes, valid)), affinity, {e});
  };
  b.loop(kernel.begin, kernel.end, 1, [&](Value sequence) {
    Value s0 = b.toIndex(b.load(offsets, {sequence})),
          s1 = b.toIndex(b.load(offsets, {b.add(sequence, 1)}));
    b.loop(0, count, 1, [&](Value e) { b.store(b.f64(0), shares, {e}); });
    b.loop(0, padded, 1, [&](Value e) { b.store(b.i32(0), chosen, {e}); });
    b.loop(s0, s1, 1, [&](Value token) {
      if (op.getSoftmax()) {
        emitAffinities(b, logits, token, count, /*softmax=*/true, affinity);
      } else {
        b.loop(0, whole, lanes, [&](Value e) { sigmoids(token, e, lanes); });
        if (whole < count)
          sigmoids(token, b.index(whole), count - whole);
      }
      if (given)
        b.loop(0, topK, 1, [&](Value k) {
          Value e = b.toIndex(b.load(given, {token, k}));
          b.store(b.add(b.load(chosen, {e}), b.i32(1)), chosen, {e});
        });
      else
        countLargest(b, affinity, chosen, count, padded, topK);
      Value factor =
          b.divf(b.f64(1), sumInF64(b, count, [&](Value e) { return b.load(affinity, {e}); }));
      b.loop(0, count, 1, [&](Value e) {
        b.store(b.addf(b.load(shares, {e}), b.mulf(toF64(b, b.load(affinity, {e})), factor)),
                shares, {e});
      });
    });
    // An empty sequence divides its zeros by one.
    Value tokens = b.max(b.sub(s1, s0), b.index(1));
    Value tokensReal =
        arith::SIToFPOp::create(b, f64, arith::IndexCastOp::create(b, b.getI64Type(), tokens));
    Value perChoice = b.divf(b.f64(double(count) / double(topK)), tokensReal);
    Value total = b.carry(b.index(0), b.index(count), 1, {b.f64(0)}, [&](Value e, Values total) {
      Value fraction =
          toF32(b, b.mulf(arith::SIToFPOp::create(b, f64, b.load(chosen, {e})), perChoice));
      b.store(fraction, fractions, {sequence, e});
      return Values{b.addf(total[0], b.mulf(toF64(b, fraction), b.load(shares, {e})))};
    })[0];
    b.store(toF32(b, b.divf(total, tokensReal)), loss, {sequence});
  });
  kernel.finish({kernel.resultDim(0, 0)}, bytes);
}

/// A task is a block of rows, each with the numbers of its sequence.
void emitBalanceLossGrad(Kernel &kernel, moe::BalanceLossGradOp op) {
  KernelBuilder &b = kernel.b;
  constexpr int64_t block = 32;
  Value logits = kernel.memory(op.getLogits()), offsets = kernel.memory(op.getOffsets());
  Value fractions = kernel.memory(op.getFractions()), gradient = kernel.memory(op.getGradient());
  Value out = kernel.memory(op.getLogitsGrad());
  int64_t count = op.getLogits().getType().getDimSize(1), bytes = 0;
  Value affinity = b.scratchView(kernel.scratch, bytes, {count}, b.getF32Type());
  Value rows = b.dim(out, 0), sequences = b.sub(b.dim(offsets, 0), b.index(1));
  b.loop(kernel.begin, kernel.end, 1, [&](Value task) {
    Value first = b.mul(task, block), last = b.min(b.add(first, block), rows);
    b.loop(b.index(0), sequences, 1, [&](Value sequence) {
      Value s0 = b.toIndex(b.load(offsets, {sequence})),
            s1 = b.toIndex(b.load(offsets, {b.add(sequence, 1)}));
      Value length = arith::SIToFPOp::create(
          b, b.getF64Type(), arith::IndexCastOp::create(b, b.getI64Type(), b.sub(s1, s0)));
      b.loop(b.max(first, s0), b.min(last, s1), 1, [&](Value token) {
        emitAffinities(b, logits, token, count, op.getSoftmax(), affinity);
        Value total = sumInF64(b, count, [&](Value e) { return b.load(affinity, {e}); });
        Value weighted = sumInF64(b, count, [&](Value e) {
          return b.mulf(b.load(affinity, {e}), b.load(fractions, {sequence, e}));
        });
        Value mean = toF32(b, b.divf(weighted, total));
        Value factor =
            toF32(b, b.divf(toF64(b, b.load(gradient, {sequence})), b.mulf(length, total)));
        b.loop(0, count, 1, [&](Value e) {
          Value change = b.mulf(b.subf(b.load(fractions, {sequence, e}), mean), factor);
          b.store(b.mulf(change, affinitySlope(b, op.getSoftmax(), b.load(affinity, {e}))), out,
                  {token, e});
        });
      });
    });
  });
  kernel.finish({kernel.resultDim(0, 0).ceilDiv(block)}, bytes);
}

/// A task is a block of columns and walks all rows in ascending order: no two tasks write to one
/// element.
void emitScatterAdd(Kernel &kernel, moe::ScatterAddOp op) {
  KernelBuilder &b = kernel.b;
  Value rows = kernel.memory(op.getRows()), ids = kernel.memory(op.getIds()),
        table = kernel.memory(op.getResult());
  int64_t width = op.getRows().getType().getDimSize(1), lanes = b.shape.lanes;
  // At least a cache line, so that tasks do not write to one line in turn; few enough columns for
  // some sixteen tasks.
  int64_t line = std::max<int64_t>(16, lanes);
  int64_t block =
      std::clamp<int64_t>(llvm::alignTo(llvm::divideCeil(width, 16), line), line, 8 * line);
  int64_t tasks = llvm::divideCeil(width, block);
  b.loop(kernel.begin, kernel.end, 1, [&](Value task) {
    Value first = b.mul(task, block);
    auto walk = [&](int64_t columns) {
      b.loop(b.index(0), b.dim(rows, 0), 1, [&](Value r) {
        Value id = b.toIndex(b.load(ids, {r}));
        for (int64_t c = 0; c < columns; c += lanes) {
          Value at = b.add(first, c);
          int64_t valid = std::min(lanes, columns - c);
          Value sum = b.addf(b.loadVector(table, {id, at}, lanes, valid),
                             b.loadVector(rows, {r, at}, lanes, valid));
          b.storeVector(sum, table, {id, at}, valid);
        }
      });
    };
    int64_t rest = width - (tasks - 1) * block;
    if (rest == block)
      walk(block);
    else
      b.choose(
          b.less(task, b.index(tasks - 1)), [&] { walk(block); }, [&] { walk(rest); });
  });
  kernel.finish({b.getAffineConstantExpr(tasks)}, 0);
}

} // namespace

LogicalResult hadal::emitRoutingGradient(Kernel &kernel, Operation *op) {
  Values read(op->getOperands());
  if (auto combine = dyn_cast<moe::CombineGradOp>(op); combine && filledWith(combine.getGradient()))
    llvm::erase(read, combine.getGradient());
  if (failed(kernel.wantMemory(op, read)))
    return failure();
  llvm::TypeSwitch<Operation *>(op)
      .Case([&](moe::CombineGradOp combine) { emitCombineGrad(kernel, combine); })
      .Case([&](moe::RouteGradOp route) { emitRouteGrad(kernel, route); })
      .Case([&](moe::BalanceLossOp loss) { emitBalanceLoss(kernel, loss); })
      .Case([&](moe::BalanceLossGradOp loss) { emitBalanceLossGrad(kernel, loss); })
      .Case([&](moe::ScatterAddOp add) { emitScatterAdd(kernel, add); });
  return success();
}
