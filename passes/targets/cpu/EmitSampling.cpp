//===- EmitSampling.cpp - rows of logits to tokens and probabilities ------===//
//
// The ops of the dialect sample. A task is a row, and walks its logits alone.
//
//===----------------------------------------------------------------------===//

#include "dialects/sample/Sample.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "passes/targets/cpu/Kernel.h"
#include "passes/targets/cpu/RowSum.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;
using namespace hadal;
using Values = KernelBuilder::Values;

namespace {

/// Writes the loops of one op over the rows of `logits`.
class RowsOfLogits {
public:
  RowsOfLogits(Kernel &kernel, TypedValue<RankedTensorType> tensor)
      : kernel(kernel), b(kernel.b), logits(kernel.memory(tensor)),
        vocabulary(tensor.getType().getDimSize(1)), lanes(b.shape.lanes) {}

  void emit(sample::ArgmaxOp op);
  void emit(sample::ChooseOp op);
  void emit(sample::NllOp op);
  void emit(sample::LogProbabilitiesOp op);
  void emit(sample::PenalizeOp op);

private:
  void rows(int64_t scratchBytes, function_ref<void(Value)> row);
  Value largest(Value r);
  Value logSum(Value r, Value most);
  Values nextLikeliest(Value r, Values before);
  Value largestThreshold(Value wanted, function_ref<Value(Value)> reaches);
  void keepLargest(Value weights, Value k);

  Kernel &kernel;
  KernelBuilder &b;
  Value logits; ///< [rows, vocabulary]
  int64_t vocabulary, lanes;
};

/// A task is a row.
void RowsOfLogits::rows(int64_t scratchBytes, function_ref<void(Value)> row) {
  b.loop(kernel.begin, kernel.end, 1, row);
  kernel.finish({kernel.resultDim(0, 0)}, scratchBytes);
}

void RowsOfLogits::emit(sample::ArgmaxOp op) {
  Value ids = kernel.memory(op.getIds());
  rows(0, [&](Value r) {
    Values best =
        b.carry(b.index(1), b.index(vocabulary), 1, {b.i32(0), b.load(logits, {r, b.index(0)})},
                [&](Value i, Values best) {
                  Value x = b.load(logits, {r, i}), wins = b.greater(x, best[1]);
                  return Values{b.select(wins, b.toI32(i), best[0]), b.select(wins, x, best[1])};
                });
    b.store(best[0], ids, {r});
  });
}

/// Folds the row's logits in vectors of lanes, then what is left over one by one.
Value RowsOfLogits::largest(Value r) {
  int64_t whole = vocabulary / lanes * lanes;
  Value best = b.splat(b.f32(-INFINITY), lanes);
  best = b.carry(b.index(0), b.index(whole), lanes, {best}, [&](Value i, Values m) {
    return Values{b.maxf(m[0], b.loadVector(logits, {r, i}, lanes))};
  })[0];
  Value scalar = vector::ReductionOp::create(b, vector::CombiningKind::MAXIMUMF, best);
  return b.carry(b.index(whole), b.index(vocabulary), 1, {scalar}, [&](Value i, Values m) {
    return Values{b.maxf(m[0], b.load(logits, {r, i}))};
  })[0];
}

/// The logarithm of the row's sum of exp(logit - most), in f64 on the way: a vocabulary is long.
Value RowsOfLogits::logSum(Value r, Value most) {
  Value mostAll = b.splat(most, lanes);
  Type f64 = b.getF64Type();
  Value sum = sumRow(b, f64, b.index(0), b.index(vocabulary), [&](RowVector i, Value sum) {
    Value x = b.loadVector(logits, {r, i.at}, lanes, i.mask);
    Value e = math::ExpOp::create(b, b.subf(x, mostAll));
    return b.addf(sum, arith::ExtFOp::create(b, b.vectorOf(lanes, f64), e));
  });
  return math::LogOp::create(b, arith::TruncFOp::create(b, b.getF32Type(), sum));
}

void RowsOfLogits::emit(sample::NllOp op) {
  Value targets = kernel.memory(op.getTargets()), nll = kernel.memory(op.getNll());
  rows(0, [&](Value r) {
    Value most = largest(r), rest = logSum(r, most);
    Value target = b.load(logits, {r, b.toIndex(b.load(targets, {r}))});
    b.store(b.addf(b.subf(most, target), rest), nll, {r});
  });
}

/// The likeliest token that comes after `before` (logit, id) in the order of `top_ids`: smaller, or
/// as large with a higher id.
Values RowsOfLogits::nextLikeliest(Value r, Values before) {
  return b.carry(
      b.index(0), b.index(vocabulary), 1, {b.f32(-INFINITY), b.i32(-1)}, [&](Value i, Values best) {
        Value x = b.load(logits, {r, i}), id = b.toI32(i);
        Value isSmaller = b.greater(before[0], x);
        Value isEqual = arith::CmpFOp::create(b, arith::CmpFPredicate::OEQ, before[0], x);
        Value isLeft = arith::OrIOp::create(
            b, isSmaller, arith::AndIOp::create(b, isEqual, b.less(before[1], id)));
        Value isFirst = b.less(best[1], b.i32(0)); // also a logit of minus infinity has a place
        Value wins = arith::AndIOp::create(b, isLeft,
                                           arith::OrIOp::create(b, isFirst, b.greater(x, best[0])));
        return Values{b.select(wins, x, best[0]), b.select(wins, id, best[1])};
      });
}

void RowsOfLogits::emit(sample::LogProbabilitiesOp op) {
  Value ids = kernel.memory(op.getIds()), chosen = kernel.memory(op.getChosen()),
        topIds = kernel.memory(op.getTopIds()), top = kernel.memory(op.getTop());
  rows(0, [&](Value r) {
    Value most = largest(r), rest = logSum(r, most);
    auto logarithm = [&](Value logit) { return b.subf(b.subf(logit, most), rest); };
    b.store(logarithm(b.load(logits, {r, b.toIndex(b.load(ids, {r}))})), chosen, {r});
    b.carry(b.index(0), b.dim(topIds, 1), 1, {b.f32(INFINITY), b.i32(-1)},
            [&](Value place, Values before) {
              Values best = nextLikeliest(r, before);
              b.store(best[1], topIds, {r, place});
              b.store(logarithm(best[0]), top, {r, place});
              return best;
            });
  });
}

void RowsOfLogits::emit(sample::PenalizeOp op) {
  Value penalties = kernel.memory(op.getPenalty()), offsets = kernel.memory(op.getOffsets()),
        seen = kernel.memory(op.getSeen()), penalized = kernel.memory(op.getPenalized());
  rows(0, [&](Value r) {
    Value penalty = b.load(penalties, {r});
    int64_t whole = vocabulary / lanes * lanes;
    b.loop(0, whole, lanes, [&](Value i) {
      b.storeVector(b.loadVector(logits, {r, i}, lanes), penalized, {r, i});
    });
    b.loop(whole, vocabulary, 1, [&](Value i) {
      b.store(b.load(logits, {r, i}), penalized, {r, i});
    });
    Value first = b.toIndex(b.load(offsets, {r})), end = b.toIndex(b.load(offsets, {b.add(r, 1)}));
    b.loop(first, end, 1, [&](Value i) {
      Value id = b.toIndex(b.load(seen, {i})), x = b.load(logits, {r, id});
      b.store(b.select(b.greater(b.f32(0), x), b.mulf(x, penalty), b.divf(x, penalty)), penalized,
              {r, id});
    });
  });
}

/// The largest threshold, found bit by bit, for which `reaches` holds: `reaches` is true of 0 and
/// false from some number on. Non-negative floats compare like their bits. Without `wanted` it is
/// 0, and nothing is computed.
Value RowsOfLogits::largestThreshold(Value wanted, function_ref<Value(Value)> reaches) {
  Value steps = b.select(wanted, b.index(31), b.index(0));
  Value bits = b.carry(b.index(0), steps, 1, {b.i32(0)}, [&](Value step, Values bits) {
    Value bit =
        arith::ShLIOp::create(b, b.i32(1), arith::SubIOp::create(b, b.i32(30), b.toI32(step)));
    Value candidate = arith::OrIOp::create(b, bits[0], bit);
    return Values{b.select(reaches(arith::BitcastOp::create(b, b.getF32Type(), candidate)),
                           candidate, bits[0])};
  })[0];
  return arith::BitcastOp::create(b, b.getF32Type(), bits);
}

/// Zeroes all weights but the `k` largest; among equals the lower ids stay. Nothing is zeroed
/// where k is the vocabulary or more.
void RowsOfLogits::keepLargest(Value weights, Value k) {
  Value isCut = b.less(k, b.i32(vocabulary)),
        last = b.select(isCut, b.index(vocabulary), b.index(0));
  auto count = [&](Value threshold, arith::CmpFPredicate predicate) {
    return b.carry(b.index(0), last, 1, {b.i32(0)}, [&](Value i, Values n) {
      Value in = arith::CmpFOp::create(b, predicate, b.load(weights, {i}), threshold);
      return Values{b.select(in, b.add(n[0], b.i32(1)), n[0])};
    })[0];
  };
  auto atLeast = [&](Value threshold) {
    return b.compare(arith::CmpIPredicate::sge, count(threshold, arith::CmpFPredicate::OGE), k);
  };
  Value threshold = largestThreshold(isCut, atLeast);
  b.carry(b.index(0), last, 1, {count(threshold, arith::CmpFPredicate::OGT)},
          [&](Value i, Values kept) {
            Value w = b.load(weights, {i}), isAbove = b.greater(w, threshold);
            Value isEqual = arith::CmpFOp::create(b, arith::CmpFPredicate::OEQ, w, threshold);
            Value joins = arith::AndIOp::create(b, isEqual, b.less(kept[0], k));
            b.store(b.select(arith::OrIOp::create(b, isAbove, joins), w, b.f32(0)), weights, {i});
            return Values{b.select(joins, b.add(kept[0], b.i32(1)), kept[0])};
          });
}

/// Scratch holds the weights exp((logit - max) / temperature), of which the top_k largest stay.
/// The nucleus is found by bisecting the bits of a threshold: the largest threshold whose tokens
/// reach top_p of the total. Tokens above it are in, those equal to it join by ascending id until
/// top_p is reached; of all these, weights from min_p times the largest on are chosen from. Then
/// one walk by ascending id finds where uniform * (their total) falls.
void RowsOfLogits::emit(sample::ChooseOp op) {
  Value temperature = kernel.memory(op.getTemperature()), topK = kernel.memory(op.getTopK()),
        topP = kernel.memory(op.getTopP()), minP = kernel.memory(op.getMinP()),
        uniform = kernel.memory(op.getUniform()), ids = kernel.memory(op.getIds());
  Type f64 = b.getF64Type();
  rows(llvm::alignTo(vocabulary * 4, 64), [&](Value r) {
    int64_t offset = 0;
    Value weights = b.scratchView(kernel.scratch, offset, {vocabulary}, b.getF32Type());
    Value inverse = b.divf(b.f32(1), b.load(temperature, {r})), most = largest(r);
    auto widen = [&](Value v) { return Value(arith::ExtFOp::create(b, f64, v)); };
    Value last = b.index(vocabulary), zero = b.f64(0);
    b.loop(b.index(0), last, 1, [&](Value i) {
      b.store(math::ExpOp::create(b, b.mulf(b.subf(b.load(logits, {r, i}), most), inverse)),
              weights, {i});
    });
    keepLargest(weights, b.load(topK, {r}));
    Value total = b.carry(b.index(0), last, 1, {zero}, [&](Value i, Values s) {
      return Values{b.addf(s[0], widen(b.load(weights, {i})))};
    })[0];
    Value goal = b.mulf(total, widen(b.load(topP, {r}))), least = b.load(minP, {r});
    auto massFrom = [&](Value threshold, bool strict) {
      return b.carry(b.index(0), last, 1, {zero}, [&](Value i, Values s) {
        Value w = b.load(weights, {i});
        Value in = arith::CmpFOp::create(
            b, strict ? arith::CmpFPredicate::OGT : arith::CmpFPredicate::OGE, w, threshold);
        return Values{b.select(in, b.addf(s[0], widen(w)), s[0])};
      })[0];
    };
    Value isAlways = arith::ConstantOp::create(b, b.getBoolAttr(true));
    Value threshold = largestThreshold(isAlways, [&](Value candidate) -> Value {
      return arith::CmpFOp::create(b, arith::CmpFPredicate::OGE, massFrom(candidate, false), goal);
    });
    // Walks the nucleus; `visit` gets each member and the mass so far.
    auto walk = [&](Values init, function_ref<Values(Value, Value, Values)> visit) {
      init.insert(init.begin(), massFrom(threshold, true));
      return b.carry(b.index(0), last, 1, init, [&](Value i, Values state) {
        Value w = b.load(weights, {i}), above = b.greater(w, threshold);
        Value equal = arith::CmpFOp::create(b, arith::CmpFPredicate::OEQ, w, threshold);
        Value open = arith::CmpFOp::create(b, arith::CmpFPredicate::OLT, state[0], goal);
        Value joins = arith::AndIOp::create(b, equal, open);
        // The largest weight is exp(0) = 1.
        Value isLarge = arith::CmpFOp::create(b, arith::CmpFPredicate::OGE, w, least);
        Value in = arith::AndIOp::create(b, isLarge, arith::OrIOp::create(b, above, joins));
        Values next =
            visit(i, b.select(in, widen(w), zero), Values(state.begin() + 1, state.end()));
        next.insert(next.begin(), b.select(joins, b.addf(state[0], widen(w)), state[0]));
        return next;
      });
    };
    Value nucleus =
        walk({zero}, [&](Value, Value w, Values s) { return Values{b.addf(s[0], w)}; })[1];
    Value place = b.mulf(nucleus, widen(b.load(uniform, {r})));
    Value none = b.i32(-1);
    // state: mass so far, the token found, the last member seen (should rounding carry
    // `place` past the end)
    Values found = walk({zero, none, b.i32(0)}, [&](Value i, Value w, Values s) {
      Value sum = b.addf(s[0], w), id = b.toI32(i);
      Value member = arith::CmpFOp::create(b, arith::CmpFPredicate::OGT, w, zero);
      Value here = arith::AndIOp::create(
          b, b.equal(s[1], none),
          arith::AndIOp::create(b, member,
                                arith::CmpFOp::create(b, arith::CmpFPredicate::OGT, sum, place)));
      return Values{sum, b.select(here, id, s[1]), b.select(member, id, s[2])};
    });
    b.store(b.select(b.equal(found[2], none), found[3], found[2]), ids, {r});
  });
}

} // namespace

LogicalResult hadal::emitSampling(Kernel &kernel, Operation *op) {
  auto destinations = dyn_cast<DestinationStyleOpInterface>(op);
  Values read;
  for (OpOperand &operand : op->getOpOperands())
    if (!destinations || !destinations.isDpsInit(&operand))
      read.push_back(operand.get());
  if (failed(kernel.wantMemory(op, read)))
    return failure();
  llvm::TypeSwitch<Operation *>(op)
      .Case<sample::ArgmaxOp, sample::ChooseOp, sample::NllOp, sample::LogProbabilitiesOp,
            sample::PenalizeOp>([&](auto op) { RowsOfLogits(kernel, op.getLogits()).emit(op); });
  return success();
}
