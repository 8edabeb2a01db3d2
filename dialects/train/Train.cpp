//===- Train.cpp - the train dialect ----------------------------------------===//

#include "dialects/train/Train.h"
#include "dialects/Shapes.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/IR/Builders.h"
#include "llvm/Support/MathExtras.h"

using namespace mlir;
using namespace hadal;
using namespace hadal::train;

#include "dialects/train/TrainDialect.cpp.inc"

#define GET_OP_CLASSES
#include "dialects/train/Train.cpp.inc"

void TrainDialect::initialize() {
  addOperations<
#define GET_OP_LIST
#include "dialects/train/Train.cpp.inc"
      >();
}

LogicalResult SquareSumsOp::verify() {
  if (int64_t(getBlock()) < 1)
    return emitOpError() << "wants block (" << getBlock() << ") to be at least 1"; // C1
  NamedSizes sizes(*this, {"T", "N", "B"});
  if (failed(sizes.match("x", getX(), {"T", "N"}))) // C2
    return failure();
  if (int64_t n = sizes["N"]; !ShapedType::isDynamic(n))
    sizes.set("B", llvm::divideCeil(uint64_t(n), uint64_t(getBlock())));
  return sizes.match("sums", getSums(), {"T", "B"}); // C3
}

LogicalResult SquareSumsOp::reifyResultShapes(OpBuilder &builder,
                                              ReifiedRankedShapedTypeDims &shapes) {
  shapes.push_back(shapeOf(builder, getSums(), [&](int64_t dim) -> OpFoldResult {
    OpFoldResult size = sizeOf(builder, getX(), dim);
    if (dim == 0)
      return size;
    Value count = getValueOrCreateConstantIndexOp(builder, getLoc(), size);
    Value block = arith::ConstantIndexOp::create(builder, getLoc(), getBlock());
    return arith::CeilDivUIOp::create(builder, getLoc(), count, block).getResult();
  }));
  return success();
}

LogicalResult SumRowsOp::verify() {
  NamedSizes sizes(*this, {"T", "B"});
  if (failed(sizes.match("x", getX(), {"T", "B"})) || // C1
      failed(sizes.match("sums", getSums(), {"T"})))  // C2
    return failure();
  return success();
}

LogicalResult SumRowsOp::reifyResultShapes(OpBuilder &builder,
                                           ReifiedRankedShapedTypeDims &shapes) {
  shapes.push_back(leadingShapeOf(builder, getSums(), getX()));
  return success();
}

LogicalResult NormOp::verify() {
  NamedSizes sizes(*this, {"T"});
  sizes.set("1", 1);
  if (failed(sizes.match("sums", getSums(), {"T"})) || // C1
      failed(sizes.match("norm", getNorm(), {"1"})))   // C2
    return failure();
  return success();
}

LogicalResult NormOp::reifyResultShapes(OpBuilder &builder, ReifiedRankedShapedTypeDims &shapes) {
  shapes.push_back({builder.getIndexAttr(1)});
  return success();
}
