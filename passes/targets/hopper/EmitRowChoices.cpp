//===- EmitRowChoices.cpp - what rows of logits choose --------------------===//
//
// sample.argmax, nll, log_probabilities and penalize: a block is a row of logits. moe.route: a warp
// is a token, its lanes have the experts in turn. moe.plan: one block, a thread for each expert,
// which finds its rows by itself: nothing is added up in an order of its own.
//
//===----------------------------------------------------------------------===//

#include "dialects/moe/Moe.h"
#include "dialects/sample/Sample.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "passes/targets/cpu/Affinities.h"
#include "passes/targets/hopper/EmitRows.h"

using namespace mlir;
using namespace hadal;
using Values = KernelBuilder::Values;

static constexpr int64_t kNobody = 0x7fffffff; // after every id

static Value isEqual(KernelBuilder &b, Value x, Value y) {
  return arith::CmpFOp::create(b, arith::CmpFPredicate::OEQ, x, y);
}
static Value both(KernelBuilder &b, Value x, Value y) { return arith::AndIOp::create(b, x, y); }
static Value either(KernelBuilder &b, Value x, Value y) { return arith::OrIOp::create(b, x, y); }

/// The larger number of two (value, id), the lower id in a tie. A NaN loses to every number.
static Values likelier(KernelBuilder &b, Values one, Values other) {
  Value wins = either(b, b.greater(other[0], one[0]),
                      both(b, isEqual(b, other[0], one[0]), b.less(other[1], one[1])));
  return {b.select(wins, other[0], one[0]), b.select(wins, other[1], one[1])};
}

static Values likeliestOfWarp(RowBlock &block, Values best) {
  for (int64_t distance = 16; distance; distance /= 2)
    best = likelier(block.b, best,
                    {block.shuffle(best[0], distance), block.shuffle(best[1], distance)});
  return best;
}

namespace {

/// A block and its row of logits.
class RowOfLogits {
public:
  RowOfLogits(Kernel &kernel, TypedValue<RankedTensorType> tensor)
      : kernel(kernel), b(kernel.b), block(kernel, tensor.getType().getDimSize(1)),
        logits(kernel.memory(tensor)), vocabulary(tensor.getType().getDimSize(1)),
        lanes(vocabulary % 4 ? 1 : 4), values(block.share(block.warps * 4)),
        ids(block.share(block.warps * 4)) {}

  void emit(sample::ArgmaxOp op);
  void emit(sample::NllOp op);
  void emit(sample::LogProbabilitiesOp op);
  void emit(sample::PenalizeOp op);

private:
  Values overRow(Values first, function_ref<Values(Value id, Value logit, Values)> add);
  Values likeliest(function_ref<Value(Value id, Value logit)> isIn);
  Value largest();
  Value addExponentials(Value most, Value first, Value count, int64_t exponentials, Value partial);
  Value logSum(Value most);
  Value logit(Value id) { return b.load(logits, {block.row, id}); }
  void byFirstThread(function_ref<void()> body) { b.when(b.equal(block.thread, b.index(0)), body); }

  Kernel &kernel;
  KernelBuilder &b;
  RowBlock block;
  Value logits; ///< [rows, vocabulary]
  int64_t vocabulary, lanes;
  int64_t values, ids; ///< of each warp, in shared memory
};

/// What a thread makes of its logits, by ascending ids.
Values RowOfLogits::overRow(Values first, function_ref<Values(Value, Value, Values)> add) {
  return b.carry(b.mul(block.thread, lanes), b.index(vocabulary), block.threads * lanes, first,
                 [&](Value at, Values carried) {
                   Value v = block.load(logits, {block.row, at}, lanes);
                   for (int64_t i = 0; i < lanes; ++i)
                     carried = add(b.add(at, i), vector::ExtractOp::create(b, v, i), carried);
                   return carried;
                 });
}

/// The largest logit that `isIn` holds for, and its id, i32; -infinity and kNobody where there is
/// none. All threads get it.
Values RowOfLogits::likeliest(function_ref<Value(Value, Value)> isIn) {
  Values none{b.f32(-INFINITY), b.i32(kNobody)};
  Values best = overRow(none, [&](Value at, Value x, Values best) {
    Value id = b.toI32(at), in = isIn ? isIn(id, x) : Value();
    Values next = likelier(b, best, {x, id});
    if (in)
      next = {b.select(in, next[0], best[0]), b.select(in, next[1], best[1])};
    return next;
  });
  best = likeliestOfWarp(block, best);
  if (block.warps == 1)
    return best;
  b.when(b.equal(block.lane, b.index(0)), [&] {
    block.storeShared(best[0], values, block.warp);
    block.storeShared(best[1], ids, block.warp);
  });
  block.barrier();
  return b.carry(b.index(0), b.index(block.warps), 1, none, [&](Value w, Values best) {
    return likelier(
        b, best,
        {block.loadShared(values, w, b.getF32Type()), block.loadShared(ids, w, b.getI32Type())});
  });
}

/// Where no logit is a number, or the first is none, the first one is chosen.
void RowOfLogits::emit(sample::ArgmaxOp op) {
  Value out = kernel.memory(op.getIds());
  Value best = likeliest({})[1], zero = b.i32(0);
  byFirstThread([&] {
    Value first = logit(b.index(0));
    Value isNone = either(b, b.equal(best, b.i32(kNobody)),
                          arith::CmpFOp::create(b, arith::CmpFPredicate::UNO, first, first));
    b.store(b.select(isNone, zero, best), out, {block.row});
  });
  block.finish(kernel.resultDim(0, 0));
}

/// The row's maximum, a NaN if it has one.
Value RowOfLogits::largest() {
  auto larger = [&](Value a, Value c) { return b.maxf(a, c); };
  Value most = overRow({b.f32(-INFINITY)},
                       [&](Value, Value x, Values m) { return Values{b.maxf(m[0], x)}; })[0];
  most = block.acrossLanes(most, larger);
  if (block.warps == 1)
    return most;
  b.when(b.equal(block.lane, b.index(0)), [&] { block.storeShared(most, values, block.warp); });
  block.barrier();
  return b.carry(b.index(0), b.index(block.warps), 1, {b.f32(-INFINITY)}, [&](Value w, Values m) {
    return Values{b.maxf(m[0], block.loadShared(values, w, b.getF32Type()))};
  })[0];
}

/// Adds exp(logit - most) of the `count` logits from `first` on to the first warp's partial sums:
/// all threads make exponentials, that warp adds them.
Value RowOfLogits::addExponentials(Value most, Value first, Value count, int64_t exponentials,
                                   Value partial) {
  Type f64 = b.getF64Type();
  b.loop(b.mul(block.thread, lanes), count, block.threads * lanes, [&](Value at) {
    Value x = block.load(logits, {block.row, b.add(first, at)}, lanes);
    Value e = math::ExpOp::create(b, b.subf(x, b.splat(most, lanes)));
    block.storeShared(e, exponentials, at);
  });
  block.barrier();
  return b.choose(
      b.less(block.thread, b.index(32)), TypeRange{f64},
      [&] {
        return b.carry(block.lane, count, 32, {partial}, [&](Value at, Values sum) {
          Value e = block.loadShared(exponentials, at, b.getF32Type());
          return Values{b.addf(sum[0], arith::ExtFOp::create(b, f64, e))};
        });
      },
      [&] { return Values{partial}; })[0];
}

/// The logarithm of the row's sum of exp(logit - most), in the order of a row and in f64, a part of
/// the row at a time. The first warp gets it.
Value RowOfLogits::logSum(Value most) {
  constexpr int64_t part = 8192;
  int64_t exponentials = block.share(std::min<int64_t>(part, llvm::alignTo(vocabulary, 4)) * 4);
  Value none = b.f64(0), zero = b.index(0), all = b.index(vocabulary), partial;
  if (vocabulary <= part)
    partial = addExponentials(most, zero, all, exponentials, none);
  else
    partial = b.carry(zero, all, part, {none}, [&](Value first, Values partial) {
      Value count = b.min(b.index(part), b.sub(all, first));
      Value next = addExponentials(most, first, count, exponentials, partial[0]);
      block.barrier(); // before they make room for the next part
      return Values{next};
    })[0];
  Value sum = block.acrossLanes(partial, [&](Value a, Value c) { return b.addf(a, c); });
  return math::LogOp::create(b, arith::TruncFOp::create(b, b.getF32Type(), sum));
}

void RowOfLogits::emit(sample::NllOp op) {
  Value targets = kernel.memory(op.getTargets()), nll = kernel.memory(op.getNll());
  Value most = largest(), rest = logSum(most);
  byFirstThread([&] {
    Value target = logit(b.toIndex(b.load(targets, {block.row})));
    b.store(b.addf(b.subf(most, target), rest), nll, {block.row});
  });
  block.finish(kernel.resultDim(0, 0));
}

void RowOfLogits::emit(sample::LogProbabilitiesOp op) {
  Value ids = kernel.memory(op.getIds()), chosen = kernel.memory(op.getChosen()),
        topIds = kernel.memory(op.getTopIds()), top = kernel.memory(op.getTop());
  Value most = largest(), rest = logSum(most);
  auto logarithm = [&](Value logit) { return b.subf(b.subf(logit, most), rest); };
  byFirstThread(
      [&] { b.store(logarithm(logit(b.toIndex(b.load(ids, {block.row})))), chosen, {block.row}); });
  // The likeliest token that comes after `before` in the order of `top_ids`: smaller, or as large
  // with a higher id.
  b.carry(b.index(0), b.dim(topIds, 1), 1, {b.f32(INFINITY), b.i32(-1)},
          [&](Value place, Values before) {
            Values best = likeliest([&](Value id, Value x) {
              return either(b, b.greater(before[0], x),
                            both(b, isEqual(b, before[0], x), b.less(before[1], id)));
            });
            if (block.warps > 1)
              block.barrier(); // before the next one takes their place
            Value id = b.select(b.equal(best[1], b.i32(kNobody)), b.i32(-1), best[1]);
            byFirstThread([&] {
              b.store(id, topIds, {block.row, place});
              b.store(logarithm(best[0]), top, {block.row, place});
            });
            return Values{best[0], id};
          });
  block.finish(kernel.resultDim(0, 0));
}

/// A thread owns the tokens that it copies, and what is done to them.
void RowOfLogits::emit(sample::PenalizeOp op) {
  Value penalties = kernel.memory(op.getPenalty()), offsets = kernel.memory(op.getOffsets()),
        seen = kernel.memory(op.getSeen()), penalized = kernel.memory(op.getPenalized());
  block.places(vocabulary / lanes, lanes, [&](Value at) {
    block.store(block.load(logits, {block.row, at}, lanes), penalized, {block.row, at});
  });
  Value penalty = b.load(penalties, {block.row});
  Value first = b.toIndex(b.load(offsets, {block.row})),
        end = b.toIndex(b.load(offsets, {b.add(block.row, 1)}));
  b.loop(first, end, 1, [&](Value i) {
    Value id = b.toIndex(b.load(seen, {i}));
    Value owner = b.rem(b.div(id, lanes), block.threads);
    b.when(b.equal(owner, block.thread), [&] {
      Value x = logit(id);
      Value next = b.select(b.greater(b.f32(0), x), b.mulf(x, penalty), b.divf(x, penalty));
      b.store(next, penalized, {block.row, id});
    });
  });
  block.finish(kernel.resultDim(0, 0));
}

} // namespace

void hadal::emitRow(Kernel &kernel, sample::ArgmaxOp op) {
  RowOfLogits(kernel, op.getLogits()).emit(op);
}
void hadal::emitRow(Kernel &kernel, sample::NllOp op) {
  RowOfLogits(kernel, op.getLogits()).emit(op);
}
void hadal::emitRow(Kernel &kernel, sample::LogProbabilitiesOp op) {
  RowOfLogits(kernel, op.getLogits()).emit(op);
}
void hadal::emitRow(Kernel &kernel, sample::PenalizeOp op) {
  RowOfLogits(kernel, op.getLogits()).emit(op);
}

//===----------------------------------------------------------------------===//
// moe.route
//===----------------------------------------------------------------------===//

namespace {

/// A block is one warp. Lane l has the experts l, l + 32, ..., and knows alone which are taken.
class RowRoute {
public:
  RowRoute(Kernel &kernel, moe::RouteOp op)
      : kernel(kernel), b(kernel.b), op(op), block(kernel, 1),
        count(op.getLogits().getType().getDimSize(1)), groups(op.getGroups()), each(count / groups),
        topK(op.getTopK()) {}

  void emit() {
    logits = kernel.memory(op.getLogits());
    affinity = block.share(count * 4), choice = block.share(count * 4);
    taken = block.share(count * 4), chosen = block.share(topK * 4);
    affinities();
    if (op.getForced()) {
      Value forced = kernel.memory(op.getForced());
      mine(topK, [&](Value k) { choose(k, b.load(forced, {block.row, k})); });
      block.barrier();
    } else {
      chooseExperts();
    }
    writeWeights();
    block.finish(kernel.resultDim(0, 0));
  }

private:
  /// Runs `body` on this lane's numbers below `size`.
  void mine(int64_t size, function_ref<void(Value)> body) {
    b.loop(block.lane, b.index(size), 32, body);
  }
  Value real(int64_t offset, Value i) { return block.loadShared(offset, i, b.getF32Type()); }
  Value number(int64_t offset, Value i) { return block.loadShared(offset, i, b.getI32Type()); }

  void affinities();
  void chooseExperts();
  void chooseGroups();
  Value groupScore(Value group);
  Value takeLargest(int64_t size, int64_t scores, int64_t marks);
  void choose(Value k, Value id) {
    block.storeShared(id, chosen, k);
    b.store(id, kernel.memory(op.getExperts()), {block.row, k});
  }
  void writeWeights();

  Kernel &kernel;
  KernelBuilder &b;
  moe::RouteOp op;
  RowBlock block;
  int64_t count, groups, each, topK;
  Value logits;
  int64_t affinity, choice, taken, chosen; ///< in shared memory
};

} // namespace

/// As emitAffinities has them.
void RowRoute::affinities() {
  auto logit = [&](Value e) { return b.load(logits, {block.row, e}); };
  if (!op.getSoftmax()) {
    mine(count, [&](Value e) { block.storeShared(sigmoid(b, logit(e)), affinity, e); });
  } else {
    Value most = b.carry(block.lane, b.index(count), 32, {b.f32(-INFINITY)},
                         [&](Value e, Values m) { return Values{b.maxf(m[0], logit(e))}; })[0];
    most = block.acrossLanes(most, [&](Value a, Value c) { return b.maxf(a, c); });
    mine(count, [&](Value e) {
      block.storeShared(math::ExpOp::create(b, b.subf(logit(e), most)), choice, e);
    });
    block.barrier();
    Value total = toF32(b, sumInF64(b, count, [&](Value e) { return real(choice, e); }));
    mine(count, [&](Value e) { block.storeShared(b.divf(real(choice, e), total), affinity, e); });
    if (!op.getForced())
      block.barrier(); // before choices take the exponentials' place
  }
}

Value RowRoute::groupScore(Value group) {
  Value e0 = b.mul(group, each), low = b.f32(-INFINITY);
  if (op.getGroupMaximum())
    return b.carry(e0, b.add(e0, each), 1, {low}, [&](Value e, Values best) {
      Value v = real(choice, e);
      return Values{b.select(b.greater(v, best[0]), v, best[0])};
    })[0];
  Values two = b.carry(e0, b.add(e0, each), 1, {low, low}, [&](Value e, Values two) {
    Value v = real(choice, e), first = b.greater(v, two[0]), second = b.greater(v, two[1]);
    return Values{b.select(first, v, two[0]), b.select(first, two[0], b.select(second, v, two[1]))};
  });
  return b.addf(two[0], two[1]);
}

/// The untaken number below `size` of the largest score, the lower one in a tie, which its lane
/// marks. As on CPUs the first untaken one stays chosen if its score is no number.
Value RowRoute::takeLargest(int64_t size, int64_t scores, int64_t marks) {
  Values found = b.carry(
      block.lane, b.index(size), 32, {b.f32(-INFINITY), b.i32(kNobody), b.i32(kNobody)},
      [&](Value i, Values best) {
        Value isFree = b.equal(number(marks, i), b.i32(0)), id = b.toI32(i);
        Values next = likelier(b, {best[0], best[1]}, {real(scores, i), id});
        return Values{b.select(isFree, next[0], best[0]), b.select(isFree, next[1], best[1]),
                      b.select(isFree, b.min(best[2], id), best[2])};
      });
  Values best = likeliestOfWarp(block, {found[0], found[1]});
  Value first = block.acrossLanes(found[2], [&](Value a, Value c) { return b.min(a, c); });
  Value score = real(scores, b.toIndex(first));
  Value isNaN = arith::CmpFOp::create(b, arith::CmpFPredicate::UNO, score, score);
  Value id = b.select(either(b, isNaN, b.equal(best[1], b.i32(kNobody))), first, best[1]);
  Value index = b.toIndex(id);
  b.when(b.equal(b.rem(index, 32), block.lane), [&] { block.storeShared(b.i32(1), marks, index); });
  return id;
}

/// Experts of the other groups are out of the choice.
void RowRoute::chooseGroups() {
  int64_t scores = block.share(groups * 4), marks = block.share(groups * 4);
  mine(groups, [&](Value g) {
    block.storeShared(groupScore(g), scores, g);
    block.storeShared(b.i32(0), marks, g);
  });
  block.barrier();
  b.loop(0, op.getGroupLimit(), 1, [&](Value) { takeLargest(groups, scores, marks); });
  block.barrier();
  mine(count, [&](Value e) {
    Value isOut = b.equal(number(marks, b.div(e, each)), b.i32(0));
    block.storeShared(b.select(isOut, b.i32(2), b.i32(0)), taken, e);
  });
}

void RowRoute::chooseExperts() {
  Value bias = op.getBias() ? kernel.memory(op.getBias()) : Value();
  mine(count, [&](Value e) {
    Value s = real(affinity, e);
    block.storeShared(bias ? b.addf(s, b.widen(b.load(bias, {e}))) : s, choice, e);
    block.storeShared(b.i32(0), taken, e);
  });
  block.barrier();
  if (int64_t(op.getGroupLimit()) < groups)
    chooseGroups();
  int64_t picked = block.share(topK * 4);
  b.loop(0, topK, 1, [&](Value k) {
    Value id = takeLargest(count, choice, taken);
    b.when(b.equal(block.lane, b.index(0)), [&] { block.storeShared(id, picked, k); });
  });
  block.barrier();
  // Ascending.
  mine(topK, [&](Value k) {
    Value id = number(picked, k);
    Value place = b.carry(b.index(0), b.index(topK), 1, {b.index(0)}, [&](Value i, Values n) {
      return Values{b.select(b.less(number(picked, i), id), b.add(n[0], 1), n[0])};
    })[0];
    choose(place, id);
  });
  block.barrier();
}

void RowRoute::writeWeights() {
  Value weights = kernel.memory(op.getWeights());
  auto affinityOf = [&](Value k) { return real(affinity, b.toIndex(number(chosen, k))); };
  Value divisor = b.f32(1);
  if (op.getNormalize())
    divisor = b.addf(
        b.carry(b.index(0), b.index(topK), 1, {b.f32(0)},
                [&](Value k, Values sum) { return Values{b.addf(sum[0], affinityOf(k))}; })[0],
        b.f32(1e-20f));
  mine(topK, [&](Value k) {
    b.store(b.mulf(b.divf(affinityOf(k), divisor), b.f32(op.getScale().convertToFloat())), weights,
            {block.row, k});
  });
}

void hadal::emitRow(Kernel &kernel, moe::RouteOp op) { RowRoute(kernel, op).emit(); }

//===----------------------------------------------------------------------===//
// moe.plan
//===----------------------------------------------------------------------===//

/// Runs `body` on each choice of expert `mine`, by ascending tokens and choices, with what it
/// carries.
static Value forChoices(RowBlock &block, Value experts, Value mine, Value first,
                        function_ref<void(Value token, Value choice, Value carried)> body) {
  KernelBuilder &b = block.b;
  int64_t topK = cast<MemRefType>(experts.getType()).getDimSize(1), lanes = topK % 4 ? 1 : 4;
  return b.carry(b.index(0), b.dim(experts, 0), 1, {first}, [&](Value token, Values carried) {
    for (int64_t k = 0; k < topK; k += lanes) {
      Value ids = block.load(experts, {token, b.index(k)}, lanes);
      for (int64_t i = 0; i < lanes; ++i) {
        Value isMine = b.equal(vector::ExtractOp::create(b, ids, i), mine);
        if (body)
          b.when(isMine, [&] { body(token, b.index(k + i), carried[0]); });
        carried[0] = b.select(isMine, b.add(carried[0], b.i32(1)), carried[0]);
      }
    }
    return carried;
  })[0];
}

void hadal::emitRow(Kernel &kernel, moe::PlanOp op) {
  KernelBuilder &b = kernel.b;
  Value experts = kernel.memory(op.getExperts()), source = kernel.memory(op.getSource()),
        position = kernel.memory(op.getPosition()), offsets = kernel.memory(op.getOffsets()),
        active = kernel.memory(op.getActive());
  int64_t count = op.getExpertCount();
  RowBlock block(kernel, 4 * count);
  int64_t counts = block.share(count * 4);
  auto countOf = [&](Value e) { return block.loadShared(counts, e, b.getI32Type()); };
  Value none = b.i32(0), one = b.i32(1);
  b.loop(block.thread, b.index(count), block.threads, [&](Value e) {
    block.storeShared(forChoices(block, experts, b.toI32(e), none, {}), counts, e);
  });
  block.barrier();
  b.loop(block.thread, b.index(count), block.threads, [&](Value e) {
    // Rows before this expert's, experts before it that have some, and all that have some.
    Values sums =
        b.carry(b.index(0), b.index(count), 1, {none, none, none}, [&](Value other, Values sums) {
          Value rows = countOf(other), isLeft = b.less(other, e);
          Value has = b.select(b.less(none, rows), one, none);
          return Values{b.add(sums[0], b.select(isLeft, rows, none)),
                        b.add(sums[1], b.select(isLeft, has, none)), b.add(sums[2], has)};
        });
    Value mine = b.toI32(e), isActive = b.less(none, countOf(e));
    // Those without rows come last, as -1.
    Value place = b.select(isActive, sums[1], b.add(sums[2], b.sub(mine, sums[1])));
    b.store(b.select(isActive, mine, b.i32(-1)), active, {b.toIndex(place)});
    b.store(sums[0], offsets, {e});
    Value end = forChoices(block, experts, mine, sums[0], [&](Value token, Value k, Value at) {
      b.store(b.toI32(token), source, {b.toIndex(at)});
      b.store(at, position, {token, k});
    });
    b.when(b.equal(e, b.index(count - 1)), [&] { b.store(end, offsets, {b.index(count)}); });
  });
  block.finish(b.getAffineConstantExpr(1));
}
