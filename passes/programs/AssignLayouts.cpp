//===- AssignLayouts.cpp - how tensors lie, as the target likes them ------===//
//
// Asks the target how each tensor that lives from run to run is to lie, and how products want their
// weights, and writes the answers down: what is formed from here on only follows them.
//
//===----------------------------------------------------------------------===//

#include "dialects/exec/Exec.h"
#include "dialects/exec/KernelAttributes.h"
#include "dialects/job/Job.h"
#include "mlir/Dialect/MLProgram/IR/MLProgram.h"
#include "passes/Passes.h"
#include "passes/analysis/GraphQueries.h"
#include "passes/analysis/Products.h"
#include "passes/programs/FormPrograms.h"
#include "passes/targets/Target.h"
#include "llvm/ADT/MapVector.h"

namespace hadal {
#define GEN_PASS_DEF_EXECASSIGNLAYOUTS
#include "passes/Passes.h.inc"
} // namespace hadal

using namespace mlir;
using namespace hadal;

namespace {

class AssignLayouts : public hadal::impl::ExecAssignLayoutsBase<AssignLayouts> {
public:
  using ExecAssignLayoutsBase::ExecAssignLayoutsBase;
  void runOnOperation() override;

private:
  void layOutGlobals(const Target &target);
  LogicalResult layOutWeights(func::FuncOp f, const SymbolTable &symbols, const Target &target);
};

} // namespace

exec::LayoutAttr hadal::layoutOf(Value v, const SymbolTable &symbols) {
  if (auto relayout = v.getDefiningOp<exec::RelayoutOp>())
    return relayout.getLayoutAttr();
  while (OpOperand *before = destinationOf(v.getDefiningOp()))
    v = before->get();
  auto load = v.getDefiningOp<ml_program::GlobalLoadOp>();
  auto global = load ? symbols.lookup<ml_program::GlobalOp>(load.getGlobal().getLeafReference())
                     : ml_program::GlobalOp();
  return global ? global->getAttrOfType<exec::LayoutAttr>(kLayoutAttr) : exec::LayoutAttr();
}

/// The operand of the product `op` that its weights are: the values of both may be one.
static OpOperand *giveWeights(Operation *op, Value weights, Value copy) {
  for (OpOperand &operand : op->getOpOperands()) {
    if (operand.get() != weights)
      continue;
    operand.set(copy);
    if (auto product = matchProduct(op); product && product->right == copy)
      return &operand;
    operand.set(weights);
  }
  return nullptr;
}

/// Mutable globals by what reads them. A gradient lies as its parameter does.
void AssignLayouts::layOutGlobals(const Target &target) {
  SymbolTable symbols(getOperation());
  llvm::MapVector<ml_program::GlobalOp, SmallVector<OpOperand *>> readers;
  for (auto global : getOperation().getOps<ml_program::GlobalOp>())
    if (global.getIsMutable())
      readers[global];
  getOperation().walk([&](ml_program::GlobalLoadOp load) {
    auto global = symbols.lookup<ml_program::GlobalOp>(load.getGlobal().getLeafReference());
    if (!global || !global.getIsMutable())
      return;
    for (OpOperand &use : load->getUses())
      readers[global].push_back(&use);
  });
  auto leader = [&](ml_program::GlobalOp global) {
    auto name = global->getAttrOfType<FlatSymbolRefAttr>(job::kLayoutOfAttr);
    return name ? symbols.lookup<ml_program::GlobalOp>(name.getAttr()) : ml_program::GlobalOp();
  };
  for (auto &[global, uses] : readers)
    if (auto type = dyn_cast<RankedTensorType>(global.getType());
        type && !leader(global) && !global->hasAttr(kLayoutAttr))
      if (exec::LayoutAttr layout = target.layoutOf(type, uses))
        global->setAttr(kLayoutAttr, layout);
  for (auto &[global, uses] : readers)
    if (ml_program::GlobalOp first = leader(global))
      if (Attribute layout = first->getAttr(kLayoutAttr))
        global->setAttr(kLayoutAttr, layout);
}

/// A product whose weights lie otherwise than its kernel wants them reads a copy.
LogicalResult AssignLayouts::layOutWeights(func::FuncOp f, const SymbolTable &symbols,
                                           const Target &target) {
  for (Operation &op : llvm::make_early_inc_range(f.getBody().front())) {
    auto product = matchProduct(&op);
    if (!product || layoutOf(product->right, symbols))
      continue;
    auto type = cast<RankedTensorType>(product->right.getType());
    if (!type.hasStaticShape())
      return op.emitError("wants weights of static shape, or static slices of such");
    OpBuilder b(&op);
    auto copy = exec::RelayoutOp::create(b, op.getLoc(), product->right, exec::LayoutAttr());
    OpOperand *weights = giveWeights(&op, product->right, copy);
    exec::LayoutAttr layout = weights ? target.layoutOf(type, weights) : exec::LayoutAttr();
    if (layout) {
      copy.setLayoutAttr(layout);
    } else {
      copy.getResult().replaceAllUsesWith(copy.getSource());
      copy.erase();
    }
  }
  return success();
}

void AssignLayouts::runOnOperation() {
  const Target *known = findTarget(getOperation(), target);
  if (!known)
    return signalPassFailure();
  layOutGlobals(*known);
  SymbolTable symbols(getOperation());
  for (auto f : getOperation().getOps<func::FuncOp>())
    if (f.isPublic() && !f.isExternal() && failed(layOutWeights(f, symbols, *known)))
      return signalPassFailure();
}
