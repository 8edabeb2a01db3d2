//===- EncodeExchanges.cpp - rows that travel in fewer bits ---------------===//
//
// Rows that travel in fewer bits: what goes into the exchange is encoded, what comes out is
// decoded.
//
// Numbers between are those of the format, so sums are no longer those of one rank. Rows are
// rounded where they are sent, once a hop: those of a dispatch to E4M3 in tiles of 1 x 128 with a
// scale each, those of a combination to bf16 (DeepSeek-V3, arXiv:2412.19437, section 3.3.2 and
// figure 7).
//
//===----------------------------------------------------------------------===//

#include "dialects/fp8/Fp8.h"
#include "dialects/job/PartBuilder.h"
#include "dialects/moe/Moe.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "passes/Passes.h"
#include "passes/quantize/RoundToBf16.h"
#include "passes/quantize/RowMoves.h"

namespace hadal {
#define GEN_PASS_DEF_MOEENCODEEXCHANGES
#include "passes/Passes.h.inc"
} // namespace hadal

using namespace mlir;
using namespace hadal;

namespace {

/// A row element by element into `element`.
Value convert(ImplicitLocOpBuilder &b, Value x, Type element,
              function_ref<Value(OpBuilder &, Location, Value)> body) {
  auto type = cast<RankedTensorType>(x.getType());
  Value rows = tensor::DimOp::create(b, x, 0);
  Value init = tensor::EmptyOp::create(b, type.clone(element),
                                       type.isDynamicDim(0) ? ValueRange(rows) : ValueRange());
  return linalg::GenericOp::create(
             b, init.getType(), x, init, SmallVector<AffineMap>(2, b.getMultiDimIdentityMap(2)),
             SmallVector<utils::IteratorType>(2, utils::IteratorType::parallel),
             [&](OpBuilder &b, Location loc, ValueRange args) {
               linalg::YieldOp::create(b, loc, body(b, loc, args[0]));
             })
      .getResult(0);
}

struct EncodeExchanges : public hadal::impl::MoeEncodeExchangesBase<EncodeExchanges> {

  /// bf16 as the upper halves of f32 numbers.
  Value throughBf16(ImplicitLocOpBuilder &b, moe::ExchangeOp op) {
    auto upper = [](OpBuilder &b, Location loc, Value x) -> Value {
      Value bits = arith::BitcastOp::create(b, loc, b.getI32Type(), roundToBf16(b, loc, x));
      Value by = arith::ConstantOp::create(b, loc, b.getI32IntegerAttr(16));
      return arith::TruncIOp::create(b, loc, b.getI16Type(),
                                     arith::ShRUIOp::create(b, loc, bits, by));
    };
    auto whole = [](OpBuilder &b, Location loc, Value half) -> Value {
      Value by = arith::ConstantOp::create(b, loc, b.getI32IntegerAttr(16));
      Value bits =
          arith::ShLIOp::create(b, loc, arith::ExtUIOp::create(b, loc, b.getI32Type(), half), by);
      return arith::BitcastOp::create(b, loc, b.getF32Type(), bits);
    };
    return convert(b, moveInstead(b, op, convert(b, op.getX(), b.getI16Type(), upper)),
                   b.getF32Type(), whole);
  }

  Value throughFp8(ImplicitLocOpBuilder &b, moe::ExchangeOp op) {
    constexpr int64_t tile = 128;
    int64_t block[] = {1, tile};
    auto codes = fp8::QuantizeOp::create(b, op.getX(), block);
    Value q = moveInstead(b, op, codes.getQ()), scale = moveInstead(b, op, codes.getScale());
    return fp8::DequantizeOp::create(b, op.getResult().getType(), q, scale, ArrayRef(block));
  }

  void runOnOperation() override {
    SmallVector<moe::ExchangeOp> encoded;
    getOperation().walk([&](moe::ExchangeOp op) {
      if (op.getFormat())
        encoded.push_back(op);
    });
    for (moe::ExchangeOp op : encoded) {
      job::PartBuilder b(op);
      op.getResult().replaceAllUsesWith(*op.getFormat() == "fp8" ? throughFp8(b, op)
                                                                 : throughBf16(b, op));
      op.erase();
    }
  }
};
} // namespace
