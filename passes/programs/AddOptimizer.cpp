//===- AddOptimizer.cpp - the programs of a step after its gradients ------===//
//
// The programs of a training job that no graph op describes: they walk the memory of parameters,
// however it lies. Their kernels are in OptimizerKernels.cpp, the programs that lay parameters out
// in LayOutParameters.cpp.
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
//
//===----------------------------------------------------------------------===//

#include "dialects/fp8/Fp8.h"
#include "dialects/job/Job.h"
#include "dialects/train/Train.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "passes/Passes.h"
#include "passes/programs/OptimizerKernels.h"
#include "passes/programs/ParameterPrograms.h"
#include "runtime/module/StepSettings.h"

namespace hadal {
#define GEN_PASS_DEF_EXECADDOPTIMIZER
#include "passes/Passes.h.inc"
} // namespace hadal

using namespace mlir;
using namespace hadal;

namespace {

class Optimizer : ParameterPrograms {
public:
  Optimizer(ModuleOp module, Type moment, bool average)
      : ParameterPrograms(module), moment(moment), average(average) {}
  LogicalResult build();

private:
  LogicalResult zero();
  void add();
  void norms();
  void optimizerStates();
  LogicalResult optimizer();
  void ranks();
  void launchNorm(func::FuncOp norm, Value sums, AffineExpr tensors, Value gradientNorm);
  void launchSchedule(func::FuncOp schedule);

  Type moment;
  bool average;
};

LogicalResult Optimizer::zero() {
  // Integers that are zero have the bits of floats that are.
  func::FuncOp clear = addClear(module);
  program(names::program::zero);
  SmallVector<exec::StateOp> states;
  for (auto s : module.getOps<exec::StateOp>()) {
    StringRef name = s.getSymName();
    if (!name.starts_with(names::state::loads) && !name.starts_with(names::state::losses) &&
        !name.starts_with(names::state::rounded))
      continue;
    if (!s.getShape().isSingleConstant())
      return s.emitError() << "wants one size that is a constant, got " << s.getShapeAttr();
    states.push_back(s);
  }
  for (exec::StateOp s : states)
    if (StringRef name = s.getSymName(); !name.starts_with(names::state::rounded))
      launch(clear, get(name), s.getShape().getResult(0));
  func::FuncOp round;
  for (exec::StateOp s : states) {
    StringRef name = s.getSymName();
    if (!name.consume_front(names::state::rounded))
      continue;
    if (!round)
      round = addRoundToBf16(module);
    AffineExpr n = s.getShape().getResult(0);
    launch(round, {get((names::state::weight + name).str()), get(s.getSymName())}, {n, n});
  }
  return success();
}

/// Programs `add` and `add.i32`.
void Optimizer::add() {
  AffineExpr n = b.getAffineSymbolExpr(0);
  for (Type element : {Type(b.getF32Type()), Type(b.getI32Type())}) {
    func::FuncOp kernel = addAdd(module, element);
    program(element.isF32() ? names::program::add : names::program::addI32, {names::reg::elements});
    Value from = argument(names::argument::from, n, element, false),
          sum = argument(names::argument::sum, n, element, true);
    launch(kernel, {from, sum}, {n, n});
  }
}

/// The norm of `tensors` tensors, for the schedule and for the caller.
void Optimizer::launchNorm(func::FuncOp norm, Value sums, AffineExpr tensors, Value gradientNorm) {
  Value kept = get(names::state::gradientNorm);
  launch(norm, {sums, kept}, tensors);
  exec::CopyOp::create(b, module.getLoc(), gradientNorm, kept, map(constant(4)), IntegerAttr());
}

/// Takes `settings` and gives `lr`.
void Optimizer::launchSchedule(func::FuncOp schedule) {
  Value settings =
            argument(names::argument::settings, constant(stepSettingCount), b.getF64Type(), false),
        lr = argument(names::argument::lr, constant(1), b.getF32Type(), true);
  launch(schedule, {settings, get(names::state::gradientNorm), get(names::state::stepScalars), lr},
         {});
}

void Optimizer::norms() {
  Type f32 = b.getF32Type();
  func::FuncOp squares = addSumsOfSquares(module), sumOfTensor = addSumOfTensor(module),
               norm = addNorm(module), add = module.lookupSymbol<func::FuncOp>("add_f32"),
               clear = module.lookupSymbol<func::FuncOp>("clear");
  state(names::state::gradientNorm, 1, f32);
  int64_t tensors = 0, most = 0, parameters = 0;
  for (const Trained &t : trained)
    if (!t.correction)
      tensors += t.count, most = std::max(most, t.count * t.blocks()), ++parameters;
  program(names::program::norms);
  Value norms = argument(names::argument::norms, constant(parameters), f32, true),
        gradientNorm = argument(names::argument::gradNorm, constant(1), f32, true);
  Value blocks = temporary(constant(most * 4)), sums = temporary(constant(tensors * 8));
  // A parameter's uses in front of the layers and after them were summed apart: they may lie on
  // two ranks.
  for (const Trained &t : trained)
    for (int64_t use = 1; module.lookupSymbol<exec::StateOp>(t.useState(use)); ++use) {
      AffineExpr n = constant(t.count * t.elements);
      launch(add, {get(t.useState(use)), get(names::state::gradient + t.name)}, {n, n});
      launch(clear, get(t.useState(use)), n);
    }
  int64_t at = 0, number = 0;
  for (const Trained &t : trained) {
    if (t.correction)
      continue;
    AffineExpr count = constant(t.count), here = constant(at * 8);
    launch(squares, {get(names::state::gradient + t.name), blocks},
           {count, constant(t.elements), count, constant(t.blocks())});
    launch(sumOfTensor, {blocks, sums}, {count, constant(t.blocks()), count}, {constant(0), here});
    launch(norm, {sums, norms}, count, {here, constant(number++ * 4)});
    at += t.count;
  }
  launchNorm(norm, sums, constant(tensors), gradientNorm);
}

/// The programs of a job on many ranks.
void Optimizer::ranks() {
  Type f32 = b.getF32Type(), f64 = b.getF64Type();
  AffineExpr n = b.getAffineSymbolExpr(0), one = constant(1);
  func::FuncOp squares = addSumsOfSquares(module), sumOfTensor = addSumOfTensor(module),
               norm = addNorm(module), schedule = addScaleStep(module),
               adamw = addAdamwStep(module, moment, average);
  state(names::state::gradientNorm, 1, f32);
  optimizerStates();

  program(names::program::squareSum, {names::reg::elements});
  Value gradient = argument(names::argument::gradient, n, f32, false),
        sum = argument(names::argument::sum, one, f64, true);
  AffineExpr blockCount = n.ceilDiv(sumBlock);
  Value blocks = temporary(blockCount * 4);
  launch(squares, {gradient, blocks}, {one, n, one, blockCount});
  launch(sumOfTensor, {blocks, sum}, {one, blockCount, one});

  program(names::program::globalNorm, {names::reg::tensors});
  Value sums = argument(names::argument::sums, n, f64, false),
        gradientNorm = argument(names::argument::gradNorm, one, f32, true);
  launchNorm(norm, sums, n, gradientNorm);

  program(names::program::schedule);
  launchSchedule(schedule);

  program(names::program::adamw, {names::reg::elements});
  SmallVector<Value> buffers;
  for (auto [name, element] : {std::pair<StringRef, Type>{names::argument::weight, f32},
                               {names::argument::gradient, f32},
                               {names::argument::firstMoment, moment},
                               {names::argument::secondMoment, moment}})
    buffers.push_back(argument(name, n, element, true));
  buffers.push_back(get(names::state::stepScalars));
  SmallVector<AffineExpr> sizes(4, n);
  if (average)
    buffers.push_back(argument(names::argument::average, n, f32, true)), sizes.push_back(n);
  launch(adamw, buffers, sizes);
}

void Optimizer::optimizerStates() {
  Type f32 = b.getF32Type();
  state(names::state::stepScalars, stepScalarCount, f32);
  for (const Trained &t : trained) {
    if (t.correction)
      continue;
    for (StringRef kind : {names::state::firstMoment, names::state::secondMoment})
      state((kind + t.name).str(), t.count * t.elements, moment, t.memory);
    if (average)
      state(names::state::average + t.name, t.count * t.elements, f32, t.memory);
  }
}

LogicalResult Optimizer::optimizer() {
  Type f32 = b.getF32Type();
  func::FuncOp schedule = addScaleStep(module), adamw = addAdamwStep(module, moment, average);
  optimizerStates();
  exec::ProgramOp balance = module.lookupSymbol<exec::ProgramOp>(names::program::balance);
  if (balance && !balance.getRegisters().empty())
    return balance.emitError("wants no registers, as the optimizer that calls it has none");
  program(names::program::optimizer);
  launchSchedule(schedule);
  Value scalars = get(names::state::stepScalars);
  for (const Trained &t : trained) {
    if (t.correction)
      continue;
    AffineExpr n = constant(t.count * t.elements);
    SmallVector<Value> buffers{
        get(names::state::weight + t.name), get(names::state::gradient + t.name),
        get(names::state::firstMoment + t.name), get(names::state::secondMoment + t.name), scalars};
    SmallVector<AffineExpr> sizes(4, n);
    if (average)
      buffers.push_back(get(names::state::average + t.name)), sizes.push_back(n);
    launch(adamw, buffers, sizes);
  }
  if (!balance) {
    argument(names::argument::violation, constant(0), f32, true);
    return success();
  }
  // The corrections move after the step, from its loads.
  for (auto a : balance.getBody().front().getOps<exec::ArgumentOp>()) {
    Value violation = argument(a.getName(), {a.getShape().getResults()}, a.getElement(), true);
    exec::CallOp::create(b, module.getLoc(), names::program::balance, ValueRange{violation},
                         b.getAffineMapArrayAttr({}));
  }
  return success();
}

LogicalResult Optimizer::build() {
  if (failed(readTrainables()))
    return failure();
  if (failed(zero()))
    return failure();
  add();
  if (job::ranksOf(module)) {
    ranks();
  } else {
    norms();
    if (failed(optimizer()))
      return failure();
  }
  return addLayouts(module);
}

struct AddOptimizer : public hadal::impl::ExecAddOptimizerBase<AddOptimizer> {
  using ExecAddOptimizerBase::ExecAddOptimizerBase;
  void runOnOperation() override {
    if (moments != "fp32" && moments != "bf16") {
      getOperation().emitError() << "exec-add-optimizer wants the moments fp32 or bf16, got "
                                 << moments.getValue();
      return signalPassFailure();
    }
    Type moment = moments == "bf16" ? Type(BFloat16Type::get(&getContext()))
                                    : Type(Float32Type::get(&getContext()));
    if (failed(Optimizer(getOperation(), moment, average).build()))
      signalPassFailure();
  }
};

} // namespace
