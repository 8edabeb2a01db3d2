//===- Sizes.cpp - dynamic sizes over a function's registers ---------------===//

#include "passes/analysis/Sizes.h"
#include "dialects/fp8/Fp8.h"
#include "dialects/moe/Moe.h"
#include "mlir/Dialect/Affine/IR/AffineOps.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "llvm/ADT/TypeSwitch.h"

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
static FailureOr<AffineExpr> registerOf(Operation *op, StringAttr name) {
  auto f = op->getParentOfType<func::FuncOp>();
  auto names = f ? f->getAttrOfType<ArrayAttr>("exec.registers") : ArrayAttr();
  auto *found = llvm::find(names ? names.getValue() : ArrayRef<Attribute>(), name);
  if (!names || found == names.end())
    return failure();
  return getAffineSymbolExpr(found - names.begin(), op->getContext());
}

FailureOr<AffineExpr> Sizes::compute(Value tensor, unsigned d) {
  Operation *op = tensor.getDefiningOp();
  if (!op)
    return failure();
  if (auto empty = dyn_cast<tensor::EmptyOp>(op))
    return index(empty.getDynamicSize(d));
  if (auto slice = dyn_cast<tensor::ExtractSliceOp>(op)) {
    unsigned kept = 0;
    auto dropped = slice.getDroppedDims();
    for (unsigned s = 0; s < slice.getSourceType().getRank(); ++s) {
      if (dropped.test(s))
        continue;
      if (kept++ == d) {
        OpFoldResult size = slice.getMixedSizes()[s];
        if (auto value = dyn_cast<Value>(size))
          return index(value);
        return getAffineConstantExpr(*getConstantIntValue(size), tensor.getContext());
      }
    }
    return failure();
  }
  if (auto expand = dyn_cast<tensor::ExpandShapeOp>(op)) {
    for (auto [s, group] : llvm::enumerate(expand.getReassociationIndices())) {
      if (!llvm::is_contained(group, int64_t(d)))
        continue;
      int64_t others = 1;
      for (int64_t i : group)
        if (i != int64_t(d)) {
          if (expand.getType().isDynamicDim(i))
            return failure();
          others *= expand.getType().getDimSize(i);
        }
      auto whole = dim(expand.getSrc(), s);
      if (failed(whole))
        return failure();
      return (*whole).floorDiv(others);
    }
  }
  if (auto collapse = dyn_cast<tensor::CollapseShapeOp>(op)) {
    AffineExpr product = getAffineConstantExpr(1, tensor.getContext());
    for (int64_t s : collapse.getReassociationIndices()[d]) {
      auto one = dim(collapse.getSrc(), s);
      if (failed(one))
        return failure();
      product = product * *one;
    }
    return product;
  }
  if (auto cast = dyn_cast<tensor::CastOp>(op))
    return dim(cast.getSource(), d);
  if (auto style = dyn_cast<DestinationStyleOpInterface>(op))
    return dim(style.getDpsInits()[llvm::cast<OpResult>(tensor).getResultNumber()], d);
  if (auto plan = dyn_cast<moe::PlanOp>(op)) {
    if (tensor == plan.getSource() && plan.getChoices())
      return registerOf(plan, plan.getChoicesAttr());
    auto tokens = dim(plan.getExperts(), 0);
    if (failed(tokens))
      return failure();
    bool isSource = tensor == plan.getSource();
    return isSource ? *tokens * plan.getExperts().getType().getDimSize(1) : *tokens;
  }
  auto rowsOf = [&](Value v) { return dim(v, 0); };
  return llvm::TypeSwitch<Operation *, FailureOr<AffineExpr>>(op)
      .Case<moe::PlanSendsOp>([&](auto o) -> FailureOr<AffineExpr> {
        auto tokens = rowsOf(o.getExperts());
        if (failed(tokens) || tensor == o.getSlots())
          return tokens;
        return *tokens * o.rowsOfToken();
      })
      .Case<moe::ExchangeOp>([&](auto o) {
        return o.getLike() ? rowsOf(o.getLike()) : registerOf(o, o.getRowsAttr());
      })
      .Case<moe::DispatchOp>([&](auto o) { return rowsOf(o.getSource()); })
      .Case<moe::GroupedMatmulOp, fp8::GroupedMatmulOp>(
          [&](auto o) { return rowsOf(o.getSource() ? o.getSource() : o.getRows()); })
      .Case<moe::CombineOp>([&](auto o) { return rowsOf(o.getPosition()); })
      .Case<moe::CombineGradOp>([&](auto o) {
        return rowsOf(tensor == o.getRowsGrad() ? Value(o.getRows()) : Value(o.getPosition()));
      })
      .Case<moe::BalanceLossOp>([&](auto o) -> FailureOr<AffineExpr> {
        auto boundaries = rowsOf(o.getOffsets());
        if (failed(boundaries))
          return failure();
        return *boundaries - 1;
      })
      .Case<fp8::QuantizeOp>([&](auto o) -> FailureOr<AffineExpr> {
        auto whole = dim(o.getX(), d);
        if (failed(whole) || tensor == o.getQ())
          return whole;
        return (*whole).ceilDiv(o.getBlock()[d]);
      })
      .Case<fp8::DequantizeOp>([&](auto o) { return dim(o.getQ(), d); })
      .Default([&](Operation *o) -> FailureOr<AffineExpr> {
        // The others keep the rows of their first operand.
        if (o->getNumOperands() && d == 0 && isa<RankedTensorType>(o->getOperand(0).getType()))
          return rowsOf(o->getOperand(0));
        return failure();
      });
}

FailureOr<AffineExpr> Sizes::index(Value v) {
  if (auto constant = getConstantIntValue(v))
    return getAffineConstantExpr(*constant, v.getContext());
  Operation *op = v.getDefiningOp();
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
