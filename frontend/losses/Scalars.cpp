//===- Scalars.cpp - tensors of rank 0, which losses are made of --------===//

#include "frontend/losses/Scalars.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"

using namespace mlir;
using namespace hadal;
using namespace hadal::frontend;

Value frontend::constantF32(OpBuilder &b, Location loc, double v) {
  return arith::ConstantOp::create(b, loc, b.getF32FloatAttr(float(v)));
}

Value frontend::scalarOf(GraphBuilder &b, ArrayRef<Value> inputs, ScalarBody body) {
  Value init = tensor::EmptyOp::create(b, ArrayRef<int64_t>{}, b.getF32Type());
  SmallVector<AffineMap> maps(inputs.size() + 1, AffineMap::get(0, 0, b.getContext()));
  auto yield = [&](OpBuilder &b, Location loc, ValueRange args) {
    linalg::YieldOp::create(b, loc, body(b, loc, args));
  };
  return linalg::GenericOp::create(b, init.getType(), inputs, init, maps,
                                   ArrayRef<utils::IteratorType>{}, yield)
      .getResult(0);
}

Value frontend::sumOf(GraphBuilder &b, Value vector) {
  AffineMap identity = b.getMultiDimIdentityMap(1);
  auto add = [](OpBuilder &b, Location loc, ValueRange args) {
    linalg::YieldOp::create(b, loc, arith::AddFOp::create(b, loc, args[1], args[0]).getResult());
  };
  Value empty = tensor::EmptyOp::create(b, ArrayRef<int64_t>{}, b.getF32Type());
  Value nothing = arith::ConstantOp::create(b, b.getF32FloatAttr(0));
  Value zero = linalg::FillOp::create(b, nothing, empty).getResult(0);
  return linalg::GenericOp::create(b, zero.getType(), vector, zero,
                                   ArrayRef({identity, identity.getSubMap({})}),
                                   ArrayRef({utils::IteratorType::reduction}), add)
      .getResult(0);
}

/// counts[index] as a tensor of rank 0; at least 1, so that nothing to predict gives 0.
static Value countOf(GraphBuilder &b, Value counts, int64_t index) {
  auto one = [&](int64_t v) { return SmallVector<OpFoldResult>{b.getIndexAttr(v)}; };
  Value slice = tensor::ExtractSliceOp::create(b, RankedTensorType::get({}, b.getI32Type()), counts,
                                               one(index), one(1), one(1));
  return scalarOf(b, slice, [](OpBuilder &b, Location loc, ValueRange args) -> Value {
    Value least = arith::ConstantOp::create(b, loc, b.getI32IntegerAttr(1));
    Value count = arith::MaxSIOp::create(b, loc, args[0], least);
    return arith::SIToFPOp::create(b, loc, b.getF32Type(), count);
  });
}

Value frontend::meanOf(GraphBuilder &b, Value vector, Value counts, int64_t index, double weight) {
  return scalarOf(b, {sumOf(b, vector), countOf(b, counts, index)},
                  [&](OpBuilder &b, Location loc, ValueRange args) -> Value {
                    Value mean = arith::DivFOp::create(b, loc, args[0], args[1]);
                    if (weight == 1)
                      return mean;
                    return arith::MulFOp::create(b, loc, mean, constantF32(b, loc, weight));
                  });
}
