//===- Differentiate.cpp - the reverse sweep ------------------------------===//
//
// The reverse sweep: from the results back to what the gradient is taken of, one op after the
// other.
//
//===----------------------------------------------------------------------===//

#include "dialects/exec/KernelAttributes.h"
#include "dialects/job/Job.h"
#include "dialects/mla/Mla.h"
#include "dialects/moe/Moe.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/MLProgram/IR/MLProgram.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"
#include "mlir/Transforms/RegionUtils.h"
#include "passes/Passes.h"
#include "passes/autodiff/Rules.h"

namespace hadal {
#define GEN_PASS_DEF_HADALDIFFERENTIATE
#include "passes/Passes.h.inc"
} // namespace hadal

using namespace mlir;
using namespace hadal;
using namespace hadal::autodiff;

namespace {

bool isFloatTensor(Type type) {
  auto tensor = dyn_cast<RankedTensorType>(type);
  return tensor && isa<FloatType>(tensor.getElementType());
}

class Differentiator {
public:
  Differentiator(func::FuncOp f, const RuleTable &rules)
      : f(f), rules(rules), b(f.getLoc(), f.getContext()) {}

  LogicalResult run() {
    if (!f.getBody().hasOneBlock())
      return f.emitOpError() << "has no gradient: wants one block";
    block = &f.getBody().front();
    for (Operation &op : block->without_terminator())
      forward.push_back(&op);
    b.setInsertionPoint(block->getTerminator());
    b.setListener(&parts);
    DenseSet<Value> varied;
    if (failed(findVaried(varied)))
      return failure();
    Adjoints adjoints(b, std::move(varied));
    for (auto &[use, loads] : parameters)
      for (Value load : loads)
        adjoints.join(load, loads.front());
    if (failed(seed(adjoints)))
      return failure();
    for (Operation *op : llvm::reverse(forward)) {
      // A gradient belongs to its op's part.
      b.setLoc(locationOf(op));
      parts.part = job::partAttrOf(op);
      if (llvm::none_of(op->getResults(),
                        [&](Value v) { return adjoints.wants(v) && adjoints.of(v); }))
        continue;
      if (isa<ml_program::GlobalLoadOp>(op))
        continue;
      if (failed(differentiate(op, adjoints)))
        return failure();
    }
    b.setLoc(f.getLoc());
    parts.part = {};
    finish(adjoints);
    return success();
  }

private:
  /// What depends on what the gradient is taken of.
  LogicalResult findVaried(DenseSet<Value> &varied) {
    for (BlockArgument argument : block->getArguments()) {
      if (!f.getArgAttr(argument.getArgNumber(), job::kGradientAttr))
        continue;
      if (!isFloatTensor(argument.getType()))
        return f.emitOpError() << "wants argument " << argument.getArgNumber() << " with "
                               << job::kGradientAttr << " to be a tensor of floats, got "
                               << argument.getType();
      varied.insert(argument);
    }
    for (Operation *op : forward) {
      if (op->hasAttr(job::kStopGradientAttr))
        continue;
      bool any = llvm::any_of(op->getOperands(), [&](Value v) { return varied.contains(v); });
      if (auto load = dyn_cast<ml_program::GlobalLoadOp>(op);
          load && isFloatTensor(load.getType())) {
        auto global =
            SymbolTable::lookupNearestSymbolFrom<ml_program::GlobalOp>(f, load.getGlobal());
        if (global && global.getIsMutable()) {
          any = true;
          auto use = load->getAttrOfType<IntegerAttr>(job::kUseAttr);
          parameters[{load.getGlobal().getLeafReference(), use ? use.getInt() : 0}].push_back(
              load.getResult());
        }
      }
      visitUsedValuesDefinedAbove(op->getRegions(),
                                  [&](OpOperand *use) { any |= varied.contains(use->get()); });
      for (Value result : op->getResults())
        if (any && isa<FloatType>(getElementTypeOrSelf(result.getType())))
          varied.insert(result);
    }
    return success();
  }

  /// Gradients of the results: those that the caller brings where results ask for it and 1 for
  /// losses; where there is neither, 1 for the first.
  LogicalResult seed(Adjoints &adjoints) {
    bool brought = false;
    for (auto [i, value] : llvm::enumerate(block->getTerminator()->getOperands())) {
      if (f.getResultAttr(i, job::kLossAttr)) {
        brought = true;
        if (adjoints.wants(value))
          adjoints.add(value, adjoints.filled(adjoints.emptyLike(value), 1));
        continue;
      }
      if (!f.getResultAttr(i, job::kGradientAttr))
        continue;
      brought = true;
      SmallVector<NamedAttribute> attributes;
      if (auto name = f.getResultAttrOfType<StringAttr>(i, kNameAttr))
        attributes.push_back(
            b.getNamedAttr(kNameAttr, b.getStringAttr("gradient." + name.getValue())));
      attributes.push_back(b.getNamedAttr(job::kGradientOfResultAttr, b.getI64IntegerAttr(i)));
      if (Attribute stage = f.getResultAttr(i, job::kStageAttr))
        attributes.push_back(b.getNamedAttr(job::kStageAttr, stage));
      unsigned place = f.getNumArguments();
      if (failed(f.insertArgument(place, value.getType(), b.getDictionaryAttr(attributes),
                                  f.getLoc())))
        return failure();
      adjoints.add(value, f.getArgument(place));
    }
    if (brought)
      return success();
    Value loss = f.getNumResults() ? block->getTerminator()->getOperand(0) : Value();
    auto type = loss ? dyn_cast<RankedTensorType>(loss.getType()) : RankedTensorType();
    if (!type || type.getRank() != 0 || !isa<FloatType>(type.getElementType()))
      return f.emitOpError() << "wants its first result to be the loss, a tensor of one float";
    if (adjoints.wants(loss))
      adjoints.add(loss, adjoints.filled(adjoints.emptyLike(loss), 1));
    return success();
  }

  LogicalResult differentiate(Operation *op, Adjoints &adjoints) {
    if (auto known = rules.find(op->getName().getStringRef()); known != rules.end())
      return known->second(op, adjoints);
    if (isa<linalg::LinalgOp>(op))
      return differentiateLinalg(op, adjoints);
    return op->emitOpError() << "has no rule of differentiation, and the gradient goes through it";
  }

  /// "layers.3.mlp.gate_proj" -> "layers.3.mlp.gate_proj.gradient"
  Location locationOf(Operation *op) {
    auto name = dyn_cast<NameLoc>(op->getLoc());
    return name ? Location(NameLoc::get(b.getStringAttr(name.getName().getValue() + ".gradient"),
                                        name.getChildLoc()))
                : op->getLoc();
  }

  /// Returns the gradients after the results.
  void finish(Adjoints &adjoints) {
    Operation *terminator = block->getTerminator();
    auto append = [&](Value gradient, ArrayRef<NamedAttribute> attributes) {
      unsigned place = f.getNumResults();
      (void)f.insertResult(place, gradient.getType(), b.getDictionaryAttr(attributes));
      terminator->insertOperands(place, gradient);
    };
    unsigned arguments = block->getNumArguments();
    for (unsigned i = 0; i < arguments; ++i) {
      if (!f.getArgAttr(i, job::kGradientAttr))
        continue;
      Value argument = block->getArgument(i), gradient = adjoints.of(argument);
      SmallVector<NamedAttribute> attributes{
          b.getNamedAttr(job::kGradientOfArgumentAttr, b.getI64IntegerAttr(i))};
      if (auto name = f.getArgAttrOfType<StringAttr>(i, kNameAttr))
        attributes.push_back(
            b.getNamedAttr(kNameAttr, b.getStringAttr("gradient." + name.getValue())));
      if (Attribute stage = f.getArgAttr(i, job::kStageAttr))
        attributes.push_back(b.getNamedAttr(job::kStageAttr, stage));
      append(gradient ? gradient : adjoints.zerosLike(argument), attributes);
    }
    for (auto &[parameter, loads] : parameters)
      if (Value gradient = adjoints.of(loads.front())) {
        auto [name, use] = parameter;
        SmallVector<NamedAttribute> attributes{
            b.getNamedAttr(job::kGradientOfAttr, FlatSymbolRefAttr::get(name)),
            b.getNamedAttr(kNameAttr, b.getStringAttr("gradient." + name.getValue()))};
        if (use)
          attributes.push_back(b.getNamedAttr(job::kUseAttr, b.getI64IntegerAttr(use)));
        append(gradient, attributes);
      }
    // Sizes and zeros that nothing came to need.
    for (Operation &op : llvm::make_early_inc_range(llvm::reverse(*block)))
      if (isOpTriviallyDead(&op))
        op.erase();
  }

  func::FuncOp f;
  const RuleTable &rules;
  job::PartListener parts;
  ImplicitLocOpBuilder b;
  Block *block = nullptr;
  SmallVector<Operation *> forward;
  llvm::MapVector<std::pair<StringAttr, int64_t>, SmallVector<Value>>
      parameters; ///< by global and use
};

struct Differentiate : public hadal::impl::HadalDifferentiateBase<Differentiate> {
  void runOnOperation() override {
    RuleTable rules;
    addTensorRules(rules);
    addMlaRules(rules);
    addMoeRules(rules);
    SymbolTable symbols(getOperation());
    for (auto f : llvm::to_vector(getOperation().getOps<func::FuncOp>())) {
      if (!f->hasAttr(job::kDifferentiateAttr))
        continue;
      f->removeAttr(job::kDifferentiateAttr);
      auto gradient = cast<func::FuncOp>(f->clone());
      gradient.setSymName((f.getSymName() + "_gradient").str());
      symbols.insert(gradient, std::next(Block::iterator(f)));
      if (failed(Differentiator(gradient, rules).run()))
        return signalPassFailure();
    }
  }
};
} // namespace
