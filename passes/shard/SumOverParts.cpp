//===- SumOverParts.cpp - rows that came back from parts, summed ----------===//

#include "passes/shard/SumOverParts.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"

using namespace mlir;
using namespace hadal;

Value hadal::sumOverParts(ImplicitLocOpBuilder &b, Type type, Value rows, moe::PlanSendsOp sends,
                          ArrayRef<OpFoldResult> sizes) {
  Value init = tensor::EmptyOp::create(b, sizes, b.getI32Type());
  Value ids =
      linalg::GenericOp::create(b, init.getType(), ValueRange(), init, b.getMultiDimIdentityMap(2),
                                SmallVector<utils::IteratorType>(2, utils::IteratorType::parallel),
                                [](OpBuilder &b, Location loc, ValueRange) {
                                  Value part = linalg::IndexOp::create(b, loc, 1);
                                  part = arith::IndexCastOp::create(b, loc, b.getI32Type(), part);
                                  linalg::YieldOp::create(b, loc, part);
                                })
          .getResult(0);
  Value one = arith::ConstantOp::create(b, b.getF32FloatAttr(1));
  Value weights = tensor::EmptyOp::create(b, sizes, b.getF32Type());
  Value ones = linalg::FillOp::create(b, one, weights).getResult(0);
  return moe::CombineOp::create(b, type, rows, sends.getSlots(), ids, ones, sends.getParts(),
                                /*partial=*/true);
}
