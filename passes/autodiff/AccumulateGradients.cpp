//===- AccumulateGradients.cpp - gradients and losses add up in globals --===//

#include "dialects/job/Job.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/MLProgram/IR/MLProgram.h"
#include "mlir/IR/ImplicitLocOpBuilder.h"
#include "mlir/IR/SymbolTable.h"
#include "mlir/Interfaces/DestinationStyleOpInterface.h"
#include "passes/Passes.h"
#include "passes/analysis/Products.h"
#include "passes/analysis/States.h"

namespace hadal {
#define GEN_PASS_DEF_HADALACCUMULATEGRADIENTS
#include "passes/Passes.h.inc"
} // namespace hadal

using namespace mlir;
using namespace hadal;

namespace {

/// The operand in which a sum starts from zero: `value` is made by destination-style ops, each in
/// the one before, the first in a fill of zeros. Null where the value is made otherwise, or where
/// something else reads the sums on the way.
OpOperand *startOfSum(Value value) {
  while (auto op = value.getDefiningOp<DestinationStyleOpInterface>()) {
    if (op.getNumDpsInits() != 1 || !value.hasOneUse())
      return nullptr;
    // An op that only overwrites its destination adds nothing to it.
    if (auto generic = dyn_cast<linalg::LinalgOp>(op.getOperation());
        generic && !generic.payloadUsesValueFromOperand(generic.getDpsInitOperand(0)))
      return nullptr;
    OpOperand *init = op.getDpsInitOperand(0);
    if (isZeroFill(init->get()))
      return init;
    value = init->get();
  }
  return nullptr;
}

struct AccumulateGradients : public hadal::impl::HadalAccumulateGradientsBase<AccumulateGradients> {

  /// The global that sums of `type` add up in: named, or the gradient of `parameter`.
  ml_program::GlobalOp sumOf(func::FuncOp f, Attribute named, FlatSymbolRefAttr parameter,
                             IntegerAttr use, Type type, SymbolTable &symbols) {
    std::string name =
        parameter ? ("gradient." + parameter.getValue()).str() : cast<StringAttr>(named).str();
    if (use)
      name += ".use" + std::to_string(use.getInt());
    OpBuilder b(f);
    auto global = stateGlobal(b, f.getLoc(), symbols, "sum." + name, type, name);
    if (parameter) {
      global->setAttr(job::kLayoutOfAttr, parameter);
      if (use)
        global->setAttr(job::kUseAttr, use);
      // A sharded parameter's sums are kept by source: whose each is stands with it.
      auto sharded = symbols.lookup<ml_program::GlobalOp>(parameter.getAttr());
      if (Attribute owners = sharded ? sharded->getAttr(job::kSegmentOwnersAttr) : Attribute())
        global->setAttr(job::kSegmentOwnersAttr, owners);
    }
    return global;
  }

  void accumulate(Value value, ml_program::GlobalOp global, Operation *terminator) {
    auto symbol = SymbolRefAttr::get(global.getSymNameAttr());
    OpOperand *start = startOfSum(value);
    job::PartListener parts(job::partAttrOf(value.getDefiningOp()));
    ImplicitLocOpBuilder b(value.getLoc(), start ? start->getOwner() : terminator);
    b.setListener(&parts);
    Value before = ml_program::GlobalLoadOp::create(b, value.getType(), symbol);
    if (start) {
      start->set(before);
    } else {
      auto type = cast<RankedTensorType>(value.getType());
      AffineMap identity = b.getMultiDimIdentityMap(type.getRank());
      SmallVector<utils::IteratorType> iterators(type.getRank(), utils::IteratorType::parallel);
      value = linalg::GenericOp::create(
                  b, type, value, before, ArrayRef({identity, identity}), iterators,
                  [](OpBuilder &b, Location loc, ValueRange args) {
                    Value sum = isa<FloatType>(args[0].getType())
                                    ? arith::AddFOp::create(b, loc, args[1], args[0]).getResult()
                                    : arith::AddIOp::create(b, loc, args[1], args[0]).getResult();
                    linalg::YieldOp::create(b, loc, sum);
                  })
                  .getResult(0);
    }
    b.setInsertionPoint(terminator);
    ml_program::GlobalStoreOp::create(b, symbol, value);
  }

  void runOnOperation() override {
    SymbolTable symbols(getOperation());
    // Stages were there to be differentiated.
    for (int64_t number = 0;
         auto stage = symbols.lookup<func::FuncOp>("stage." + std::to_string(number)); ++number)
      if (!stage->hasAttr(job::kDifferentiateAttr))
        symbols.erase(stage);
    for (auto f : llvm::make_early_inc_range(getOperation().getOps<func::FuncOp>())) {
      if (f.isExternal() || !f.getBody().hasOneBlock())
        continue;
      Operation *terminator = f.getBody().front().getTerminator();
      BitVector dropped(terminator->getNumOperands());
      SmallVector<std::pair<Value, ml_program::GlobalOp>> sums;
      for (auto [i, value] : llvm::enumerate(terminator->getOperands())) {
        auto parameter = f.getResultAttrOfType<FlatSymbolRefAttr>(i, job::kGradientOfAttr);
        Attribute named = f.getResultAttr(i, job::kAccumulateAttr);
        if (!parameter && !named)
          continue;
        if (f->hasAttr(job::kDifferentiateAttr)) {
          f.emitError("wants --hadal-differentiate before --hadal-accumulate-gradients");
          return signalPassFailure();
        }
        auto use = f.getResultAttrOfType<IntegerAttr>(i, job::kUseAttr);
        sums.push_back({value, sumOf(f, named, parameter, use, value.getType(), symbols)});
        dropped.set(i);
      }
      for (auto [value, global] : sums)
        accumulate(value, global, terminator);
      terminator->eraseOperands(dropped);
      (void)f.eraseResults(dropped);
    }
    auto gradients = symbols.lookup<func::FuncOp>("loss_gradient");
    if (!gradients)
      return;
    // Validation has no use for gradients.
    if (auto loss = symbols.lookup<func::FuncOp>("loss"))
      (void)symbols.rename(loss, "evaluate");
    (void)symbols.rename(gradients, "gradients");
  }
};
} // namespace
