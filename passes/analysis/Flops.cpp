//===- Flops.cpp - the work of an op --------------------------------------===//

#include "passes/analysis/Flops.h"
#include "dialects/GraphOp.h"
#include "passes/analysis/Products.h"

using namespace mlir;
using namespace hadal;

/// 2 for each step of a contraction's loops; null where the size of one is not known.
static AffineExpr stepsOf(linalg::GenericOp op, Sizes &sizes) {
  AffineExpr steps = getAffineConstantExpr(2, op.getContext());
  for (unsigned loop = 0; loop < op.getNumLoops(); ++loop) {
    AffineExpr size;
    for (OpOperand &operand : op->getOpOperands())
      for (auto [dim, place] : llvm::enumerate(op.getMatchingIndexingMap(&operand).getResults()))
        if (auto at = dyn_cast<AffineDimExpr>(place); !size && at && at.getPosition() == loop)
          if (auto known = sizes.dim(operand.get(), dim); succeeded(known))
            size = *known;
    if (!size)
      return {};
    steps = steps * size;
  }
  return steps;
}

AffineExpr hadal::flopsOf(Operation *op, Sizes &sizes, AffineExpr attended) {
  AffineExpr none = getAffineConstantExpr(0, op->getContext());
  auto size = [&](Value tensor, unsigned dim) -> AffineExpr {
    auto known = sizes.dim(tensor, dim);
    return failed(known) ? none : *known;
  };
  if (auto p = matchProduct(op))
    return size(p->result(), p->outRow) * (2 * p->n * p->k * (p->grouped() ? 1 : p->batch));
  AffineExpr found;
  if (auto asked = dyn_cast<GraphOpInterface>(op))
    found = asked.flops({size, [&](Value queries) -> AffineExpr {
                           AffineExpr rows = size(queries, 0);
                           return attended ? attended : (rows * (rows + 1)).floorDiv(2);
                         }});
  else if (auto generic = dyn_cast<linalg::GenericOp>(op);
           generic && linalg::isaContractionOpInterface(generic))
    found = stepsOf(generic, sizes);
  return found ? found : none;
}
