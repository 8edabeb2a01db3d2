//===- Fp8Codes.cpp - codes of few bits and f32 ---------------------------===//

#include "passes/targets/cpu/Fp8Codes.h"
#include <cmath>

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

namespace {

/// Bits of a format: of fractions, the sign's place, the exponent of the least normal number.
struct FormatBits {
  int fraction, sign, least;
};

FormatBits bitsOf(fp8::Format format) {
  switch (format) {
  case fp8::Format::E4M3: return {3, 7, -6};
  case fp8::Format::E5M2: return {2, 7, -14};
  case fp8::Format::E5M6: return {6, 11, -14};
  }
  llvm_unreachable("a format");
}

} // namespace

static Value bitsOf(KernelBuilder &b, Value x) {
  return arith::BitcastOp::create(b, b.like(x, b.getI32Type()), x);
}

Value hadal::encode(KernelBuilder &b, Value x, Value divisor, fp8::Format format, bool pow2) {
  FormatBits form = bitsOf(format);
  auto i32 = [&](int64_t v) { return b.constantLike(x, b.getI32IntegerAttr(int32_t(v))); };
  auto f32 = [&](float v) { return b.constantLike(x, b.getF32FloatAttr(v)); };
  auto shifted = [&](Value v, int64_t by) -> Value {
    return arith::ShRUIOp::create(b, v, i32(by));
  };
  // The sign of a NaN quotient is not x's on every processor.
  Value sign = arith::AndIOp::create(b, shifted(bitsOf(b, x), 31 - form.sign), i32(1 << form.sign));
  Value quotient = pow2 ? b.mulf(x, divisor) : b.divf(x, divisor);
  Value magnitude = arith::AndIOp::create(b, bitsOf(b, quotient), i32(0x7fffffff));
  Value isNan = b.compare(arith::CmpIPredicate::sgt, magnitude, i32(0x7f800000));
  Value most = bitsOf(b, f32(fp8::largestOf(format)));
  magnitude = arith::MinSIOp::create(b, magnitude, most);
  // Normal codes: round to nearest even at the last bit that stays, then move the exponent's bias.
  int drop = 23 - form.fraction;
  Value odd = arith::AndIOp::create(b, shifted(magnitude, drop), i32(1));
  Value rounded = b.add(b.add(magnitude, i32((1 << (drop - 1)) - 1)), odd);
  Value normal = b.sub(shifted(rounded, drop), i32((126 + form.least) << form.fraction));
  // Below the least normal number codes step by the last bit of `unit`: adding it rounds to them.
  Value unit = f32(std::ldexp(1.0f, form.least - form.fraction + 23));
  Value size = arith::BitcastOp::create(b, x.getType(), magnitude);
  Value small = b.sub(bitsOf(b, b.addf(size, unit)), bitsOf(b, unit));
  Value isSmall = b.compare(arith::CmpIPredicate::slt, magnitude, i32((127 + form.least) << 23));
  Value code = b.select(isNan, i32((1 << form.sign) - 1), b.select(isSmall, small, normal));
  return arith::OrIOp::create(b, code, sign);
}

Value hadal::nearest(KernelBuilder &b, Value x, Value divisor, fp8::Format format, bool pow2) {
  FormatBits form = bitsOf(format);
  auto f32 = [&](float v) { return b.constantLike(x, b.getF32FloatAttr(v)); };
  float largest = fp8::largestOf(format);
  Value v = pow2 ? b.mulf(x, divisor) : b.divf(x, divisor);
  // As one instruction each, which hand on NaN.
  v = b.select(b.greater(v, f32(largest)), f32(largest), v);
  v = b.select(b.greater(f32(-largest), v), f32(-largest), v);
  // Adding a number whose last bit counts as much as the code's rounds to that, ties to even.
  Value exponent =
      arith::AndIOp::create(b, bitsOf(b, v), b.constantLike(x, b.getI32IntegerAttr(0x7f800000)));
  exponent = arith::BitcastOp::create(b, x.getType(), exponent);
  Value least = f32(std::ldexp(1.0f, form.least));
  exponent = b.select(b.greater(exponent, least), exponent, least);
  Value coarse = b.mulf(exponent, f32(std::ldexp(1.5f, 23 - form.fraction)));
  return b.subf(b.addf(v, coarse), coarse);
}

Value hadal::largerBits(KernelBuilder &b, Value most, Value x) {
  Value magnitude =
      arith::AndIOp::create(b, bitsOf(b, x), b.constantLike(x, b.getI32IntegerAttr(0x7fffffff)));
  return arith::MaxSIOp::create(b, most, magnitude);
}

Value hadal::scaleOf(KernelBuilder &b, Value most, fp8::Format format, bool pow2) {
  auto i32 = [&](int64_t v) { return b.constantLike(most, b.getI32IntegerAttr(int32_t(v))); };
  auto f32 = [&](float v) { return b.constantLike(most, b.getF32FloatAttr(v)); };
  Type floats = b.like(most, b.getF32Type());
  Value amax = arith::BitcastOp::create(b, floats, most);
  Value bits = bitsOf(b, b.divf(amax, f32(fp8::largestOf(format))));
  bits = arith::MaxSIOp::create(b, bits, bitsOf(b, f32(0x1p-126f)));
  if (pow2)
    bits = arith::AndIOp::create(b, b.add(bits, i32(0x7fffff)), i32(0xff800000));
  Value isNan = b.compare(arith::CmpIPredicate::sgt, most, i32(0x7f800000));
  bits = b.select(isNan, i32(0x7fc00000), bits);
  bits = b.select(b.equal(most, i32(0)), bitsOf(b, f32(1)), bits);
  return arith::BitcastOp::create(b, floats, bits);
}

Value hadal::divisorOf(KernelBuilder &b, Value scale, bool pow2) {
  // From 2^-126 to below 2^120: the inverse is exact, and so is what it is multiplied with.
  return pow2 ? b.divf(b.constantLike(scale, b.getF32FloatAttr(1)), scale) : scale;
}
