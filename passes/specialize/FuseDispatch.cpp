//===- FuseDispatch.cpp - grouped products gather their rows themselves --===//

#include "dialects/fp8/Fp8.h"
#include "dialects/moe/Moe.h"
#include "mlir/Transforms/GreedyPatternRewriteDriver.h"
#include "passes/Passes.h"

namespace hadal {
#define GEN_PASS_DEF_MOEFUSEDISPATCH
#include "passes/Passes.h.inc"
} // namespace hadal

using namespace mlir;
using namespace hadal;

namespace {
template <typename Op> struct Fuse : OpRewritePattern<Op> {
  using OpRewritePattern<Op>::OpRewritePattern;
  LogicalResult matchAndRewrite(Op op, PatternRewriter &rewriter) const override {
    auto dispatch = op.getRows().template getDefiningOp<moe::DispatchOp>();
    if (!dispatch || op.getSource())
      return failure();
    // Rows of codes and their scales come from one place.
    if constexpr (std::is_same_v<Op, fp8::GroupedMatmulOp>) {
      if (op.getXScale()) {
        auto scales = op.getXScale().template getDefiningOp<moe::DispatchOp>();
        if (!scales || scales.getSource() != dispatch.getSource())
          return failure();
        rewriter.modifyOpInPlace(op, [&] { op.getXScaleMutable().assign(scales.getX()); });
      }
    }
    rewriter.modifyOpInPlace(op, [&] {
      op.getRowsMutable().assign(dispatch.getX());
      op.getSourceMutable().assign(dispatch.getSource());
    });
    return success();
  }
};

struct FuseDispatch : public hadal::impl::MoeFuseDispatchBase<FuseDispatch> {
  void runOnOperation() override {
    RewritePatternSet patterns(&getContext());
    patterns.add<Fuse<moe::GroupedMatmulOp>, Fuse<moe::GroupedWeightGradOp>,
                 Fuse<fp8::GroupedMatmulOp>>(&getContext());
    if (failed(applyPatternsGreedily(getOperation(), std::move(patterns))))
      signalPassFailure();
  }
};
} // namespace
