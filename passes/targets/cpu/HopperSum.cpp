//===- HopperSum.cpp - sums as Hopper's tensor cores form them ------------===//
//
// All in f32, exactly: a product of codes has 8 bits; multiples of the last bit that is kept are
// below 2^15, and 33 of them below 2^21. Exponents are powers of two, so that they are added by a
// product and compared as numbers.
//
//===----------------------------------------------------------------------===//

#include "passes/targets/cpu/HopperSum.h"
#include "mlir/Dialect/Math/IR/Math.h"

using namespace mlir;
using namespace hadal;
using Values = KernelBuilder::Values;

Value HopperSum::masked(Value v, uint32_t mask) {
  Value bits = arith::BitcastOp::create(b, b.like(v, b.getI32Type()), v);
  bits = arith::AndIOp::create(b, bits, b.constantLike(v, b.getI32IntegerAttr(int32_t(mask))));
  return arith::BitcastOp::create(b, v.getType(), bits);
}

/// Two to the exponent of `v`, at least that of E4M3's normal numbers; zero of zero.
Value HopperSum::exponentOf(Value v) {
  Value zero = b.zeros(v.getType());
  Value isZero = arith::CmpFOp::create(b, arith::CmpFPredicate::OEQ, v, zero);
  Value exponent = arith::MaxNumFOp::create(b, masked(v, 0x7f800000),
                                            b.constantLike(v, b.getF32FloatAttr(0x1p-6f)));
  return b.select(isZero, zero, exponent);
}

Values HopperSum::sum(Value from, Value to, Values sums, Operands operands) {
  return b.carry(from, to, length, sums, [&](Value at, Values sums) {
    return step(at, b.min(b.add(at, length), to), sums, operands);
  });
}

/// Adds the products [t0, t1), `length` of them at most.
Values HopperSum::step(Value t0, Value t1, Values sums, Operands operands) {
  auto constant = [&](Value like, float v) { return b.constantLike(like, b.getF32FloatAttr(v)); };
  Values top;
  for (Value sum : sums)
    top.push_back(masked(sum, 0x7f800000));
  top = b.carry(t0, t1, 1, top, [&](Value t, Values top) {
    auto [left, right] = operands(t);
    for (Value &v : left)
      v = exponentOf(v);
    for (Value &v : right)
      v = exponentOf(v);
    for (auto [i, most] : llvm::enumerate(top))
      most = arith::MaxNumFOp::create(b, most,
                                      b.mulf(left[i / right.size()], right[i % right.size()]));
    return top;
  });
  // What the last bit counts, and how many there are to one. Nothing is below 2^-60.
  Values unit, units, total;
  for (auto [most, sum] : llvm::zip(top, sums)) {
    Value least = b.mulf(arith::MaxNumFOp::create(b, most, constant(most, 0x1p-60f)),
                         constant(most, 0x1p-13f));
    unit.push_back(least);
    units.push_back(b.divf(constant(most, 1), least)); // of a power of two
    total.push_back(math::TruncOp::create(b, b.mulf(sum, units.back())));
  }
  total = b.carry(t0, t1, 1, total, [&](Value t, Values total) {
    auto [left, right] = operands(t);
    for (auto [i, sum] : llvm::enumerate(total)) {
      Value product = b.mulf(left[i / right.size()], right[i % right.size()]);
      sum = b.addf(sum, math::TruncOp::create(b, b.mulf(product, units[i])));
    }
    return total;
  });
  for (auto [sum, part] : llvm::zip(total, unit))
    sum = masked(b.mulf(sum, part), 0xfffffc00);
  return total;
}
