//===- FoldDequantize.cpp - products take codes as they are -----------===//

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

/// Where a product with these weights reads rows of codes, too: what widens them, in tiles of a row
/// of a block's length.
static fp8::DequantizeOp codesOf(Value rows, fp8::DequantizeOp weights) {
  auto codes = rows.getDefiningOp<fp8::DequantizeOp>();
  bool fits = codes && codes.isOfBlocks() && codes.getQ().getType().getRank() == 2 &&
              codes.getBlock()[0] == 1 && codes.getBlock()[1] == weights.getBlock()[1];
  return fits ? codes : fp8::DequantizeOp();
}

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
    fp8::DequantizeOp rows = codesOf(product->left, dequantize);
    auto folded = fp8::MatmulOp::create(
        rewriter, op.getLoc(), op->getResult(0).getType(), rows ? rows.getQ() : product->left,
        dequantize.getQ(), dequantize.getScale(), rows ? rows.getScale() : Value(),
        dequantize.getBlock(), /*transpose=*/false, StringAttr(), IntegerAttr());
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
    fp8::DequantizeOp rows = codesOf(op.getRows(), dequantize);
    auto folded = fp8::GroupedMatmulOp::create(
        rewriter, op.getLoc(), op.getResult().getType(), rows ? rows.getQ() : op.getRows(),
        dequantize.getQ(), dequantize.getScale(), op.getOffsets(), op.getActive(), op.getSource(),
        rows ? rows.getScale() : Value(), dequantize.getBlock(), /*transpose=*/false, StringAttr(),
        IntegerAttr());
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
