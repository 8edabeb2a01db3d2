//===- Fp8Codes.cpp - codes of eight bits and f32 ------------------------===//

#include "passes/targets/cpu/Fp8Codes.h"

using namespace mlir;
using namespace hadal;

float hadal::f8Factor(Type format) { return isa<Float8E4M3FNType>(format) ? 256 : 1; }

Value hadal::decodeUpperF8(KernelBuilder &b, Value halves, Type format) {
  auto constant = [&](int64_t v) {
    return b.constantLike(halves, b.getI16IntegerAttr(int16_t(v)));
  };
  Value bits;
  if (isa<Float8E5M2Type>(format)) { // the upper half of an f16
    bits = arith::AndIOp::create(b, halves, constant(0xFF00));
  } else {
    assert(isa<Float8E4M3FNType>(format) && "another type of codes");
    // As f16: sign in place, exponent and mantissa one bit lower; that is the value times 2^-8,
    // exactly. NaN alone carries into the exponent's highest bit.
    bits =
        arith::AndIOp::create(b, arith::ShRSIOp::create(b, halves, constant(1)), constant(0xBF80));
    Value isNan = arith::AndIOp::create(b, b.add(bits, constant(0x80)), constant(0x4000));
    bits = arith::OrIOp::create(b, bits, isNan);
  }
  return b.widen(arith::BitcastOp::create(b, b.like(halves, b.getF16Type()), bits));
}

Value hadal::decodeF8(KernelBuilder &b, Value code, Type format) {
  Value wide = arith::ExtUIOp::create(b, b.like(code, b.getI16Type()), code);
  Value high = arith::ShLIOp::create(b, wide, b.constantLike(wide, b.getI16IntegerAttr(8)));
  Value value = decodeUpperF8(b, high, format);
  float factor = f8Factor(format);
  return factor == 1 ? value : b.mulf(value, b.constantLike(value, b.getF32FloatAttr(factor)));
}
