//===- Affinities.cpp - affinities of a router, and their adjoint --------===//

#include "passes/targets/cpu/Affinities.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include <cmath>

using namespace mlir;
using namespace hadal;
using Values = KernelBuilder::Values;

Value hadal::sigmoid(KernelBuilder &b, Value x) {
  Value one = b.f32(1);
  if (auto type = dyn_cast<VectorType>(x.getType()))
    one = b.splat(one, type.getNumElements());
  return b.divf(one, b.addf(one, math::ExpOp::create(b, arith::NegFOp::create(b, x))));
}

Value hadal::sumInF64(KernelBuilder &b, int64_t count, function_ref<Value(Value)> term) {
  return b.carry(b.index(0), b.index(count), 1, {b.f64(0)},
                 [&](Value i, Values sum) { return Values{b.addf(sum[0], toF64(b, term(i)))}; })[0];
}

void hadal::emitAffinities(KernelBuilder &b, Value logits, Value row, int64_t count, bool softmax,
                           Value into) {
  if (!softmax) {
    b.loop(0, count, 1, [&](Value e) { b.store(sigmoid(b, b.load(logits, {row, e})), into, {e}); });
    return;
  }
  Value largest =
      b.carry(b.index(0), b.index(count), 1, {b.f32(-INFINITY)}, [&](Value e, Values most) {
        return Values{b.maxf(most[0], b.load(logits, {row, e}))};
      })[0];
  b.loop(0, count, 1, [&](Value e) {
    b.store(math::ExpOp::create(b, b.subf(b.load(logits, {row, e}), largest)), into, {e});
  });
  Value total = toF32(b, sumInF64(b, count, [&](Value e) { return b.load(into, {e}); }));
  b.loop(0, count, 1, [&](Value e) { b.store(b.divf(b.load(into, {e}), total), into, {e}); });
}

Value hadal::affinitySlope(KernelBuilder &b, bool softmax, Value s) {
  return softmax ? s : b.mulf(s, b.subf(b.f32(1), s));
}
