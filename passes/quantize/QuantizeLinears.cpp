//===- QuantizeLinears.cpp - the products of Linears take FP8 codes -------===//

#include "dialects/fp8/Fp8.h"
#include "dialects/job/PartBuilder.h"
#include "dialects/moe/Moe.h"
#include "passes/Passes.h"
#include "passes/analysis/Products.h"
#include "passes/quantize/Fp8Quantizer.h"
#include "passes/quantize/RowMoves.h"

namespace hadal {
#define GEN_PASS_DEF_FP8QUANTIZE
#include "passes/Passes.h.inc"
} // namespace hadal

using namespace mlir;
using namespace hadal;

namespace {

class Linears {
public:
  explicit Linears(Fp8Quantizer &quantizer) : quantizer(quantizer) {}

  void run() {
    SmallVector<std::pair<Operation *, Fp8Quantizer::Role>> ops;
    for (Operation &op : quantizer.function().getBody().front())
      if (auto role = quantizer.roles.find(&op); role != quantizer.roles.end())
        ops.push_back({&op, role->second});
    for (auto [op, role] : ops)
      if (role == Fp8Quantizer::Role::WeightGradient)
        weightGradient(op);
      else
        product(op, role == Fp8Quantizer::Role::InputGradient);
  }

private:
  void product(Operation *op, bool isGradient) {
    Product p = *matchProduct(op);
    Fp8Options options = quantizer.optionsOf(op);
    // As what is kept of it (KeepActivations.cpp).
    bool pow2 = !isGradient && isAttentionOutput(p.left);
    Fp8Codes rows = isGradient ? quantizer.gradientCodes(op, p.left, options, pow2, p.offsets)
                               : quantizer.quantize(op, p.left, options.rowTile().withPow2(pow2));
    bool transpose = p.rightN > p.rightK;
    quantizer.product(op, rows, p.right, transpose, options, p.offsets, p.active, p.source);
  }

  void weightGradient(Operation *op) {
    WeightGradient g = *matchLinearGradient(op);
    Value rows = g.rows;
    if (g.source) { // tiles are of the rows as they stand in their groups
      job::PartBuilder b(op);
      rows = gatherRows(b, op->getLoc(), rows, g.source);
    }
    Value init = cast<DestinationStyleOpInterface>(op).getDpsInitOperand(0)->get();
    quantizer.weightGradient(op, g.gradient, isKeptInPow2(g.gradient), rows, isKeptInPow2(rows),
                             init, quantizer.optionsOf(op), g.offsets, g.active);
  }

  /// What was kept with powers of two is tiled anew with powers of two: nothing is rounded but what
  /// falls below the normal numbers of its new tile.
  static bool isKeptInPow2(Value v) {
    auto numbers = v.getDefiningOp<fp8::DequantizeOp>();
    return numbers && numbers.getPow2();
  }

  Fp8Quantizer &quantizer;
};

struct Fp8Quantize : public hadal::impl::Fp8QuantizeBase<Fp8Quantize> {
  using Fp8QuantizeBase::Fp8QuantizeBase;

  /// What text says is checked where it is read, so that its user need not wait for a module.
  LogicalResult initializeOptions(StringRef text,
                                  function_ref<LogicalResult(const Twine &)> error) override {
    if (failed(Fp8QuantizeBase::initializeOptions(text, error)))
      return failure();
    Fp8Recipe recipe;
    return success(read(recipe, [&](const Twine &wrong) { (void)error("fp8-quantize " + wrong); }));
  }

  bool read(Fp8Recipe &recipe, function_ref<void(const Twine &)> error) {
    const std::pair<Fp8Recipe::Option, StringRef> texts[] = {
        {Fp8Recipe::Format, format},
        {Fp8Recipe::Scales, scales},
        {Fp8Recipe::GradientTile, gradientTile},
        {Fp8Recipe::AttentionOutput, attentionOutput},
        {Fp8Recipe::Swiglu, swiglu},
        {Fp8Recipe::Interval, interval},
        {Fp8Recipe::Accumulate, accumulate}};
    return llvm::all_of(texts,
                        [&](auto &one) { return recipe.read(one.first, one.second, error); });
  }

  void runOnOperation() override {
    auto error = [&] { return getOperation().emitError() << "fp8-quantize "; };
    Fp8Recipe recipe;
    if (!read(recipe, [&](const Twine &wrong) { error() << wrong; }))
      return signalPassFailure();
    for (auto f : getOperation().getOps<func::FuncOp>()) {
      if (f.isExternal() || !f.getBody().hasOneBlock())
        continue;
      Fp8Quantizer quantizer(f, recipe);
      keepActivations(quantizer);
      quantizeRoutedExperts(quantizer);
      Linears(quantizer).run();
    }
    if (!recipe.checkPatterns(error))
      signalPassFailure();
  }
};
} // namespace
