//===- EmitNorms.cpp - sums of squares and norms of gradients --------------===//
//
// The ops of the dialect train: train.square_sums (a task is a block), train.sum_rows (a task is a
// tensor) and train.norm.
//
//===----------------------------------------------------------------------===//

#include "dialects/train/Train.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "passes/targets/cpu/Affinities.h"
#include "passes/targets/cpu/Kernel.h"
#include "passes/targets/cpu/RowSum.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;
using namespace hadal;
using Values = KernelBuilder::Values;

/// The f64 sum of the `count` numbers that `term` gives, ascending.
static Value sum(KernelBuilder &b, Value count, function_ref<Value(Value)> term) {
  return b.carry(b.index(0), count, 1, {b.f64(0)},
                 [&](Value i, Values s) { return Values{b.addf(s[0], term(i))}; })[0];
}

/// Squares of elements first .. last-1 of `tensor`, in the order of a row.
static Value squareSum(KernelBuilder &b, Value x, Value tensor, Value first, Value last) {
  return sumRow(b, b.getF32Type(), first, last, [&](RowVector here, Value sum) {
    Value loaded = b.loadVector(x, {tensor, here.at}, b.shape.lanes, here.mask);
    return b.fma(loaded, loaded, sum);
  });
}

static void emitNorm(Kernel &kernel, train::SquareSumsOp op) {
  KernelBuilder &b = kernel.b;
  Value x = kernel.memory(op.getX()), out = kernel.memory(op.getSums());
  Value elements = b.dim(x, 1), each = b.dim(out, 1);
  int64_t block = op.getBlock();
  b.loop(kernel.begin, kernel.end, 1, [&](Value task) {
    Value tensor = b.div(task, each), number = b.rem(task, each);
    Value first = b.mul(number, block), last = b.min(b.add(first, block), elements);
    b.store(squareSum(b, x, tensor, first, last), out, {tensor, number});
  });
  kernel.finish({kernel.resultDim(0, 0) * kernel.resultDim(0, 1)}, 0);
}

static void emitNorm(Kernel &kernel, train::SumRowsOp op) {
  KernelBuilder &b = kernel.b;
  Value x = kernel.memory(op.getX()), out = kernel.memory(op.getSums());
  b.loop(kernel.begin, kernel.end, 1, [&](Value tensor) {
    Value sumOfRow = sum(b, b.dim(x, 1), [&](Value i) { return toF64(b, b.load(x, {tensor, i})); });
    b.store(sumOfRow, out, {tensor});
  });
  kernel.finish({kernel.resultDim(0, 0)}, 0);
}

static void emitNorm(Kernel &kernel, train::NormOp op) {
  KernelBuilder &b = kernel.b;
  Value sums = kernel.memory(op.getSums()), out = kernel.memory(op.getNorm());
  b.loop(kernel.begin, kernel.end, 1, [&](Value) {
    Value total = sum(b, b.dim(sums, 0), [&](Value i) { return b.load(sums, {i}); });
    b.store(toF32(b, math::SqrtOp::create(b, total)), out, {b.index(0)});
  });
  kernel.finish({b.getAffineConstantExpr(1)}, 0);
}

LogicalResult hadal::emitNorms(Kernel &kernel, Operation *op) {
  if (failed(kernel.wantMemory(op, op->getOperands())))
    return failure();
  llvm::TypeSwitch<Operation *>(op).Case<train::SquareSumsOp, train::SumRowsOp, train::NormOp>(
      [&](auto op) { emitNorm(kernel, op); });
  return success();
}
