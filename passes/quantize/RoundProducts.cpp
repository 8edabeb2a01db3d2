//===- RoundProducts.cpp - products take operands rounded to bf16 --------===//
//
// Where nothing is trained rows are rounded for weights that are bf16; other weights, and their
// rows, stay as they are.
//
//===----------------------------------------------------------------------===//

#include "dialects/job/Job.h"
#include "dialects/moe/Moe.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/MLProgram/IR/MLProgram.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/ImplicitLocOpBuilder.h"
#include "passes/Passes.h"
#include "passes/analysis/GraphQueries.h"
#include "passes/analysis/Products.h"
#include "passes/analysis/States.h"
#include "passes/quantize/RoundToBf16.h"

namespace hadal {
#define GEN_PASS_DEF_HADALROUNDPRODUCTS
#include "passes/Passes.h.inc"
} // namespace hadal

using namespace mlir;
using namespace hadal;

namespace {

struct RoundProducts : public hadal::impl::HadalRoundProductsBase<RoundProducts> {
  using HadalRoundProductsBase::HadalRoundProductsBase;

  DenseMap<Value, Value> rounded;

  /// The global whose state holds the rounded values of a parameter.
  FlatSymbolRefAttr roundedGlobal(ml_program::GlobalLoadOp load, SymbolTable &symbols) {
    StringRef parameter = load.getGlobal().getLeafReference().getValue();
    std::string state = ("rounded." + parameter).str();
    OpBuilder b = OpBuilder::atBlockBegin(getOperation().getBody());
    auto global = stateGlobal(b, load.getLoc(), symbols, "copy." + state, load.getType(), state);
    global->setAttr(job::kLayoutOfAttr, FlatSymbolRefAttr::get(&getContext(), parameter));
    return FlatSymbolRefAttr::get(global.getSymNameAttr());
  }

  Value round(Value v, SymbolTable &symbols) {
    Value &known = rounded[v];
    if (known)
      return known;
    OpBuilder b(&getContext());
    b.setInsertionPointAfterValue(v);
    auto type = cast<RankedTensorType>(v.getType());
    if (auto load = v.getDefiningOp<ml_program::GlobalLoadOp>())
      return known = ml_program::GlobalLoadOp::create(b, load.getLoc(), type,
                                                      roundedGlobal(load, symbols));
    SmallVector<Value> sizes;
    for (int64_t d = 0; d < type.getRank(); ++d)
      if (type.isDynamicDim(d))
        sizes.push_back(tensor::DimOp::create(b, v.getLoc(), v, d));
    Value init = tensor::EmptyOp::create(b, v.getLoc(), type, sizes);
    SmallVector<AffineMap> maps(2, b.getMultiDimIdentityMap(type.getRank()));
    SmallVector<utils::IteratorType> iterators(type.getRank(), utils::IteratorType::parallel);
    auto rounding =
        linalg::GenericOp::create(b, v.getLoc(), type, v, init, maps, iterators,
                                  [](OpBuilder &b, Location loc, ValueRange args) {
                                    linalg::YieldOp::create(b, loc, roundToBf16(b, loc, args[0]));
                                  });
    job::setPart(rounding, job::partAttrOf(rootOf(v).getDefiningOp()));
    return known = rounding.getResult(0);
  }

  /// Whether weights are trained, and so f32 wherever they come from.
  bool isTraining() {
    return llvm::any_of(getOperation().getOps<ml_program::GlobalOp>(),
                        [](ml_program::GlobalOp global) { return global.getIsMutable(); });
  }

  void runOnOperation() override {
    if (precision != "fp32" && precision != "bf16") {
      getOperation().emitError() << "hadal-round-products wants the precision fp32 or bf16, got "
                                 << precision;
      return signalPassFailure();
    }
    if (precision == "fp32")
      return;
    SymbolTable symbols(getOperation());
    SmallVector<OpOperand *> operands;
    bool trains = isTraining();
    getOperation().walk([&](Operation *op) {
      // The gate decides: it stays as it is (DeepSeek-V3, arXiv:2412.19437, section 3.3.1).
      if (job::partOf(op).ends_with(".mlp.gate"))
        return;
      auto take = [&](Value v) {
        for (OpOperand &operand : op->getOpOperands())
          if (operand.get() == v && getElementTypeOrSelf(v.getType()).isF32())
            operands.push_back(&operand);
      };
      if (auto p = matchProduct(op)) {
        if (!trains && !getElementTypeOrSelf(p->right.getType()).isBF16())
          return;
        take(p->left), take(p->right);
      } else if (auto g = matchWeightGradient(op)) {
        take(g->rows), take(g->gradient);
      } else {
        return;
      }
      op->setAttr(job::kBf16ValuesAttr, UnitAttr::get(&getContext()));
    });
    for (OpOperand *operand : operands)
      operand->set(round(operand->get(), symbols));
  }
};
} // namespace
