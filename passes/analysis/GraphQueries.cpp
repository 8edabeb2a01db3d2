//===- GraphQueries.cpp - what passes ask of ops and values ---------------===//

#include "passes/analysis/GraphQueries.h"
#include "dialects/exec/KernelAttributes.h"
#include "dialects/moe/Moe.h"
#include "mlir/Dialect/Affine/IR/AffineOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/MLProgram/IR/MLProgram.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "passes/analysis/ParameterSource.h"
#include "llvm/Support/FormatVariadic.h"

using namespace mlir;
using namespace hadal;

bool hadal::isView(Operation *op) {
  return isa_and_nonnull<tensor::ExtractSliceOp, tensor::ExpandShapeOp, tensor::CollapseShapeOp,
                         tensor::CastOp>(op);
}

Value hadal::rootOf(Value v) {
  while (isView(v.getDefiningOp()))
    v = v.getDefiningOp()->getOperand(0);
  return v;
}

bool hadal::isFree(Operation *op) {
  if (isView(op) ||
      isa<tensor::EmptyOp, tensor::DimOp, ml_program::GlobalLoadConstOp, ml_program::GlobalLoadOp,
          ml_program::GlobalStoreOp, affine::AffineApplyOp, moe::CountOp>(op))
    return true;
  if (isa<linalg::FillOp>(op)) // an initial value, not a result: see materializeResults
    return true;
  return op->getNumResults() == 1 && !isa<ShapedType>(op->getResult(0).getType()) &&
         isa_and_nonnull<arith::ArithDialect>(op->getDialect());
}

bool hadal::isCloned(Operation *op) {
  return isFree(op) || op->hasTrait<OpTrait::ConstantLike>() || isMadeByPack(op);
}

SmallVector<Value> hadal::readsOf(Operation *op, Block &block) {
  SmallVector<Value> reads;
  op->walk([&](Operation *inner) {
    for (Value v : inner->getOperands())
      if (v.getParentBlock() == &block)
        reads.push_back(v);
  });
  return reads;
}

OpOperand *hadal::destinationOf(Operation *op) {
  auto style = dyn_cast_or_null<DestinationStyleOpInterface>(op);
  if (!style || style.getNumDpsInits() != 1)
    return nullptr;
  // A linalg op does where it sums on from what another op or an earlier run has made.
  auto sum = dyn_cast<linalg::LinalgOp>(op);
  if (!sum)
    return style.getDpsInitOperand(0);
  if (!sum.payloadUsesValueFromOperand(sum.getDpsInitOperand(0)))
    return nullptr;
  Operation *before = sum.getDpsInits()[0].getDefiningOp();
  return before && (!isFree(before) || isa<ml_program::GlobalLoadOp>(before))
             ? sum.getDpsInitOperand(0)
             : nullptr;
}

Value hadal::throughReshapes(Value v) {
  while (Operation *op = v.getDefiningOp()) {
    if (auto expand = dyn_cast<tensor::ExpandShapeOp>(op))
      v = expand.getSrc();
    else if (auto collapse = dyn_cast<tensor::CollapseShapeOp>(op))
      v = collapse.getSrc();
    else if (auto cast = dyn_cast<tensor::CastOp>(op))
      v = cast.getSource();
    else
      break;
  }
  return v;
}

SmallVector<Attribute> hadal::registersOf(func::FuncOp f) {
  if (auto given = f->getAttrOfType<ArrayAttr>(kRegistersAttr))
    return llvm::to_vector(given);
  SmallVector<Attribute> names;
  for (auto [i, type] : llvm::enumerate(f.getArgumentTypes()))
    if (auto tensor = dyn_cast<RankedTensorType>(type))
      for (int64_t d = 0; d < tensor.getRank(); ++d)
        if (tensor.isDynamicDim(d))
          names.push_back(StringAttr::get(f.getContext(), llvm::formatv("arg{0}.{1}", i, d).str()));
  return names;
}

StringAttr hadal::registerOf(Value v) {
  auto asked = dyn_cast_or_null<GraphOpInterface>(v.getDefiningOp());
  return asked ? asked.registerOf(cast<OpResult>(v).getResultNumber()) : StringAttr();
}
