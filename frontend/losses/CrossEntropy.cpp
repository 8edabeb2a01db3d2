//===- CrossEntropy.cpp - how likely the next token was -----------------===//

#include "frontend/losses/CrossEntropy.h"
#include "frontend/losses/Scalars.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"

#include <cmath>

using namespace mlir;
using namespace hadal;
using namespace hadal::frontend;

Value frontend::crossEntropy(GraphBuilder &b, Value logits, Value targets) {
  Value rows = tensor::DimOp::create(b, logits, 0);
  Type type = RankedTensorType::get(ShapedType::kDynamic, b.getF32Type());
  auto filled = [&](double v) {
    Value empty = tensor::EmptyOp::create(b, type, ValueRange(rows));
    Value value = arith::ConstantOp::create(b, b.getF32FloatAttr(float(v)));
    return linalg::FillOp::create(b, value, empty).getResult(0);
  };
  AffineMap identity = b.getMultiDimIdentityMap(2), row = identity.getSubMap({0});
  SmallVector<utils::IteratorType> iterators{utils::IteratorType::parallel,
                                             utils::IteratorType::reduction};

  // The largest logit only keeps the exponentials in range: the loss does not depend on it.
  Value lowest = filled(-INFINITY);
  auto largest =
      linalg::GenericOp::create(b, type, logits, lowest, ArrayRef({identity, row}), iterators,
                                [](OpBuilder &b, Location loc, ValueRange args) {
                                  Value m = arith::MaximumFOp::create(b, loc, args[1], args[0]);
                                  linalg::YieldOp::create(b, loc, m);
                                });
  largest->setAttr(job::kStopGradientAttr, b.getUnitAttr());

  // The order of these sums inside a row is the target's to write (RowSum.h); hence reassoc.
  auto sums = linalg::GenericOp::create(
      b, TypeRange{type, type}, ValueRange{logits, largest.getResult(0), targets},
      ValueRange{filled(0), filled(0)}, ArrayRef({identity, row, row, row, row}), iterators,
      [](OpBuilder &b, Location loc, ValueRange args) {
        Value exponential =
            math::ExpOp::create(b, loc, arith::SubFOp::create(b, loc, args[0], args[1]));
        Value sum =
            arith::AddFOp::create(b, loc, args[3], exponential, arith::FastMathFlags::reassoc);
        Value column =
            arith::IndexCastOp::create(b, loc, b.getI32Type(), linalg::IndexOp::create(b, loc, 1));
        Value here = arith::CmpIOp::create(b, loc, arith::CmpIPredicate::eq, column, args[2]);
        Value zero = constantF32(b, loc, 0);
        Value chosen = arith::SelectOp::create(b, loc, here, args[0], zero);
        Value picked =
            arith::AddFOp::create(b, loc, args[4], chosen, arith::FastMathFlags::reassoc);
        linalg::YieldOp::create(b, loc, ValueRange{sum, picked});
      });

  AffineMap one = b.getMultiDimIdentityMap(1);
  Value init = tensor::EmptyOp::create(b, type, ValueRange(rows));
  return linalg::GenericOp::create(
             b, type,
             ValueRange{sums.getResult(0), sums.getResult(1), largest.getResult(0), targets}, init,
             SmallVector<AffineMap>(5, one), ArrayRef({utils::IteratorType::parallel}),
             [](OpBuilder &b, Location loc, ValueRange args) {
               Value zero = constantF32(b, loc, 0);
               Value none = arith::ConstantOp::create(b, loc, b.getI32IntegerAttr(0));
               Value masked =
                   arith::CmpIOp::create(b, loc, arith::CmpIPredicate::slt, args[3], none);
               Value shifted = arith::SubFOp::create(b, loc, args[2], args[1]);
               Value nll =
                   arith::AddFOp::create(b, loc, math::LogOp::create(b, loc, args[0]), shifted);
               linalg::YieldOp::create(
                   b, loc, arith::SelectOp::create(b, loc, masked, zero, nll).getResult());
             })
      .getResult(0);
}
