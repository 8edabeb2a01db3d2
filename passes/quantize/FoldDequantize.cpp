//===- FoldDequantize.cpp - products take f8 weights as they are stored --===//

#include "dialects/fp8/Fp8.h"
#include "dialects/job/Job.h"
#include "dialects/moe/Moe.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Transforms/GreedyPatternRewriteDriver.h"
#include "passes/Passes.h"
#include "passes/analysis/Products.h"

namespace hadal {
#define GEN_PASS_DEF_FP8FOLDDEQUANTIZE
#include "passes/Passes.h.inc"
} // namespace hadal

using namespace mlir;
using namespace hadal;

namespace {

struct FoldMatmul : OpInterfaceRewritePattern<linalg::LinalgOp> {
  using OpInterfaceRewritePattern::OpInterfaceRewritePattern;
  LogicalResult matchAndRewrite(linalg::LinalgOp op, PatternRewriter &rewriter) const override {
    auto product = matchProduct(op);
    auto dequantize =
        product ? product->right.getDefiningOp<fp8::DequantizeOp>() : fp8::DequantizeOp();
    bool plain = product && product->outBatch < 0 && product->leftRow == 0 &&
                 product->rightN == 0 && getElementTypeOrSelf(product->left.getType()).isF32();
    if (!dequantize || !dequantize.isOfBlocks() || !plain)
      return failure();
    auto folded =
        fp8::MatmulOp::create(rewriter, op.getLoc(), op->getResult(0).getType(), product->left,
                              dequantize.getQ(), dequantize.getScale(), dequantize.getBlock());
    job::setPart(folded, job::partAttrOf(op));
    rewriter.replaceOp(op, folded);
    return success();
  }
};

struct FoldGroupedMatmul : OpRewritePattern<moe::GroupedMatmulOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(moe::GroupedMatmulOp op, PatternRewriter &rewriter) const override {
    auto dequantize = op.getWeights().getDefiningOp<fp8::DequantizeOp>();
    if (!dequantize || !dequantize.isOfBlocks() || op.getTranspose())
      return failure();
    auto folded =
        fp8::GroupedMatmulOp::create(rewriter, op.getLoc(), op.getResult().getType(), op.getRows(),
                                     dequantize.getQ(), dequantize.getScale(), op.getOffsets(),
                                     op.getActive(), op.getSource(), dequantize.getBlock());
    job::setPart(folded, job::partAttrOf(op));
    rewriter.replaceOp(op, folded);
    return success();
  }
};

struct FoldDequantize : public hadal::impl::Fp8FoldDequantizeBase<FoldDequantize> {
  void runOnOperation() override {
    RewritePatternSet patterns(&getContext());
    patterns.add<FoldMatmul, FoldGroupedMatmul>(&getContext());
    if (failed(applyPatternsGreedily(getOperation(), std::move(patterns))))
      signalPassFailure();
  }
};
} // namespace
