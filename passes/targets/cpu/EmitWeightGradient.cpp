//===- EmitWeightGradient.cpp - weights' gradients, of f32 operands -------===//
//
// Gradients of weights, of f32 operands: OUT[n, k] += sum over rows t, ascending, of gradient[t, n]
// * X[t, k]. OUT's tile stays in registers over a block of rows and waits in memory between blocks,
// so each element remains one chain of fused multiply-adds that starts from init.
//
//===----------------------------------------------------------------------===//

#include "passes/targets/cpu/ProductTasks.h"
#include "passes/targets/cpu/WeightGradientTiles.h"

using namespace mlir;
using namespace hadal;
using Values = KernelBuilder::Values;

namespace {

class WeightGradientEmitter : WeightGradientTiles {
public:
  WeightGradientEmitter(Kernel &kernel, const WeightGradient &g)
      : WeightGradientTiles(kernel, g, /*block=*/256, kernel.b.shape.rows) {}
  LogicalResult emit();

private:
  void tile(const Place &at, Value count, Value isFirst);
};

void WeightGradientEmitter::tile(const Place &at, Value count, Value isFirst) {
  Type type = b.vectorOf(b.shape.lanes, b.getF32Type());
  Values sums;
  if (inPlace)
    sums = load(out, at);
  else
    sums = b.choose(
        isFirst, SmallVector<Type>(at.rows * vectors, type),
        [&] { return init ? load(init, at) : Values(at.rows * vectors, b.zeros(type)); },
        [&] { return load(out, at); });
  // The next tile's sums come from further away than those of the loop.
  prefetchNext(at);
  store(chain(b.index(0), count, at, sums), at);
}

LogicalResult WeightGradientEmitter::emit() {
  if (failed(prepare()))
    return failure();
  auto tasks = forWeightGradientTasks(
      kernel, g, inPlace, strips(), ranges(), [&](Value expert, Value strip, Value rangeAt) {
        Part part = partOf(expert, strip, rangeAt);
        forGroups(kernel, g, expert, rowCount(), [&](Value, Value from, Value to) {
          // Without rows there is still something to write where init is elsewhere.
          Value end = inPlace ? to : b.max(to, b.add(from, 1));
          b.loop(from, end, block, [&](Value t0) {
            Value count = b.min(b.sub(to, t0), b.index(block));
            copy(part, t0, count);
            forTiles(part, [&](const Place &at) { tile(at, count, b.equal(t0, from)); });
          });
        });
        if (!inPlace)
          zeroPadding(part);
      });
  kernel.finish(tasks, scratchBytes);
  return success();
}

} // namespace

LogicalResult hadal::emitWeightGradient(Kernel &kernel, const WeightGradient &gradient) {
  return WeightGradientEmitter(kernel, gradient).emit();
}
