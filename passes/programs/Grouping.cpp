//===- Grouping.cpp - which ops share a kernel ----------------------------===//

#include "dialects/exec/Exec.h"
#include "passes/analysis/GraphQueries.h"
#include "passes/analysis/Products.h"
#include "passes/programs/FormPrograms.h"
#include "passes/targets/Target.h"
#include "llvm/Support/FormatVariadic.h"

using namespace mlir;
using namespace hadal;

Grouping::Grouping(Block &block, const Target &target) {
  SmallVector<Operation *> roots;
  for (Operation &op : block.without_terminator())
    if (!isFree(&op) && !isa<exec::RelayoutOp>(op)) // those are launched where they are read
      roots.push_back(&op);
  DenseMap<Operation *, Operation *> into; // producer -> the op whose kernel it joins
  for (Operation *op : roots)
    for (Value operand : op->getOperands())
      if (Operation *producer = operand.getDefiningOp();
          producer && target.sharesKernel(producer, op))
        into[producer] = op;
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
