// The programs that turn logits into tokens and losses; written as kernels, for no graph op says what they do.
#include "dialects/exec/Exec.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "passes/Passes.h"
#include "passes/kernels/Kernel.h"
#include "passes/kernels/Lanes.h"

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

  struct Port {
    StringRef name;
    bool wide; ///< [rows, vocabulary] rather than [rows]
    Type element;
    bool output;
  };

  /// A program of one launch over rows, and its kernel, whose body is written by `row`.
  void program(StringRef name, ArrayRef<Port> ports, int64_t scratchBytes, function_ref<void(KernelBuilder &, func::FuncOp, Value)> row) {
    MLIRContext *context = &getContext();
    KernelBuilder b(getOperation().getLoc(), vectorShapeFor(lanes));
    b.setInsertionPointToEnd(getOperation().getBody());
    SmallVector<Type> types;
    for (const Port &port : ports)
      types.push_back(port.wide ? MemRefType::get({ShapedType::kDynamic, vocabulary}, port.element)
                                : MemRefType::get({ShapedType::kDynamic}, port.element));
    types.append({b.getIndexType(), b.getIndexType(), MemRefType::get({ShapedType::kDynamic}, b.getI8Type())});
    auto kernel = func::FuncOp::create(b, (name + "_rows").str(), b.getFunctionType(types, {}));
    kernel.setPrivate();
    kernel->setAttr(kKernelAttr, b.getUnitAttr());
    kernel->setAttr(kLoweredAttr, b.getUnitAttr());
    kernel->setAttr("exec.bindings", b.getI64IntegerAttr(ports.size()));
    kernel->setAttr(kScratchAttr, b.getI64IntegerAttr(scratchBytes));
    kernel->setAttr(kTasksAttr, AffineMapAttr::get(AffineMap::get(0, ports.size(), b.getAffineSymbolExpr(0), context)));
    b.setInsertionPointToEnd(kernel.addEntryBlock());
    b.loop(kernel.getArgument(ports.size()), kernel.getArgument(ports.size() + 1), 1, [&](Value r) { row(b, kernel, r); });
    func::ReturnOp::create(b);

    b.setInsertionPointToEnd(getOperation().getBody());
    auto program = exec::ProgramOp::create(b, name, b.getStrArrayAttr({"rows"}));
    b.setInsertionPointToEnd(&program.getBody().emplaceBlock());
    SmallVector<Value> buffers;
    AffineExpr rows = b.getAffineSymbolExpr(0);
    for (const Port &port : ports) {
      SmallVector<AffineExpr> shape{rows};
      if (port.wide)
        shape.push_back(b.getAffineConstantExpr(vocabulary));
      buffers.push_back(exec::ArgumentOp::create(b, exec::BufferType::get(context), port.name, AffineMap::get(0, 1, shape, context),
                                                 port.element, port.output));
    }
    SmallVector<AffineMap> scalars(ports.size(), AffineMap::get(0, 1, rows, context));
    exec::LaunchOp::create(b, kernel.getSymName(), buffers, b.getAffineMapArrayAttr(scalars), ArrayAttr(), ArrayAttr(), AffineMapAttr(),
                           IntegerAttr());
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
    program("argmax", {{"logits", true, t.getF32Type(), false}, {"token_ids", false, t.getI32Type(), true}}, 0,
            [&](KernelBuilder &b, func::FuncOp k, Value r) {
              Value logits = k.getArgument(0);
              Values best = b.carry(b.index(1), b.index(vocabulary), 1, {b.i32(0), b.load(logits, {r, b.index(0)})},
                                    [&](Value i, Values best) {
                                      Value x = b.load(logits, {r, i}), wins = b.greater(x, best[1]);
                                      return Values{b.select(wins, b.toI32(i), best[0]), b.select(wins, x, best[1])};
                                    });
              b.store(best[0], k.getArgument(1), {r});
            });
  }

  void nll() {
    Builder t(&getContext());
    program("nll", {{"logits", true, t.getF32Type(), false}, {"targets", false, t.getI32Type(), false}, {"nll", false, t.getF32Type(), true}},
            0, [&](KernelBuilder &b, func::FuncOp k, Value r) {
              Value logits = k.getArgument(0), most = largest(b, logits, r), mostAll = b.splat(most, lanes);
              int64_t whole = vocabulary / lanes * lanes;
              // In f64: a vocabulary is long.
              auto wide = [&](Value v) { return Value(arith::ExtFOp::create(b, b.vectorOf(lanes, b.getF64Type()), v)); };
              Value total = b.carry(b.index(0), b.index(whole), lanes, {b.zeros(b.vectorOf(lanes, b.getF64Type()))}, [&](Value i, Values s) {
                return Values{b.addf(s[0], wide(math::ExpOp::create(b, b.subf(b.loadVector(logits, {r, i}, lanes), mostAll))))};
              })[0];
              Value sum = vector::ReductionOp::create(b, vector::CombiningKind::ADD, total);
              sum = b.carry(b.index(whole), b.index(vocabulary), 1, {sum}, [&](Value i, Values s) {
                Value e = math::ExpOp::create(b, b.subf(b.load(logits, {r, i}), most));
                return Values{b.addf(s[0], arith::ExtFOp::create(b, b.getF64Type(), e))};
              })[0];
              Value target = b.load(logits, {r, b.toIndex(b.load(k.getArgument(1), {r}))});
              Value logSum = math::LogOp::create(b, arith::TruncFOp::create(b, b.getF32Type(), sum));
              b.store(b.addf(b.subf(most, target), logSum), k.getArgument(2), {r});
            });
  }

  /// Scratch holds exp((logit - max) / temperature). The nucleus is found by bisecting the bits of a threshold: the largest
  /// threshold whose tokens reach top_p of the total. Tokens above it are in, those equal to it join by ascending id until top_p
  /// is reached. Then one walk by ascending id finds where uniform * (the nucleus's total) falls.
  void sample() {
    Builder t(&getContext());
    Type f32 = t.getF32Type();
    int64_t scratchBytes = llvm::alignTo(vocabulary * 4, 64);
    program("sample",
            {{"logits", true, f32, false}, {"temperature", false, f32, false}, {"top_p", false, f32, false},
             {"uniform", false, f32, false}, {"token_ids", false, t.getI32Type(), true}},
            scratchBytes, [&](KernelBuilder &b, func::FuncOp k, Value r) {
              Value logits = k.getArgument(0), scratch = k.getArgument(7);
              Type f64 = b.getF64Type();
              int64_t offset = 0;
              Value weights = b.scratchView(scratch, offset, {vocabulary}, f32);
              Value inverse = b.divf(b.f32(1), b.load(k.getArgument(1), {r})), most = largest(b, logits, r);
              auto widen = [&](Value v) { return Value(arith::ExtFOp::create(b, f64, v)); };
              Value last = b.index(vocabulary), zero = b.f64(0);
              Value total = b.carry(b.index(0), last, 1, {zero}, [&](Value i, Values s) {
                Value w = math::ExpOp::create(b, b.mulf(b.subf(b.load(logits, {r, i}), most), inverse));
                b.store(w, weights, {i});
                return Values{b.addf(s[0], widen(w))};
              })[0];
              Value goal = b.mulf(total, widen(b.load(k.getArgument(2), {r})));
              auto massFrom = [&](Value threshold, bool strict) {
                return b.carry(b.index(0), last, 1, {zero}, [&](Value i, Values s) {
                  Value w = b.load(weights, {i});
                  Value in = arith::CmpFOp::create(b, strict ? arith::CmpFPredicate::OGT : arith::CmpFPredicate::OGE, w, threshold);
                  return Values{b.select(in, b.addf(s[0], widen(w)), s[0])};
                })[0];
              };
              // Non-negative floats compare like their bits.
              Value bits = b.carry(b.index(0), b.index(31), 1, {b.i32(0)}, [&](Value step, Values bits) {
                Value bit = arith::ShLIOp::create(b, b.i32(1), arith::SubIOp::create(b, b.i32(30), b.toI32(step)));
                Value candidate = arith::OrIOp::create(b, bits[0], bit);
                Value mass = massFrom(arith::BitcastOp::create(b, f32, candidate), false);
                Value reaches = arith::CmpFOp::create(b, arith::CmpFPredicate::OGE, mass, goal);
                return Values{b.select(reaches, candidate, bits[0])};
              })[0];
              Value threshold = arith::BitcastOp::create(b, f32, bits);
              // Walks the nucleus; `visit` gets each member and the mass so far.
              auto walk = [&](Values init, function_ref<Values(Value, Value, Values)> visit) {
                init.insert(init.begin(), massFrom(threshold, true));
                return b.carry(b.index(0), last, 1, init, [&](Value i, Values state) {
                  Value w = b.load(weights, {i}), above = b.greater(w, threshold);
                  Value equal = arith::CmpFOp::create(b, arith::CmpFPredicate::OEQ, w, threshold);
                  Value open = arith::CmpFOp::create(b, arith::CmpFPredicate::OLT, state[0], goal);
                  Value joins = arith::AndIOp::create(b, equal, open);
                  Value in = arith::OrIOp::create(b, above, joins);
                  Values next = visit(i, b.select(in, widen(w), zero), Values(state.begin() + 1, state.end()));
                  next.insert(next.begin(), b.select(joins, b.addf(state[0], widen(w)), state[0]));
                  return next;
                });
              };
              Value nucleus = walk({zero}, [&](Value, Value w, Values s) { return Values{b.addf(s[0], w)}; })[1];
              Value place = b.mulf(nucleus, widen(b.load(k.getArgument(3), {r})));
              Value none = b.i32(-1);
              // state: mass so far, the token found, the last member seen (should rounding carry `place` past the end)
              Values found = walk({zero, none, b.i32(0)}, [&](Value i, Value w, Values s) {
                Value sum = b.addf(s[0], w), id = b.toI32(i);
                Value member = arith::CmpFOp::create(b, arith::CmpFPredicate::OGT, w, zero);
                Value here = arith::AndIOp::create(b, b.equal(s[1], none), arith::AndIOp::create(b, member, arith::CmpFOp::create(b, arith::CmpFPredicate::OGT, sum, place)));
                return Values{sum, b.select(here, id, s[1]), b.select(member, id, s[2])};
              });
              b.store(b.select(b.equal(found[2], none), found[3], found[2]), k.getArgument(4), {r});
            });
  }

  void runOnOperation() override {
    if (failed(checkLanes(getOperation(), lanes)))
      return signalPassFailure();
    if (vocabulary < 1) {
      getOperation().emitError() << "exec-add-sampling wants a positive vocabulary, got " << vocabulary;
      return signalPassFailure();
    }
    argmax();
    sample();
    nll();
  }
};
} // namespace
