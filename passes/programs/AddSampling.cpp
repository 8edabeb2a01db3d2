// The programs that turn logits into tokens and losses; written as kernels, for no graph op says
// what they do.
#include "dialects/exec/Exec.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "passes/Passes.h"
#include "passes/targets/cpu/Kernel.h"
#include "passes/targets/cpu/Lanes.h"

namespace hadal {
#define GEN_PASS_DEF_EXECADDSAMPLING
#include "passes/Passes.h.inc"
} // namespace hadal

using namespace mlir;
using namespace hadal;
using Values = KernelBuilder::Values;

namespace {

struct AddSampling : public hadal::impl::ExecAddSamplingBase<AddSampling> {
  using ExecAddSamplingBase::ExecAddSamplingBase;

  /// Sizes of a port: constants, or one of these.
  enum Size : int64_t {
    Rows = -1,
    RowsPlusOne = -2,
    Further = -3 /* the program's second register */
  };
  struct Port {
    StringRef name;
    SmallVector<int64_t> shape;
    Type element;
    bool isOutput = false;
    StringRef required = ""; ///< of an input: "values", ids of the vocabulary, or "offsets" into
                             ///< the further register's tokens
  };

  /// A program of one launch over rows, and its kernel, whose body is written by `row`. `further`:
  /// a register beside "rows".
  void program(StringRef name, ArrayRef<Port> ports, int64_t scratchBytes,
               function_ref<void(KernelBuilder &, func::FuncOp, Value)> row,
               StringRef further = "") {
    MLIRContext *context = &getContext();
    KernelBuilder b(getOperation().getLoc(), vectorShapeFor(lanes));
    b.setInsertionPointToEnd(getOperation().getBody());
    unsigned registers = further.empty() ? 1 : 2;
    auto sizeOf = [&](int64_t size) -> AffineExpr {
      AffineExpr rows = b.getAffineSymbolExpr(0);
      return size == Rows          ? rows
             : size == RowsPlusOne ? rows + 1
             : size == Further     ? b.getAffineSymbolExpr(1)
                                   : b.getAffineConstantExpr(size);
    };
    SmallVector<Type> types;
    SmallVector<AffineMap> scalars; // each dynamic size of the kernel's memrefs, in order
    for (const Port &port : ports) {
      SmallVector<int64_t> dims;
      for (int64_t size : port.shape) {
        dims.push_back(size < 0 ? ShapedType::kDynamic : size);
        if (size < 0)
          scalars.push_back(AffineMap::get(0, registers, sizeOf(size), context));
      }
      types.push_back(MemRefType::get(dims, port.element));
    }
    types.append({b.getIndexType(), b.getIndexType(),
                  MemRefType::get({ShapedType::kDynamic}, b.getI8Type())});
    auto kernel = func::FuncOp::create(b, (name + "_rows").str(), b.getFunctionType(types, {}));
    kernel.setPrivate();
    kernel->setAttr(kKernelAttr, b.getUnitAttr());
    kernel->setAttr(kLoweredAttr, b.getUnitAttr());
    kernel->setAttr("exec.bindings", b.getI64IntegerAttr(ports.size()));
    kernel->setAttr(kScratchAttr, b.getI64IntegerAttr(scratchBytes));
    kernel->setAttr(kTasksAttr, AffineMapAttr::get(AffineMap::get(
                                    0, scalars.size(), b.getAffineSymbolExpr(0), context)));
    b.setInsertionPointToEnd(kernel.addEntryBlock());
    b.loop(kernel.getArgument(ports.size()), kernel.getArgument(ports.size() + 1), 1,
           [&](Value r) { row(b, kernel, r); });
    func::ReturnOp::create(b);

    b.setInsertionPointToEnd(getOperation().getBody());
    SmallVector<StringRef> names{"rows"};
    if (registers == 2)
      names.push_back(further);
    auto program = exec::ProgramOp::create(b, name, b.getStrArrayAttr(names));
    b.setInsertionPointToEnd(&program.getBody().emplaceBlock());
    SmallVector<Value> buffers;
    for (const Port &port : ports) {
      SmallVector<AffineExpr> shape;
      for (int64_t size : port.shape)
        shape.push_back(sizeOf(size));
      buffers.push_back(exec::ArgumentOp::create(b, exec::BufferType::get(context), port.name,
                                                 AffineMap::get(0, registers, shape, context),
                                                 port.element, port.isOutput));
      if (!port.required.empty()) {
        AffineExpr below =
            port.required == "values" ? b.getAffineConstantExpr(vocabulary) : sizeOf(Further);
        exec::RequireOp::create(b, port.required, buffers.back(),
                                AffineMap::get(0, registers, b.getAffineConstantExpr(0)),
                                AffineMap::get(0, registers, below), Value());
      }
    }
    exec::LaunchOp::create(b, kernel.getSymName(), buffers, b.getAffineMapArrayAttr(scalars),
                           ArrayAttr(), ArrayAttr(), AffineMapAttr(), IntegerAttr());
  }

  /// Folds the row's logits in vectors of lanes, then what is left over one by one.
  Value largest(KernelBuilder &b, Value logits, Value r) {
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

  void argmax() {
    Builder t(&getContext());
    program("argmax",
            {{"logits", {Rows, vocabulary}, t.getF32Type()},
             {"token_ids", {Rows}, t.getI32Type(), true}},
            0, [&](KernelBuilder &b, func::FuncOp k, Value r) {
              Value logits = k.getArgument(0);
              Values best = b.carry(
                  b.index(1), b.index(vocabulary), 1, {b.i32(0), b.load(logits, {r, b.index(0)})},
                  [&](Value i, Values best) {
                    Value x = b.load(logits, {r, i}), wins = b.greater(x, best[1]);
                    return Values{b.select(wins, b.toI32(i), best[0]), b.select(wins, x, best[1])};
                  });
              b.store(best[0], k.getArgument(1), {r});
            });
  }

  /// The logarithm of the row's sum of exp(logit - most), in f64 on the way: a vocabulary is long.
  Value logSum(KernelBuilder &b, Value logits, Value r, Value most) {
    Value mostAll = b.splat(most, lanes);
    int64_t whole = vocabulary / lanes * lanes;
    auto wide = [&](Value v) {
      return Value(arith::ExtFOp::create(b, b.vectorOf(lanes, b.getF64Type()), v));
    };
    Value total = b.carry(
        b.index(0), b.index(whole), lanes, {b.zeros(b.vectorOf(lanes, b.getF64Type()))},
        [&](Value i, Values s) {
          return Values{b.addf(
              s[0],
              wide(math::ExpOp::create(b, b.subf(b.loadVector(logits, {r, i}, lanes), mostAll))))};
        })[0];
    Value sum = vector::ReductionOp::create(b, vector::CombiningKind::ADD, total);
    sum = b.carry(b.index(whole), b.index(vocabulary), 1, {sum}, [&](Value i, Values s) {
      Value e = math::ExpOp::create(b, b.subf(b.load(logits, {r, i}), most));
      return Values{b.addf(s[0], arith::ExtFOp::create(b, b.getF64Type(), e))};
    })[0];
    return math::LogOp::create(b, arith::TruncFOp::create(b, b.getF32Type(), sum));
  }

  void nll() {
    Builder t(&getContext());
    program("nll",
            {{"logits", {Rows, vocabulary}, t.getF32Type()},
             {"targets", {Rows}, t.getI32Type(), false, "values"},
             {"nll", {Rows}, t.getF32Type(), true}},
            0, [&](KernelBuilder &b, func::FuncOp k, Value r) {
              Value logits = k.getArgument(0), most = largest(b, logits, r),
                    rest = logSum(b, logits, r, most);
              Value target = b.load(logits, {r, b.toIndex(b.load(k.getArgument(1), {r}))});
              b.store(b.addf(b.subf(most, target), rest), k.getArgument(2), {r});
            });
  }

  /// Logarithms of probabilities: of the token that was chosen, and of the `top` likeliest,
  /// likeliest first, lower ids first among equals. Each of these is the best that comes after the
  /// one before it in that order.
  void logProbabilities() {
    Builder t(&getContext());
    Type f32 = t.getF32Type(), i32 = t.getI32Type();
    program(
        "log_probabilities",
        {{"logits", {Rows, vocabulary}, f32},
         {"token_ids", {Rows}, i32, false, "values"},
         {"log_probability", {Rows}, f32, true},
         {"top_ids", {Rows, Further}, i32, true},
         {"top_log_probabilities", {Rows, Further}, f32, true}},
        0,
        [&](KernelBuilder &b, func::FuncOp k, Value r) {
          Value logits = k.getArgument(0), most = largest(b, logits, r),
                rest = logSum(b, logits, r, most);
          auto logarithm = [&](Value logit) { return b.subf(b.subf(logit, most), rest); };
          Value chosen = b.load(logits, {r, b.toIndex(b.load(k.getArgument(1), {r}))});
          b.store(logarithm(chosen), k.getArgument(2), {r});
          b.carry(
              b.index(0), b.dim(k.getArgument(3), 1), 1, {b.f32(INFINITY), b.i32(-1)},
              [&](Value place, Values before) {
                Values best = b.carry(
                    b.index(0), b.index(vocabulary), 1, {b.f32(-INFINITY), b.i32(-1)},
                    [&](Value i, Values best) {
                      Value x = b.load(logits, {r, i}), id = b.toI32(i);
                      // After the one before: smaller, or as large with a higher id.
                      Value isSmaller = b.greater(before[0], x);
                      Value isEqual =
                          arith::CmpFOp::create(b, arith::CmpFPredicate::OEQ, before[0], x);
                      Value isLeft = arith::OrIOp::create(
                          b, isSmaller, arith::AndIOp::create(b, isEqual, b.less(before[1], id)));
                      Value isFirst =
                          b.less(best[1], b.i32(0)); // also a logit of minus infinity has a place
                      Value wins = arith::AndIOp::create(
                          b, isLeft, arith::OrIOp::create(b, isFirst, b.greater(x, best[0])));
                      return Values{b.select(wins, x, best[0]), b.select(wins, id, best[1])};
                    });
                b.store(best[1], k.getArgument(3), {r, place});
                b.store(logarithm(best[0]), k.getArgument(4), {r, place});
                return best;
              });
        },
        "top");
  }

  /// The repetition penalty: logits of the tokens `seen` (row r's from offsets[r] on, each once)
  /// move away from being chosen again. Source: Keskar et al., CTRL, arXiv:1909.05858, section 4.1,
  /// for negative logits as transformers has it.
  void penalize() {
    Builder t(&getContext());
    Type f32 = t.getF32Type(), i32 = t.getI32Type();
    program(
        "penalize",
        {{"logits", {Rows, vocabulary}, f32},
         {"penalty", {Rows}, f32},
         {"offsets", {RowsPlusOne}, i32, false, "offsets"},
         {"seen", {Further}, i32, false, "values"},
         {"penalized", {Rows, vocabulary}, f32, true}},
        0,
        [&](KernelBuilder &b, func::FuncOp k, Value r) {
          Value logits = k.getArgument(0), penalty = b.load(k.getArgument(1), {r}),
                offsets = k.getArgument(2);
          Value seen = k.getArgument(3), penalized = k.getArgument(4);
          int64_t whole = vocabulary / lanes * lanes;
          b.loop(0, whole, lanes, [&](Value i) {
            b.storeVector(b.loadVector(logits, {r, i}, lanes), penalized, {r, i});
          });
          b.loop(whole, vocabulary, 1, [&](Value i) {
            b.store(b.load(logits, {r, i}), penalized, {r, i});
          });
          Value first = b.toIndex(b.load(offsets, {r})),
                end = b.toIndex(b.load(offsets, {b.add(r, 1)}));
          b.loop(first, end, 1, [&](Value i) {
            Value id = b.toIndex(b.load(seen, {i})), x = b.load(logits, {r, id});
            b.store(b.select(b.greater(b.f32(0), x), b.mulf(x, penalty), b.divf(x, penalty)),
                    penalized, {r, id});
          });
        },
        "seen_tokens");
  }

  /// The largest threshold, found bit by bit, for which `reaches` holds: `reaches` is true of 0 and
  /// false from some number on. Non-negative floats compare like their bits. Without `wanted` it is
  /// 0, and nothing is computed.
  Value largestThreshold(KernelBuilder &b, Value wanted, function_ref<Value(Value)> reaches) {
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
  void keepLargest(KernelBuilder &b, Value weights, Value k) {
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
    Value threshold = largestThreshold(b, isCut, atLeast);
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
  void sample() {
    Builder t(&getContext());
    Type f32 = t.getF32Type(), i32 = t.getI32Type();
    int64_t scratchBytes = llvm::alignTo(vocabulary * 4, 64);
    program(
        "sample",
        {{"logits", {Rows, vocabulary}, f32},
         {"temperature", {Rows}, f32},
         {"top_k", {Rows}, i32},
         {"top_p", {Rows}, f32},
         {"min_p", {Rows}, f32},
         {"uniform", {Rows}, f32},
         {"token_ids", {Rows}, i32, true}},
        scratchBytes, [&](KernelBuilder &b, func::FuncOp k, Value r) {
          Value logits = k.getArgument(0), scratch = k.getArgument(9);
          Type f64 = b.getF64Type();
          int64_t offset = 0;
          Value weights = b.scratchView(scratch, offset, {vocabulary}, f32);
          Value inverse = b.divf(b.f32(1), b.load(k.getArgument(1), {r})),
                most = largest(b, logits, r);
          auto widen = [&](Value v) { return Value(arith::ExtFOp::create(b, f64, v)); };
          Value last = b.index(vocabulary), zero = b.f64(0);
          b.loop(b.index(0), last, 1, [&](Value i) {
            b.store(math::ExpOp::create(b, b.mulf(b.subf(b.load(logits, {r, i}), most), inverse)),
                    weights, {i});
          });
          keepLargest(b, weights, b.load(k.getArgument(2), {r}));
          Value total = b.carry(b.index(0), last, 1, {zero}, [&](Value i, Values s) {
            return Values{b.addf(s[0], widen(b.load(weights, {i})))};
          })[0];
          Value goal = b.mulf(total, widen(b.load(k.getArgument(3), {r}))),
                least = b.load(k.getArgument(4), {r});
          auto massFrom = [&](Value threshold, bool strict) {
            return b.carry(b.index(0), last, 1, {zero}, [&](Value i, Values s) {
              Value w = b.load(weights, {i});
              Value in = arith::CmpFOp::create(
                  b, strict ? arith::CmpFPredicate::OGT : arith::CmpFPredicate::OGE, w, threshold);
              return Values{b.select(in, b.addf(s[0], widen(w)), s[0])};
            })[0];
          };
          Value isAlways = arith::ConstantOp::create(b, b.getBoolAttr(true));
          Value threshold = largestThreshold(b, isAlways, [&](Value candidate) -> Value {
            return arith::CmpFOp::create(b, arith::CmpFPredicate::OGE, massFrom(candidate, false),
                                         goal);
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
          Value place = b.mulf(nucleus, widen(b.load(k.getArgument(5), {r})));
          Value none = b.i32(-1);
          // state: mass so far, the token found, the last member seen (should rounding carry
          // `place` past the end)
          Values found = walk({zero, none, b.i32(0)}, [&](Value i, Value w, Values s) {
            Value sum = b.addf(s[0], w), id = b.toI32(i);
            Value member = arith::CmpFOp::create(b, arith::CmpFPredicate::OGT, w, zero);
            Value here = arith::AndIOp::create(
                b, b.equal(s[1], none),
                arith::AndIOp::create(
                    b, member, arith::CmpFOp::create(b, arith::CmpFPredicate::OGT, sum, place)));
            return Values{sum, b.select(here, id, s[1]), b.select(member, id, s[2])};
          });
          b.store(b.select(b.equal(found[2], none), found[3], found[2]), k.getArgument(6), {r});
        });
  }

  void runOnOperation() override {
    if (failed(checkLanes(getOperation(), lanes)))
      return signalPassFailure();
    if (vocabulary < 1) {
      getOperation().emitError() << "exec-add-sampling wants a positive vocabulary, got "
                                 << vocabulary;
      return signalPassFailure();
    }
    argmax();
    sample();
    nll();
    logProbabilities();
    penalize();
  }
};
} // namespace
