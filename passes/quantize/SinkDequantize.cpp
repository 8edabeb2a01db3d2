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

  /// The move of `rows` instead.
  static Value moved(Move op, Value rows, PatternRewriter &rewriter) {
    auto type = cast<RankedTensorType>(rows.getType());
    auto made = cast<Move>(rewriter.clone(*op));
    made.getXMutable().assign(rows);
    made.getResult().setType(RankedTensorType::get(
        {op.getResult().getType().getDimSize(0), type.getDimSize(1)}, type.getElementType()));
    // Nothing is left to be rounded on the way.
    if constexpr (std::is_same_v<Move, moe::ExchangeOp>) {
      made.removeFormatAttr();
      made.removeFormatBackAttr();
    }
    return made.getResult();
  }

  LogicalResult matchAndRewrite(Move op, PatternRewriter &rewriter) const override {
    auto codes = op.getX().template getDefiningOp<fp8::DequantizeOp>();
    if (!codes || !codes.isOfBlocks() || codes.getBlock()[0] != 1)
      return failure();
    Value q = moved(op, codes.getQ(), rewriter), scale = moved(op, codes.getScale(), rewriter);
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
