//===- Specialize.cpp - prefill, inspect and decode, made of @forward ----===//

#include "dialects/exec/Exec.h"
#include "dialects/fp8/Fp8.h"
#include "dialects/job/Job.h"
#include "dialects/mla/Mla.h"
#include "dialects/moe/Moe.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/ImplicitLocOpBuilder.h"
#include "passes/Passes.h"
#include "llvm/Support/FormatVariadic.h"

namespace hadal {
#define GEN_PASS_DEF_MLASPECIALIZE
#include "passes/Passes.h.inc"
} // namespace hadal

using namespace mlir;
using namespace hadal;

namespace {

/// The latent, and the projection [heads * (dn + dv), rk] that an attention's keys and values are
/// made of.
struct Expansion {
  Value latent, weights;
};

FailureOr<Expansion> traceExpansion(mla::AttentionOp op) {
  auto slice = op.getKNope().getDefiningOp<tensor::ExtractSliceOp>();
  auto values = op.getV().getDefiningOp<tensor::ExtractSliceOp>();
  auto expand =
      slice ? slice.getSource().getDefiningOp<tensor::ExpandShapeOp>() : tensor::ExpandShapeOp();
  auto product = expand ? expand.getSrc().getDefiningOp<linalg::LinalgOp>() : linalg::LinalgOp();
  if (!values || !product || !linalg::isaContractionOpInterface(product) ||
      values.getSource() != slice.getSource())
    return op.emitOpError(
        "wants keys and values that are slices of one product of a latent with a parameter");
  return Expansion{product.getDpsInputs()[0], product.getDpsInputs()[1]};
}

class Specializer {
public:
  Specializer(func::FuncOp forward, int64_t pageTokens)
      : forward(forward), pageTokens(pageTokens), b(forward.getContext()) {}

  LogicalResult prefill(StringRef name, bool inspected, bool routed) {
    func::FuncOp f = clone(name, {"tokens", "sequences", "attended", "logit_rows"});
    Value slots = addArgument(f, "slots", ids(), shape({sym(0)}));
    describe(f, {shape({sym(0)}), shape({sym(0)}), shape({sym(1) + 1}), shape({sym(3)})});
    if (routed)
      forceRoutes(f);
    SmallVector<Value> caches;
    for (auto [layer, attention] : llvm::enumerate(attentions(f))) {
      auto expansion = traceExpansion(attention);
      if (failed(expansion))
        return failure();
      caches.push_back(append(f, layer, attention, expansion->latent, slots));
    }
    finish(f, caches, inspected);
    return success();
  }

  LogicalResult decode() {
    func::FuncOp f = clone("decode", {"tokens", "table_pages", "attended"});
    // One row a sequence: all rows want logits, nothing needs the rows' ranges.
    for (Operation *user : llvm::make_early_inc_range(argument(f, "logit_row_ids").getUsers())) {
      if (isa<tensor::DimOp>(user)) {
        OpBuilder at(user);
        user->replaceAllUsesWith(ValueRange{
            tensor::DimOp::create(at, user->getLoc(), argument(f, "token_ids"), 0).getResult()});
        user->erase();
        continue;
      }
      auto gather = dyn_cast<linalg::GenericOp>(user);
      tensor::ExtractOp extract;
      if (gather)
        gather.getBody()->walk([&](tensor::ExtractOp op) { extract = op; });
      if (!extract || extract.getTensor().getType() != gather.getResult(0).getType())
        return user->emitOpError("wants to be the choice of the rows whose logits are computed");
      gather.getResult(0).replaceAllUsesWith(extract.getTensor());
      gather.erase();
    }
    Value slots = addArgument(f, "slots", ids(), shape({sym(0)}));
    Value table = addArgument(
        f, "page_table",
        RankedTensorType::get({ShapedType::kDynamic, ShapedType::kDynamic}, b.getI32Type()),
        shape({sym(0), sym(1)}));
    Value positions = argument(f, "positions");
    SmallVector<Value> caches;
    for (auto [layer, attention] : llvm::enumerate(attentions(f))) {
      auto expansion = traceExpansion(attention);
      if (failed(expansion))
        return failure();
      caches.push_back(append(f, layer, attention, expansion->latent, slots));
      absorb(attention, expansion->weights, caches.back(), table, positions);
    }
    finish(f, caches, /*inspected=*/false);
    for (StringRef unused : {"offsets", "logit_row_ids"}) {
      BlockArgument a = argument(f, unused);
      if (!a.use_empty())
        return f.emitError() << "decode still reads " << unused;
      (void)f.eraseArgument(a.getArgNumber());
    }
    describe(f, {shape({sym(0)}), shape({sym(0)})});
    return success();
  }

private:
  RankedTensorType ids() { return RankedTensorType::get(ShapedType::kDynamic, b.getI32Type()); }
  AffineExpr sym(unsigned i) { return b.getAffineSymbolExpr(i); }
  AffineMapAttr shape(ArrayRef<AffineExpr> e) {
    return AffineMapAttr::get(AffineMap::get(0, registers, e, b.getContext()));
  }

  func::FuncOp clone(StringRef name, ArrayRef<StringRef> names) {
    b.setInsertionPoint(forward);
    auto f = cast<func::FuncOp>(b.clone(*forward));
    f.setSymName(name);
    f.setPublic();
    f->setAttr("exec.registers", b.getStrArrayAttr(names));
    registers = names.size();
    return f;
  }

  BlockArgument argument(func::FuncOp f, StringRef name) {
    for (auto [i, a] : llvm::enumerate(f.getArguments()))
      if (auto n = f.getArgAttrOfType<StringAttr>(i, "exec.name"); n && n.getValue() == name)
        return a;
    llvm_unreachable("checked in runOnOperation");
  }

  Value addArgument(func::FuncOp f, StringRef name, Type type, AffineMapAttr shapeMap) {
    unsigned i = f.getNumArguments();
    auto attributes = b.getDictionaryAttr({b.getNamedAttr("exec.name", b.getStringAttr(name)),
                                           b.getNamedAttr("exec.shape", shapeMap)});
    (void)f.insertArgument(i, type, attributes, f.getLoc());
    return f.getArgument(i);
  }

  void describe(func::FuncOp f, ArrayRef<AffineMapAttr> shapes) {
    for (auto [i, s] : llvm::enumerate(shapes))
      f.setArgAttr(i, "exec.shape", s);
  }

  SmallVector<mla::AttentionOp> attentions(func::FuncOp f) {
    return llvm::to_vector(f.getOps<mla::AttentionOp>());
  }

  /// The choice of experts becomes an argument of each layer that routes.
  void forceRoutes(func::FuncOp f) {
    Operation *terminator = f.getBody().front().getTerminator();
    for (auto route : llvm::to_vector(f.getOps<moe::RouteOp>())) {
      StringRef name = "routes";
      std::string full = name.str();
      for (auto [i, v] : llvm::enumerate(terminator->getOperands()))
        if (v == route.getExperts()) { // router.k.topk_ids
          StringRef result = f.getResultAttrOfType<StringAttr>(i, "exec.name").getValue();
          full = ("routes." + result.split('.').second.split('.').first).str();
        }
      auto type = cast<RankedTensorType>(route.getExperts().getType());
      Value forced =
          addArgument(f, full, type, shape({sym(0), b.getAffineConstantExpr(type.getDimSize(1))}));
      route.getForcedMutable().assign(forced);
    }
  }

  /// Appends a layer's latents and keys after the op that reads them last in time: the attention
  /// comes after.
  Value append(func::FuncOp f, unsigned layer, mla::AttentionOp attention, Value latent,
               Value slots) {
    int64_t width = cast<RankedTensorType>(latent.getType()).getDimSize(1) +
                    attention.getKRope().getType().getDimSize(1);
    auto type = RankedTensorType::get({ShapedType::kDynamic, width}, b.getF32Type());
    std::string name = llvm::formatv("cache.{0}", layer);
    unsigned i = f.getNumArguments();
    // A state's rows are no register of the program; nothing in it depends on how many there are.
    auto attributes = b.getDictionaryAttr(
        {b.getNamedAttr("exec.state", b.getStringAttr(name)),
         b.getNamedAttr("exec.shape",
                        shape({b.getAffineConstantExpr(0), b.getAffineConstantExpr(width)}))});
    (void)f.insertArgument(i, type, attributes, f.getLoc());
    OpBuilder at(attention);
    job::PartListener parts(job::partAttrOf(attention));
    at.setListener(&parts);
    return mla::CacheAppendOp::create(at, attention.getLoc(), type, latent, attention.getKRope(),
                                      slots, f.getArgument(i));
  }

  /// W [heads * (dn + dv), rk] -> rows [first, first + count) of each head.
  Value headRows(ImplicitLocOpBuilder &at, Value weights, int64_t heads, int64_t first,
                 int64_t count) {
    auto type = cast<RankedTensorType>(weights.getType());
    int64_t each = type.getDimSize(0) / heads, rk = type.getDimSize(1);
    auto split = RankedTensorType::get({heads, each, rk}, type.getElementType());
    Value expanded = tensor::ExpandShapeOp::create(at, split, weights,
                                                   SmallVector<ReassociationIndices>{{0, 1}, {2}});
    auto part = RankedTensorType::get({heads, count, rk}, type.getElementType());
    auto ints = [&](ArrayRef<int64_t> v) { return getAsIndexOpFoldResult(b.getContext(), v); };
    return tensor::ExtractSliceOp::create(at, part, expanded, ints({0, first, 0}),
                                          ints({heads, count, rk}), ints({1, 1, 1}));
  }

  /// y[t, h, n] = sum over k of x[t, h, k] * w(h, n, k), with w's dimensions as `weightDims` says.
  Value headProduct(ImplicitLocOpBuilder &at, Value x, Value w, int64_t n, bool kFirst) {
    auto type = cast<RankedTensorType>(x.getType());
    int64_t heads = type.getDimSize(1);
    Value rows = tensor::DimOp::create(at, x, 0);
    Value empty = tensor::EmptyOp::create(
        at, RankedTensorType::get({ShapedType::kDynamic, heads, n}, b.getF32Type()),
        ValueRange{rows});
    Value zero = arith::ConstantOp::create(at, b.getF32FloatAttr(0));
    Value init = linalg::FillOp::create(at, zero, empty).getResult(0);
    AffineExpr t, h, o, k;
    bindDims(b.getContext(), t, h, o, k);
    auto mapOf = [&](ArrayRef<AffineExpr> e) { return AffineMap::get(4, 0, e, b.getContext()); };
    using utils::IteratorType;
    return linalg::GenericOp::create(
               at, TypeRange{init.getType()}, ValueRange{x, w}, ValueRange{init},
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

  /// score = q_nope . (W_k c) = (W_k^T q_nope) . c, and sum p (W_v c) = W_v (sum p c): heads never
  /// see the expanded cache.
  void absorb(mla::AttentionOp attention, Value weights, Value cache, Value table,
              Value positions) {
    job::PartListener parts(job::partAttrOf(attention));
    ImplicitLocOpBuilder at(attention.getLoc(), attention);
    at.setListener(&parts);
    int64_t heads = attention.getQNope().getType().getDimSize(1),
            dn = attention.getQNope().getType().getDimSize(2);
    int64_t dv = attention.getV().getType().getDimSize(2),
            rk = cast<RankedTensorType>(weights.getType()).getDimSize(1);
    Value query = headProduct(at, attention.getQNope(), headRows(at, weights, heads, 0, dn), rk,
                              /*kFirst=*/true);
    Value latent = mla::LatentAttentionOp::create(at, query.getType(), query, attention.getQRope(),
                                                  cache, table, positions, attention.getScaleAttr(),
                                                  b.getI64IntegerAttr(pageTokens));
    Value result =
        headProduct(at, latent, headRows(at, weights, heads, dn, dv), dv, /*kFirst=*/false);
    attention.getResult().replaceAllUsesWith(result);
    attention.erase();
  }

  /// Returns the logits (and, inspected, all else), then the caches.
  void finish(func::FuncOp f, ArrayRef<Value> caches, bool inspected) {
    Operation *terminator = f.getBody().front().getTerminator();
    SmallVector<Value> values;
    SmallVector<DictionaryAttr> attributes;
    for (auto [i, v] : llvm::enumerate(terminator->getOperands())) {
      auto name = f.getResultAttrOfType<StringAttr>(i, "exec.name");
      if (!inspected && name.getValue() != "logits")
        continue;
      values.push_back(v);
      attributes.push_back(b.getDictionaryAttr(b.getNamedAttr("exec.name", name)));
    }
    for (auto [layer, cache] : llvm::enumerate(caches)) {
      values.push_back(cache);
      attributes.push_back(b.getDictionaryAttr(
          b.getNamedAttr("exec.state", b.getStringAttr(llvm::formatv("cache.{0}", layer).str()))));
    }
    terminator->setOperands(values);
    f.setType(b.getFunctionType(f.getArgumentTypes(), ValueRange(values).getTypes()));
    f.setAllResultAttrs(attributes);
    // What only the dropped results or the replaced attention needed.
    bool changed = true;
    while (changed) {
      changed = false;
      for (Operation &op : llvm::make_early_inc_range(llvm::reverse(f.getBody().front())))
        if (isOpTriviallyDead(&op)) {
          op.erase();
          changed = true;
        }
    }
  }

  func::FuncOp forward;
  int64_t pageTokens;
  OpBuilder b;
  unsigned registers = 0;
};

struct Specialize : public hadal::impl::MlaSpecializeBase<Specialize> {
  using MlaSpecializeBase::MlaSpecializeBase;
  void runOnOperation() override {
    ModuleOp module = getOperation();
    auto forward = module.lookupSymbol<func::FuncOp>("forward");
    if (!forward)
      return;
    for (StringRef name : {"token_ids", "positions", "offsets", "logit_row_ids"})
      if (llvm::none_of(llvm::seq(forward.getNumArguments()), [&](unsigned i) {
            auto n = forward.getArgAttrOfType<StringAttr>(i, "exec.name");
            return n && n.getValue() == name;
          })) {
        forward.emitError() << "wants an argument whose exec.name is " << name;
        return signalPassFailure();
      }
    if (pageTokens < 1) {
      forward.emitError() << "page-tokens wants a positive number, got " << pageTokens;
      return signalPassFailure();
    }
    // The caches are states of the module: [slots, rk + dr] each.
    OpBuilder b = OpBuilder::atBlockBegin(module.getBody());
    if (job::ModelAttr model = job::modelOf(module)) // the driver asks how large a page is
      module->setAttr(job::kModelAttr, model.withPageTokens(pageTokens));
    module->setAttr("exec.state_registers", b.getStrArrayAttr({"cache_slots"}));
    for (auto [layer, attention] : llvm::enumerate(forward.getOps<mla::AttentionOp>())) {
      auto expansion = traceExpansion(attention);
      if (failed(expansion))
        return signalPassFailure();
      int64_t width = cast<RankedTensorType>(expansion->latent.getType()).getDimSize(1) +
                      attention.getKRope().getType().getDimSize(1);
      AffineMap shape = AffineMap::get(
          0, 1, {b.getAffineSymbolExpr(0), b.getAffineConstantExpr(width)}, b.getContext());
      exec::StateOp::create(b, attention.getLoc(), llvm::formatv("cache.{0}", layer).str(), shape,
                            b.getF32Type());
    }
    Specializer specializer(forward, pageTokens);
    if (failed(specializer.prefill("prefill", false, false)) ||
        failed(specializer.prefill("inspect", true, false)) ||
        failed(specializer.prefill("inspect_routed", true, true)) || failed(specializer.decode()))
      return signalPassFailure();
    forward.erase();
  }
};
} // namespace
