//===- Fp8Codes.cpp - codes of eight bits and f32 ------------------------===//

#include "passes/targets/cpu/Fp8Codes.h"
#include <cmath>

using namespace mlir;
using namespace hadal;

Value hadal::decodeF8(KernelBuilder &b, Value code, Type format) {
  Type i16 = b.like(code, b.getI16Type()), f16 = b.like(code, b.getF16Type());
  auto constant = [&](int64_t v) { return b.constantLike(code, b.getI16IntegerAttr(v)); };
  auto f32 = [&](float v) { return b.constantLike(code, b.getF32FloatAttr(v)); };
  Value wide = arith::ExtUIOp::create(b, i16, code);
  Value high = arith::ShLIOp::create(b, wide, constant(8));
  if (isa<Float8E5M2Type>(format)) // the upper half of an f16
    return b.widen(arith::BitcastOp::create(b, f16, high));
  assert(isa<Float8E4M3FNType>(format) && "another type of codes");
  // As f16: sign in place, exponent and mantissa one bit lower; that is the value times 2^-8,
  // exactly.
  Value bits = arith::AndIOp::create(b, arith::ShRSIOp::create(b, high, constant(1)),
                                     constant(int16_t(0xBF80)));
  Value value = b.mulf(b.widen(arith::BitcastOp::create(b, f16, bits)), f32(256));
  Value isNan = b.equal(arith::AndIOp::create(b, wide, constant(0x7f)), constant(0x7f));
  return b.select(isNan, f32(NAN), value);
}
