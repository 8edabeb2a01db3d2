#include "dialects/fp8/Fp8.h"
#include "dialects/mla/Mla.h"
#include "dialects/moe/Moe.h"
#include "mlir/Dialect/Affine/IR/AffineOps.h"
#include "mlir/Dialect/MLProgram/IR/MLProgram.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "passes/kernels/FormPrograms.h"
#include "passes/kernels/Matmul.h"
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
          ml_program::GlobalStoreOp, affine::AffineApplyOp>(op))
    return true;
  if (isa<linalg::FillOp>(op)) // an initial value, not a result: see materializeResults
    return true;
  return op->getNumResults() == 1 && !isa<ShapedType>(op->getResult(0).getType()) &&
         isa_and_nonnull<arith::ArithDialect>(op->getDialect());
}

bool hadal::isCloned(Operation *op) { return isFree(op) || op->hasTrait<OpTrait::ConstantLike>(); }

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
  if (isa_and_nonnull<mla::CacheAppendOp, moe::ScatterAddOp, moe::GroupedWeightGradOp,
                      tensor::InsertSliceOp>(op))
    return cast<DestinationStyleOpInterface>(op).getDpsInitOperand(0);
  // A sum that goes on from what another op or an earlier run has made.
  auto sum = dyn_cast_or_null<linalg::LinalgOp>(op);
  if (!sum || sum.getNumDpsInits() != 1 ||
      !sum.payloadUsesValueFromOperand(sum.getDpsInitOperand(0)))
    return nullptr;
  Operation *before = sum.getDpsInits()[0].getDefiningOp();
  return before && (!isFree(before) || isa<ml_program::GlobalLoadOp>(before))
             ? sum.getDpsInitOperand(0)
             : nullptr;
}

/// Products under one epilogue share the left operand, the shape and the kind of weights. Weights
/// that are trained lie each in panels of its own: a pair wants its two side by side.
static bool arePair(const Product &a, const Product &b) {
  bool isTrained = isa_and_nonnull<ml_program::GlobalLoadOp>(a.right.getDefiningOp());
  return !isTrained && a.left == b.left && a.right.getType() == b.right.getType() &&
         a.op->getName() == b.op->getName() && a.source == b.source && a.offsets == b.offsets &&
         a.leftK == b.leftK && a.rightN == b.rightN && a.outBatch < 0 && b.outBatch < 0;
}

Grouping::Grouping(Block &block) {
  SmallVector<Operation *> roots;
  for (Operation &op : block.without_terminator())
    if (!isFree(&op))
      roots.push_back(&op);
  DenseMap<Operation *, Operation *> into; // producer -> the op whose kernel it joins
  for (Operation *op : roots) {
    auto generic = dyn_cast<linalg::GenericOp>(op);
    if (!generic || matchProduct(op) || standsAlone(op))
      continue;
    if (isEpilogue(op)) {
      SmallVector<Product> candidates;
      for (OpOperand *operand : generic.getDpsInputOperands())
        if (Operation *producer = operand->get().getDefiningOp())
          if (auto product = matchProduct(producer))
            if (operand->get().hasOneUse() && product->outBatch < 0 &&
                generic.getMatchingIndexingMap(operand).isIdentity())
              candidates.push_back(*product);
      if (candidates.size() == 2 && arePair(candidates[0], candidates[1])) {
        into[candidates[0].op] = into[candidates[1].op] = op;
        continue;
      }
      if (!candidates.empty()) {
        into[candidates.back().op] = op;
        continue;
      }
    }
    // A linalg producer joins its only reader when both go row by row.
    for (OpOperand *operand : generic.getDpsInputOperands()) {
      auto producer = operand->get().getDefiningOp<linalg::GenericOp>();
      if (!producer || into.count(producer) || matchProduct(producer) || standsAlone(producer) ||
          !producer->hasOneUse() || producer->getNumResults() != 1)
        continue;
      bool hasProduct = llvm::any_of(into, [&](auto &entry) {
        return entry.second == producer.getOperation() && matchProduct(entry.first);
      });
      AffineMap access = generic.getMatchingIndexingMap(operand);
      bool rows = access.getNumResults() &&
                  access.getResult(0) == getAffineDimExpr(0, op->getContext()) &&
                  generic.getIteratorTypesArray()[0] == utils::IteratorType::parallel &&
                  producer.getIteratorTypesArray()[0] == utils::IteratorType::parallel;
      if (rows && !hasProduct)
        into[producer] = op;
    }
  }
  DenseMap<Operation *, unsigned> number;
  auto last = [&](Operation *op) {
    while (Operation *next = into.lookup(op))
      op = next;
    return op;
  };
  for (Operation *op : roots)
    if (!into.count(op)) {
      number[op] = groups.size();
      groups.emplace_back();
    }
  for (Operation *op : roots)
    groups[number[last(op)]].push_back(op);
}

std::string hadal::describe(ArrayRef<Operation *> group) {
  std::string name;
  for (Operation *op : group)
    if (auto product = matchProduct(op)) {
      bool pair = group.size() > 2;
      name = llvm::formatv("{0}{1}{2}_{3}x{4}",
                           product->grouped()   ? "grouped_"
                           : product->batch > 1 ? "batch_"
                                                : "",
                           pair ? "pair_" : "", product->scale ? "fp8_matmul" : "matmul",
                           product->n, product->k);
      if (group.size() > 1)
        name += "_fused";
      return name;
    }
  name = group.back()->getName().getStringRef().str();
  std::replace(name.begin(), name.end(), '.', '_');
  if (group.size() > 1)
    name += "_fused";
  return name;
}
