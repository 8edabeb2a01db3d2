//===- Grouping.cpp - which ops share a kernel ----------------------------===//

#include "mlir/Dialect/MLProgram/IR/MLProgram.h"
#include "passes/analysis/GraphQueries.h"
#include "passes/analysis/Products.h"
#include "passes/programs/FormPrograms.h"
#include "llvm/Support/FormatVariadic.h"

using namespace mlir;
using namespace hadal;

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
