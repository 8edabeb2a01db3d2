//===- ProductEpilogue.cpp - what follows a product, element by element --===//

#include "passes/targets/cpu/ProductEpilogue.h"
#include "mlir/IR/Matchers.h"

using namespace mlir;
using namespace hadal;

void hadal::clonePayload(KernelBuilder &b, linalg::GenericOp generic, IRMapping &map, int64_t lanes,
                         function_ref<Value(Operation &)> special) {
  for (Operation &op : *generic.getBody()) { // the terminator, too: it may yield constants
    auto lanesOf = [&](Type t) { return b.vectorOf(lanes, t); };
    for (Value v : op.getOperands()) { // constants stand outside or inside the payload as scalars
      Attribute constant;
      if (!map.contains(v) && matchPattern(v, m_Constant(&constant)))
        map.map(v, arith::ConstantOp::create(
                       b, DenseElementsAttr::get(lanesOf(v.getType()), constant)));
    }
    if (isa<arith::ConstantOp>(op) ||
        llvm::all_of(op.getResults(), [&](Value v) { return map.contains(v); }))
      continue;
    if (Value vector = special ? special(op) : Value()) {
      map.map(op.getResult(0), vector);
      continue;
    }
    Operation *clone = b.clone(op, map);
    for (auto [from, to] : llvm::zip(op.getResults(), clone->getResults()))
      to.setType(lanesOf(from.getType()));
  }
}

ProductEpilogue::ProductEpilogue(Kernel &kernel, linalg::GenericOp generic,
                                 ArrayRef<Product> products)
    : generic(generic) {
  if (!generic)
    return;
  for (OpOperand *operand : generic.getDpsInputOperands()) {
    auto product =
        llvm::find_if(products, [&](const Product &p) { return p.result() == operand->get(); });
    productOf.push_back(product == products.end() ? -1 : product - products.begin());
    Value memory;
    if (productOf.back() < 0)
      memory = isa<RankedTensorType>(operand->get().getType())
                   ? kernel.memory(operand->get())
                   : kernel.b.clone(*operand->get().getDefiningOp())->getResult(0);
    memories.push_back(memory);
  }
}

Value ProductEpilogue::apply(KernelBuilder &b, ArrayRef<Value> sums, Value row, Value column,
                             int64_t valid) const {
  int64_t lanes = b.shape.lanes;
  linalg::GenericOp op = generic;
  IRMapping map;
  for (auto [operand, memory, product] : llvm::zip(op.getDpsInputOperands(), memories, productOf)) {
    AffineMap access = op.getMatchingIndexingMap(operand);
    Value in;
    if (product >= 0)
      in = sums[product];
    else if (access.isIdentity())
      in = b.loadVector(memory, {row, column}, lanes, valid);
    else if (access.getNumResults() == 1 && access.isFunctionOfDim(1))
      in = b.loadVector(memory, {column}, lanes, valid);
    else
      in = b.splat(access.getNumResults() ? b.load(memory, {row}) : memory, lanes);
    map.map(op.getMatchingBlockArgument(operand), in);
  }
  clonePayload(b, op, map, lanes);
  return map.lookup(op.getBody()->getTerminator()->getOperand(0));
}
