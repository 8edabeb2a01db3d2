//===- AbsorbMla.cpp - attention over the latent cache -------------------===//

#include "dialects/fp8/Fp8.h"
#include "dialects/job/PartBuilder.h"
#include "dialects/mla/Mla.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/ImplicitLocOpBuilder.h"
#include "passes/Passes.h"
#include "passes/specialize/Cache.h"

namespace hadal {
#define GEN_PASS_DEF_MLAABSORB
#include "passes/Passes.h.inc"
} // namespace hadal

using namespace mlir;
using namespace hadal;

namespace {

/// W [heads * (dn + dv), rk] -> rows [first, first + count) of each head.
Value headRows(ImplicitLocOpBuilder &b, Value weights, int64_t heads, int64_t first,
               int64_t count) {
  auto type = cast<RankedTensorType>(weights.getType());
  int64_t each = type.getDimSize(0) / heads, rk = type.getDimSize(1);
  auto split = RankedTensorType::get({heads, each, rk}, type.getElementType());
  Value expanded = tensor::ExpandShapeOp::create(b, split, weights,
                                                 SmallVector<ReassociationIndices>{{0, 1}, {2}});
  auto part = RankedTensorType::get({heads, count, rk}, type.getElementType());
  auto ints = [&](ArrayRef<int64_t> v) { return getAsIndexOpFoldResult(b.getContext(), v); };
  return tensor::ExtractSliceOp::create(b, part, expanded, ints({0, first, 0}),
                                        ints({heads, count, rk}), ints({1, 1, 1}));
}

/// y[t, h, n] = sum over k of x[t, h, k] * w[h, k, n] where `kFirst`, w[h, n, k] otherwise.
Value headProduct(ImplicitLocOpBuilder &b, Value x, Value w, int64_t n, bool kFirst) {
  auto type = cast<RankedTensorType>(x.getType());
  int64_t heads = type.getDimSize(1);
  Value rows = tensor::DimOp::create(b, x, 0);
  Value empty = tensor::EmptyOp::create(
      b, RankedTensorType::get({ShapedType::kDynamic, heads, n}, b.getF32Type()), ValueRange{rows});
  Value zero = arith::ConstantOp::create(b, b.getF32FloatAttr(0));
  Value init = linalg::FillOp::create(b, zero, empty).getResult(0);
  AffineExpr t, h, o, k;
  bindDims(b.getContext(), t, h, o, k);
  auto mapOf = [&](ArrayRef<AffineExpr> e) { return AffineMap::get(4, 0, e, b.getContext()); };
  using utils::IteratorType;
  return linalg::GenericOp::create(
             b, TypeRange{init.getType()}, ValueRange{x, w}, ValueRange{init},
             ArrayRef<AffineMap>{mapOf({t, h, k}), kFirst ? mapOf({h, k, o}) : mapOf({h, o, k}),
                                 mapOf({t, h, o})},
             ArrayRef<IteratorType>{IteratorType::parallel, IteratorType::parallel,
                                    IteratorType::parallel, IteratorType::reduction},
             [&](OpBuilder &nested, Location loc, ValueRange v) {
               Value weight = v[1];
               if (!weight.getType().isF32())
                 weight = arith::ExtFOp::create(nested, loc, nested.getF32Type(), weight);
               Value product = arith::MulFOp::create(nested, loc, v[0], weight);
               linalg::YieldOp::create(nested, loc,
                                       Value(arith::AddFOp::create(nested, loc, v[2], product)));
             })
      .getResult(0);
}

/// What made the codes that go into the cache; null where they come from elsewhere.
fp8::QuantizeOp quantizerOf(mla::AppendCodesOp codes) {
  return codes.getQ().getDefiningOp<fp8::QuantizeOp>();
}

/// Whether the codes are made of the latent, or the latent is what they stand for.
bool areCodesOf(mla::AppendCodesOp codes, Value latent) {
  fp8::QuantizeOp quantize = quantizerOf(codes);
  auto widened = latent.getDefiningOp<fp8::DequantizeOp>();
  return quantize && (quantize.getX() == latent || (widened && widened.getQ() == quantize.getQ()));
}

struct AbsorbMla : public hadal::impl::MlaAbsorbBase<AbsorbMla> {
  using MlaAbsorbBase::MlaAbsorbBase;

  /// score = q_nope . (W_k c) = (W_k^T q_nope) . c, and sum p (W_v c) = W_v (sum p c): heads never
  /// see the expanded cache.
  void absorb(mla::AttentionOp attention, Value weights, mla::CacheAppendOp appended,
              mla::AppendCodesOp codes, Value table, Value positions) {
    job::PartBuilder b(attention);
    int64_t heads = attention.getQNope().getType().getDimSize(1),
            dn = attention.getQNope().getType().getDimSize(2);
    int64_t dv = attention.getV().getType().getDimSize(2),
            rk = cast<RankedTensorType>(weights.getType()).getDimSize(1);
    Value query = headProduct(b, attention.getQNope(), headRows(b, weights, heads, 0, dn), rk,
                              /*kFirst=*/true);
    auto tile = codes ? b.getI64IntegerAttr(quantizerOf(codes).getBlock()[1]) : IntegerAttr();
    Value latent = mla::LatentAttentionOp::create(
        b, query.getType(), query, attention.getQRope(), appended.getResult(), table, positions,
        /*offsets=*/Value(), codes ? codes.getResult() : Value(), attention.getScaleAttr(),
        b.getI64IntegerAttr(pageTokens), tile);
    Value result =
        headProduct(b, latent, headRows(b, weights, heads, dn, dv), dv, /*kFirst=*/false);
    attention.getResult().replaceAllUsesWith(result);
    attention.erase();
  }

  /// The attentions of `f` read the cache by `table`.
  LogicalResult absorb(func::FuncOp f, Value table) {
    Value positions = argumentNamed(f, names::argument::positions);
    if (!positions)
      return f.emitError() << "wants an argument whose exec.name is " << names::argument::positions;
    // A layer's latents are in the cache when its attention runs.
    mla::CacheAppendOp appended;
    mla::AppendCodesOp codes;
    for (Operation &op : llvm::make_early_inc_range(f.getBody().front())) {
      if (auto append = dyn_cast<mla::CacheAppendOp>(op))
        appended = append;
      else if (auto append = dyn_cast<mla::AppendCodesOp>(op))
        codes = append;
      auto attention = dyn_cast<mla::AttentionOp>(op);
      if (!attention)
        continue;
      auto expansion = traceExpansion(attention);
      if (failed(expansion))
        return failure();
      bool isKept = appended && (codes ? areCodesOf(codes, expansion->latent) &&
                                             appended.getCkv() == quantizerOf(codes).getScale()
                                       : appended.getCkv() == expansion->latent);
      if (!isKept)
        return attention.emitOpError("wants a cache that its latent was appended to");
      absorb(attention, expansion->weights, appended, codes, table, positions);
    }
    eraseUnused(f);
    // Where each sequence's rows begin was for attention to know.
    if (BlockArgument offsets = argumentNamed(f, names::argument::offsets)) {
      if (!offsets.use_empty())
        return f.emitError() << f.getSymName() << " still reads " << names::argument::offsets;
      (void)f.eraseArgument(offsets.getArgNumber());
    }
    return success();
  }

  void runOnOperation() override {
    ModuleOp module = getOperation();
    if (pageTokens < 1) {
      module.emitError() << "page-tokens wants a positive number, got " << pageTokens.getValue();
      return signalPassFailure();
    }
    bool reads = false;
    for (auto f : module.getOps<func::FuncOp>())
      if (Value table = argumentNamed(f, names::argument::pageTable)) {
        reads = true;
        if (failed(checkOneBlock(f)) || failed(absorb(f, table)))
          return signalPassFailure();
      }
    if (!reads)
      return;
    if (job::ModelAttr model = job::modelOf(module)) // the driver asks how large a page is
      module->setAttr(job::kModelAttr, model.withPageTokens(pageTokens));
  }
};
} // namespace
