//===- EmitRouting.cpp - the mixture of experts' bookkeeping --------------===//
//
// The mixture of experts' bookkeeping: moe.route, plan, plan_sends, dispatch, combine, update_bias.
//
//===----------------------------------------------------------------------===//

#include "dialects/moe/Moe.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "passes/targets/cpu/Affinities.h"
#include "passes/targets/cpu/ExpertTree.h"
#include "passes/targets/cpu/Kernel.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;
using namespace hadal;
using Values = KernelBuilder::Values;

int64_t hadal::treeLevels(int64_t experts) {
  return std::max<int64_t>(1, llvm::Log2_64_Ceil(experts));
}

Value hadal::treeCode(KernelBuilder &b, Value id, int64_t experts) {
  return b.carry(
      b.index(0), b.index(treeLevels(experts)), 1, {b.i32(0), b.i32(experts), b.i32(0)},
      [&](Value, Values at) {
        Value middle = b.add(at[0], arith::ShRUIOp::create(b, b.sub(at[1], at[0]), b.i32(1)));
        Value right = arith::AndIOp::create(b, b.less(at[0], middle),
                                            b.compare(arith::CmpIPredicate::sge, id, middle));
        Value code = b.add(arith::ShLIOp::create(b, at[2], b.i32(1)),
                           arith::ExtUIOp::create(b, b.getI32Type(), right));
        return Values{b.select(right, middle, at[0]),
                      b.select(right, at[1], b.max(middle, b.add(at[0], b.i32(1)))), code};
      })[2];
}

namespace {

/// The untaken index in [0, count) of the largest value, the lower index in a tie; marks it taken.
/// A value that is not a number never wins, yet the result always is an untaken index.
Value takeLargest(KernelBuilder &b, int64_t count, function_ref<Value(Value)> value, Value taken) {
  Value none = b.i32(-1);
  Values best =
      b.carry(b.index(0), b.index(count), 1, {none, b.f32(-INFINITY)}, [&](Value i, Values best) {
        Value free = b.equal(b.load(taken, {i}), b.i32(0));
        Value v = value(i);
        Value first = b.equal(best[0], none);
        Value wins =
            arith::AndIOp::create(b, free, arith::OrIOp::create(b, first, b.greater(v, best[1])));
        return Values{b.select(wins, b.toI32(i), best[0]), b.select(wins, v, best[1])};
      });
  Value index = b.toIndex(best[0]);
  b.store(b.i32(1), taken, {index});
  return index;
}

/// What a group of the experts e0 .. e0+each-1 is worth by the scores in `choice`.
Value groupScoreOf(KernelBuilder &b, moe::RouteOp op, Value choice, Value e0, int64_t each) {
  Value low = b.f32(-INFINITY);
  if (op.getGroupMaximum())
    return b.carry(e0, b.add(e0, each), 1, {low}, [&](Value e, Values best) {
      Value v = b.load(choice, {e});
      return Values{b.select(b.greater(v, best[0]), v, best[0])};
    })[0];
  // A group is as good as its two best experts together.
  Values two = b.carry(e0, b.add(e0, each), 1, {low, low}, [&](Value e, Values two) {
    Value v = b.load(choice, {e});
    Value first = b.greater(v, two[0]), second = b.greater(v, two[1]);
    return Values{b.select(first, v, two[0]), b.select(first, two[0], b.select(second, v, two[1]))};
  });
  return b.addf(two[0], two[1]);
}

/// A task is a token.
void emitRoute(Kernel &kernel, moe::RouteOp op) {
  KernelBuilder &b = kernel.b;
  Value logits = kernel.memory(op.getLogits()),
        bias = op.getBias() ? kernel.memory(op.getBias()) : Value();
  Value forced = op.getForced() ? kernel.memory(op.getForced()) : Value();
  Value weights = kernel.memory(op.getWeights()), experts = kernel.memory(op.getExperts());
  int64_t count = op.getLogits().getType().getDimSize(1), groups = op.getGroups(),
          limit = op.getGroupLimit();
  int64_t topK = op.getTopK(), each = count / groups, bytes = 0;
  Type f32 = b.getF32Type(), i32 = b.getI32Type();
  Value affinity = b.scratchView(kernel.scratch, bytes, {count}, f32),
        choice = b.scratchView(kernel.scratch, bytes, {count}, f32);
  Value taken = b.scratchView(kernel.scratch, bytes, {count}, i32);
  Value groupScore = b.scratchView(kernel.scratch, bytes, {groups}, f32);
  Value groupTaken = b.scratchView(kernel.scratch, bytes, {groups}, i32);
  b.loop(kernel.begin, kernel.end, 1, [&](Value row) {
    emitAffinities(b, logits, row, count, op.getSoftmax(), affinity);
    b.loop(0, count, 1, [&](Value e) {
      Value s = b.load(affinity, {e});
      b.store(bias ? b.addf(s, b.widen(b.load(bias, {e}))) : s, choice, {e});
      b.store(b.i32(0), taken, {e});
    });
    if (forced) {
      b.loop(0, topK, 1, [&](Value k) { b.store(b.load(forced, {row, k}), experts, {row, k}); });
    } else {
      if (limit < groups) {
        b.loop(0, groups, 1, [&](Value g) {
          b.store(groupScoreOf(b, op, choice, b.mul(g, each), each), groupScore, {g});
          b.store(b.i32(0), groupTaken, {g});
        });
        b.loop(0, limit, 1, [&](Value) {
          takeLargest(
              b, groups, [&](Value g) { return b.load(groupScore, {g}); }, groupTaken);
        });
        // Experts of the other groups are out of the choice.
        b.loop(0, groups, 1, [&](Value g) {
          Value e0 = b.mul(g, each);
          b.loop(e0, b.add(e0, each), 1, [&](Value e) {
            b.store(b.select(b.equal(b.load(groupTaken, {g}), b.i32(0)), b.i32(2), b.i32(0)), taken,
                    {e});
          });
        });
      }
      b.loop(0, topK, 1, [&](Value) {
        takeLargest(
            b, count, [&](Value e) { return b.load(choice, {e}); }, taken);
      });
      b.carry(b.index(0), b.index(count), 1, {b.index(0)}, [&](Value e, Values next) {
        Value chosen = b.equal(b.load(taken, {e}), b.i32(1));
        b.when(chosen, [&] { b.store(b.toI32(e), experts, {row, next[0]}); });
        return Values{b.select(chosen, b.add(next[0], 1), next[0])};
      });
    }
    auto affinityOf = [&](Value k) {
      return b.load(affinity, {b.toIndex(b.load(experts, {row, k}))});
    };
    Value divisor = b.f32(1);
    if (op.getNormalize())
      divisor = b.addf(
          b.carry(b.index(0), b.index(topK), 1, {b.f32(0)},
                  [&](Value k, Values sum) { return Values{b.addf(sum[0], affinityOf(k))}; })[0],
          b.f32(1e-20f));
    b.loop(0, topK, 1, [&](Value k) {
      b.store(b.mulf(b.divf(affinityOf(k), divisor), b.f32(op.getScale().convertToFloat())),
              weights, {row, k});
    });
  });
  kernel.finish({kernel.resultDim(0, 0)}, bytes);
}

/// The tokens of each block that `counts`, (rows, choices) of each, describes; without counts they
/// are all one, and `block` null.
void forTokens(KernelBuilder &b, Value counts, int64_t blocks, Value tokens,
               function_ref<void(Value block, Value token)> body) {
  if (!counts)
    return b.loop(b.index(0), tokens, 1, [&](Value t) { body({}, t); });
  b.carry(b.index(0), b.index(blocks), 1, {b.index(0)}, [&](Value block, Values from) {
    Value to = b.add(from[0], b.toIndex(b.load(counts, {b.mul(block, 2)})));
    b.loop(from[0], to, 1, [&](Value t) { body(block, t); });
    return Values{to};
  });
}

/// One task: counts, prefix sums, then each choice's row in ascending order of blocks, experts and
/// tokens.
void emitPlan(Kernel &kernel, moe::PlanOp op) {
  KernelBuilder &b = kernel.b;
  Value experts = kernel.memory(op.getExperts()), source = kernel.memory(op.getSource());
  Value position = kernel.memory(op.getPosition()), offsets = kernel.memory(op.getOffsets()),
        active = kernel.memory(op.getActive());
  Value segments = op.getSegments() ? kernel.memory(op.getSegments()) : Value();
  bool partial = bool(op.getChoices());
  int64_t blocks = op.segmentCount(), count = blocks * op.getExpertCount(),
          topK = op.getExperts().getType().getDimSize(1), bytes = 0;
  Value next = b.scratchView(kernel.scratch, bytes, {count}, b.getI32Type());
  b.loop(kernel.begin, kernel.end, 1, [&](Value) {
    Value tokens = b.dim(experts, 0);
    auto eachChoice = [&](function_ref<void(Value, Value, Value)> body) {
      forTokens(b, segments, blocks, tokens, [&](Value block, Value t) {
        b.loop(0, topK, 1, [&](Value k) {
          Value expert = b.load(experts, {t, k});
          if (!partial)
            return body(t, k, b.toIndex(expert));
          b.when(b.compare(arith::CmpIPredicate::sge, expert, b.i32(0)), [&] {
            body(t, k,
                 block ? b.add(b.mul(block, op.getExpertCount()), b.toIndex(expert))
                       : b.toIndex(expert));
          });
        });
      });
    };
    auto advance = [&](Value e) {
      Value r = b.load(next, {e});
      b.store(arith::AddIOp::create(b, r, b.i32(1)), next, {e});
      return r;
    };
    b.loop(0, count, 1, [&](Value e) { b.store(b.i32(0), next, {e}); });
    eachChoice([&](Value, Value, Value e) { advance(e); });
    Values ends =
        b.carry(b.index(0), b.index(count), 1, {b.i32(0), b.index(0)}, [&](Value e, Values at) {
          Value rows = b.load(next, {e});
          b.store(at[0], offsets, {e});
          b.store(at[0], next, {e});
          Value has = b.compare(arith::CmpIPredicate::sgt, rows, b.i32(0));
          b.when(has, [&] { b.store(b.toI32(e), active, {at[1]}); });
          return Values{arith::AddIOp::create(b, at[0], rows),
                        b.select(has, b.add(at[1], 1), at[1])};
        });
    b.store(ends[0], offsets, {b.index(count)});
    b.loop(ends[1], b.index(count), 1, [&](Value i) { b.store(b.i32(-1), active, {i}); });
    if (partial)
      b.loop(b.index(0), tokens, 1, [&](Value t) {
        b.loop(0, topK, 1, [&](Value k) { b.store(b.i32(-1), position, {t, k}); });
      });
    eachChoice([&](Value t, Value k, Value e) {
      Value r = advance(e);
      b.store(b.toI32(t), source, {b.toIndex(r)});
      b.store(r, position, {t, k});
    });
  });
  kernel.finish({b.getAffineConstantExpr(1)}, bytes);
}

/// One task: counts by part and segment, prefix sums, then each token's rows.
void emitPlanSends(Kernel &kernel, moe::PlanSendsOp op) {
  KernelBuilder &b = kernel.b;
  Value experts = kernel.memory(op.getExperts()),
        received = op.getReceived() ? kernel.memory(op.getReceived()) : Value();
  Value source = kernel.memory(op.getSource()), slots = kernel.memory(op.getSlots());
  Value ids = kernel.memory(op.getIds()), counts = kernel.memory(op.getCounts());
  int64_t parts = op.getParts(), segments = op.getSegments(), each = op.getExpertCount() / parts,
          cells = parts * segments;
  int64_t topK = op.getExperts().getType().getDimSize(1), bytes = 0;
  Value next = b.scratchView(kernel.scratch, bytes, {cells}, b.getI32Type());
  Value none = b.i32(-1), one = b.i32(1);
  b.loop(kernel.begin, kernel.end, 1, [&](Value) {
    Value tokens = b.dim(experts, 0), rows = b.dim(source, 0);
    auto bump = [&](Value memory, Value at) {
      Value before = b.load(memory, {at});
      b.store(b.add(before, one), memory, {at});
      return before;
    };
    // `slots` remembers which parts a token has met: the row, once rows are known.
    auto eachChoice = [&](function_ref<void(Value, Value, Value, Value, Value, Value)> body) {
      forTokens(b, received, segments, tokens, [&](Value segment, Value t) {
        b.loop(0, parts, 1, [&](Value p) { b.store(none, slots, {t, p}); });
        b.loop(0, topK, 1, [&](Value k) {
          Value expert = b.load(experts, {t, k});
          b.when(b.compare(arith::CmpIPredicate::sge, expert, b.i32(0)), [&] {
            Value id = b.toIndex(expert), part = b.div(id, each);
            Value isFirst = b.equal(b.load(slots, {t, part}), none);
            Value cell = segment ? b.add(b.mul(part, segments), segment) : b.mul(part, segments);
            body(cell, t, k, part, b.toI32(b.sub(id, b.mul(part, each))), isFirst);
          });
        });
      });
    };
    b.loop(0, 2 * cells, 1, [&](Value i) { b.store(b.i32(0), counts, {i}); });
    eachChoice([&](Value cell, Value t, Value, Value part, Value, Value isFirst) {
      Value at = b.mul(cell, 2);
      b.when(isFirst, [&] {
        bump(counts, at);
        b.store(b.i32(0), slots, {t, part});
      });
      bump(counts, b.add(at, 1));
    });
    Value total = b.carry(b.index(0), b.index(cells), 1, {b.i32(0)}, [&](Value cell, Values at) {
      b.store(at[0], next, {cell});
      return Values{b.add(at[0], b.load(counts, {b.mul(cell, 2)}))};
    })[0];
    b.loop(b.index(0), rows, 1, [&](Value r) {
      b.loop(0, topK, 1, [&](Value k) { b.store(none, ids, {r, k}); });
    });
    b.loop(b.toIndex(total), rows, 1, [&](Value r) { b.store(b.i32(0), source, {r}); });
    eachChoice([&](Value cell, Value t, Value k, Value part, Value id, Value isFirst) {
      b.when(isFirst, [&] {
        Value r = bump(next, cell);
        b.store(r, slots, {t, part});
        b.store(b.toI32(t), source, {b.toIndex(r)});
      });
      b.store(id, ids, {b.toIndex(b.load(slots, {t, part})), k});
    });
  });
  kernel.finish({b.getAffineConstantExpr(1)}, bytes);
}

void emitDispatch(Kernel &kernel, moe::DispatchOp op) {
  KernelBuilder &b = kernel.b;
  Value x = kernel.memory(op.getX()), source = kernel.memory(op.getSource()),
        out = kernel.memory(op.getResult());
  int64_t width = op.getX().getType().getDimSize(1);
  b.loop(kernel.begin, kernel.end, 1, [&](Value row) {
    Value from = b.toIndex(b.load(source, {row}));
    b.loop(0, width, 1, [&](Value k) { b.store(b.load(x, {from, k}), out, {row, k}); });
  });
  kernel.finish({kernel.resultDim(0, 0)}, 0);
}

/// A task is a token. Its rows lie in ascending order of experts. Each id has a code, the turns
/// from the root of the halving tree to its leaf; boundary i between neighbours i and i+1 joins
/// where their codes first differ, deeper turns first, so the sum is the tree over all expert ids
/// with the absent leaves left out. One expert named twice joins before all else. Where choices may
/// be missing (`partial`), the present ones stand first, `present` of them.
class CombineEmitter {
public:
  CombineEmitter(Kernel &kernel, moe::CombineOp op)
      : kernel(kernel), b(kernel.b), op(op), partial(op.getPartial()),
        width(op.getRows().getType().getDimSize(1)), topK(op.getExperts().getType().getDimSize(1)),
        levels(treeLevels(op.getExpertCount())) {}

  void emit() {
    rows = kernel.memory(op.getRows());
    position = kernel.memory(op.getPosition());
    experts = kernel.memory(op.getExperts());
    Value out = kernel.memory(op.getResult());
    constant = filledWith(op.getWeights()); // as in the adjoint of dispatch
    if (!constant)
      weights = kernel.memory(op.getWeights());
    int64_t bytes = 0, lanes = b.shape.lanes;
    part = b.scratchView(kernel.scratch, bytes, {topK, width}, b.getF32Type());
    codes = b.scratchView(kernel.scratch, bytes, {topK}, b.getI32Type());
    level = b.scratchView(kernel.scratch, bytes, {topK}, b.getI32Type());
    b.loop(kernel.begin, kernel.end, 1, [&](Value token) {
      if (partial)
        present = b.carry(b.index(0), b.index(topK), 1, {b.index(0)}, [&](Value k, Values n) {
          return Values{b.select(isPresent(token, k), b.add(n[0], 1), n[0])};
        })[0];
      takeChoices(token);
      joinNeighbours();
      columns([&](Value c, int64_t valid) {
        b.storeVector(b.loadVector(part, {b.index(0), c}, lanes, valid), out, {token, c}, valid);
      });
    });
    kernel.finish({kernel.resultDim(0, 0)}, bytes);
  }

private:
  Value isPresent(Value token, Value k) {
    return b.compare(arith::CmpIPredicate::sge, b.load(position, {token, k}), b.i32(0));
  }

  /// In vectors by hand: the compiler cannot tell that the rows of `part` do not overlap.
  void columns(function_ref<void(Value, int64_t)> body) {
    int64_t lanes = b.shape.lanes, whole = width / lanes * lanes;
    b.loop(0, whole, lanes, [&](Value c) { body(c, lanes); });
    if (whole < width)
      body(b.index(whole), width - whole);
  }

  void boundaries(function_ref<void(Value)> body) {
    if (partial)
      b.loop(b.index(0), b.sub(present, b.index(1)), 1, body);
    else
      b.loop(0, topK - 1, 1, body);
  }

  /// The place of choice k among the ids; a forced choice may come in any order.
  Value placeOf(Value token, Value k, Value id) {
    return b.carry(b.index(0), b.index(topK), 1, {b.index(0)}, [&](Value other, Values place) {
      Value otherId = b.load(experts, {token, other});
      Value before = arith::OrIOp::create(
          b, b.less(otherId, id), arith::AndIOp::create(b, b.equal(otherId, id), b.less(other, k)));
      if (partial)
        before = arith::AndIOp::create(b, before, isPresent(token, other));
      return Values{b.select(before, b.add(place[0], 1), place[0])};
    })[0];
  }

  /// Code and weighted row of choice k, at its place.
  void takeChoice(Value token, Value k) {
    Value id = b.load(experts, {token, k}), place = placeOf(token, k, id);
    b.store(treeCode(b, id, op.getExpertCount()), codes, {place});
    Value weight =
        constant ? b.clone(*constant.getDefiningOp())->getResult(0) : b.load(weights, {token, k});
    Value row = b.toIndex(b.load(position, {token, k}));
    b.loop(0, width, 1, [&](Value c) {
      b.store(b.mulf(b.load(rows, {row, c}), weight), part, {place, c});
    });
  }

  void takeChoices(Value token) {
    b.loop(0, topK, 1, [&](Value k) {
      if (partial)
        b.when(isPresent(token, k), [&] { takeChoice(token, k); });
      else
        takeChoice(token, k);
    });
    if (!partial)
      return;
    int64_t lanes = b.shape.lanes;
    b.when(b.equal(present, b.index(0)), [&] {
      columns([&](Value c, int64_t valid) {
        b.storeVector(b.zeros(b.vectorOf(lanes, b.getF32Type())), part, {b.index(0), c}, valid);
      });
    });
  }

  /// Joins neighbours, deeper turns first.
  void joinNeighbours() {
    boundaries([&](Value i) {
      Value differ = arith::XOrIOp::create(b, b.load(codes, {i}), b.load(codes, {b.add(i, 1)}));
      Value zeros = math::CountLeadingZerosOp::create(b, differ);
      b.store(arith::SubIOp::create(b, b.i32(31), zeros), level, {i}); // -1 for one expert twice
    });
    b.loop(-1, levels, 1, [&](Value wanted) {
      Value wantedLevel = b.toI32(wanted);
      boundaries([&](Value i) {
        b.when(b.equal(b.load(level, {i}), wantedLevel), [&] { join(i, wantedLevel); });
      });
    });
  }

  void join(Value i, Value wantedLevel) {
    // The left subtree begins after the nearest boundary to the left that joins later.
    Value head = b.carry(b.index(0), i, 1, {i}, [&](Value back, Values head) {
      Value j = b.sub(b.sub(i, back), b.index(1));
      Value joined = arith::AndIOp::create(
          b, b.equal(head[0], b.add(j, 1)),
          b.compare(arith::CmpIPredicate::sle, b.load(level, {j}), wantedLevel));
      return Values{b.select(joined, j, head[0])};
    })[0];
    Value right = b.add(i, 1);
    int64_t lanes = b.shape.lanes;
    columns([&](Value c, int64_t valid) {
      Value sum = b.addf(b.loadVector(part, {head, c}, lanes, valid),
                         b.loadVector(part, {right, c}, lanes, valid));
      b.storeVector(sum, part, {head, c}, valid);
    });
  }

  Kernel &kernel;
  KernelBuilder &b;
  moe::CombineOp op;
  bool partial;
  int64_t width, topK, levels;
  Value rows, position, experts, weights;
  Value constant;           ///< the one weight of all choices, or null
  Value part, codes, level; ///< scratch: a row, a code, a boundary for each choice
  Value present;            ///< how many choices are
};

/// One task. Loads are integers, so the comparison with the mean is exact: E * load against the
/// total.
void emitUpdateBias(Kernel &kernel, moe::UpdateBiasOp op) {
  KernelBuilder &b = kernel.b;
  Value bias = kernel.memory(op.getBias()), load = kernel.memory(op.getLoad()),
        out = kernel.memory(op.getResult());
  int64_t count = op.getBias().getType().getDimSize(0);
  Type i64 = b.getI64Type();
  auto wide = [&](Value e) { return Value(arith::ExtSIOp::create(b, i64, b.load(load, {e}))); };
  b.loop(kernel.begin, kernel.end, 1, [&](Value) {
    Value zero = arith::ConstantOp::create(b, b.getI64IntegerAttr(0)),
          e64 = arith::ConstantOp::create(b, b.getI64IntegerAttr(count));
    Value total = b.carry(b.index(0), b.index(count), 1, {zero},
                          [&](Value e, Values sum) { return Values{b.add(sum[0], wide(e))}; })[0];
    Value step = b.f32(op.getStep().convertToFloat()), none = b.f32(0);
    b.loop(0, count, 1, [&](Value e) {
      Value mine = b.mul(wide(e), e64);
      Value change = b.select(b.less(mine, total), step,
                              b.select(b.less(total, mine), arith::NegFOp::create(b, step), none));
      b.store(b.addf(b.load(bias, {e}), change), out, {e});
    });
  });
  kernel.finish({b.getAffineConstantExpr(1)}, 0);
}

} // namespace

LogicalResult hadal::emitRouting(Kernel &kernel, Operation *op) {
  Values read(op->getOperands());
  // Equal weights are a constant.
  if (auto combine = dyn_cast<moe::CombineOp>(op); combine && filledWith(combine.getWeights()))
    llvm::erase(read, combine.getWeights());
  if (failed(kernel.wantMemory(op, read)))
    return failure();
  llvm::TypeSwitch<Operation *>(op)
      .Case([&](moe::RouteOp route) { emitRoute(kernel, route); })
      .Case([&](moe::PlanOp plan) { emitPlan(kernel, plan); })
      .Case([&](moe::PlanSendsOp sends) { emitPlanSends(kernel, sends); })
      .Case([&](moe::DispatchOp dispatch) { emitDispatch(kernel, dispatch); })
      .Case([&](moe::CombineOp combine) { CombineEmitter(kernel, combine).emit(); })
      .Case([&](moe::UpdateBiasOp update) { emitUpdateBias(kernel, update); });
  return success();
}
