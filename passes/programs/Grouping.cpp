//===- Grouping.cpp - which ops share a kernel ----------------------------===//

#include "dialects/exec/Exec.h"
#include "dialects/fp8/Fp8.h"
#include "passes/analysis/GraphQueries.h"
#include "passes/analysis/Products.h"
#include "passes/programs/FormPrograms.h"
#include "passes/targets/Target.h"
#include "llvm/Support/FormatVariadic.h"

using namespace mlir;
using namespace hadal;

/// Quantizers of tiles within rows run where these are made, before what else reads them, so that
/// they may share that kernel.
static void hoistQuantizers(Block &block) {
  for (auto quantize : llvm::make_early_inc_range(block.getOps<fp8::QuantizeOp>())) {
    auto rows = quantize.getX().getDefiningOp<linalg::GenericOp>();
    if (!rows || quantize.getBlock()[0] != 1 || quantize.getOffsets())
      continue;
    Operation *after = rows;
    while (auto other = dyn_cast<fp8::QuantizeOp>(after->getNextNode())) {
      if (other == quantize || other.getX() != quantize.getX() || other.getBlock()[0] != 1)
        break;
      after = other;
    }
    if (after->getNextNode() != quantize)
      quantize->moveAfter(after);
  }
}

Grouping::Grouping(Block &block, const Target &target) {
  hoistQuantizers(block);
  SmallVector<Operation *> roots;
  for (Operation &op : block.without_terminator())
    if (!isFree(&op) && !isa<exec::RelayoutOp>(op)) // those are launched where they are read
      roots.push_back(&op);
  DenseMap<Operation *, Operation *> into; // producer -> the op whose kernel it joins
  for (Operation *op : roots)
    for (Value operand : op->getOperands())
      if (Operation *producer = operand.getDefiningOp();
          producer && target.sharesKernel(producer, op)) {
        // Several that join one kernel run there one after the other.
        Operation *&joined = into[producer];
        if (joined && joined != op)
          into[joined] = op;
        else
          joined = op;
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
