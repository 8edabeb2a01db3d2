//===- MlaRules.cpp - derivatives of the mla ops -------------------------===//

#include "dialects/mla/Mla.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "passes/autodiff/Rules.h"

using namespace mlir;
using namespace hadal;
using namespace hadal::autodiff;

/// A sum of `inputs`' product over the dimensions that `kept` lacks; `kept` of the loops make the
/// result's type.
static Value sumOver(Adjoints &adjoints, ValueRange inputs, ArrayRef<AffineMap> maps, unsigned kept,
                     RankedTensorType type, ArrayRef<OpFoldResult> shape,
                     arith::FastMathFlags order) {
  ImplicitLocOpBuilder &b = adjoints.b;
  Value init = adjoints.filled(adjoints.empty(type, shape), 0);
  SmallVector<utils::IteratorType> iterators(maps.back().getNumDims(),
                                             utils::IteratorType::reduction);
  std::fill_n(iterators.begin(), kept, utils::IteratorType::parallel);
  return linalg::GenericOp::create(b, TypeRange{type}, inputs, ValueRange{init}, maps, iterators,
                                   [&](OpBuilder &nested, Location loc, ValueRange v) {
                                     Value term = v[0];
                                     for (Value factor : v.drop_front().drop_back())
                                       term = arith::MulFOp::create(nested, loc, term, factor);
                                     Value sum =
                                         arith::AddFOp::create(nested, loc, v.back(), term, order);
                                     linalg::YieldOp::create(nested, loc, sum);
                                   })
      .getResult(0);
}

/// A rotation is linear: the way back is its transposed map.
static LogicalResult rope(Operation *op, Adjoints &adjoints) {
  auto rope = cast<mla::RopeOp>(op);
  if (adjoints.wants(rope.getCos()) || adjoints.wants(rope.getSin()))
    return op->emitOpError() << "has no gradient with respect to cosines and sines";
  Value gradient = adjoints.of(rope.getResult());
  adjoints.add(rope.getX(),
               mla::RopeOp::create(adjoints.b, rope.getX().getType(), gradient, rope.getCos(),
                                   rope.getSin(), rope.getInterleave(), !rope.getAdjoint()));
  return success();
}

/// An attention that also returns the logarithms of its sums.
static mla::AttentionOp withLse(mla::AttentionOp op, Adjoints &adjoints) {
  if (op.getLse())
    return op;
  OpBuilder at(op);
  auto type = op.getResult().getType();
  auto lse = RankedTensorType::get(type.getShape().drop_back(), type.getElementType());
  auto fresh = mla::AttentionOp::create(at, op.getLoc(), type, lse, op.getQNope(), op.getQRope(),
                                        op.getKNope(), op.getKRope(), op.getV(), op.getOffsets(),
                                        op.getScaleAttr());
  fresh->setDiscardableAttrs(op->getDiscardableAttrDictionary());
  adjoints.replace(op.getResult(), fresh.getResult());
  op.getResult().replaceAllUsesWith(fresh.getResult());
  op.erase();
  return fresh;
}

static LogicalResult attention(Operation *owner, Adjoints &adjoints) {
  auto op = cast<mla::AttentionOp>(owner);
  if (op.getLse() && adjoints.of(op.getLse()))
    return op->emitOpError() << "has no gradient of its second result";
  Value gradient = adjoints.of(op.getResult());
  op = withLse(op, adjoints);
  ImplicitLocOpBuilder &b = adjoints.b;
  auto sizes = adjoints.sizesOf(op.getResult());
  AffineMap all = b.getMultiDimIdentityMap(3);
  // Over the elements of a row: the order is the target's to write.
  Value delta =
      sumOver(adjoints, {op.getResult(), gradient}, {all, all, all.getMajorSubMap(2)}, 2,
              op.getLse().getType(), ArrayRef(sizes).take_front(2), arith::FastMathFlags::reassoc);

  RankedTensorType key = op.getKRope().getType();
  auto keys = RankedTensorType::get(
      {key.getDimSize(0), op.getV().getType().getDimSize(1), key.getDimSize(1)},
      key.getElementType());
  auto grad = mla::AttentionGradOp::create(
      b, op.getQNope().getType(), op.getQRope().getType(), op.getKNope().getType(), keys,
      op.getV().getType(), op.getQNope(), op.getQRope(), op.getKNope(), op.getKRope(), op.getV(),
      op.getOffsets(), op.getLse(), delta, gradient, op.getScaleAttr());
  adjoints.add(op.getQNope(), grad.getQNopeGrad());
  adjoints.add(op.getQRope(), grad.getQRopeGrad());
  adjoints.add(op.getKNope(), grad.getKNopeGrad());
  adjoints.add(op.getV(), grad.getVGrad());
  if (!adjoints.wants(op.getKRope()))
    return success();
  // One rotary key serves all heads; they add up in ascending order. Loops are (t, d, h).
  AffineExpr t, d, h;
  bindDims(b.getContext(), t, d, h);
  AffineMap perHead = AffineMap::get(3, 0, {t, h, d}, b.getContext()),
            shared = AffineMap::get(3, 0, {t, d}, b.getContext());
  adjoints.add(op.getKRope(), sumOver(adjoints, grad.getKRopeGrad(), {perHead, shared}, 2, key,
                                      adjoints.sizesOf(op.getKRope()), arith::FastMathFlags::none));
  return success();
}

void hadal::autodiff::addMlaRules(RuleTable &table) {
  table[mla::RopeOp::getOperationName()] = rope;
  table[mla::AttentionOp::getOperationName()] = attention;
}
