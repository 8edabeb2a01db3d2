//===- Fp8Codes.cpp - codes of few bits and f32 ---------------------------===//

#include "passes/targets/cpu/Fp8Codes.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "llvm/ADT/bit.h"
#include <cmath>

using namespace mlir;
using namespace hadal;

float hadal::f8Factor(Type format) { return isa<Float8E4M3FNType>(format) ? 256 : 1; }

Value hadal::decodeUpperF8(KernelBuilder &b, Value words, Type format) {
  auto constant = [&](int64_t v) { return b.constantLike(words, b.getI16IntegerAttr(int16_t(v))); };
  Value bits;
  if (isa<Float8E5M2Type>(format)) { // the upper half of an f16
    bits = arith::AndIOp::create(b, words, constant(0xFF00));
  } else {
    assert(isa<Float8E4M3FNType>(format) && "another type of codes");
    // As f16: sign in place, exponent and mantissa one bit lower; that is the value times 2^-8,
    // exactly. NaN alone carries into the exponent's highest bit.
    bits =
        arith::AndIOp::create(b, arith::ShRSIOp::create(b, words, constant(1)), constant(0xBF80));
    Value isNan = arith::AndIOp::create(b, b.add(bits, constant(0x80)), constant(0x4000));
    bits = arith::OrIOp::create(b, bits, isNan);
  }
  return b.widen(arith::BitcastOp::create(b, b.like(words, b.getF16Type()), bits));
}

Value hadal::decodeF8(KernelBuilder &b, Value code, Type format, float times) {
  Value wide = arith::ExtUIOp::create(b, b.like(code, b.getI16Type()), code);
  Value high = arith::ShLIOp::create(b, wide, b.constantLike(wide, b.getI16IntegerAttr(8)));
  Value value = decodeUpperF8(b, high, format);
  float factor = f8Factor(format) * times;
  return factor == 1 ? value : b.mulf(value, b.constantLike(value, b.getF32FloatAttr(factor)));
}

/// A code's exponent and mantissa in bf16's places, and the difference of the biases added. Those
/// without an exponent come from a table.
Value hadal::decodeF8ToBf16(KernelBuilder &b, Value codes, Type format, float times) {
  bool isE5M2 = isa<Float8E5M2Type>(format);
  int fraction = isE5M2 ? 2 : 3, bias = isE5M2 ? 15 : 7, more = 127 - bias + std::ilogb(times);
  auto type = b.vectorOf(32, b.getI16Type());
  assert(cast<VectorType>(codes.getType()).getNumElements() == 32 && "wants a vector's codes");
  auto i16 = [&](int64_t v) -> Value {
    return arith::ConstantOp::create(b,
                                     DenseElementsAttr::get(type, b.getI16IntegerAttr(int16_t(v))));
  };
  Value wide = arith::ExtUIOp::create(b, type, codes);
  Value magnitude = arith::AndIOp::create(b, wide, i16(0x7f));
  Value bits = b.add(arith::ShLIOp::create(b, magnitude, i16(7 - fraction)), i16(more << 7));
  SmallVector<int16_t> table(32);
  for (int mantissa = 1; mantissa < 1 << fraction; ++mantissa) {
    float value = std::ldexp(float(mantissa), 1 - bias - fraction) * times;
    table[mantissa] = int16_t(llvm::bit_cast<uint32_t>(value) >> 16);
  }
  Value small = LLVM::CallIntrinsicOp::create(
                    b, type, b.getStringAttr("llvm.x86.avx512.permvar.hi.512"),
                    ValueRange{arith::ConstantOp::create(
                                   b, DenseElementsAttr::get(type, ArrayRef<int16_t>(table))),
                               magnitude})
                    .getResult(0);
  bits = b.select(b.compare(arith::CmpIPredicate::ult, magnitude, i16(1 << fraction)), small, bits);
  // E4M3 has one NaN, E5M2 infinity below them.
  Value special = b.compare(arith::CmpIPredicate::uge, magnitude, i16(isE5M2 ? 0x7c : 0x7f));
  Value isNan =
      isE5M2 ? b.select(b.equal(magnitude, i16(0x7c)), i16(0x7f80), i16(0x7fc0)) : i16(0x7fc0);
  bits = b.select(special, isNan, bits);
  Value sign = arith::ShLIOp::create(b, arith::AndIOp::create(b, wide, i16(0x80)), i16(8));
  return arith::OrIOp::create(b, bits, sign);
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

/// The codes of numbers, not NaN, that round to none above the format's largest; `magnitude` has
/// their bits without signs. To the code's last place they are rounded by adding the power of two
/// whose last place it is: `unit`, the same for all below the least normal number.
static Value codesOf(KernelBuilder &b, Value magnitude, FormatBits form) {
  auto i32 = [&](int64_t v) { return b.constantLike(magnitude, b.getI32IntegerAttr(int32_t(v))); };
  Type floats = b.like(magnitude, b.getF32Type());
  auto asFloat = [&](Value v) -> Value { return arith::BitcastOp::create(b, floats, v); };
  int least = (127 + form.least) << 23, drop = 23 - form.fraction;
  Value exponent = arith::AndIOp::create(b, magnitude, i32(0x7f800000));
  exponent = arith::MaxSIOp::create(b, exponent, i32(least));
  Value unit = b.add(exponent, i32(drop << 23));
  Value rounded = bitsOf(b, b.addf(asFloat(magnitude), asFloat(unit)));
  // rounded - unit last places, and 2^fraction codes for each exponent above the least one.
  Value above = arith::ShRUIOp::create(b, exponent, i32(drop));
  int zero = (drop << 23) + (least >> drop);
  return b.sub(b.add(b.sub(rounded, exponent), above), i32(zero));
}

static Value signOf(KernelBuilder &b, Value x, FormatBits form) {
  auto i32 = [&](int64_t v) { return b.constantLike(x, b.getI32IntegerAttr(int32_t(v))); };
  Value shifted = arith::ShRUIOp::create(b, bitsOf(b, x), i32(31 - form.sign));
  return arith::AndIOp::create(b, shifted, i32(1 << form.sign));
}

static Value magnitudeOf(KernelBuilder &b, Value x) {
  return arith::AndIOp::create(b, bitsOf(b, x), b.constantLike(x, b.getI32IntegerAttr(0x7fffffff)));
}

Value hadal::encode(KernelBuilder &b, Value x, Value divisor, fp8::Format format, bool pow2,
                    bool isFinite) {
  FormatBits form = bitsOf(format);
  // The sign of a NaN quotient is not x's on every processor.
  Value sign = signOf(b, x, form);
  Value magnitude = magnitudeOf(b, pow2 ? b.mulf(x, divisor) : b.divf(x, divisor));
  // The largest of a tile over its scale rounds to the format's largest.
  if (isFinite)
    return arith::OrIOp::create(b, codesOf(b, magnitude, form), sign);
  auto i32 = [&](int64_t v) { return b.constantLike(x, b.getI32IntegerAttr(int32_t(v))); };
  Value isNan = b.compare(arith::CmpIPredicate::sgt, magnitude, i32(0x7f800000));
  Value most = bitsOf(b, b.constantLike(x, b.getF32FloatAttr(fp8::largestOf(format))));
  Value code = codesOf(b, arith::MinSIOp::create(b, magnitude, most), form);
  code = b.select(isNan, i32((1 << form.sign) - 1), code);
  return arith::OrIOp::create(b, code, sign);
}

Value hadal::largerBits(KernelBuilder &b, Value most, Value x) {
  return arith::MaxSIOp::create(b, most, magnitudeOf(b, x));
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

Divisor hadal::inParts(KernelBuilder &b, Value scale, bool pow2) {
  if (pow2)
    return {divisorOf(b, scale, pow2), {}, {}};
  auto i32 = [&](int64_t v) { return b.constantLike(scale, b.getI32IntegerAttr(int32_t(v))); };
  auto asFloat = [&](Value v) -> Value { return arith::BitcastOp::create(b, scale.getType(), v); };
  Value one = b.constantLike(scale, b.getF32FloatAttr(1)), bits = bitsOf(b, scale);
  Value exponent = arith::AndIOp::create(b, bits, i32(0x7f800000));
  Value inverse = asFloat(b.sub(i32(254 << 23), exponent));
  Value mantissa = asFloat(
      arith::OrIOp::create(b, arith::AndIOp::create(b, bits, i32(0x7fffff)), bitsOf(b, one)));
  // A number over infinity is zero; infinity over it, and all over NaN, is NaN.
  Value isNumber = b.compare(arith::CmpIPredicate::slt, exponent, i32(0x7f800000));
  inverse = b.select(isNumber, inverse, b.divf(one, scale));
  mantissa = b.select(isNumber, mantissa, one);
  return {inverse, mantissa, b.divf(one, mantissa)};
}

/// With the inverse correctly rounded, a quotient that is off by one last place at most is
/// corrected to the one that a division gives (P. Markstein, IBM J. Res. Dev. 34(1), 1990); one
/// more step makes it so. Powers of two keep both steps exact, down to numbers whose codes are
/// zero.
static Value quotient(KernelBuilder &b, Value x, const Divisor &divisor) {
  x = b.mulf(x, divisor.inversePower);
  if (!divisor.mantissa)
    return x;
  Value q = b.mulf(x, divisor.inverseMantissa);
  Value negative = arith::NegFOp::create(b, divisor.mantissa);
  for (int step = 0; step < 2; ++step)
    q = b.fma(b.fma(q, negative, x), divisor.inverseMantissa, q);
  return q;
}

Value hadal::nearest(KernelBuilder &b, Value x, const Divisor &divisor, fp8::Format format) {
  FormatBits form = bitsOf(format);
  auto f32 = [&](float v) { return b.constantLike(x, b.getF32FloatAttr(v)); };
  // The largest of a tile over its scale rounds to the format's largest: nothing is above that.
  Value v = quotient(b, x, divisor);
  // Adding a number whose last bit counts as much as the code's rounds to that, ties to even.
  Value exponent =
      arith::AndIOp::create(b, bitsOf(b, v), b.constantLike(x, b.getI32IntegerAttr(0x7f800000)));
  exponent = arith::BitcastOp::create(b, x.getType(), exponent);
  Value least = f32(std::ldexp(1.0f, form.least));
  exponent = b.select(b.greater(exponent, least), exponent, least);
  Value coarse = b.mulf(exponent, f32(std::ldexp(1.5f, 23 - form.fraction)));
  return b.subf(b.addf(v, coarse), coarse);
}
