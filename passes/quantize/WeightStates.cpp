//===- WeightStates.cpp - codes of weights are kept through a step --------===//
//
// Micro-batches of a step read the same weights, and so the same codes: these are states that a
// program of their own fills when a step begins. On many ranks each stage has a program, so that a
// rank fills those of its stages alone.
//
//===----------------------------------------------------------------------===//

#include "dialects/fp8/Fp8.h"
#include "dialects/job/Job.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/MLProgram/IR/MLProgram.h"
#include "mlir/IR/ImplicitLocOpBuilder.h"
#include "passes/Passes.h"
#include "passes/analysis/States.h"
#include "runtime/module/Names.h"

namespace hadal {
#define GEN_PASS_DEF_FP8WEIGHTSTATES
#include "passes/Passes.h.inc"
} // namespace hadal

using namespace mlir;
using namespace hadal;

namespace {

class WeightStates : public hadal::impl::Fp8WeightStatesBase<WeightStates> {
public:
  using Fp8WeightStatesBase::Fp8WeightStatesBase;
  void runOnOperation() override;

private:
  ml_program::GlobalOp global(StringRef kind, StringRef of, OpResult value);
  func::FuncOp programFor(func::FuncOp reader);
  void keep(fp8::QuantizeOp op);

  std::optional<SymbolTable> symbols;
  DenseMap<StringAttr, DenseSet<Attribute>> filled; ///< by program: the globals of codes
};

/// "1x128", then whatever else says how the codes are made: "128x128.pow2".
std::string manner(fp8::QuantizeOp op) {
  std::string text;
  for (int64_t size : op.getBlock())
    text += (text.empty() ? "" : "x") + std::to_string(size);
  for (NamedAttribute attribute : op->getAttrs()) {
    if (attribute.getName() == "block" || attribute.getName() == job::kPartAttr)
      continue;
    auto value = dyn_cast<StringAttr>(attribute.getValue());
    text += "." + (value ? value.getValue() : attribute.getName().strref()).str();
  }
  return text;
}

} // namespace

/// The mutable global that `value` is kept in, as the state "KIND.MANNER.PARAMETER".
ml_program::GlobalOp WeightStates::global(StringRef kind, StringRef of, OpResult value) {
  std::string state =
      (kind + "." + manner(cast<fp8::QuantizeOp>(value.getOwner())) + "." + of).str();
  OpBuilder b = OpBuilder::atBlockBegin(getOperation().getBody());
  return stateGlobal(b, value.getLoc(), *symbols, "copy." + state, value.getType(), state);
}

/// The function, of no arguments and results, that fills what `reader` reads.
func::FuncOp WeightStates::programFor(func::FuncOp reader) {
  StringRef stage = reader.getSymName();
  std::string name = stage.consume_front("stage.")
                         ? names::program::quantizeWeightsOf(
                               unsigned(std::strtoul(stage.str().c_str(), nullptr, 10)))
                         : names::program::quantizeWeights;
  if (auto known = symbols->lookup<func::FuncOp>(name))
    return known;
  OpBuilder b = OpBuilder::atBlockEnd(getOperation().getBody());
  auto made = func::FuncOp::create(b, reader.getLoc(), name, b.getFunctionType({}, {}));
  b.setInsertionPointToEnd(made.addEntryBlock());
  func::ReturnOp::create(b, reader.getLoc());
  symbols->insert(made);
  return made;
}

void WeightStates::keep(fp8::QuantizeOp op) {
  auto load = op.getX().getDefiningOp<ml_program::GlobalLoadOp>();
  auto parameter = load ? symbols->lookup<ml_program::GlobalOp>(load.getGlobal().getLeafReference())
                        : ml_program::GlobalOp();
  if (!parameter || !parameter.getIsMutable() || op->getNumOperands() != 1)
    return;
  StringRef name = parameter.getSymName();
  ml_program::GlobalOp kept[] = {global("codes", name, op->getResult(0)),
                                 global("scales", name, op->getResult(1))};
  func::FuncOp program = programFor(op->getParentOfType<func::FuncOp>());
  if (filled[program.getSymNameAttr()].insert(kept[0].getSymNameAttr()).second) {
    ImplicitLocOpBuilder b(op.getLoc(), program.getBody().front().getTerminator());
    Operation *made = b.clone(*op);
    made->setOperand(0, ml_program::GlobalLoadOp::create(b, load.getType(), load.getGlobal()));
    made->getOperand(0).getDefiningOp()->moveBefore(made);
    for (auto [value, to] : llvm::zip(made->getResults(), kept))
      ml_program::GlobalStoreOp::create(b, SymbolRefAttr::get(to.getSymNameAttr()), value);
  }
  ImplicitLocOpBuilder b(op.getLoc(), op);
  for (auto [value, from] : llvm::zip(op->getResults(), kept))
    value.replaceAllUsesWith(ml_program::GlobalLoadOp::create(
        b, value.getType(), SymbolRefAttr::get(from.getSymNameAttr())));
  op->erase();
}

void WeightStates::runOnOperation() {
  symbols.emplace(getOperation());
  filled.clear();
  SmallVector<fp8::QuantizeOp> quantizers;
  getOperation().walk([&](fp8::QuantizeOp op) { quantizers.push_back(op); });
  for (fp8::QuantizeOp op : quantizers)
    keep(op);
}
