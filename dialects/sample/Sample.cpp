//===- Sample.cpp - the sample dialect --------------------------------------===//

#include "dialects/sample/Sample.h"
#include "dialects/Shapes.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/IR/Builders.h"

using namespace mlir;
using namespace hadal;
using namespace hadal::sample;

#include "dialects/sample/SampleDialect.cpp.inc"

#define GET_OP_CLASSES
#include "dialects/sample/Sample.cpp.inc"

void SampleDialect::initialize() {
  addOperations<
#define GET_OP_LIST
#include "dialects/sample/Sample.cpp.inc"
      >();
}

LogicalResult ArgmaxOp::verify() {
  NamedSizes sizes(*this, {"R"});
  if (failed(sizes.match("logits", getLogits(), {"R", "V"})) || // C1
      failed(sizes.match("ids", getIds(), {"R"})))              // C2
    return failure();
  return success();
}

LogicalResult ArgmaxOp::reifyResultShapes(OpBuilder &builder, ReifiedRankedShapedTypeDims &shapes) {
  shapes.push_back(leadingShapeOf(builder, getIds(), getLogits()));
  return success();
}

LogicalResult ChooseOp::verify() {
  NamedSizes sizes(*this, {"R"});
  if (failed(sizes.match("logits", getLogits(), {"R", "V"})) ||      // C1
      failed(sizes.match("temperature", getTemperature(), {"R"})) || // C2
      failed(sizes.match("top_k", getTopK(), {"R"})) ||              // C2
      failed(sizes.match("top_p", getTopP(), {"R"})) ||              // C2
      failed(sizes.match("min_p", getMinP(), {"R"})) ||              // C2
      failed(sizes.match("uniform", getUniform(), {"R"})) ||         // C2
      failed(sizes.match("ids", getIds(), {"R"})))                   // C3
    return failure();
  return success();
}

LogicalResult ChooseOp::reifyResultShapes(OpBuilder &builder, ReifiedRankedShapedTypeDims &shapes) {
  shapes.push_back(leadingShapeOf(builder, getIds(), getLogits()));
  return success();
}

LogicalResult NllOp::verify() {
  NamedSizes sizes(*this, {"R"});
  if (failed(sizes.match("logits", getLogits(), {"R", "V"})) || // C1
      failed(sizes.match("targets", getTargets(), {"R"})) ||    // C2
      failed(sizes.match("nll", getNll(), {"R"})))              // C3
    return failure();
  return success();
}

LogicalResult NllOp::reifyResultShapes(OpBuilder &builder, ReifiedRankedShapedTypeDims &shapes) {
  shapes.push_back(leadingShapeOf(builder, getNll(), getLogits()));
  return success();
}

MutableOperandRange LogProbabilitiesOp::getDpsInitsMutable() {
  return MutableOperandRange(*this, /*start=*/2, /*length=*/3);
}

LogicalResult LogProbabilitiesOp::verify() {
  NamedSizes sizes(*this, {"R", "P"});
  if (failed(sizes.match("logits", getLogits(), {"R", "V"})) ||  // C1
      failed(sizes.match("ids", getIds(), {"R"})) ||             // C2
      failed(sizes.match("chosen", getChosen(), {"R"})) ||       // C3
      failed(sizes.match("top_ids", getTopIds(), {"R", "P"})) || // C4
      failed(sizes.match("top", getTop(), {"R", "P"})))          // C5
    return failure();
  return success();
}

LogicalResult LogProbabilitiesOp::reifyResultShapes(OpBuilder &builder,
                                                    ReifiedRankedShapedTypeDims &shapes) {
  for (auto [result, init] : llvm::zip(getResults(), getDpsInits()))
    shapes.push_back(
        shapeOf(builder, result, [&](int64_t dim) { return sizeOf(builder, init, dim); }));
  return success();
}

LogicalResult PenalizeOp::verify() {
  NamedSizes sizes(*this, {"R", "S"});
  if (failed(sizes.match("logits", getLogits(), {"R", "V"})) || // C1
      failed(sizes.match("penalty", getPenalty(), {"R"})) ||    // C2
      failed(sizes.match("offsets", getOffsets(), {"R+1"})) ||  // C3
      failed(sizes.match("seen", getSeen(), {"S"})))            // C4
    return failure();
  return success();
}

LogicalResult PenalizeOp::reifyResultShapes(OpBuilder &builder,
                                            ReifiedRankedShapedTypeDims &shapes) {
  shapes.push_back(leadingShapeOf(builder, getPenalized(), getLogits()));
  return success();
}
