//===- AppendCache.cpp - programs keep latents and rope keys of their rows ===//

#include "dialects/exec/Exec.h"
#include "dialects/fp8/Fp8.h"
#include "dialects/job/PartBuilder.h"
#include "dialects/mla/Mla.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "passes/Passes.h"
#include "passes/specialize/Cache.h"
#include "llvm/Support/FormatVariadic.h"

namespace hadal {
#define GEN_PASS_DEF_MLAAPPENDCACHE
#include "passes/Passes.h.inc"
} // namespace hadal

using namespace mlir;
using namespace hadal;

namespace {

std::string cacheName(unsigned layer) { return names::state::cache + std::to_string(layer); }

constexpr int64_t kTile = 128; ///< of a latent in codes

int64_t lastSize(Value v) { return cast<RankedTensorType>(v.getType()).getShape().back(); }

/// A latent as codes: those that it is made of already, or of its own.
fp8::QuantizeOp codesOf(Value latent, OpBuilder &b) {
  if (auto known = latent.getDefiningOp<fp8::DequantizeOp>();
      known && known.isOfBlocks() && known.getBlock()[0] == 1)
    if (auto quantize = known.getQ().getDefiningOp<fp8::QuantizeOp>())
      return quantize;
  return fp8::QuantizeOp::create(b, latent.getLoc(), latent, {1, kTile});
}

struct AppendCache : public hadal::impl::MlaAppendCacheBase<AppendCache> {
  using MlaAppendCacheBase::MlaAppendCacheBase;

  /// A part of the cache is a state of the module, [slots, width], made on first use.
  LogicalResult makeState(StringRef name, mla::AttentionOp attention, int64_t width, Type element) {
    auto [known, isNew] = widths.try_emplace(name, width);
    if (known->second != width)
      return attention.emitOpError() << "wants " << known->second << " numbers in a row of " << name
                                     << ", as other functions, got " << width;
    if (!isNew)
      return success();
    AffineMap shape = AffineMap::get(
        0, 1, {getAffineSymbolExpr(0, &getContext()), getAffineConstantExpr(width, &getContext())},
        &getContext());
    exec::StateOp::create(*states, attention.getLoc(), name, shape, element);
    return success();
  }

  /// What `f` returns beside its results.
  struct Kept {
    std::string state;
    Value value;
  };

  /// The function's argument for a part of the cache, appended by `append`.
  FailureOr<Kept> keep(func::FuncOp f, mla::AttentionOp attention, std::string name, int64_t width,
                       Type element, function_ref<Value(Value)> append) {
    if (failed(makeState(name, attention, width, element)))
      return failure();
    Builder b(&getContext());
    // A state's rows are no register of the program; nothing in it depends on how many there are.
    unsigned registers = 0;
    if (auto known = f->getAttrOfType<ArrayAttr>(kRegistersAttr))
      registers = known.size();
    AffineMap shape = AffineMap::get(
        0, registers, {b.getAffineConstantExpr(0), b.getAffineConstantExpr(width)}, &getContext());
    auto attributes = b.getDictionaryAttr({b.getNamedAttr(kStateAttr, b.getStringAttr(name)),
                                           b.getNamedAttr(kShapeAttr, AffineMapAttr::get(shape))});
    auto type = RankedTensorType::get({ShapedType::kDynamic, width}, element);
    unsigned i = f.getNumArguments();
    (void)f.insertArgument(i, type, attributes, f.getLoc());
    return Kept{std::move(name), append(f.getArgument(i))};
  }

  /// Appends a layer's latents and keys before the op that reads them last in time: the attention.
  LogicalResult append(func::FuncOp f, unsigned layer, mla::AttentionOp attention, Value slots,
                       SmallVectorImpl<Kept> &kept) {
    auto expansion = traceExpansion(attention);
    if (failed(expansion))
      return failure();
    job::PartBuilder b(attention);
    Value latent = expansion->latent, key = attention.getKRope();
    if (cache == "fp8") {
      fp8::QuantizeOp codes = codesOf(latent, b);
      latent = codes.getScale();
      auto made = keep(f, attention, cacheName(layer) + ".codes", lastSize(codes.getQ()),
                       Float8E4M3FNType::get(&getContext()), [&](Value to) -> Value {
                         return mla::AppendCodesOp::create(b, attention.getLoc(), to.getType(),
                                                           codes.getQ(), slots, to);
                       });
      if (failed(made))
        return failure();
      kept.push_back(*made);
    }
    auto made = keep(f, attention, cacheName(layer), lastSize(latent) + lastSize(key),
                     b.getF32Type(), [&](Value to) -> Value {
                       return mla::CacheAppendOp::create(b, attention.getLoc(), to.getType(),
                                                         latent, key, slots, to);
                     });
    if (failed(made))
      return failure();
    kept.push_back(*made);
    return success();
  }

  LogicalResult append(func::FuncOp f, Value slots) {
    SmallVector<Value> results(f.getBody().front().getTerminator()->getOperands());
    SmallVector<DictionaryAttr> attributes;
    for (unsigned i = 0; i < results.size(); ++i) {
      // Of a result's attributes its name alone is the program's.
      auto name = f.getResultAttrOfType<StringAttr>(i, kNameAttr);
      NamedAttrList kept;
      if (name)
        kept.set(kNameAttr, name);
      attributes.push_back(kept.getDictionary(&getContext()));
    }
    SmallVector<Kept> kept;
    for (auto [layer, attention] : llvm::enumerate(llvm::to_vector(f.getOps<mla::AttentionOp>())))
      if (failed(append(f, layer, attention, slots, kept)))
        return failure();
    for (Kept &part : kept) {
      results.push_back(part.value);
      NamedAttrList state;
      state.set(kStateAttr, StringAttr::get(&getContext(), part.state));
      attributes.push_back(state.getDictionary(&getContext()));
    }
    setResults(f, results, attributes);
    return success();
  }

  void runOnOperation() override {
    ModuleOp module = getOperation();
    if (cache != "fp32" && cache != "fp8") {
      module.emitError() << "mla-append-cache wants the cache to be fp32 or fp8, got " << cache;
      return signalPassFailure();
    }
    widths.clear();
    OpBuilder b = OpBuilder::atBlockBegin(module.getBody());
    states = &b;
    for (auto f : module.getOps<func::FuncOp>())
      if (Value slots = argumentNamed(f, names::argument::slots);
          slots && (failed(checkOneBlock(f)) || failed(append(f, slots))))
        return signalPassFailure();
    if (!widths.empty())
      module->setAttr(kStateRegistersAttr, b.getStrArrayAttr({names::reg::cacheSlots}));
  }

private:
  OpBuilder *states = nullptr;     ///< at the head of the module
  llvm::StringMap<int64_t> widths; ///< of a row of each state
};
} // namespace
