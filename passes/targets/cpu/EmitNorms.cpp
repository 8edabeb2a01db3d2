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
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;
using namespace hadal;
using Values = KernelBuilder::Values;

/// The f64 sum of the `count` numbers that `term` gives, ascending.
static Value sum(KernelBuilder &b, Value count, function_ref<Value(Value)> term) {
  return b.carry(b.index(0), count, 1, {b.f64(0)},
                 [&](Value i, Values s) { return Values{b.addf(s[0], term(i))}; })[0];
}

/// Squares of elements first .. last-1 of `tensor` in four chains of vectors, then what fills no
/// vector one by one.
static Value squareSum(KernelBuilder &b, Value x, Value tensor, Value first, Value last) {
  int64_t lanes = b.shape.lanes;
  Value whole = b.add(first, b.mul(b.div(b.sub(last, first), 4 * lanes), 4 * lanes));
  Values chains =
      b.carry(first, whole, 4 * lanes, Values(4, b.zeros(b.vectorOf(lanes, b.getF32Type()))),
              [&](Value i, Values s) {
                for (int64_t v = 0; v < 4; ++v) {
                  Value loaded = b.loadVector(x, {tensor, b.add(i, v * lanes)}, lanes);
                  s[v] = b.fma(loaded, loaded, s[v]);
                }
                return s;
              });
  Value sum = b.addf(b.addf(chains[0], chains[1]), b.addf(chains[2], chains[3]));
  sum = vector::ReductionOp::create(b, vector::CombiningKind::ADD, sum);
  return b.carry(whole, last, 1, {sum}, [&](Value i, Values s) {
    Value v = b.load(x, {tensor, i});
    return Values{b.addf(s[0], b.mulf(v, v))};
  })[0];
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
