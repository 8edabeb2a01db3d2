//===- RoundToBf16.cpp - rounding of f32 to the values of bf16 -----------===//

#include "passes/quantize/RoundToBf16.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/IR/BuiltinTypes.h"

using namespace mlir;

Value hadal::roundToBf16(OpBuilder &b, Location loc, Value x) {
  auto vector = dyn_cast<VectorType>(x.getType());
  Type integers = vector ? Type(vector.clone(b.getI32Type())) : Type(b.getI32Type());
  auto constant = [&](int32_t v) -> Value {
    TypedAttr value = b.getI32IntegerAttr(v);
    if (vector)
      value = DenseElementsAttr::get(cast<ShapedType>(integers), b.getI32IntegerAttr(v));
    return arith::ConstantOp::create(b, loc, value);
  };
  Value bits = arith::BitcastOp::create(b, loc, integers, x);
  Value last = arith::AndIOp::create(b, loc, arith::ShRUIOp::create(b, loc, bits, constant(16)),
                                     constant(1));
  Value carried =
      arith::AddIOp::create(b, loc, arith::AddIOp::create(b, loc, bits, constant(0x7fff)), last);
  Value cut = arith::AndIOp::create(b, loc, carried, constant(int32_t(0xffff0000)));
  Value rounded = arith::BitcastOp::create(b, loc, x.getType(), cut);
  // The carry could make a number of what is none.
  Value isNumber = arith::CmpFOp::create(b, loc, arith::CmpFPredicate::OEQ, x, x);
  return arith::SelectOp::create(b, loc, isNumber, rounded, x);
}
