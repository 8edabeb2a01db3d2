// Reshapes, slices and casts: their gradients move elements back.
#include "passes/autodiff/Rules.h"

using namespace mlir;
using namespace hadal::autodiff;

static LogicalResult extractSlice(Operation *op, Adjoints &adjoints) {
  adjoints.addSlice(cast<tensor::ExtractSliceOp>(op), adjoints.of(op->getResult(0)));
  return success();
}

/// True if two slices share no element, by a dimension in which both stand at constants.
static bool areDisjoint(tensor::InsertSliceOp a, tensor::InsertSliceOp b) {
  for (auto [offsetA, sizeA, strideA, offsetB, sizeB, strideB] :
       llvm::zip(a.getStaticOffsets(), a.getStaticSizes(), a.getStaticStrides(), b.getStaticOffsets(), b.getStaticSizes(),
                 b.getStaticStrides())) {
    if (ShapedType::isDynamic(offsetA) || ShapedType::isDynamic(sizeA) || ShapedType::isDynamic(offsetB) ||
        ShapedType::isDynamic(sizeB) || strideA != 1 || strideB != 1)
      continue;
    if (offsetA + sizeA <= offsetB || offsetB + sizeB <= offsetA)
      return true;
  }
  return false;
}

/// True if what `insert` overwrites was never anything: its destination is a chain of slices beside it, in an empty tensor.
static bool overwritesNothing(tensor::InsertSliceOp insert) {
  Value destination = insert.getDest();
  while (auto before = destination.getDefiningOp<tensor::InsertSliceOp>()) {
    if (!destination.hasOneUse() || !areDisjoint(before, insert))
      return false;
    destination = before.getDest();
  }
  return destination.getDefiningOp<tensor::EmptyOp>() != nullptr;
}

static LogicalResult insertSlice(Operation *op, Adjoints &adjoints) {
  auto insert = cast<tensor::InsertSliceOp>(op);
  ImplicitLocOpBuilder &b = adjoints.b;
  Value gradient = adjoints.of(insert.getResult());
  auto offsets = insert.getMixedOffsets(), sizes = insert.getMixedSizes(), strides = insert.getMixedStrides();
  if (adjoints.wants(insert.getSource()))
    adjoints.add(insert.getSource(),
                 tensor::ExtractSliceOp::create(b, insert.getSourceType(), gradient, offsets, sizes, strides));
  if (adjoints.wants(insert.getDest()) && overwritesNothing(insert))
    adjoints.add(insert.getDest(), gradient); // nobody reads the part that was overwritten
  else if (adjoints.wants(insert.getDest()))
    adjoints.add(insert.getDest(), tensor::InsertSliceOp::create(b, adjoints.zerosLike(insert.getSource()), gradient, offsets,
                                                                 sizes, strides));
  return success();
}

static LogicalResult expandShape(Operation *op, Adjoints &adjoints) {
  auto expand = cast<tensor::ExpandShapeOp>(op);
  adjoints.add(expand.getSrc(), tensor::CollapseShapeOp::create(adjoints.b, expand.getSrcType(), adjoints.of(expand.getResult()),
                                                                expand.getReassociationIndices()));
  return success();
}

static LogicalResult collapseShape(Operation *op, Adjoints &adjoints) {
  auto collapse = cast<tensor::CollapseShapeOp>(op);
  Value gradient = adjoints.of(collapse.getResult());
  adjoints.add(collapse.getSrc(),
               tensor::ExpandShapeOp::create(adjoints.b, collapse.getSrcType(), gradient, collapse.getReassociationIndices(),
                                             adjoints.sizesOf(collapse.getSrc())));
  return success();
}

static LogicalResult castShape(Operation *op, Adjoints &adjoints) {
  auto castOp = cast<tensor::CastOp>(op);
  Value gradient = adjoints.of(castOp.getResult());
  adjoints.add(castOp.getSource(), tensor::CastOp::create(adjoints.b, castOp.getSource().getType(), gradient));
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
      return op->emitOpError() << "has no gradient: wants static sizes along dimension " << dim << ", got " << type;
    offsets[dim] = b.getIndexAttr(begin);
    begin += type.getDimSize(dim);
    if (adjoints.wants(input))
      adjoints.add(input, tensor::ExtractSliceOp::create(b, type, gradient, offsets, adjoints.sizesOf(input), strides));
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
