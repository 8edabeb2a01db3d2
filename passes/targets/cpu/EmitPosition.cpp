//===- EmitPosition.cpp - rotary positions and the latent cache -----------===//
//
// Rotary positions and the latent cache: mla.rotation, mla.rope, mla.cache_append. A task is a row.
//
//===----------------------------------------------------------------------===//

#include "dialects/mla/Mla.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "passes/targets/cpu/Kernel.h"
#include "passes/targets/cpu/SineCosine.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;
using namespace hadal;
using Values = KernelBuilder::Values;

std::pair<Value, Value> hadal::sineCosine(KernelBuilder &b, Value x) {
  const double magic = 0x1.8p52; // adding it rounds to an integer
  Value n = b.subf(b.addf(b.mulf(x, b.f64(0x1.45f306dc9c883p-1)), b.f64(magic)), b.f64(magic));
  Value minusN = arith::NegFOp::create(b, n), r = x;
  for (double part : {0x1.921fb544p0, 0x1.0b4611a6p-34, 0x1.3198a2e037073p-69})
    r = math::FmaOp::create(b, minusN, b.f64(part), r);
  Value r2 = b.mulf(r, r);
  auto polynomial = [&](std::initializer_list<double> coefficients) {
    Value sum;
    for (double c : coefficients)
      sum = sum ? math::FmaOp::create(b, sum, r2, b.f64(c)).getResult() : b.f64(c);
    return sum;
  };
  Value sine = b.mulf(r, polynomial({-1.0 / 1307674368000.0, 1.0 / 6227020800.0, -1.0 / 39916800.0,
                                     1.0 / 362880.0, -1.0 / 5040.0, 1.0 / 120.0, -1.0 / 6.0, 1.0}));
  Value cosine = polynomial({1.0 / 20922789888000.0, -1.0 / 87178291200.0, 1.0 / 479001600.0,
                             -1.0 / 3628800.0, 1.0 / 40320.0, -1.0 / 720.0, 1.0 / 24.0, -0.5, 1.0});
  Value quadrant = arith::FPToSIOp::create(b, b.getI32Type(), n);
  auto bit = [&](Value v, int64_t mask) {
    return b.compare(arith::CmpIPredicate::ne, arith::AndIOp::create(b, v, b.i32(mask)), b.i32(0));
  };
  Value odd = bit(quadrant, 1), sineMinus = bit(quadrant, 2);
  Value cosineMinus = bit(arith::AddIOp::create(b, quadrant, b.i32(1)), 2);
  auto signedBy = [&](Value minus, Value v) {
    return b.select(minus, arith::NegFOp::create(b, v), v);
  };
  return {signedBy(sineMinus, b.select(odd, cosine, sine)),
          signedBy(cosineMinus, b.select(odd, sine, cosine))};
}

static void emitRotation(Kernel &kernel, mla::RotationOp op) {
  KernelBuilder &b = kernel.b;
  Value positions = kernel.memory(op.getPositions()), cos = kernel.memory(op.getCos()),
        sin = kernel.memory(op.getSin());
  // The table is short (dr / 2): one pair after the other, all rows of the task.
  auto frequencies = cast<DenseElementsAttr>(op.getFrequencies()).getValues<APFloat>();
  auto type = MemRefType::get({int64_t(frequencies.size())}, b.getF32Type());
  int64_t bytes = 0;
  Value table = b.scratchView(kernel.scratch, bytes, type.getShape(), b.getF32Type());
  for (auto [j, f] : llvm::enumerate(frequencies))
    b.store(arith::ConstantOp::create(b, b.getF32FloatAttr(f.convertToFloat())), table,
            {b.index(j)});
  Value magnitude = b.f32(op.getMagnitude().convertToFloat());
  b.loop(kernel.begin, kernel.end, 1, [&](Value row) {
    Value position = arith::SIToFPOp::create(b, b.getF32Type(), b.load(positions, {row}));
    b.loop(0, type.getDimSize(0), 1, [&](Value j) {
      Value angle = arith::ExtFOp::create(b, b.getF64Type(), b.mulf(position, b.load(table, {j})));
      auto [s, c] = sineCosine(b, angle);
      b.store(b.mulf(arith::TruncFOp::create(b, b.getF32Type(), c), magnitude), cos, {row, j});
      b.store(b.mulf(arith::TruncFOp::create(b, b.getF32Type(), s), magnitude), sin, {row, j});
    });
  });
  kernel.finish({kernel.resultDim(0, 0)}, bytes);
}

static void emitRope(Kernel &kernel, mla::RopeOp op) {
  KernelBuilder &b = kernel.b;
  Value x = kernel.memory(op.getX()), cos = kernel.memory(op.getCos()),
        sin = kernel.memory(op.getSin());
  Value out = kernel.memory(op.getResult());
  int64_t heads = op.getX().getType().getDimSize(1), half = op.getX().getType().getDimSize(2) / 2;
  b.loop(kernel.begin, kernel.end, 1, [&](Value row) {
    b.loop(0, heads, 1, [&](Value h) {
      b.loop(0, half, 1, [&](Value j) {
        // Pairs on the unrotated side, halves on the rotated one; the adjoint goes back.
        Value ja = op.getInterleave() ? b.mul(j, 2) : j;
        Value jb = op.getInterleave() ? b.add(ja, 1) : b.add(j, half);
        Value c = b.load(cos, {row, j}), s = b.load(sin, {row, j});
        Value toA = j, toB = b.add(j, half);
        if (op.getAdjoint()) {
          std::swap(ja, toA), std::swap(jb, toB);
          s = arith::NegFOp::create(b, s);
        }
        Value first = b.load(x, {row, h, ja}), second = b.load(x, {row, h, jb});
        b.store(b.subf(b.mulf(first, c), b.mulf(second, s)), out, {row, h, toA});
        b.store(b.addf(b.mulf(second, c), b.mulf(first, s)), out, {row, h, toB});
      });
    });
  });
  kernel.finish({kernel.resultDim(0, 0)}, 0);
}

static void emitCacheAppend(Kernel &kernel, mla::CacheAppendOp op) {
  KernelBuilder &b = kernel.b;
  Value ckv = kernel.memory(op.getCkv()), kRope = kernel.memory(op.getKRope()),
        slots = kernel.memory(op.getSlots());
  Value cache = kernel.memory(op.getResult());
  int64_t rk = op.getCkv().getType().getDimSize(1), dr = op.getKRope().getType().getDimSize(1);
  b.loop(kernel.begin, kernel.end, 1, [&](Value row) {
    Value slot = b.toIndex(b.load(slots, {row}));
    b.loop(0, rk, 1, [&](Value k) { b.store(b.load(ckv, {row, k}), cache, {slot, k}); });
    b.loop(0, dr, 1, [&](Value k) {
      b.store(b.load(kRope, {row, k}), cache, {slot, b.add(k, rk)});
    });
  });
  kernel.finish({kernel.sizeOf(slots, 0)}, 0);
}

static void emitAppendCodes(Kernel &kernel, mla::AppendCodesOp op) {
  KernelBuilder &b = kernel.b;
  Value q = kernel.memory(op.getQ()), slots = kernel.memory(op.getSlots()),
        codes = kernel.memory(op.getResult());
  b.loop(kernel.begin, kernel.end, 1, [&](Value row) {
    Value slot = b.toIndex(b.load(slots, {row}));
    b.loop(0, op.getQ().getType().getDimSize(1), 1, [&](Value k) {
      b.store(b.load(q, {row, k}), codes, {slot, k});
    });
  });
  kernel.finish({kernel.sizeOf(slots, 0)}, 0);
}

LogicalResult hadal::emitPosition(Kernel &kernel, Operation *op) {
  if (failed(kernel.wantMemory(op, op->getOperands())))
    return failure();
  llvm::TypeSwitch<Operation *>(op)
      .Case([&](mla::RotationOp rotation) { emitRotation(kernel, rotation); })
      .Case([&](mla::RopeOp rope) { emitRope(kernel, rope); })
      .Case([&](mla::CacheAppendOp append) { emitCacheAppend(kernel, append); })
      .Case([&](mla::AppendCodesOp append) { emitAppendCodes(kernel, append); });
  return success();
}
