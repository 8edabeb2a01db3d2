//===- Cache.cpp - what the programs of inference know of the cache ------===//

#include "passes/specialize/Cache.h"
#include "dialects/exec/KernelAttributes.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"

using namespace mlir;
using namespace hadal;

BlockArgument hadal::argumentNamed(func::FuncOp f, StringRef name) {
  for (BlockArgument argument : f.getArguments())
    if (auto known = f.getArgAttrOfType<StringAttr>(argument.getArgNumber(), kNameAttr);
        known && known.getValue() == name)
      return argument;
  return {};
}

LogicalResult hadal::checkOneBlock(func::FuncOp f) {
  if (f.isExternal() || !f.getBody().hasOneBlock())
    return f.emitError("wants a body of one block");
  return success();
}

void hadal::setResults(func::FuncOp f, ValueRange values, ArrayRef<DictionaryAttr> attributes) {
  f.getBody().front().getTerminator()->setOperands(values);
  f.setType(FunctionType::get(f.getContext(), f.getArgumentTypes(), values.getTypes()));
  f.setAllResultAttrs(attributes);
  eraseUnused(f);
}

void hadal::eraseUnused(func::FuncOp f) {
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

FailureOr<Expansion> hadal::traceExpansion(mla::AttentionOp attention) {
  auto keys = attention.getKNope().getDefiningOp<tensor::ExtractSliceOp>();
  auto values = attention.getV().getDefiningOp<tensor::ExtractSliceOp>();
  auto expand = keys ? keys.getSource().getDefiningOp<tensor::ExpandShapeOp>() : nullptr;
  auto product = expand ? expand.getSrc().getDefiningOp<linalg::LinalgOp>() : nullptr;
  if (!values || !product || !linalg::isaContractionOpInterface(product) ||
      values.getSource() != keys.getSource())
    return attention.emitOpError(
        "wants keys and values that are slices of one product of a latent with a parameter");
  Expansion expansion{product.getDpsInputs()[0], product.getDpsInputs()[1]};
  auto latent = cast<RankedTensorType>(expansion.latent.getType()),
       weights = cast<RankedTensorType>(expansion.weights.getType());
  if (latent.getRank() != 2 || latent.isDynamicDim(1) || weights.getRank() != 2 ||
      !weights.hasStaticShape())
    return attention.emitOpError()
           << "wants a latent [T, rk] and weights [N, rk], got " << latent << " and " << weights;
  return expansion;
}
