#include "passes/kernels/Matmul.h"
#include "dialects/fp8/Fp8.h"
#include "dialects/moe/Moe.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/LinalgInterfaces.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/IR/Matchers.h"

using namespace mlir;

namespace hadal {

static bool isFloat(Value v) {
  Type t = getElementTypeOrSelf(v.getType());
  return t.isF32() || t.isBF16() || t.isF16();
}

static bool isZeroFill(Value v) {
  auto fill = v.getDefiningOp<linalg::FillOp>();
  return fill && matchPattern(fill.getInputs()[0], m_AnyZeroFloat());
}

static std::optional<Product> matchContraction(linalg::LinalgOp op) {
  if (!linalg::isaContractionOpInterface(op))
    return std::nullopt;
  auto dims = linalg::inferContractionDims(op);
  if (failed(dims) || dims->m.size() != 1 || dims->n.size() != 1 || dims->k.size() != 1 || dims->batch.size() > 1)
    return std::nullopt;
  Product p;
  p.op = op;
  p.left = op.getDpsInputs()[0];
  p.right = op.getDpsInputs()[1];
  Value out = op.getDpsInits()[0];
  auto maps = op.getIndexingMapsArray();
  if (!isFloat(p.left) || !isFloat(p.right) || !getElementTypeOrSelf(out.getType()).isF32() || !isZeroFill(out))
    return std::nullopt;
  auto position = [](AffineMap map, unsigned dim) {
    for (unsigned i = 0; i < map.getNumResults(); ++i)
      if (auto d = dyn_cast<AffineDimExpr>(map.getResult(i)); d && d.getPosition() == dim)
        return int(i);
    return -1;
  };
  p.leftRow = position(maps[0], dims->m[0]), p.leftK = position(maps[0], dims->k[0]);
  p.rightN = position(maps[1], dims->n[0]), p.rightK = position(maps[1], dims->k[0]);
  p.outRow = position(maps[2], dims->m[0]), p.outN = position(maps[2], dims->n[0]);
  auto right = cast<RankedTensorType>(p.right.getType());
  if (!right.hasStaticShape())
    return std::nullopt;
  if (!dims->batch.empty()) {
    p.leftBatch = position(maps[0], dims->batch[0]);
    p.rightBatch = position(maps[1], dims->batch[0]);
    p.outBatch = position(maps[2], dims->batch[0]);
    p.batch = right.getDimSize(p.rightBatch);
  }
  p.n = right.getDimSize(p.rightN), p.k = right.getDimSize(p.rightK);
  // Vectors of outputs are stored whole, so outputs must be the last dimension.
  unsigned rank = p.batch == 1 && p.outBatch < 0 ? 2 : 3;
  if (p.outN != int(rank) - 1 || cast<RankedTensorType>(out.getType()).getRank() != int64_t(rank))
    return std::nullopt;
  return p;
}

template <typename Op> static Product grouped(Op op) {
  Product p;
  p.op = op;
  p.left = op.getRows(), p.right = op.getWeights();
  p.offsets = op.getOffsets(), p.active = op.getActive(), p.source = op.getSource();
  auto right = cast<RankedTensorType>(p.right.getType());
  p.rightBatch = 0, p.rightN = 1, p.rightK = 2;
  p.batch = right.getDimSize(0), p.n = right.getDimSize(1), p.k = right.getDimSize(2);
  return p;
}

std::optional<Product> matchProduct(Operation *op) {
  if (auto g = dyn_cast<moe::GroupedMatmulOp>(op))
    return grouped(g);
  if (auto g = dyn_cast<fp8::GroupedMatmulOp>(op)) {
    Product p = grouped(g);
    p.scale = g.getScale(), p.blockN = g.getBlock()[0], p.blockK = g.getBlock()[1];
    return p;
  }
  if (auto m = dyn_cast<fp8::MatmulOp>(op)) {
    Product p;
    p.op = m, p.left = m.getX(), p.right = m.getWeights(), p.scale = m.getScale();
    p.blockN = m.getBlock()[0], p.blockK = m.getBlock()[1];
    auto right = cast<RankedTensorType>(p.right.getType());
    p.n = right.getDimSize(0), p.k = right.getDimSize(1);
    return p;
  }
  if (auto l = dyn_cast<linalg::LinalgOp>(op))
    return matchContraction(l);
  return std::nullopt;
}

bool isEpilogue(Operation *op) {
  auto generic = dyn_cast<linalg::GenericOp>(op);
  if (!generic || generic.getNumLoops() != 2 || generic.getNumParallelLoops() != 2 || generic.getNumResults() != 1)
    return false;
  if (!getElementTypeOrSelf(generic.getResult(0).getType()).isF32())
    return false;
  for (OpOperand &operand : generic->getOpOperands()) {
    AffineMap map = generic.getMatchingIndexingMap(&operand);
    bool row = map.isIdentity() || generic.isScalar(&operand);
    bool column = map.getNumResults() == 1 && isa<AffineDimExpr>(map.getResult(0));
    if (!row && !column)
      return false;
  }
  if (!generic.getMatchingIndexingMap(generic.getDpsInitOperand(0)).isIdentity() ||
      generic.payloadUsesValueFromOperand(generic.getDpsInitOperand(0)))
    return false;
  // The payload is cloned on vectors.
  for (Operation &inner : generic.getBody()->without_terminator())
    if (!OpTrait::hasElementwiseMappableTraits(&inner) && !isa<arith::ConstantOp>(inner))
      return false;
  for (Operation &inner : generic.getBody()->without_terminator())
    for (Value v : inner.getOperands())
      if (!isa<BlockArgument>(v) && v.getDefiningOp()->getBlock() != generic.getBody() &&
          !matchPattern(v, m_Constant()))
        return false;
  return true;
}

} // namespace hadal
