//===- SinkDequantize.cpp - rows move as codes ----------------------------===//
//
// A row of codes and its scales mean the same wherever the row is: codes are widened where they are
// read, after they have moved. A product that reads them then takes them as they are.
//
//===----------------------------------------------------------------------===//

#include "dialects/fp8/Fp8.h"
#include "dialects/job/Job.h"
#include "dialects/moe/Moe.h"
#include "mlir/Transforms/GreedyPatternRewriteDriver.h"
#include "passes/Passes.h"
#include "passes/quantize/RowMoves.h"

namespace hadal {
#define GEN_PASS_DEF_FP8SINKDEQUANTIZE
#include "passes/Passes.h.inc"
} // namespace hadal

using namespace mlir;
using namespace hadal;

namespace {

/// `Move` is an op from rows x to the same rows in other places.
template <typename Move> struct Sink : OpRewritePattern<Move> {
  using OpRewritePattern<Move>::OpRewritePattern;

  LogicalResult matchAndRewrite(Move op, PatternRewriter &rewriter) const override {
    auto codes = op.getX().template getDefiningOp<fp8::DequantizeOp>();
    if (!codes || !codes.isOfBlocks() || codes.getBlock()[0] != 1)
      return failure();
    Value q = moveInstead(rewriter, op, codes.getQ()),
          scale = moveInstead(rewriter, op, codes.getScale());
    auto widened = fp8::DequantizeOp::create(rewriter, op.getLoc(), op.getResult().getType(), q,
                                             scale, codes.getBlock());
    job::setPart(widened, job::partAttrOf(op));
    rewriter.replaceOp(op, widened);
    return success();
  }
};

struct SinkDequantize : public hadal::impl::Fp8SinkDequantizeBase<SinkDequantize> {
  void runOnOperation() override {
    bool moves = false;
    getOperation().walk([&](fp8::DequantizeOp op) {
      moves |= llvm::any_of(op->getUsers(), [](Operation *user) {
        return isa<moe::DispatchOp, moe::ExchangeOp>(user);
      });
    });
    if (!moves)
      return;
    RewritePatternSet patterns(&getContext());
    patterns.add<Sink<moe::DispatchOp>, Sink<moe::ExchangeOp>>(&getContext());
    if (failed(applyPatternsGreedily(getOperation(), std::move(patterns))))
      signalPassFailure();
  }
};
} // namespace
