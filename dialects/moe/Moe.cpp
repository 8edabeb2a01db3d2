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
  if (failed(sizes.match("logits", getLogits(), {"T", "E"}))) // C1
    return failure();
  if (getBias() && failed(sizes.match("bias", getBias(), {"E"}))) // C2
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
    return emitOpError() << "wants E (" << experts << ") to be a multiple of groups (" << groups
                         << ")"; // C8
  if (limit < 1 || limit > groups)
    return emitOpError() << "wants group_limit (" << limit << ") to be in 1 .. groups (" << groups
                         << ")"; // C9
  if (topK > limit * (experts / groups))
    return emitOpError() << "wants top_k (" << topK << ") to be at most group_limit * E / groups ("
                         << limit * (experts / groups) << ")"; // C10
  if (limit < groups && experts / groups < 2 && !getGroupMaximum())
    return emitOpError() << "wants E / groups (" << experts / groups
                         << ") to be at least 2 where group_limit is below groups"; // C11
  if (!getScale().isFinite())
    return emitOpError() << "wants scale (" << getScale().convertToFloat()
                         << ") to be finite"; // C12
  return success();
}

bool RouteOp::mayBeRecomputed() { return false; }

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
  if (getSegments()) {
    if (!getChoices())
      return emitOpError() << "wants choices, which is R, where it has segments"; // C8
    int64_t size = getSegments().getType().getDimSize(0);
    if (ShapedType::isDynamic(size) || size < 2 || size % 2)
      return emitOpError() << "wants segments to be 2 * S numbers, got "
                           << getSegments().getType(); // C7
  }
  StringRef groups = getSegments() ? "S*E" : "E", boundaries = getSegments() ? "S*E+1" : "E+1";
  sizes.set(groups, segmentCount() * expertCount);
  if (!ShapedType::isDynamic(sizes["T"]) && !getChoices())
    sizes.set("R", sizes["T"] * sizes["K"]);
  if (failed(sizes.match("source", getSource(), {"R"})) ||          // C3
      failed(sizes.match("position", getPosition(), {"T", "K"})) || // C4
      failed(sizes.match("offsets", getOffsets(), {boundaries})) || // C5
      failed(sizes.match("active", getActive(), {groups})))         // C6
    return failure();
  if (!getChoices() && !ShapedType::isDynamic(sizes["R"]) && sizes["R"] % sizes["K"] != 0)
    return emitOpError() << "wants R (" << sizes["R"] << ") to be a multiple of K (" << sizes["K"]
                         << ")"; // C3
  return success();
}

bool PlanOp::mayBeRecomputed() { return false; }

LogicalResult PlanOp::reifyResultShapes(OpBuilder &builder, ReifiedRankedShapedTypeDims &shapes) {
  auto choices = [&](int64_t) -> OpFoldResult {
    if (getChoices())
      return getChoices();
    Value tokens =
        getValueOrCreateConstantIndexOp(builder, getLoc(), sizeOf(builder, getExperts(), 0));
    Value each =
        arith::ConstantIndexOp::create(builder, getLoc(), getExperts().getType().getDimSize(1));
    return arith::MulIOp::create(builder, getLoc(), tokens, each).getResult();
  };
  shapes.push_back(shapeOf(builder, getSource(), choices));
  for (Value result : getResults().drop_front())
    shapes.push_back(leadingShapeOf(builder, result, getExperts()));
  return success();
}

//===----------------------------------------------------------------------===//
// plan_sends, exchange_counts, exchange
//===----------------------------------------------------------------------===//

LogicalResult PlanSendsOp::verify() {
  int64_t experts = static_cast<int64_t>(getExpertCount()),
          parts = static_cast<int64_t>(getParts());
  int64_t segments = static_cast<int64_t>(getSegments());
  NamedSizes sizes(*this, {"T", "C"});
  if (failed(sizes.match("experts", getExperts(), {"T", "K"}))) // C1
    return failure();
  if (parts < 1)
    return emitOpError() << "wants parts (" << parts << ") to be at least 1"; // C2
  if (experts < 1 || experts % parts != 0)
    return emitOpError() << "wants expert_count (" << experts << ") to be a multiple of parts ("
                         << parts << ")"; // C3
  if (segments < 1 || (segments != 1 && !getReceived()))
    return emitOpError() << "wants segments (" << segments << ") to be "
                         << (getReceived() ? "at least 1"
                                           : "1 without counts of what was received"); // C4
  sizes.set("P", parts);
  sizes.set("2*S", 2 * segments);
  sizes.set("2*P*S", 2 * parts * segments);
  if (!ShapedType::isDynamic(sizes["T"]))
    sizes.set("C", sizes["T"] * rowsOfToken());
  if (getReceived() && failed(sizes.match("segments", getReceived(), {"2*S"}))) // C5
    return failure();
  if (failed(sizes.match("source", getSource(), {"C"})) ||    // C6
      failed(sizes.match("slots", getSlots(), {"T", "P"})) || // C7
      failed(sizes.match("ids", getIds(), {"C", "K"})) ||     // C8
      failed(sizes.match("counts", getCounts(), {"2*P*S"})))  // C9
    return failure();
  return success();
}

bool PlanSendsOp::mayBeRecomputed() { return false; }

LogicalResult PlanSendsOp::reifyResultShapes(OpBuilder &builder,
                                             ReifiedRankedShapedTypeDims &shapes) {
  auto rows = [&](int64_t) -> OpFoldResult {
    Value tokens =
        getValueOrCreateConstantIndexOp(builder, getLoc(), sizeOf(builder, getExperts(), 0));
    Value each = arith::ConstantIndexOp::create(builder, getLoc(), rowsOfToken());
    return arith::MulIOp::create(builder, getLoc(), tokens, each).getResult();
  };
  shapes.push_back(shapeOf(builder, getSource(), rows));
  shapes.push_back(leadingShapeOf(builder, getSlots(), getExperts()));
  shapes.push_back(shapeOf(builder, getIds(), rows));
  shapes.push_back(leadingShapeOf(builder, getCounts(), getExperts()));
  return success();
}

/// What both exchanges say of the ranks: C1 and C2.
template <typename Op> static LogicalResult verifyParts(Op op, NamedSizes &sizes) {
  int64_t parts = static_cast<int64_t>(op.getParts()),
          segments = static_cast<int64_t>(op.getSegments());
  int64_t stride = static_cast<int64_t>(op.getStride());
  if (parts < 1 || segments < 1 || stride < 1)
    return op.emitOpError() << "wants parts (" << parts << "), segments (" << segments
                            << ") and stride (" << stride << ") to be at least 1"; // C1
  sizes.set("2*P*S", 2 * parts * segments);
  return sizes.match("send", op.getSend(), {"2*P*S"}); // C2
}

/// Rows go from one place to another as they are.
template <typename Op> static LogicalResult verifyElements(Op op) {
  if (op.getX().getType().getElementType() == op.getResult().getType().getElementType())
    return success();
  return op.emitOpError() << "wants a result of the elements of x ("
                          << op.getX().getType().getElementType() << "), got "
                          << op.getResult().getType();
}

LogicalResult ExchangeCountsOp::verify() {
  NamedSizes sizes(*this, {});
  return verifyParts(*this, sizes);
}

LogicalResult ExchangeCountsOp::reifyResultShapes(OpBuilder &builder,
                                                  ReifiedRankedShapedTypeDims &shapes) {
  shapes.push_back(leadingShapeOf(builder, getReceive(), getSend()));
  return success();
}

StringAttr ExchangeCountsOp::registerOf(unsigned result) {
  if (getResult(result) == getRows())
    return getRowsRegisterAttr();
  return getResult(result) == getChoices() ? getChoicesRegisterAttr() : StringAttr();
}

void ExchangeCountsOp::cutCounts(function_ref<bool(OpOperand &)> isElsewhere) {
  OpBuilder b(getContext());
  b.setInsertionPointAfter(*this);
  for (OpResult count : getResults().drop_front())
    if (llvm::any_of(count.getUses(), isElsewhere)) {
      Value same = CountOp::create(b, getLoc(), registerOf(count.getResultNumber()));
      count.replaceUsesWithIf(same, isElsewhere);
    }
}

StringAttr CountOp::registerOf(unsigned) { return getRegAttr(); }

LogicalResult ExchangeOp::verify() {
  NamedSizes sizes(*this, {"C", "R"});
  if (failed(verifyParts(*this, sizes)))
    return failure();
  if (bool(getRows()) == bool(getLike()))
    return emitOpError() << "wants either rows or like";      // C3
  if (failed(sizes.match("x", getX(), {"C", "H"})) ||         // C4
      failed(sizes.match("result", getResult(), {"R", "H"}))) // C5
    return failure();
  if (failed(verifyElements(*this))) // C5
    return failure();
  for (std::optional<StringRef> format : {getFormat(), getFormatBack()})
    if (format &&
        ((*format != "bf16" && *format != "fp8") || !getX().getType().getElementType().isF32()))
      return emitOpError() << "wants rows of f32 to travel as bf16 or fp8, got " << getX().getType()
                           << " as " << *format; // C7
  if (getCapacity() && static_cast<int64_t>(*getCapacity()) < 1)
    return emitOpError() << "wants capacity (" << static_cast<int64_t>(*getCapacity())
                         << ") to be at least 1"; // C8
  if (!getLike())
    return success();
  auto like = cast<RankedTensorType>(getLike().getType());
  if (like.getRank() < 1 || (!like.isDynamicDim(0) && !getResult().getType().isDynamicDim(0) &&
                             like.getDimSize(0) != getResult().getType().getDimSize(0)))
    return emitOpError() << "wants like to have the leading size of the result "
                         << getResult().getType() << ", got " << like; // C6
  return success();
}

LogicalResult ExchangeOp::reifyResultShapes(OpBuilder &builder,
                                            ReifiedRankedShapedTypeDims &shapes) {
  if (getRows())
    shapes.push_back(shapeOf(builder, getResult(), [&](int64_t) { return getRows(); }));
  else
    shapes.push_back(leadingShapeOf(builder, getResult(), getLike()));
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
  return verifyElements(*this); // C3
}

LogicalResult DispatchOp::reifyResultShapes(OpBuilder &builder,
                                            ReifiedRankedShapedTypeDims &shapes) {
  shapes.push_back(leadingShapeOf(builder, getResult(), getSource()));
  return success();
}

//===----------------------------------------------------------------------===//
// grouped_matmul
//===----------------------------------------------------------------------===//

LogicalResult GroupedMatmulOp::verify() {
  NamedSizes sizes(*this, {"T", "R"});
  if (failed(sizes.match("weights", getWeights(), {"E", "N", "K"}))) // C1
    return failure();
  return verifyGroupedProduct(*this, sizes); // C2 .. C6
}

LogicalResult GroupedMatmulOp::reifyResultShapes(OpBuilder &builder,
                                                 ReifiedRankedShapedTypeDims &shapes) {
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
  if (failed(sizes.match("gradient", getGradient(), {"R", "N"})) ||           // C5
      failed(sizes.match("rows", getRows(), {getSource() ? "T" : "R", "K"}))) // C6
    return failure();
  return success();
}

AffineExpr GroupedWeightGradOp::flops(const WorkSizes &sizes) {
  auto weights = getResult().getType();
  return sizes.size(getGradient(), 0) * (2 * weights.getDimSize(1) * weights.getDimSize(2));
}

LogicalResult GroupedWeightGradOp::reifyResultShapes(OpBuilder &builder,
                                                     ReifiedRankedShapedTypeDims &shapes) {
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
  if (!getPartial() && !ShapedType::isDynamic(rows) && !ShapedType::isDynamic(tokens) &&
      rows != tokens * choices)
    return emitOpError() << "wants R (" << rows << ") to be T * K (" << tokens * choices
                         << ")";                              // C5
  if (failed(sizes.match("result", getResult(), {"T", "H"}))) // C6
    return failure();
  if (expertCount < 1)
    return emitOpError() << "wants expert_count (" << expertCount << ") to be at least 1"; // C7
  return success();
}

LogicalResult CombineOp::reifyResultShapes(OpBuilder &builder,
                                           ReifiedRankedShapedTypeDims &shapes) {
  shapes.push_back(leadingShapeOf(builder, getResult(), getPosition()));
  return success();
}

//===----------------------------------------------------------------------===//
// combine_grad
//===----------------------------------------------------------------------===//

LogicalResult CombineGradOp::verify() {
  NamedSizes sizes(*this, {"T", "R"});
  if (failed(sizes.match("position", getPosition(), {"T", "K"})) || // C1
      failed(sizes.match("weights", getWeights(), {"T", "K"})) ||   // C2
      failed(sizes.match("rows", getRows(), {"R", "H"})))           // C3
    return failure();
  int64_t rows = sizes["R"], tokens = sizes["T"], choices = sizes["K"];
  if (!getPartial() && !ShapedType::isDynamic(rows) && !ShapedType::isDynamic(tokens) &&
      rows != tokens * choices)
    return emitOpError() << "wants R (" << rows << ") to be T * K (" << tokens * choices
                         << ")";                             // C4
  return sizes.match("gradient", getGradient(), {"T", "H"}); // C5
}

LogicalResult CombineGradOp::reifyResultShapes(OpBuilder &builder,
                                               ReifiedRankedShapedTypeDims &shapes) {
  shapes.push_back(leadingShapeOf(builder, getRowsGrad(), getRows()));
  shapes.push_back(leadingShapeOf(builder, getWeightsGrad(), getWeights()));
  return success();
}

//===----------------------------------------------------------------------===//
// route_grad
//===----------------------------------------------------------------------===//

LogicalResult RouteGradOp::verify() {
  NamedSizes sizes(*this, {"T"});
  if (failed(sizes.match("logits", getLogits(), {"T", "E"})) ||   // C1
      failed(sizes.match("experts", getExperts(), {"T", "K"})) || // C2
      failed(sizes.match("gradient", getGradient(), {"T", "K"}))) // C3
    return failure();
  if (!getScale().isFinite())
    return emitOpError() << "wants scale (" << getScale().convertToFloat()
                         << ") to be finite"; // C4
  return success();
}

LogicalResult RouteGradOp::reifyResultShapes(OpBuilder &builder,
                                             ReifiedRankedShapedTypeDims &shapes) {
  shapes.push_back(leadingShapeOf(builder, getLogitsGrad(), getLogits()));
  return success();
}

//===----------------------------------------------------------------------===//
// balance_loss, balance_loss_grad
//===----------------------------------------------------------------------===//

LogicalResult BalanceLossOp::verify() {
  int64_t topK = static_cast<int64_t>(getTopK());
  NamedSizes sizes(*this, {"T", "S"});
  if (failed(sizes.match("logits", getLogits(), {"T", "E"})) || // C1
      failed(sizes.match("offsets", getOffsets(), {"S+1"})))    // C2
    return failure();
  if (topK < 1 || topK > sizes["E"])
    return emitOpError() << "wants top_k (" << topK << ") to be in 1 .. E (" << sizes["E"]
                         << ")";                                    // C3
  if (failed(sizes.match("loss", getLoss(), {"S"})) ||              // C4
      failed(sizes.match("fractions", getFractions(), {"S", "E"}))) // C5
    return failure();
  sizes.set("K", topK);
  if (getExperts() && failed(sizes.match("experts", getExperts(), {"T", "K"}))) // C6
    return failure();
  return success();
}

LogicalResult BalanceLossOp::reifyResultShapes(OpBuilder &builder,
                                               ReifiedRankedShapedTypeDims &shapes) {
  for (Value result : getResults())
    shapes.push_back(shapeOf(builder, result, [&](int64_t) -> OpFoldResult {
      Value boundaries =
          getValueOrCreateConstantIndexOp(builder, getLoc(), sizeOf(builder, getOffsets(), 0));
      Value one = arith::ConstantIndexOp::create(builder, getLoc(), 1);
      return arith::SubIOp::create(builder, getLoc(), boundaries, one).getResult();
    }));
  return success();
}

LogicalResult BalanceLossGradOp::verify() {
  NamedSizes sizes(*this, {"T", "S"});
  if (failed(sizes.match("logits", getLogits(), {"T", "E"})) ||       // C1
      failed(sizes.match("offsets", getOffsets(), {"S+1"})) ||        // C2
      failed(sizes.match("fractions", getFractions(), {"S", "E"})) || // C3
      failed(sizes.match("gradient", getGradient(), {"S"})))          // C4
    return failure();
  return success();
}

LogicalResult BalanceLossGradOp::reifyResultShapes(OpBuilder &builder,
                                                   ReifiedRankedShapedTypeDims &shapes) {
  shapes.push_back(leadingShapeOf(builder, getLogitsGrad(), getLogits()));
  return success();
}

//===----------------------------------------------------------------------===//
// scatter_add
//===----------------------------------------------------------------------===//

MutableOperandRange ScatterAddOp::getDpsInitsMutable() { return getInitMutable(); }

LogicalResult ScatterAddOp::verify() {
  NamedSizes sizes(*this, {"R", "V"});
  if (failed(sizes.match("rows", getRows(), {"R", "H"})) || // C1
      failed(sizes.match("ids", getIds(), {"R"})) ||        // C2
      failed(sizes.match("init", getInit(), {"V", "H"})))   // C3
    return failure();
  return success();
}

LogicalResult ScatterAddOp::reifyResultShapes(OpBuilder &builder,
                                              ReifiedRankedShapedTypeDims &shapes) {
  shapes.push_back(leadingShapeOf(builder, getResult(), getInit()));
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
    return emitOpError() << "wants step (" << getStep().convertToFloat()
                         << ") to be finite and at least 0"; // C3
  return success();
}

LogicalResult UpdateBiasOp::reifyResultShapes(OpBuilder &builder,
                                              ReifiedRankedShapedTypeDims &shapes) {
  shapes.push_back(leadingShapeOf(builder, getResult(), getBias()));
  return success();
}
