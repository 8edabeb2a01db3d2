//===- Layouts.cpp - how a processor's kernels want tensors to lie --------===//

#include "mlir/Dialect/MLProgram/IR/MLProgram.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "passes/analysis/ParameterSource.h"
#include "passes/analysis/Products.h"
#include "passes/targets/cpu/CpuTarget.h"
#include "passes/targets/cpu/Packing.h"
#include "passes/targets/cpu/SharedKernels.h"
#include "passes/targets/cpu/StagedOperands.h"

using namespace mlir;
using namespace hadal;

/// True if `use` is the right operand of a product, and not its left one, too.
static bool isRight(OpOperand *use) {
  auto product = matchProduct(use->getOwner());
  return product && product->right == use->get() && product->left != use->get();
}

/// How the kernel of a product reads weights that are laid out for it alone.
static exec::LayoutAttr packedFor(const Product &product, RankedTensorType type,
                                  const VectorShape &shape) {
  int64_t parts = 1, part = 0, rank = type.getRank();
  if (std::optional<Product> other = pairOf(product.op)) {
    parts = 2;
    part = other->op->isBeforeInBlock(product.op);
  }
  auto layout = PanelLayout::of(product.n, product.k, type.getElementType(), parts, shape);
  bool isUsual = product.rightN == rank - 2 && product.rightK == rank - 1;
  return exec::LayoutAttr::get(type.getContext(), kPackedLayout, layout.width(), 2,
                               isUsual ? -1 : product.rightN, isUsual ? -1 : product.rightK, parts,
                               part);
}

/// Codes lie as stored where they are made anew before the product reads them, or where no kernel
/// reads their blocks of scales beside packed ones.
static bool readsCodesAsStored(const Product &p, Value weights, const VectorShape &shape) {
  if (!p.scale)
    return false;
  if (!p.leftScale)
    return p.blockN % (pairOf(p.op) ? std::max(shape.panel, 2 * shape.lanes) : shape.panel) != 0;
  while (isa_and_nonnull<tensor::ExtractSliceOp, tensor::ExpandShapeOp>(weights.getDefiningOp()))
    weights = weights.getDefiningOp()->getOperand(0);
  SumParts parts = SumParts::of(p);
  bool areEven = (parts.tile % 2 == 0 || parts.tile == parts.size) &&
                 (parts.length % 2 == 0 || parts.length == parts.tile);
  return !areEven || !parameterOf(weights);
}

/// A copy for a product lies as that one's kernel reads it. A matrix of trained weights, or a stack
/// of them, lies in panels where nothing but products reads it, as right operand.
exec::LayoutAttr CpuTarget::layoutOf(RankedTensorType type, ArrayRef<OpOperand *> readers) const {
  if (!llvm::all_of(readers, isRight))
    return {};
  if (auto copy = readers.size() == 1 ? readers[0]->get().getDefiningOp<exec::RelayoutOp>()
                                      : exec::RelayoutOp()) {
    Product product = *matchProduct(readers[0]->getOwner());
    if (readsCodesAsStored(product, copy.getSource(), shape))
      return {};
    return packedFor(product, type, shape);
  }
  int64_t rank = type.getRank();
  if (!type.getElementType().isF32() || !type.hasStaticShape() || rank < 2 || rank > 3)
    return {};
  return exec::LayoutAttr::get(type.getContext(), kPanelsLayout, shape.panel, 2);
}
