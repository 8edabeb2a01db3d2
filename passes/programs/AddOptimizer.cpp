// The programs of a training job that no graph op describes: they walk the memory of parameters,
// however it lies. Those that lay it out are in LayOutParameters.cpp.
//
//   zero        losses and loads to zero (gradients are zero at first, and the optimizer leaves
//               them so); rounded copies of weights
//   norms       blocks of 4,096 elements of each gradient -> sums of squares -> one norm per
//               parameter -> the global norm
//   optimizer   settings -> the step's scalars -> AdamW over each parameter; then the program
//               `balance`
//   add         sum += from: joins what groups of micro-batches, or ranks, have summed up
//
// Where a job has many ranks (`job.ranks`), each updates some tensors: instead of norms and
// optimizer there are, for one tensor at a time,
//
//   square_sum  a gradient -> its sum of squares
//   global_norm those of all tensors -> the norm
//   schedule    settings -> the step's scalars
//   adamw       one tensor's update
#include "dialects/fp8/Fp8.h"
#include "dialects/job/Job.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "passes/Passes.h"
#include "passes/programs/ParameterPrograms.h"
#include "passes/quantize/RoundToBf16.h"
#include "passes/targets/cpu/Lanes.h"

namespace hadal {
#define GEN_PASS_DEF_EXECADDOPTIMIZER
#include "passes/Passes.h.inc"
} // namespace hadal

using namespace mlir;
using namespace hadal;
using Values = KernelBuilder::Values;

namespace {

/// Places of `settings` (f64), which the driver fills. Kind: see runtime/training/Schedule.h. Their
/// count tells the driver what the kernel knows.
enum Setting : int64_t {
  Step,
  Kind,
  Rate,
  Warmup,
  Total,
  FinalRate,
  Hold,
  Decay,
  Clip,
  Beta1,
  Beta2,
  Epsilon,
  AverageDecay,
  Fall,
  Last,
  LastRate,
  SettingCount = 20
};
/// Places of the state `step_scalars` (f32), which the kernel `schedule` computes from them.
enum Scalar : int64_t {
  Shrink,
  Scale,
  M0,
  M1,
  V0,
  V1,
  StepSize,
  VRoot,
  Eps,
  Keep,
  ScalarCount = 16
};

class Optimizer : ParameterPrograms {
public:
  Optimizer(ModuleOp module, int64_t lanes, Type moment, bool average)
      : ParameterPrograms(module, lanes), moment(moment), average(average) {}
  LogicalResult build();

private:
  void zero();
  void add();
  void norms();
  void optimizerStates();
  void optimizer();
  void ranks();
  func::FuncOp addKernel(Type element);
  func::FuncOp squaresKernel();
  func::FuncOp tensorSumsKernel();
  func::FuncOp normKernel();
  func::FuncOp roundKernel();
  func::FuncOp scheduleKernel();
  func::FuncOp adamwKernel();

  Type moment;
  bool average;
};

/// Rounds weights, as --hadal-round-products does with activations.
func::FuncOp Optimizer::roundKernel() {
  OpBuilder::InsertionGuard guard(b);
  Type f32 = b.getF32Type();
  return kernel("round_to_bf16", {f32, f32}, b.getAffineSymbolExpr(0).ceilDiv(taskElements), 1,
                [&](KernelBuilder &k, func::FuncOp f, Value begin, Value end) {
                  walk(k, begin, end, k.dim(f.getArgument(0), 0), [&](Value i, int64_t width) {
                    Value rounded =
                        roundToBf16(k, k.getLoc(), k.loadVector(f.getArgument(0), {i}, width));
                    k.storeVector(rounded, f.getArgument(1), {i});
                  });
                });
}

void Optimizer::zero() {
  // Integers that are zero have the bits of floats that are.
  func::FuncOp clear =
      kernel("clear", b.getF32Type(), b.getAffineSymbolExpr(0).ceilDiv(taskElements), 1,
             [&](KernelBuilder &k, func::FuncOp f, Value begin, Value end) {
               Value memory = f.getArgument(0), zero = k.f32(0), zeros = k.splat(zero, lanes);
               walk(k, begin, end, k.dim(memory, 0), [&](Value i, int64_t width) {
                 width == 1 ? k.store(zero, memory, {i}) : k.storeVector(zeros, memory, {i});
               });
             });
  program("zero");
  SmallVector<exec::StateOp> states(module.getOps<exec::StateOp>());
  for (exec::StateOp s : states) {
    StringRef name = s.getSymName();
    if (name.starts_with("loads.") || name.starts_with("losses"))
      launch(clear, get(name), cast<AffineConstantExpr>(s.getShape().getResult(0)));
  }
  func::FuncOp round;
  for (exec::StateOp s : states) {
    StringRef name = s.getSymName();
    if (!name.consume_front("rounded."))
      continue;
    if (!round)
      round = roundKernel();
    AffineExpr n = cast<AffineConstantExpr>(s.getShape().getResult(0));
    launch(round, {get(("weight." + name).str()), get(s.getSymName())}, {n, n});
  }
}

/// sum += from.
func::FuncOp Optimizer::addKernel(Type element) {
  OpBuilder::InsertionGuard guard(b);
  bool isFloat = isa<FloatType>(element);
  return kernel(isFloat ? "add_f32" : "add_i32", {element, element},
                b.getAffineSymbolExpr(0).ceilDiv(taskElements), 1,
                [&](KernelBuilder &k, func::FuncOp f, Value begin, Value end) {
                  Value from = f.getArgument(0), to = f.getArgument(1);
                  walk(k, begin, end, k.dim(from, 0), [&](Value i, int64_t width) {
                    auto load = [&](Value memory) {
                      return width == 1 ? k.load(memory, {i}) : k.loadVector(memory, {i}, width);
                    };
                    Value sum =
                        isFloat ? k.addf(load(to), load(from)) : k.add(load(to), load(from));
                    width == 1 ? k.store(sum, to, {i}) : k.storeVector(sum, to, {i});
                  });
                });
}

/// Programs `add` and `add.i32`.
void Optimizer::add() {
  AffineExpr n = b.getAffineSymbolExpr(0);
  for (Type element : {Type(b.getF32Type()), Type(b.getI32Type())}) {
    func::FuncOp kernel = addKernel(element);
    program(element.isF32() ? "add" : "add.i32", {"elements"});
    Value from = argument("from", n, element, false), sum = argument("sum", n, element, true);
    launch(kernel, {from, sum}, {n, n});
  }
}

/// Squares of blocks of [tensors, elements]; blocks begin anew in each tensor of a stack, so that
/// an owner of some has whole blocks.
func::FuncOp Optimizer::squaresKernel() {
  Type f32 = b.getF32Type();
  AffineExpr blocks = b.getAffineSymbolExpr(2) * b.getAffineSymbolExpr(3);
  return kernel(
      "sums_of_squares", {f32, f32}, blocks, 2,
      [&](KernelBuilder &k, func::FuncOp f, Value begin, Value end) {
        Value x = f.getArgument(0), out = f.getArgument(1), elements = k.dim(x, 1),
              each = k.dim(out, 1);
        k.loop(begin, end, 1, [&](Value task) {
          Value tensor = arith::DivUIOp::create(k, task, each),
                block = arith::RemUIOp::create(k, task, each);
          Value first = k.mul(block, sumBlock), last = k.min(k.add(first, sumBlock), elements);
          Value whole = k.add(first, k.mul(k.div(k.sub(last, first), 4 * lanes), 4 * lanes));
          Values sums =
              k.carry(first, whole, 4 * lanes, Values(4, k.zeros(k.vectorOf(lanes, f32))),
                      [&](Value i, Values s) {
                        for (int64_t v = 0; v < 4; ++v) {
                          Value loaded = k.loadVector(x, {tensor, k.add(i, v * lanes)}, lanes);
                          s[v] = k.fma(loaded, loaded, s[v]);
                        }
                        return s;
                      });
          Value sum = k.addf(k.addf(sums[0], sums[1]), k.addf(sums[2], sums[3]));
          sum = vector::ReductionOp::create(k, vector::CombiningKind::ADD, sum);
          sum = k.carry(whole, last, 1, {sum}, [&](Value i, Values s) {
            Value v = k.load(x, {tensor, i});
            return Values{k.addf(s[0], k.mulf(v, v))};
          })[0];
          k.store(sum, out, {tensor, block});
        });
      });
}

/// Block sums [tensors, blocks] -> a sum a tensor, in f64.
func::FuncOp Optimizer::tensorSumsKernel() {
  Type f32 = b.getF32Type(), f64 = b.getF64Type();
  return kernel(
      "sum_of_tensor", {f32, f64}, b.getAffineSymbolExpr(0), 2,
      [&](KernelBuilder &k, func::FuncOp f, Value begin, Value end) {
        Value from = f.getArgument(0), out = f.getArgument(1);
        k.loop(begin, end, 1, [&](Value tensor) {
          Value sum = k.carry(k.index(0), k.dim(from, 1), 1, {k.f64(0)}, [&](Value i, Values s) {
            return Values{k.addf(s[0], arith::ExtFOp::create(k, f64, k.load(from, {tensor, i})))};
          })[0];
          k.store(sum, out, {tensor, k.index(0)});
        });
      });
}

/// Sums of squares of tensors -> a norm, in two places.
func::FuncOp Optimizer::normKernel() {
  Type f32 = b.getF32Type(), f64 = b.getF64Type();
  return kernel("norm", {f64, f32, f32}, constant(1), 1,
                [&](KernelBuilder &k, func::FuncOp f, Value begin, Value end) {
                  k.loop(begin, end, 1, [&](Value) {
                    Value from = f.getArgument(0);
                    Value sum =
                        k.carry(k.index(0), k.dim(from, 0), 1, {k.f64(0)}, [&](Value i, Values s) {
                          return Values{k.addf(s[0], k.load(from, {i}))};
                        })[0];
                    Value norm =
                        arith::TruncFOp::create(k, f32, math::SqrtOp::create(k, sum).getResult());
                    k.store(norm, f.getArgument(1), {k.index(0)});
                    k.store(norm, f.getArgument(2), {k.index(0)});
                  });
                });
}

void Optimizer::norms() {
  Type f32 = b.getF32Type();
  func::FuncOp squares = squaresKernel(), sumOfTensor = tensorSumsKernel(), norm = normKernel(),
               add = module.lookupSymbol<func::FuncOp>("add_f32"),
               clear = module.lookupSymbol<func::FuncOp>("clear");
  state("gradient_norm", 1, f32);
  int64_t tensors = 0, most = 0, parameters = 0;
  for (const Trained &t : trained)
    if (!t.correction)
      tensors += t.count, most = std::max(most, t.count * t.blocks()), ++parameters;
  program("norms");
  Value norms = argument("norms", constant(parameters), f32, true),
        gradientNorm = argument("grad_norm", constant(1), f32, true);
  Value blocks = temporary(constant(most * 4)), sums = temporary(constant(tensors * 8));
  Value unused = temporary(constant(4)); // a kernel's buffers are different ones
  // A parameter's uses in front of the layers and after them were summed apart: they may lie on
  // two ranks.
  for (const Trained &t : trained)
    for (int64_t use = 1; module.lookupSymbol<exec::StateOp>(t.useState(use)); ++use) {
      AffineExpr n = constant(t.count * t.elements);
      launch(add, {get(t.useState(use)), get("gradient." + t.name)}, {n, n});
      launch(clear, get(t.useState(use)), n);
    }
  int64_t at = 0, number = 0;
  for (const Trained &t : trained) {
    if (t.correction)
      continue;
    AffineExpr count = constant(t.count), here = constant(at * 8);
    launch(squares, {get("gradient." + t.name), blocks},
           {count, constant(t.elements), count, constant(t.blocks())});
    launch(sumOfTensor, {blocks, sums}, {count, constant(t.blocks()), count, constant(1)},
           {constant(0), here});
    AffineExpr place = constant(number++ * 4);
    launch(norm, {sums, norms, unused}, {count, constant(1), constant(1)},
           {here, place, constant(0)});
    at += t.count;
  }
  launch(norm, {sums, gradientNorm, get("gradient_norm")},
         {constant(tensors), constant(1), constant(1)});
}

/// The programs of a job on many ranks.
void Optimizer::ranks() {
  Type f32 = b.getF32Type(), f64 = b.getF64Type();
  AffineExpr n = b.getAffineSymbolExpr(0), one = constant(1);
  func::FuncOp squares = squaresKernel(), sumOfTensor = tensorSumsKernel(), norm = normKernel(),
               schedule = scheduleKernel(), adamw = adamwKernel();
  state("gradient_norm", 1, f32);
  optimizerStates();

  program("square_sum", {"elements"});
  Value gradient = argument("gradient", n, f32, false), sum = argument("sum", one, f64, true);
  AffineExpr blockCount = n.ceilDiv(sumBlock);
  Value blocks = temporary(blockCount * 4);
  launch(squares, {gradient, blocks}, {one, n, one, blockCount});
  launch(sumOfTensor, {blocks, sum}, {one, blockCount, one, one});

  program("global_norm", {"tensors"});
  Value sums = argument("sums", n, f64, false),
        gradientNorm = argument("grad_norm", one, f32, true);
  launch(norm, {sums, gradientNorm, get("gradient_norm")}, {n, one, one});

  program("schedule");
  Value settings = argument("settings", constant(SettingCount), f64, false),
        lr = argument("lr", one, f32, true);
  launch(schedule, {settings, get("gradient_norm"), get("step_scalars"), lr},
         {constant(SettingCount), one, constant(ScalarCount), one});

  program("adamw", {"elements"});
  SmallVector<Value> buffers;
  for (auto [name, element] : {std::pair<StringRef, Type>{"weight", f32},
                               {"gradient", f32},
                               {"first_moment", moment},
                               {"second_moment", moment}})
    buffers.push_back(argument(name, n, element, true));
  buffers.push_back(get("step_scalars"));
  SmallVector<AffineExpr> sizes{n, n, n, n, constant(ScalarCount)};
  if (average)
    buffers.push_back(argument("average", n, f32, true)), sizes.push_back(n);
  launch(adamw, buffers, sizes);
}

/// settings, gradient norm -> scalars of the step, learning rate.
func::FuncOp Optimizer::scheduleKernel() {
  Type f32 = b.getF32Type(), f64 = b.getF64Type();
  return kernel(
      "scale_step", {f64, f32, f32, f32}, constant(1), 1,
      [&](KernelBuilder &k, func::FuncOp f, Value begin, Value end) {
        k.loop(begin, end, 1, [&](Value) {
          auto setting = [&](Setting s) { return k.load(f.getArgument(0), {k.index(s)}); };
          auto narrow = [&](Value v) { return arith::TruncFOp::create(k, f32, v).getResult(); };
          auto wide = [&](Value v) { return arith::ExtFOp::create(k, f64, v).getResult(); };
          auto is = [&](arith::CmpFPredicate p, Value x, Value y) {
            return arith::CmpFOp::create(k, p, x, y).getResult();
          };
          auto set = [&](Scalar s, Value v) { k.store(narrow(v), f.getArgument(2), {k.index(s)}); };
          Value one = k.f64(1), zero = k.f64(0), step = setting(Step), rate = setting(Rate),
                warmup = setting(Warmup);

          // Linear from 0 in the warm-up; then constant; then half a cosine, or a line, from `from`
          // to `end`; then the report's last rate.
          Value fraction =
              k.divf(step, k.select(is(arith::CmpFPredicate::OGT, warmup, zero), warmup, one));
          Value rising = k.mulf(rate, fraction);
          Value kind = setting(Kind), last = setting(FinalRate);
          auto isKind = [&](int64_t number) {
            return is(arith::CmpFPredicate::OEQ, kind, k.f64(double(number)));
          };
          Value isReport = isKind(2), isWsd = isKind(3);
          Value from = k.select(is(arith::CmpFPredicate::OGE, kind, k.f64(2)),
                                k.maxf(setting(Hold), warmup), warmup);
          Value end = k.select(isReport, setting(Fall), setting(Total));
          Value length = k.subf(end, from);
          length = k.select(is(arith::CmpFPredicate::OGT, length, zero), length, one);
          Value place =
              arith::MinimumFOp::create(k, one, k.maxf(zero, k.divf(k.subf(step, from), length)));
          Value cosine =
              wide(math::CosOp::create(k, narrow(k.mulf(place, k.f64(3.14159265358979323846)))));
          Value falling =
              k.addf(last, k.mulf(k.mulf(k.f64(0.5), k.subf(rate, last)), k.addf(one, cosine)));
          Value line = k.addf(rate, k.mulf(k.subf(last, rate), place));
          falling = k.select(isWsd, line, falling);
          falling =
              k.select(is(arith::CmpFPredicate::OGE, place, one), last, falling); // the end exactly
          Value isLast = arith::AndIOp::create(k, isReport,
                                               is(arith::CmpFPredicate::OGT, step, setting(Last)));
          falling = k.select(isLast, setting(LastRate), falling);
          Value steady = k.select(isKind(0), rate, falling);
          Value lr = k.select(is(arith::CmpFPredicate::OLT, step, warmup), rising, steady);
          k.store(narrow(lr), f.getArgument(3), {k.index(0)});

          // beta^step by squaring.
          Value steps = arith::FPToSIOp::create(k, k.getI64Type(), step);
          auto power = [&](Value base) {
            return k.carry(k.index(0), k.index(63), 1, {one, base}, [&](Value bit, Values at) {
              Value shift = arith::IndexCastOp::create(k, k.getI64Type(), bit);
              Value odd = arith::TruncIOp::create(k, k.getI1Type(),
                                                  arith::ShRUIOp::create(k, steps, shift));
              return Values{k.select(odd, k.mulf(at[0], at[1]), at[0]), k.mulf(at[1], at[1])};
            })[0];
          };
          Value beta1 = setting(Beta1), beta2 = setting(Beta2), clip = setting(Clip),
                norm = wide(k.load(f.getArgument(1), {k.index(0)}));
          Value scale = arith::MinimumFOp::create(k, one, k.divf(clip, k.addf(norm, k.f64(1e-6))));
          set(Shrink, k.subf(one, k.mulf(lr, setting(Decay))));
          set(Scale, k.select(is(arith::CmpFPredicate::OGT, clip, zero), scale, one));
          set(M0, beta1), set(M1, k.subf(one, beta1)), set(V0, beta2), set(V1, k.subf(one, beta2));
          set(StepSize, k.divf(lr, k.subf(one, power(beta1))));
          set(VRoot, math::SqrtOp::create(k, k.subf(one, power(beta2))));
          set(Eps, setting(Epsilon)), set(Keep, setting(AverageDecay));
        });
      });
}

/// AdamW with decoupled decay (Loshchilov and Hutter, arXiv:1711.05101), element by element in
/// whatever order they lie: padding is zero and stays zero.
func::FuncOp Optimizer::adamwKernel() {
  Type f32 = b.getF32Type();
  SmallVector<Type> elements{f32, f32, moment, moment, f32};
  if (average)
    elements.push_back(f32);
  return kernel(
      "adamw_step", elements, b.getAffineSymbolExpr(0).ceilDiv(taskElements), 1,
      [&](KernelBuilder &k, func::FuncOp f, Value begin, Value end) {
        Value weights = f.getArgument(0), gradients = f.getArgument(1), first = f.getArgument(2),
              second = f.getArgument(3);
        SmallVector<Value> scalars;
        for (int64_t s = 0; s < ScalarCount; ++s)
          scalars.push_back(k.load(f.getArgument(4), {k.index(s)}));
        walk(k, begin, end, k.dim(weights, 0), [&](Value i, int64_t width) {
          auto load = [&](Value from) {
            return k.widen(width == 1 ? k.load(from, {i}) : k.loadVector(from, {i}, width));
          };
          auto scalar = [&](Scalar s) {
            return width == 1 ? scalars[s] : k.splat(scalars[s], width);
          };
          auto store = [&](Value v, Value to) {
            Type element = cast<MemRefType>(to.getType()).getElementType();
            if (!element.isF32())
              v = arith::TruncFOp::create(
                  k, width == 1 ? element : Type(k.vectorOf(width, element)), v);
            width == 1 ? k.store(v, to, {i}) : k.storeVector(v, to, {i});
          };
          Value w = load(weights), g = k.mulf(load(gradients), scalar(Scale));
          Value m = k.addf(k.mulf(load(first), scalar(M0)), k.mulf(g, scalar(M1)));
          Value v = k.addf(k.mulf(load(second), scalar(V0)), k.mulf(k.mulf(g, g), scalar(V1)));
          Value root = k.addf(k.divf(math::SqrtOp::create(k, v), scalar(VRoot)), scalar(Eps));
          w = k.subf(k.mulf(w, scalar(Shrink)), k.mulf(scalar(StepSize), k.divf(m, root)));
          store(w, weights), store(m, first), store(v, second);
          store(width == 1 ? k.f32(0) : k.splat(k.f32(0), width),
                gradients); // ready for the next step
          if (average) {
            Value a = load(f.getArgument(5)), keep = scalar(Keep);
            store(k.addf(w, k.mulf(keep, k.subf(a, w))), f.getArgument(5));
          }
        });
      });
}

void Optimizer::optimizerStates() {
  Type f32 = b.getF32Type();
  state("step_scalars", ScalarCount, f32);
  for (const Trained &t : trained) {
    if (t.correction)
      continue;
    for (StringRef kind : {"first_moment.", "second_moment."})
      state((kind + t.name).str(), t.count * t.elements, moment);
    if (average)
      state("average." + t.name, t.count * t.elements, f32);
  }
}

void Optimizer::optimizer() {
  Type f32 = b.getF32Type();
  func::FuncOp schedule = scheduleKernel(), adamw = adamwKernel();
  optimizerStates();
  exec::ProgramOp balance = module.lookupSymbol<exec::ProgramOp>("balance");
  program("optimizer");
  Value settings = argument("settings", constant(SettingCount), b.getF64Type(), false);
  Value lr = argument("lr", constant(1), f32, true);
  Value scalars = get("step_scalars");
  launch(schedule, {settings, get("gradient_norm"), scalars, lr},
         {constant(SettingCount), constant(1), constant(ScalarCount), constant(1)});
  for (const Trained &t : trained) {
    if (t.correction)
      continue;
    AffineExpr n = constant(t.count * t.elements);
    SmallVector<Value> buffers{get("weight." + t.name), get("gradient." + t.name),
                               get("first_moment." + t.name), get("second_moment." + t.name),
                               scalars};
    SmallVector<AffineExpr> sizes{n, n, n, n, constant(ScalarCount)};
    if (average)
      buffers.push_back(get("average." + t.name)), sizes.push_back(n);
    launch(adamw, buffers, sizes);
  }
  if (!balance) {
    argument("violation", constant(0), f32, true);
    return;
  }
  // The corrections move after the step, from its loads.
  for (auto a : balance.getBody().front().getOps<exec::ArgumentOp>()) {
    Value violation = argument(a.getName(), {a.getShape().getResults()}, a.getElement(), true);
    exec::CallOp::create(b, module.getLoc(), "balance", ValueRange{violation},
                         b.getAffineMapArrayAttr({}));
  }
}

LogicalResult Optimizer::build() {
  if (failed(readTrainables()))
    return failure();
  zero();
  add();
  if (job::ranksOf(module)) {
    ranks();
  } else {
    norms();
    optimizer();
  }
  return addLayouts(module, lanes);
}

struct AddOptimizer : public hadal::impl::ExecAddOptimizerBase<AddOptimizer> {
  using ExecAddOptimizerBase::ExecAddOptimizerBase;
  void runOnOperation() override {
    Type moment = moments == "bf16" ? Type(BFloat16Type::get(&getContext()))
                                    : Type(Float32Type::get(&getContext()));
    auto shape = vectorShapeOf(getOperation(), target);
    if (failed(shape))
      return signalPassFailure();
    if (failed(Optimizer(getOperation(), shape->lanes, moment, average).build()))
      signalPassFailure();
  }
};

} // namespace
