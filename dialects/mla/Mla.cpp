//===- Mla.cpp - the mla dialect --------------------------------------------===//

#include "dialects/mla/Mla.h"
#include "dialects/Shapes.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/IR/Builders.h"

using namespace mlir;
using namespace hadal;
using namespace hadal::mla;

#include "dialects/mla/MlaDialect.cpp.inc"

#define GET_OP_CLASSES
#include "dialects/mla/Mla.cpp.inc"

void MlaDialect::initialize() {
  addOperations<
#define GET_OP_LIST
#include "dialects/mla/Mla.cpp.inc"
      >();
}

static LogicalResult verifyScale(Operation *op, const APFloat &scale) {
  if (!scale.isFinite())
    return op->emitOpError() << "wants scale (" << scale.convertToFloat() << ") to be finite";
  return success();
}

//===----------------------------------------------------------------------===//
// rotation
//===----------------------------------------------------------------------===//

LogicalResult RotationOp::verify() {
  auto table = llvm::cast<RankedTensorType>(getFrequencies().getType());
  if (table.getRank() != 1 || table.getDimSize(0) < 1)
    return emitOpError() << "wants frequencies to be tensor<Hxf32> (" << table << ")"; // C1
  NamedSizes sizes(*this, {"T"});
  sizes.set("H", table.getDimSize(0));
  if (failed(sizes.match("positions", getPositions(), {"T"})) ||
      failed(sizes.match("cos", getCos(), {"T", "H"})) || // C2
      failed(sizes.match("sin", getSin(), {"T", "H"})))   // C3
    return failure();
  return success();
}

bool RotationOp::mayBeRecomputed() { return false; } // small, and read by every layer

LogicalResult RotationOp::reifyResultShapes(OpBuilder &builder,
                                            ReifiedRankedShapedTypeDims &shapes) {
  for (Value result : getResults())
    shapes.push_back(leadingShapeOf(builder, result, getPositions()));
  return success();
}

//===----------------------------------------------------------------------===//
// rope
//===----------------------------------------------------------------------===//

LogicalResult RopeOp::verify() {
  NamedSizes sizes(*this, {"T"});
  if (failed(sizes.match("x", getX(), {"T", "h", "dr"}))) // C1
    return failure();
  if (sizes["dr"] % 2 != 0)
    return emitOpError() << "wants dr (" << sizes["dr"] << ") to be even"; // C2
  sizes.set("dr/2", sizes["dr"] / 2);
  if (failed(sizes.match("cos", getCos(), {"T", "dr/2"})) || // C3
      failed(sizes.match("sin", getSin(), {"T", "dr/2"})))   // C4
    return failure();
  return success();
}

LogicalResult RopeOp::reifyResultShapes(OpBuilder &builder, ReifiedRankedShapedTypeDims &shapes) {
  shapes.push_back(leadingShapeOf(builder, getResult(), getX()));
  return success();
}

//===----------------------------------------------------------------------===//
// attention, attention_grad
//===----------------------------------------------------------------------===//

/// What attention and its adjoint want of the operands they share; `output` is the result, or its
/// gradient.
template <typename Op>
static LogicalResult verifyAttention(Op op, NamedSizes &sizes, StringRef outputName, Value output) {
  if (failed(sizes.match("q_nope", op.getQNope(), {"T", "nh", "dn"})) || // C1
      failed(sizes.match("q_rope", op.getQRope(), {"T", "nh", "dr"})) || // C2
      failed(sizes.match("k_nope", op.getKNope(), {"T", "nh", "dn"})) || // C3
      failed(sizes.match("k_rope", op.getKRope(), {"T", "dr"})) ||       // C4
      failed(sizes.match("v", op.getV(), {"T", "nh", "dv"})) ||          // C5
      failed(sizes.match("offsets", op.getOffsets(), {"B+1"})) ||        // C6
      failed(sizes.match(outputName, output, {"T", "nh", "dv"})) ||      // C7
      failed(verifyScale(op, op.getScale())))                            // C8
    return failure();
  return success();
}

LogicalResult AttentionOp::verify() {
  NamedSizes sizes(*this, {"T", "B"});
  if (failed(verifyAttention(*this, sizes, "result", getResult())))
    return failure();
  if (getLse() && failed(sizes.match("lse", getLse(), {"T", "nh"}))) // C9
    return failure();
  return success();
}

AffineExpr AttentionOp::flops(const WorkSizes &sizes) {
  auto q = getQNope().getType();
  int64_t each = q.getDimSize(1) * (q.getDimSize(2) + getQRope().getType().getDimSize(2) +
                                    getV().getType().getDimSize(2));
  return sizes.attended(getQNope()) * (2 * each);
}

LogicalResult AttentionOp::reifyResultShapes(OpBuilder &builder,
                                             ReifiedRankedShapedTypeDims &shapes) {
  for (Value result : getResults())
    shapes.push_back(leadingShapeOf(builder, result, getQNope()));
  return success();
}

LogicalResult AttentionGradOp::verify() {
  NamedSizes sizes(*this, {"T", "B"});
  if (failed(verifyAttention(*this, sizes, "gradient", getGradient())) ||
      failed(sizes.match("lse", getLse(), {"T", "nh"})) ||                   // C9
      failed(sizes.match("delta", getDelta(), {"T", "nh"})) ||               // C10
      failed(sizes.match("k_rope_grad", getKRopeGrad(), {"T", "nh", "dr"}))) // C11
    return failure();
  return success();
}

/// The scores once more and four products; that the kernel makes two of them twice is its own
/// affair.
AffineExpr AttentionGradOp::flops(const WorkSizes &sizes) {
  auto q = getQNope().getType();
  int64_t query = q.getDimSize(2) + getQRope().getType().getDimSize(2),
          value = getV().getType().getDimSize(2);
  return sizes.attended(getQNope()) * (2 * q.getDimSize(1) * (3 * query + 2 * value));
}

LogicalResult AttentionGradOp::reifyResultShapes(OpBuilder &builder,
                                                 ReifiedRankedShapedTypeDims &shapes) {
  for (auto [result, operand] : llvm::zip_first(getResults(), getOperands()))
    shapes.push_back(leadingShapeOf(builder, result, operand));
  return success();
}

//===----------------------------------------------------------------------===//
// cache_append
//===----------------------------------------------------------------------===//

MutableOperandRange CacheAppendOp::getDpsInitsMutable() { return getCacheMutable(); }

LogicalResult CacheAppendOp::verify() {
  NamedSizes sizes(*this, {"T", "S"});
  if (failed(sizes.match("ckv", getCkv(), {"T", "rk"})) ||      // C1
      failed(sizes.match("k_rope", getKRope(), {"T", "dr"})) || // C2
      failed(sizes.match("slots", getSlots(), {"T"})))          // C3
    return failure();
  sizes.set("rk + dr", sizes["rk"] + sizes["dr"]);
  return sizes.match("cache", getCache(), {"S", "rk + dr"}); // C4
}

LogicalResult CacheAppendOp::reifyResultShapes(OpBuilder &builder,
                                               ReifiedRankedShapedTypeDims &shapes) {
  shapes.push_back(leadingShapeOf(builder, getResult(), getCache()));
  return success();
}

//===----------------------------------------------------------------------===//
// append_codes
//===----------------------------------------------------------------------===//

MutableOperandRange AppendCodesOp::getDpsInitsMutable() { return getCodesMutable(); }

LogicalResult AppendCodesOp::verify() {
  NamedSizes sizes(*this, {"T", "S"});
  if (failed(sizes.match("q", getQ(), {"T", "rk"})) ||       // C1
      failed(sizes.match("slots", getSlots(), {"T"})) ||     // C2
      failed(sizes.match("codes", getCodes(), {"S", "rk"}))) // C3
    return failure();
  return success();
}

LogicalResult AppendCodesOp::reifyResultShapes(OpBuilder &builder,
                                               ReifiedRankedShapedTypeDims &shapes) {
  shapes.push_back(leadingShapeOf(builder, getResult(), getCodes()));
  return success();
}

//===----------------------------------------------------------------------===//
// latent_attention
//===----------------------------------------------------------------------===//

LogicalResult LatentAttentionOp::verify() {
  NamedSizes sizes(*this, {"B", "R", "S", "P"});
  StringRef rows = getOffsets() ? "R" : "B";
  if (failed(sizes.match("q_latent", getQLatent(), {rows, "nh", "rk"})) || // C1
      failed(sizes.match("q_rope", getQRope(), {rows, "nh", "dr"})))       // C2
    return failure();
  int64_t tile = getTile().value_or(1);
  if (getTile().has_value() != bool(getCodes()) || tile < 1)
    return emitOpError() << "wants tile, at least 1, where there are codes, and there alone"; // C11
  StringRef width = getCodes() ? "ceil(rk/tile) + dr" : "rk + dr";
  sizes.set(width, (sizes["rk"] + tile - 1) / tile + sizes["dr"]);
  if (failed(sizes.match("cache", getCache(), {"S", width})) ||         // C3, C12
      failed(sizes.match("page_table", getPageTable(), {"B", "P"})) ||  // C4
      failed(sizes.match("positions", getPositions(), {rows})) ||       // C5
      failed(sizes.match("result", getResult(), {rows, "nh", "rk"})) || // C6
      failed(verifyScale(*this, getScale())))                           // C7
    return failure();
  int64_t pageTokens = static_cast<int64_t>(getPageTokens());
  if (pageTokens < 1)
    return emitOpError() << "wants page_tokens (" << pageTokens << ") to be at least 1"; // C8
  if (int64_t slots = sizes["S"]; !ShapedType::isDynamic(slots) && slots % pageTokens != 0)
    return emitOpError() << "wants S (" << slots << ") to be a multiple of page_tokens ("
                         << pageTokens << ")";                               // C9
  if (getOffsets() && failed(sizes.match("offsets", getOffsets(), {"B+1"}))) // C10
    return failure();
  if (getCodes())
    return sizes.match("codes", getCodes(), {"S", "rk"}); // C12
  return success();
}

AffineExpr LatentAttentionOp::flops(const WorkSizes &sizes) {
  auto q = getQLatent().getType();
  int64_t each = q.getDimSize(1) * (2 * q.getDimSize(2) + getQRope().getType().getDimSize(2));
  return sizes.attended(getQLatent()) * (2 * each);
}

LogicalResult LatentAttentionOp::reifyResultShapes(OpBuilder &builder,
                                                   ReifiedRankedShapedTypeDims &shapes) {
  shapes.push_back(leadingShapeOf(builder, getResult(), getQLatent()));
  return success();
}
