//===- AssignLayouts.cpp - how tensors lie, as the target likes them ------===//
//
// Asks the target how each tensor that lives from run to run is to lie, and writes the answer down:
// what is formed from here on only follows the attributes.
//
//===----------------------------------------------------------------------===//

#include "dialects/exec/Exec.h"
#include "dialects/exec/KernelAttributes.h"
#include "mlir/Dialect/MLProgram/IR/MLProgram.h"
#include "passes/Passes.h"
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
};

/// Mutable globals by what reads them. A gradient lies as its parameter does.
void AssignLayouts::layOutGlobals(const Target &target) {
  SymbolTable symbols(getOperation());
  llvm::MapVector<ml_program::GlobalOp, SmallVector<OpOperand *>> readers;
  for (auto global : getOperation().getOps<ml_program::GlobalOp>())
    if (global.getIsMutable())
      readers[global];
  getOperation().walk([&](ml_program::GlobalLoadOp load) {
    auto global = symbols.lookup<ml_program::GlobalOp>(load.getGlobal().getLeafReference());
    if (!global)
      return;
    for (OpOperand &use : load->getUses())
      readers[global].push_back(&use);
  });
  auto leader = [&](ml_program::GlobalOp global) {
    auto name = global->getAttrOfType<FlatSymbolRefAttr>("hadal.layout_of");
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

void AssignLayouts::runOnOperation() {
  const Target *known = findTarget(getOperation(), target);
  if (!known)
    return signalPassFailure();
  layOutGlobals(*known);
}

} // namespace
