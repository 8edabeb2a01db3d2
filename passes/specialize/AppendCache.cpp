//===- AppendCache.cpp - programs keep latents and rope keys of their rows ===//

#include "dialects/exec/Exec.h"
#include "dialects/job/Job.h"
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

std::string cacheName(unsigned layer) { return llvm::formatv("cache.{0}", layer); }

/// A layer's rows: rk numbers of the latent, dr of the rope key.
int64_t widthOf(mla::AttentionOp attention, const Expansion &expansion) {
  return cast<RankedTensorType>(expansion.latent.getType()).getDimSize(1) +
         attention.getKRope().getType().getDimSize(1);
}

struct AppendCache : public hadal::impl::MlaAppendCacheBase<AppendCache> {
  /// The cache of layer `layer` is a state of the module, [slots, width], made on first use.
  LogicalResult makeState(unsigned layer, mla::AttentionOp attention, int64_t width) {
    if (layer < widths.size()) {
      if (widths[layer] == width)
        return success();
      return attention.emitOpError() << "wants " << widths[layer] << " numbers in a row of "
                                     << cacheName(layer) << ", as other functions, got " << width;
    }
    widths.push_back(width);
    AffineMap shape = AffineMap::get(
        0, 1, {getAffineSymbolExpr(0, &getContext()), getAffineConstantExpr(width, &getContext())},
        &getContext());
    exec::StateOp::create(*states, attention.getLoc(), cacheName(layer), shape,
                          states->getF32Type());
    return success();
  }

  /// Appends a layer's latents and keys before the op that reads them last in time: the attention.
  FailureOr<Value> append(func::FuncOp f, unsigned layer, mla::AttentionOp attention, Value slots) {
    auto expansion = traceExpansion(attention);
    if (failed(expansion))
      return failure();
    int64_t width = widthOf(attention, *expansion);
    if (failed(makeState(layer, attention, width)))
      return failure();
    OpBuilder b(attention);
    // A state's rows are no register of the program; nothing in it depends on how many there are.
    unsigned registers = 0;
    if (auto known = f->getAttrOfType<ArrayAttr>(kRegistersAttr))
      registers = known.size();
    AffineMap shape = AffineMap::get(
        0, registers, {b.getAffineConstantExpr(0), b.getAffineConstantExpr(width)}, b.getContext());
    auto attributes =
        b.getDictionaryAttr({b.getNamedAttr(kStateAttr, b.getStringAttr(cacheName(layer))),
                             b.getNamedAttr(kShapeAttr, AffineMapAttr::get(shape))});
    auto type = RankedTensorType::get({ShapedType::kDynamic, width}, b.getF32Type());
    unsigned i = f.getNumArguments();
    (void)f.insertArgument(i, type, attributes, f.getLoc());
    job::PartListener parts(job::partAttrOf(attention));
    b.setListener(&parts);
    return Value(mla::CacheAppendOp::create(b, attention.getLoc(), type, expansion->latent,
                                            attention.getKRope(), slots, f.getArgument(i)));
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
    for (auto [layer, attention] : llvm::enumerate(llvm::to_vector(f.getOps<mla::AttentionOp>()))) {
      FailureOr<Value> cache = append(f, layer, attention, slots);
      if (failed(cache))
        return failure();
      results.push_back(*cache);
      NamedAttrList state;
      state.set(kStateAttr, StringAttr::get(&getContext(), cacheName(layer)));
      attributes.push_back(state.getDictionary(&getContext()));
    }
    setResults(f, results, attributes);
    return success();
  }

  void runOnOperation() override {
    ModuleOp module = getOperation();
    OpBuilder b = OpBuilder::atBlockBegin(module.getBody());
    states = &b;
    for (auto f : module.getOps<func::FuncOp>())
      if (Value slots = argumentNamed(f, kSlots);
          slots && (failed(checkOneBlock(f)) || failed(append(f, slots))))
        return signalPassFailure();
    if (!widths.empty())
      module->setAttr(kStateRegistersAttr, b.getStrArrayAttr({"cache_slots"}));
  }

private:
  OpBuilder *states = nullptr; ///< at the head of the module
  SmallVector<int64_t> widths; ///< of a row of each layer's cache
};
} // namespace
