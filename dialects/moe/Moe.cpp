//===- Moe.cpp - the moe dialect --------------------------------------------===//

#include "dialects/moe/Moe.h"
#include "dialects/Shapes.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/IR/Builders.h"

using namespace mlir;
using namespace hadal;
using namespace hadal::moe;

#include "dialects/moe/MoeDialect.cpp.inc"

#define GET_OP_CLASSES
#include "dialects/moe/Moe.cpp.inc"

void MoeDialect::initialize() {
  addOperations<
#define GET_OP_LIST
#include "dialects/moe/Moe.cpp.inc"
      >();
}

//===----------------------------------------------------------------------===//
// route
//===----------------------------------------------------------------------===//

LogicalResult RouteOp::verify() {
  int64_t groups = static_cast<int64_t>(getGroups()), limit = static_cast<int64_t>(getGroupLimit());
  int64_t topK = static_cast<int64_t>(getTopK());
  NamedSizes sizes(*this, {"T"});
  if (failed(sizes.match("logits", getLogits(), {"T", "E"})) || // C1
      failed(sizes.match("bias", getBias(), {"E"})))            // C2
    return failure();
  if (topK < 1)
    return emitOpError() << "wants top_k (" << topK << ") to be at least 1"; // C3
  sizes.set("K", topK);
  if (failed(sizes.match("weights", getWeights(), {"T", "K"})) || // C4
      failed(sizes.match("experts", getExperts(), {"T", "K"})))   // C5
    return failure();
  if (getForced() && failed(sizes.match("forced", getForced(), {"T", "K"}))) // C6
    return failure();
  int64_t experts = sizes["E"];
  if (groups < 1)
    return emitOpError() << "wants groups (" << groups << ") to be at least 1"; // C7
  if (experts % groups != 0)
    return emitOpError() << "wants E (" << experts << ") to be a multiple of groups (" << groups << ")"; // C8
  if (limit < 1 || limit > groups)
    return emitOpError() << "wants group_limit (" << limit << ") to be in 1 .. groups (" << groups << ")"; // C9
  if (topK > limit * (experts / groups))
    return emitOpError() << "wants top_k (" << topK << ") to be at most group_limit * E / groups ("
                         << limit * (experts / groups) << ")"; // C10
  if (limit < groups && experts / groups < 2)
    return emitOpError() << "wants E / groups (" << experts / groups
                         << ") to be at least 2 where group_limit is below groups"; // C11
  if (!getScale().isFinite())
    return emitOpError() << "wants scale (" << getScale().convertToFloat() << ") to be finite"; // C12
  return success();
}

LogicalResult RouteOp::reifyResultShapes(OpBuilder &builder, ReifiedRankedShapedTypeDims &shapes) {
  for (Value result : getResults())
    shapes.push_back(leadingShapeOf(builder, result, getLogits()));
  return success();
}

//===----------------------------------------------------------------------===//
// plan
//===----------------------------------------------------------------------===//

LogicalResult PlanOp::verify() {
  int64_t expertCount = static_cast<int64_t>(getExpertCount());
  NamedSizes sizes(*this, {"T", "R"});
  if (failed(sizes.match("experts", getExperts(), {"T", "K"}))) // C1
    return failure();
  if (expertCount < 1)
    return emitOpError() << "wants expert_count (" << expertCount << ") to be at least 1"; // C2
  sizes.set("E", expertCount);
  if (!ShapedType::isDynamic(sizes["T"]))
    sizes.set("R", sizes["T"] * sizes["K"]);
  if (failed(sizes.match("source", getSource(), {"R"})) ||          // C3
      failed(sizes.match("position", getPosition(), {"T", "K"})) || // C4
      failed(sizes.match("offsets", getOffsets(), {"E+1"})) ||      // C5
      failed(sizes.match("active", getActive(), {"E"})))            // C6
    return failure();
  if (!ShapedType::isDynamic(sizes["R"]) && sizes["R"] % sizes["K"] != 0)
    return emitOpError() << "wants R (" << sizes["R"] << ") to be a multiple of K (" << sizes["K"] << ")"; // C3
  return success();
}

LogicalResult PlanOp::reifyResultShapes(OpBuilder &builder, ReifiedRankedShapedTypeDims &shapes) {
  shapes.push_back(shapeOf(builder, getSource(), [&](int64_t) -> OpFoldResult {
    Value tokens = getValueOrCreateConstantIndexOp(builder, getLoc(), sizeOf(builder, getExperts(), 0));
    Value choices = arith::ConstantIndexOp::create(builder, getLoc(), getExperts().getType().getDimSize(1));
    return arith::MulIOp::create(builder, getLoc(), tokens, choices).getResult();
  }));
  for (Value result : getResults().drop_front())
    shapes.push_back(leadingShapeOf(builder, result, getExperts()));
  return success();
}

//===----------------------------------------------------------------------===//
// dispatch
//===----------------------------------------------------------------------===//

LogicalResult DispatchOp::verify() {
  NamedSizes sizes(*this, {"T", "R"});
  if (failed(sizes.match("x", getX(), {"T", "H"})) ||         // C1
      failed(sizes.match("source", getSource(), {"R"})) ||    // C2
      failed(sizes.match("result", getResult(), {"R", "H"}))) // C3
    return failure();
  return success();
}

LogicalResult DispatchOp::reifyResultShapes(OpBuilder &builder, ReifiedRankedShapedTypeDims &shapes) {
  shapes.push_back(leadingShapeOf(builder, getResult(), getSource()));
  return success();
}

//===----------------------------------------------------------------------===//
// grouped_matmul
//===----------------------------------------------------------------------===//

LogicalResult GroupedMatmulOp::verify() {
  NamedSizes sizes(*this, {"T", "R"});
  if (failed(sizes.match("weights", getWeights(), {"E", "N", "K"})) || // C1
      failed(sizes.match("offsets", getOffsets(), {"E+1"})) ||         // C2
      failed(sizes.match("active", getActive(), {"E"})))               // C3
    return failure();
  if (getSource() && failed(sizes.match("source", getSource(), {"R"}))) // C4
    return failure();
  StringRef summed = getTranspose() ? "N" : "K", kept = getTranspose() ? "K" : "N";
  if (failed(sizes.match("rows", getRows(), {getSource() ? "T" : "R", summed})) || // C5
      failed(sizes.match("result", getResult(), {"R", kept})))                     // C6
    return failure();
  return success();
}

LogicalResult GroupedMatmulOp::reifyResultShapes(OpBuilder &builder, ReifiedRankedShapedTypeDims &shapes) {
  Value rows = getSource() ? Value(getSource()) : Value(getRows());
  shapes.push_back(leadingShapeOf(builder, getResult(), rows));
  return success();
}

//===----------------------------------------------------------------------===//
// grouped_weight_grad
//===----------------------------------------------------------------------===//

MutableOperandRange GroupedWeightGradOp::getDpsInitsMutable() { return getInitMutable(); }

LogicalResult GroupedWeightGradOp::verify() {
  NamedSizes sizes(*this, {"T", "R"});
  if (failed(sizes.match("init", getInit(), {"E", "N", "K"})) || // C1
      failed(sizes.match("offsets", getOffsets(), {"E+1"})) ||   // C2
      failed(sizes.match("active", getActive(), {"E"})))         // C3
    return failure();
  if (getSource() && failed(sizes.match("source", getSource(), {"R"}))) // C4
    return failure();
  if (failed(sizes.match("gradient", getGradient(), {"R", "N"})) ||            // C5
      failed(sizes.match("rows", getRows(), {getSource() ? "T" : "R", "K"}))) // C6
    return failure();
  return success();
}

LogicalResult GroupedWeightGradOp::reifyResultShapes(OpBuilder &builder, ReifiedRankedShapedTypeDims &shapes) {
  shapes.push_back(leadingShapeOf(builder, getResult(), getInit()));
  return success();
}

//===----------------------------------------------------------------------===//
// combine
//===----------------------------------------------------------------------===//

LogicalResult CombineOp::verify() {
  int64_t expertCount = static_cast<int64_t>(getExpertCount());
  NamedSizes sizes(*this, {"T", "R"});
  if (failed(sizes.match("position", getPosition(), {"T", "K"})) || // C1
      failed(sizes.match("experts", getExperts(), {"T", "K"})) ||   // C2
      failed(sizes.match("weights", getWeights(), {"T", "K"})) ||   // C3
      failed(sizes.match("rows", getRows(), {"R", "H"})))           // C4
    return failure();
  int64_t rows = sizes["R"], tokens = sizes["T"], choices = sizes["K"];
  if (!ShapedType::isDynamic(rows) && !ShapedType::isDynamic(tokens) && rows != tokens * choices)
    return emitOpError() << "wants R (" << rows << ") to be T * K (" << tokens * choices << ")"; // C5
  if (failed(sizes.match("result", getResult(), {"T", "H"})))                                    // C6
    return failure();
  if (expertCount < 1)
    return emitOpError() << "wants expert_count (" << expertCount << ") to be at least 1"; // C7
  return success();
}

LogicalResult CombineOp::reifyResultShapes(OpBuilder &builder, ReifiedRankedShapedTypeDims &shapes) {
  shapes.push_back(leadingShapeOf(builder, getResult(), getPosition()));
  return success();
}

//===----------------------------------------------------------------------===//
// update_bias
//===----------------------------------------------------------------------===//

LogicalResult UpdateBiasOp::verify() {
  NamedSizes sizes(*this, {});
  if (failed(sizes.match("bias", getBias(), {"E"})) || // C1
      failed(sizes.match("load", getLoad(), {"E"})))   // C2
    return failure();
  if (!getStep().isFinite() || getStep().isNegative())
    return emitOpError() << "wants step (" << getStep().convertToFloat() << ") to be finite and at least 0"; // C3
  return success();
}

LogicalResult UpdateBiasOp::reifyResultShapes(OpBuilder &builder, ReifiedRankedShapedTypeDims &shapes) {
  shapes.push_back(leadingShapeOf(builder, getResult(), getBias()));
  return success();
}
