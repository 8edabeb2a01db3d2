//===- TensorRules.cpp - reshapes, slices and casts -----------------------===//
//
// Reshapes, slices and casts: their gradients move elements back.
//
//===----------------------------------------------------------------------===//

#include "passes/autodiff/Rules.h"

using namespace mlir;
using namespace hadal::autodiff;

static LogicalResult extractSlice(Operation *op, Adjoints &adjoints) {
  adjoints.addSlice(cast<tensor::ExtractSliceOp>(op), adjoints.of(op->getResult(0)));
  return success();
}

/// True if it can be seen that two slices of one tensor share no element.
static bool areDisjoint(tensor::InsertSliceOp a, tensor::InsertSliceOp b) {
  auto isOne = [](int64_t stride) { return stride == 1; };
  if (!llvm::all_of(a.getStaticStrides(), isOne) || !llvm::all_of(b.getStaticStrides(), isOne))
    return false;
  for (auto [aBegin, aSize, bBegin, bSize] : llvm::zip_equal(
           a.getStaticOffsets(), a.getStaticSizes(), b.getStaticOffsets(), b.getStaticSizes()))
    if (!ShapedType::isDynamicShape({aBegin, aSize, bBegin, bSize}) &&
        (aBegin + aSize <= bBegin || bBegin + bSize <= aBegin))
      return true;
  return false;
}

static LogicalResult insertSlice(Operation *op, Adjoints &adjoints) {
  ImplicitLocOpBuilder &b = adjoints.b;
  auto insert = cast<tensor::InsertSliceOp>(op);
  Value gradient = adjoints.of(insert.getResult());
  // Slices put together one after the other (a concatenation) are parts of one gradient; the
  // tensors between need none.
  SmallVector<tensor::InsertSliceOp> chain;
  while (true) {
    if (adjoints.wants(insert.getSource()))
      adjoints.add(insert.getSource(),
                   tensor::ExtractSliceOp::create(b, insert.getSourceType(), gradient,
                                                  insert.getMixedOffsets(), insert.getMixedSizes(),
                                                  insert.getMixedStrides()));
    chain.push_back(insert);
    auto next = insert.getDest().getDefiningOp<tensor::InsertSliceOp>();
    auto isApart = [&](tensor::InsertSliceOp other) { return areDisjoint(next, other); };
    if (!next || !next->hasOneUse() || !adjoints.wants(insert.getDest()) ||
        !llvm::all_of(chain, isApart))
      break;
    insert = next;
  }
  if (!adjoints.wants(insert.getDest()))
    return success();
  for (tensor::InsertSliceOp written : chain)
    gradient = tensor::InsertSliceOp::create(b, adjoints.zerosLike(written.getSource()), gradient,
                                             written.getMixedOffsets(), written.getMixedSizes(),
                                             written.getMixedStrides());
  adjoints.add(insert.getDest(), gradient);
  return success();
}

static LogicalResult expandShape(Operation *op, Adjoints &adjoints) {
  auto expand = cast<tensor::ExpandShapeOp>(op);
  adjoints.add(expand.getSrc(), tensor::CollapseShapeOp::create(adjoints.b, expand.getSrcType(),
                                                                adjoints.of(expand.getResult()),
                                                                expand.getReassociationIndices()));
  return success();
}

static LogicalResult collapseShape(Operation *op, Adjoints &adjoints) {
  auto collapse = cast<tensor::CollapseShapeOp>(op);
  Value gradient = adjoints.of(collapse.getResult());
  adjoints.add(collapse.getSrc(),
               tensor::ExpandShapeOp::create(adjoints.b, collapse.getSrcType(), gradient,
                                             collapse.getReassociationIndices(),
                                             adjoints.sizesOf(collapse.getSrc())));
  return success();
}

static LogicalResult castShape(Operation *op, Adjoints &adjoints) {
  auto castOp = cast<tensor::CastOp>(op);
  Value gradient = adjoints.of(castOp.getResult());
  adjoints.add(castOp.getSource(),
               tensor::CastOp::create(adjoints.b, castOp.getSource().getType(), gradient));
  return success();
}

static LogicalResult concat(Operation *op, Adjoints &adjoints) {
  auto concatOp = cast<tensor::ConcatOp>(op);
  ImplicitLocOpBuilder &b = adjoints.b;
  Value gradient = adjoints.of(concatOp.getResult());
  int64_t dim = concatOp.getDim(), rank = concatOp.getResultType().getRank();
  SmallVector<OpFoldResult> offsets(rank, b.getIndexAttr(0)), strides(rank, b.getIndexAttr(1));
  int64_t begin = 0;
  for (Value input : concatOp.getInputs()) {
    auto type = cast<RankedTensorType>(input.getType());
    if (type.isDynamicDim(dim))
      return op->emitOpError() << "has no gradient: wants static sizes along dimension " << dim
                               << ", got " << type;
    offsets[dim] = b.getIndexAttr(begin);
    begin += type.getDimSize(dim);
    if (adjoints.wants(input))
      adjoints.add(input, tensor::ExtractSliceOp::create(b, type, gradient, offsets,
                                                         adjoints.sizesOf(input), strides));
  }
  return success();
}

void hadal::autodiff::addTensorRules(RuleTable &table) {
  table[tensor::ExtractSliceOp::getOperationName()] = extractSlice;
  table[tensor::InsertSliceOp::getOperationName()] = insertSlice;
  table[tensor::ExpandShapeOp::getOperationName()] = expandShape;
  table[tensor::CollapseShapeOp::getOperationName()] = collapseShape;
  table[tensor::CastOp::getOperationName()] = castShape;
  table[tensor::ConcatOp::getOperationName()] = concat;
}
