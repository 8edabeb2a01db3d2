//===- Layouts.cpp - how a processor's kernels want tensors to lie --------===//

#include "mlir/Dialect/MLProgram/IR/MLProgram.h"
#include "passes/analysis/Products.h"
#include "passes/targets/cpu/CpuTarget.h"
#include "passes/targets/cpu/Packing.h"

using namespace mlir;
using namespace hadal;

/// True if `use` is the right operand of a product, and not its left one, too.
static bool isRight(OpOperand *use) {
  auto product = matchProduct(use->getOwner());
  return product && product->right == use->get() && product->left != use->get();
}

/// A matrix of trained weights, or a stack of them, lies in panels where nothing but products reads
/// it, as right operand.
exec::LayoutAttr CpuTarget::layoutOf(RankedTensorType type, ArrayRef<OpOperand *> readers) const {
  int64_t rank = type.getRank();
  if (!type.getElementType().isF32() || !type.hasStaticShape() || rank < 2 || rank > 3 ||
      !llvm::all_of(readers, isRight))
    return {};
  return exec::LayoutAttr::get(type.getContext(), kPanelsLayout, shape.panel, 2);
}
