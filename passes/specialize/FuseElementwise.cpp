//===- FuseElementwise.cpp - element-wise ops join their readers ---------===//

#include "dialects/job/Job.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Linalg/Transforms/Transforms.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/Transforms/GreedyPatternRewriteDriver.h"
#include "passes/Passes.h"

namespace hadal {
#define GEN_PASS_DEF_HADALFUSEELEMENTWISE
#include "passes/Passes.h.inc"
} // namespace hadal

using namespace mlir;
using namespace hadal;

namespace {

/// All loops parallel, nothing gathered.
bool isElementwise(Operation *op) {
  auto generic = dyn_cast_or_null<linalg::GenericOp>(op);
  if (!generic || generic.getNumParallelLoops() != generic.getNumLoops())
    return false;
  return !generic.getBody()
              ->walk([](tensor::ExtractOp) { return WalkResult::interrupt(); })
              .wasInterrupted();
}

/// Gives a new op the part of the op that it takes the place of: a pattern inserts it before that.
/// Of fused ops the last one so says what is computed.
struct KeepParts : RewriterBase::Listener {
  void notifyOperationInserted(Operation *op, OpBuilder::InsertPoint) override {
    if (isa<linalg::LinalgOp>(op))
      job::setPart(op, job::partAttrOf(op->getNextNode()));
  }
};

struct FuseElementwise : public hadal::impl::HadalFuseElementwiseBase<FuseElementwise> {
  void runOnOperation() override {
    RewritePatternSet patterns(&getContext());
    linalg::populateElementwiseOpsFusionPatterns(patterns, [](OpOperand *operand) {
      Operation *producer = operand->get().getDefiningOp();
      return isElementwise(producer) && isElementwise(operand->getOwner()) && producer->hasOneUse();
    });
    KeepParts parts;
    if (failed(applyPatternsGreedily(getOperation(), std::move(patterns),
                                     GreedyRewriteConfig().setListener(&parts))))
      signalPassFailure();
  }
};
} // namespace
