#include "dialects/moe/Moe.h"
#include "passes/autodiff/Rules.h"

using namespace mlir;
using namespace hadal;
using namespace hadal::autodiff;

/// Adds to the gradient of `x` [T, H] that of its gathered rows x[source[r]]. A plan's rows come back as a combination
/// whose weights are 1, a tree over experts for each token; other rows are added to where they came from, in ascending
/// order.
static void addGathered(Adjoints &adjoints, Value x, Value source, Value gradient) {
  ImplicitLocOpBuilder &b = adjoints.b;
  auto plan = source.getDefiningOp<moe::PlanOp>();
  if (!plan || source != plan.getSource()) {
    adjoints.addInto(
        x, [&](Value init) -> Value { return moe::ScatterAddOp::create(b, init.getType(), gradient, source, init); });
    return;
  }
  auto type = RankedTensorType::get(plan.getPosition().getType().getShape(), b.getF32Type());
  Value ones = adjoints.filled(adjoints.empty(type, adjoints.sizesOf(plan.getPosition())), 1);
  adjoints.add(x, moe::CombineOp::create(b, x.getType(), gradient, plan.getPosition(), plan.getExperts(), ones,
                                         plan.getExpertCountAttr()));
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
    auto type = RankedTensorType::get({op.getResult().getType().getDimSize(0), op.getRows().getType().getDimSize(1)},
                                      b.getF32Type());
    Value rows = moe::GroupedMatmulOp::create(b, type, gradient, op.getWeights(), op.getOffsets(), op.getActive(),
                                              /*source=*/Value(), !op.getTranspose());
    if (op.getSource())
      addGathered(adjoints, op.getRows(), op.getSource(), rows);
    else
      adjoints.add(op.getRows(), rows);
  }
  if (!adjoints.wants(op.getWeights()))
    return success();
  if (!op.getWeights().getType().getElementType().isF32())
    return op->emitOpError() << "has no gradient: wants weights of f32, got " << op.getWeights().getType();
  if (op.getTranspose() && op.getSource())
    return op->emitOpError() << "has no gradient with respect to the weights with both transpose and source";
  adjoints.addInto(op.getWeights(), [&](Value init) -> Value {
    // Transposed, the roles of rows and gradient change.
    Value rows = op.getTranspose() ? gradient : Value(op.getRows()),
          outer = op.getTranspose() ? Value(op.getRows()) : gradient;
    return moe::GroupedWeightGradOp::create(b, init.getType(), rows, outer, op.getOffsets(), op.getActive(), init,
                                            op.getSource());
  });
  return success();
}

static LogicalResult combine(Operation *owner, Adjoints &adjoints) {
  auto op = cast<moe::CombineOp>(owner);
  auto grad = moe::CombineGradOp::create(adjoints.b, op.getRows().getType(), op.getWeights().getType(), op.getRows(),
                                         op.getPosition(), op.getWeights(), adjoints.of(op.getResult()));
  adjoints.add(op.getRows(), grad.getRowsGrad());
  adjoints.add(op.getWeights(), grad.getWeightsGrad());
  return success();
}

/// The choice is constant, and the bias touches nothing else: it gets no gradient.
static LogicalResult route(Operation *owner, Adjoints &adjoints) {
  auto op = cast<moe::RouteOp>(owner);
  if (adjoints.wants(op.getLogits()))
    adjoints.add(op.getLogits(),
                 moe::RouteGradOp::create(adjoints.b, op.getLogits().getType(), op.getLogits(), op.getExperts(),
                                          adjoints.of(op.getWeights()), op.getNormalizeAttr(), op.getScaleAttr()));
  return success();
}

/// The fractions count choices: they are constant.
static LogicalResult balanceLoss(Operation *owner, Adjoints &adjoints) {
  auto op = cast<moe::BalanceLossOp>(owner);
  if (Value gradient = adjoints.of(op.getLoss()))
    adjoints.add(op.getLogits(), moe::BalanceLossGradOp::create(adjoints.b, op.getLogits().getType(), op.getLogits(),
                                                                op.getOffsets(), op.getFractions(), gradient));
  return success();
}

void hadal::autodiff::addMoeRules(RuleTable &table) {
  table[moe::RouteOp::getOperationName()] = route;
  table[moe::DispatchOp::getOperationName()] = dispatch;
  table[moe::GroupedMatmulOp::getOperationName()] = groupedMatmul;
  table[moe::CombineOp::getOperationName()] = combine;
  table[moe::BalanceLossOp::getOperationName()] = balanceLoss;
}
