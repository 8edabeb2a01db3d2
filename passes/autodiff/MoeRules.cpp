//===- MoeRules.cpp - derivatives of the moe ops -------------------------===//

#include "dialects/moe/Moe.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/IR/Matchers.h"
#include "passes/autodiff/Rules.h"
#include "passes/shard/SumOverParts.h"

using namespace mlir;
using namespace hadal;
using namespace hadal::autodiff;

/// Adds to the gradient of `x` [T, H] that of its gathered rows x[source[r]]. A plan's rows come
/// back as a combination whose weights are 1, a tree over experts for each token, and so do the
/// rows that went to other ranks, a tree over parts; other rows are added to where they came from,
/// in ascending order.
static void addGathered(Adjoints &adjoints, Value x, Value source, Value gradient) {
  ImplicitLocOpBuilder &b = adjoints.b;
  if (auto sends = source.getDefiningOp<moe::PlanSendsOp>(); sends && source == sends.getSource()) {
    adjoints.add(x,
                 sumOverParts(b, x.getType(), gradient, sends, adjoints.sizesOf(sends.getSlots())));
    return;
  }
  auto plan = source.getDefiningOp<moe::PlanOp>();
  if (!plan || source != plan.getSource()) {
    adjoints.addInto(x, [&](Value init) -> Value {
      return moe::ScatterAddOp::create(b, init.getType(), gradient, source, init);
    });
    return;
  }
  auto type = RankedTensorType::get(plan.getPosition().getType().getShape(), b.getF32Type());
  Value ones = adjoints.filled(adjoints.empty(type, adjoints.sizesOf(plan.getPosition())), 1);
  adjoints.add(x, moe::CombineOp::create(b, x.getType(), gradient, plan.getPosition(),
                                         plan.getExperts(), ones, plan.getExpertCount(),
                                         bool(plan.getChoices())));
}

static LogicalResult dispatch(Operation *op, Adjoints &adjoints) {
  auto dispatch = cast<moe::DispatchOp>(op);
  addGathered(adjoints, dispatch.getX(), dispatch.getSource(), adjoints.of(dispatch.getResult()));
  return success();
}

static LogicalResult groupedMatmul(Operation *owner, Adjoints &adjoints) {
  auto op = cast<moe::GroupedMatmulOp>(owner);
  ImplicitLocOpBuilder &b = adjoints.b;
  Value gradient = adjoints.of(op.getResult());
  if (adjoints.wants(op.getRows())) {
    // Row by row, then back to where a gathered row came from.
    auto type = RankedTensorType::get(
        {op.getResult().getType().getDimSize(0), op.getRows().getType().getDimSize(1)},
        b.getF32Type());
    Value rows = moe::GroupedMatmulOp::create(b, type, gradient, op.getWeights(), op.getOffsets(),
                                              op.getActive(),
                                              /*source=*/Value(), !op.getTranspose());
    if (op.getSource())
      addGathered(adjoints, op.getRows(), op.getSource(), rows);
    else
      adjoints.add(op.getRows(), rows);
  }
  if (!adjoints.wants(op.getWeights()))
    return success();
  if (!op.getWeights().getType().getElementType().isF32())
    return op->emitOpError() << "has no gradient: wants weights of f32, got "
                             << op.getWeights().getType();
  if (op.getTranspose() && op.getSource())
    return op->emitOpError()
           << "has no gradient with respect to the weights with both transpose and source";
  // A matrix for each group: with segments that is more than the weights have.
  SmallVector<int64_t> shape(op.getWeights().getType().getShape());
  shape[0] = op.getActive().getType().getDimSize(0);
  auto type = RankedTensorType::get(shape, b.getF32Type());
  if (type != op.getWeights().getType()) {
    Value sum = adjoints.of(op.getWeights());
    if (!adjoints.isParameter(op.getWeights()) || (sum && sum.getType() != type))
      return op->emitOpError()
             << "has no gradient: wants a parameter where groups (" << shape[0]
             << ") are more than weights, with as many groups wherever it is used";
  }
  adjoints.addInto(
      op.getWeights(),
      [&](Value init) -> Value {
        // Transposed, the roles of rows and gradient change.
        Value rows = op.getTranspose() ? gradient : Value(op.getRows()),
              outer = op.getTranspose() ? Value(op.getRows()) : gradient;
        return moe::GroupedWeightGradOp::create(b, init.getType(), rows, outer, op.getOffsets(),
                                                op.getActive(), init, op.getSource());
      },
      type);
  return success();
}

/// The way back of what went there, and the other way round. Rows that come back are as many as
/// went: the counts of a received exchange say how many, and so does the plan of what was gathered
/// to be sent.
static LogicalResult exchange(Operation *owner, Adjoints &adjoints) {
  auto op = cast<moe::ExchangeOp>(owner);
  if (!adjoints.wants(op.getX()))
    return success(); // nobody would read the exchange, and it would stay
  ImplicitLocOpBuilder &b = adjoints.b;
  Value like, rows;
  if (auto counts = op.getSend().getDefiningOp<moe::ExchangeCountsOp>())
    rows = counts.getRows();
  else if (auto gathered = op.getX().getDefiningOp<moe::DispatchOp>())
    like = gathered.getSource();
  else
    like = op.getX();
  adjoints.add(op.getX(), moe::ExchangeOp::create(
                              b, op.getX().getType(), adjoints.of(op.getResult()), op.getReceive(),
                              op.getSend(), rows, like, op.getPartsAttr(), op.getSegmentsAttr(),
                              op.getStrideAttr(), op.getFormatBackAttr(), op.getFormatAttr(),
                              op.getCapacityAttr()));
  return success();
}

static LogicalResult combine(Operation *owner, Adjoints &adjoints) {
  auto op = cast<moe::CombineOp>(owner);
  // A plain sum of what came back from other ranks: each row gets the gradient of its token.
  auto sends = op.getPosition().getDefiningOp<moe::PlanSendsOp>();
  auto fill = op.getWeights().getDefiningOp<linalg::FillOp>();
  if (sends && fill && matchPattern(fill.getInputs()[0], m_OneFloat())) {
    adjoints.add(op.getRows(),
                 moe::DispatchOp::create(adjoints.b, op.getRows().getType(),
                                         adjoints.of(op.getResult()), sends.getSource()));
    return success();
  }
  auto grad = moe::CombineGradOp::create(
      adjoints.b, op.getRows().getType(), op.getWeights().getType(), op.getRows(), op.getPosition(),
      op.getWeights(), adjoints.of(op.getResult()), op.getPartial());
  adjoints.add(op.getRows(), grad.getRowsGrad());
  adjoints.add(op.getWeights(), grad.getWeightsGrad());
  return success();
}

/// The choice is constant, and the bias touches nothing else: it gets no gradient.
static LogicalResult route(Operation *owner, Adjoints &adjoints) {
  auto op = cast<moe::RouteOp>(owner);
  if (adjoints.wants(op.getLogits()))
    adjoints.add(op.getLogits(),
                 moe::RouteGradOp::create(adjoints.b, op.getLogits().getType(), op.getLogits(),
                                          op.getExperts(), adjoints.of(op.getWeights()),
                                          op.getNormalizeAttr(), op.getScaleAttr(),
                                          op.getSoftmaxAttr()));
  return success();
}

/// The fractions count choices: they are constant.
static LogicalResult balanceLoss(Operation *owner, Adjoints &adjoints) {
  auto op = cast<moe::BalanceLossOp>(owner);
  if (Value gradient = adjoints.of(op.getLoss()))
    adjoints.add(op.getLogits(),
                 moe::BalanceLossGradOp::create(adjoints.b, op.getLogits().getType(),
                                                op.getLogits(), op.getOffsets(), op.getFractions(),
                                                gradient, op.getSoftmaxAttr()));
  return success();
}

void hadal::autodiff::addMoeRules(RuleTable &table) {
  table[moe::RouteOp::getOperationName()] = route;
  table[moe::DispatchOp::getOperationName()] = dispatch;
  table[moe::ExchangeOp::getOperationName()] = exchange;
  table[moe::GroupedMatmulOp::getOperationName()] = groupedMatmul;
  table[moe::CombineOp::getOperationName()] = combine;
  table[moe::BalanceLossOp::getOperationName()] = balanceLoss;
}
