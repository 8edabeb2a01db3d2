//===- Sizes.cpp - dynamic sizes over a function's registers ---------------===//

#include "passes/analysis/Sizes.h"
#include "dialects/exec/KernelAttributes.h"
#include "mlir/Dialect/Affine/IR/AffineOps.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "passes/analysis/GraphQueries.h"

using namespace mlir;
using namespace hadal;

FailureOr<AffineExpr> Sizes::dim(Value tensor, unsigned d) {
  auto type = dyn_cast<RankedTensorType>(tensor.getType());
  MLIRContext *context = tensor.getContext();
  if (!type || d >= type.getRank())
    return failure();
  if (!type.isDynamicDim(d))
    return getAffineConstantExpr(type.getDimSize(d), context);
  auto known = dims.find({tensor, d});
  if (known != dims.end())
    return known->second;
  auto result = compute(tensor, d);
  if (succeeded(result))
    dims[{tensor, d}] = *result;
  return result;
}

/// The register `name` of the function around `op`.
static FailureOr<AffineExpr> numberOf(Operation *op, StringAttr name) {
  auto f = op->getParentOfType<func::FuncOp>();
  auto names = f ? f->getAttrOfType<ArrayAttr>(kRegistersAttr) : ArrayAttr();
  auto *found = llvm::find(names ? names.getValue() : ArrayRef<Attribute>(), name);
  if (!names || found == names.end())
    return failure();
  return getAffineSymbolExpr(found - names.begin(), op->getContext());
}

/// The size of a view that is a part of another's size, or a product of several.
FailureOr<AffineExpr> Sizes::ofReshape(Operation *op, unsigned d) {
  if (auto expand = dyn_cast<tensor::ExpandShapeOp>(op)) {
    // What is left of the whole when the other sizes of its group are known.
    unsigned group = expand.getCorrespondingSourceDim(d);
    int64_t others = 1;
    for (int64_t i : expand.getReassociationIndices()[group])
      if (i != int64_t(d)) {
        if (expand.getType().isDynamicDim(i))
          return failure();
        others *= expand.getType().getDimSize(i);
      }
    auto whole = dim(expand.getSrc(), group);
    if (failed(whole))
      return failure();
    return (*whole).floorDiv(others);
  }
  auto collapse = cast<tensor::CollapseShapeOp>(op);
  AffineExpr product = getAffineConstantExpr(1, op->getContext());
  for (int64_t s : collapse.getReassociationIndices()[d]) {
    auto one = dim(collapse.getSrc(), s);
    if (failed(one))
      return failure();
    product = product * *one;
  }
  return product;
}

/// The dimension of a slice's source that dimension `d` of the slice is a part of.
static unsigned sourceDim(tensor::ExtractSliceOp slice, unsigned d) {
  llvm::SmallBitVector dropped = slice.getDroppedDims();
  unsigned s = 0;
  for (unsigned kept = 0;; ++s)
    if (!dropped.test(s) && kept++ == d)
      return s;
}

FailureOr<OpFoldResult> hadal::reifySize(OpBuilder &b, OpResult tensor, unsigned d) {
  Operation *op = tensor.getOwner();
  Location loc = op->getLoc();
  if (auto empty = dyn_cast<tensor::EmptyOp>(op))
    return empty.getMixedSizes()[d];
  if (auto slice = dyn_cast<tensor::ExtractSliceOp>(op))
    return slice.getMixedSizes()[sourceDim(slice, d)];
  if (auto cast = dyn_cast<tensor::CastOp>(op))
    return tensor::getMixedSize(b, loc, cast.getSource(), d);
  if (auto expand = dyn_cast<tensor::ExpandShapeOp>(op))
    return expand.getMixedOutputShape()[d];
  if (auto collapse = dyn_cast<tensor::CollapseShapeOp>(op)) {
    auto group = collapse.getReassociationIndices()[d];
    if (group.size() != 1)
      return failure();
    return tensor::getMixedSize(b, loc, collapse.getSrc(), group[0]);
  }
  if (auto style = dyn_cast<DestinationStyleOpInterface>(op))
    return tensor::getMixedSize(b, loc, style.getTiedOpOperand(tensor)->get(), d);
  if (op->hasTrait<OpTrait::Elementwise>() && op->getNumOperands())
    return tensor::getMixedSize(b, loc, op->getOperand(0), d);
  auto shaped = dyn_cast<ReifyRankedShapedTypeOpInterface>(op);
  ReifiedRankedShapedTypeDims shapes;
  if (!shaped || failed(shaped.reifyResultShapes(b, shapes)))
    return failure();
  auto shape = ArrayRef(shapes)[tensor.getResultNumber()];
  if (d >= shape.size() || !shape[d])
    return failure();
  return shape[d];
}

FailureOr<AffineExpr> Sizes::compute(Value tensor, unsigned d) {
  auto result = dyn_cast<OpResult>(tensor);
  if (!result)
    return failure();
  Operation *op = result.getOwner();
  if (isa<tensor::ExpandShapeOp, tensor::CollapseShapeOp>(op))
    return ofReshape(op, d);
  // The op answers in IR, which is read and dropped.
  Block answer;
  OpBuilder b(op->getContext()); // the block has no region to ask
  b.setInsertionPointToEnd(&answer);
  auto size = reifySize(b, result, d);
  if (failed(size))
    return failure();
  if (auto value = dyn_cast<Value>(*size))
    return index(value);
  return getAffineConstantExpr(*getConstantIntValue(*size), op->getContext());
}

FailureOr<AffineExpr> Sizes::index(Value v) {
  if (auto constant = getConstantIntValue(v))
    return getAffineConstantExpr(*constant, v.getContext());
  Operation *op = v.getDefiningOp();
  if (StringAttr name = registerOf(v))
    return numberOf(op, name);
  if (auto dimOp = dyn_cast_or_null<tensor::DimOp>(op))
    if (auto d = dimOp.getConstantIndex(); d && *d >= 0)
      return dim(dimOp.getSource(), *d);
  auto binary = [&](auto combine) -> FailureOr<AffineExpr> {
    auto a = index(op->getOperand(0)), b = index(op->getOperand(1));
    if (failed(a) || failed(b))
      return failure();
    return combine(*a, *b);
  };
  if (isa_and_nonnull<arith::AddIOp>(op))
    return binary([](AffineExpr a, AffineExpr b) { return a + b; });
  if (isa_and_nonnull<arith::SubIOp>(op))
    return binary([](AffineExpr a, AffineExpr b) { return a - b; });
  if (isa_and_nonnull<arith::MulIOp>(op))
    return binary([](AffineExpr a, AffineExpr b) { return a * b; });
  if (isa_and_nonnull<arith::CeilDivUIOp, arith::CeilDivSIOp>(op))
    return binary([](AffineExpr a, AffineExpr b) { return a.ceilDiv(b); });
  if (isa_and_nonnull<arith::DivUIOp, arith::DivSIOp>(op))
    return binary([](AffineExpr a, AffineExpr b) { return a.floorDiv(b); });
  if (auto apply = dyn_cast_or_null<affine::AffineApplyOp>(op)) {
    SmallVector<AffineExpr> dimensions, symbols;
    for (auto [i, operand] : llvm::enumerate(apply.getMapOperands())) {
      auto e = index(operand);
      if (failed(e))
        return failure();
      (i < apply.getAffineMap().getNumDims() ? dimensions : symbols).push_back(*e);
    }
    return apply.getAffineMap().getResult(0).replaceDimsAndSymbols(dimensions, symbols);
  }
  return failure();
}
