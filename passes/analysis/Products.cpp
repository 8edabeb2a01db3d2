//===- Products.cpp - matrix products and sums, whatever op they are ------===//

#include "passes/analysis/Products.h"
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

bool isZeroFill(Value v) {
  auto fill = v.getDefiningOp<linalg::FillOp>();
  return fill && matchPattern(fill.getInputs()[0], m_AnyZeroFloat());
}

static std::optional<Product> matchContraction(linalg::LinalgOp op) {
  if (!linalg::isaContractionOpInterface(op))
    return std::nullopt;
  auto dims = linalg::inferContractionDims(op);
  if (failed(dims) || dims->m.size() != 1 || dims->n.size() != 1 || dims->k.size() != 1 ||
      dims->batch.size() > 1)
    return std::nullopt;
  Product p;
  p.op = op;
  // Weights are the operand of static shape: an adjoint may name them first.
  auto isStatic = [&](unsigned i) {
    return cast<ShapedType>(op.getDpsInputs()[i].getType()).hasStaticShape();
  };
  unsigned l = isStatic(0) && !isStatic(1), r = 1 - l;
  if (l)
    std::swap(dims->m, dims->n);
  p.left = op.getDpsInputs()[l];
  p.right = op.getDpsInputs()[r];
  Value out = op.getDpsInits()[0];
  auto maps = op.getIndexingMapsArray();
  if (!isFloat(p.left) || !isFloat(p.right) || !getElementTypeOrSelf(out.getType()).isF32() ||
      !isZeroFill(out))
    return std::nullopt;
  auto position = [](AffineMap map, unsigned dim) {
    for (unsigned i = 0; i < map.getNumResults(); ++i)
      if (auto d = dyn_cast<AffineDimExpr>(map.getResult(i)); d && d.getPosition() == dim)
        return int(i);
    return -1;
  };
  p.leftRow = position(maps[l], dims->m[0]), p.leftK = position(maps[l], dims->k[0]);
  p.rightN = position(maps[r], dims->n[0]), p.rightK = position(maps[r], dims->k[0]);
  p.outRow = position(maps[2], dims->m[0]), p.outN = position(maps[2], dims->n[0]);
  auto right = cast<RankedTensorType>(p.right.getType());
  if (!right.hasStaticShape())
    return std::nullopt;
  if (!dims->batch.empty()) {
    p.leftBatch = position(maps[l], dims->batch[0]);
    p.rightBatch = position(maps[r], dims->batch[0]);
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

/// With `transpose` the weights' outputs are summed over.
static void transpose(Product &p) {
  std::swap(p.rightN, p.rightK);
  std::swap(p.n, p.k);
  std::swap(p.blockN, p.blockK);
}

static Accumulate accumulateOf(std::optional<StringRef> name) {
  return name == "hopper" ? Accumulate::Hopper : Accumulate::F32;
}

/// What fp8.matmul and fp8.grouped_matmul say of codes and scales.
template <typename Op> static void readScales(Op op, Product &p) {
  p.scale = op.getScale(), p.leftScale = op.getXScale();
  p.blockN = op.getBlock()[0], p.blockK = op.getBlock()[1];
  if (op.getTranspose())
    transpose(p);
  p.interval = op.getInterval() ? int64_t(*op.getInterval()) : p.blockK;
  p.accumulate = accumulateOf(op.getAccumulate());
}

std::optional<Product> matchProduct(Operation *op) {
  if (auto g = dyn_cast<moe::GroupedMatmulOp>(op)) {
    Product p = grouped(g);
    if (g.getTranspose())
      transpose(p);
    return p;
  }
  if (auto g = dyn_cast<fp8::GroupedMatmulOp>(op)) {
    Product p = grouped(g);
    readScales(g, p);
    return p;
  }
  if (auto m = dyn_cast<fp8::MatmulOp>(op)) {
    Product p;
    p.op = m, p.left = m.getX(), p.right = m.getWeights();
    auto right = cast<RankedTensorType>(p.right.getType());
    p.n = right.getDimSize(0), p.k = right.getDimSize(1);
    readScales(m, p);
    return p;
  }
  if (auto l = dyn_cast<linalg::LinalgOp>(op))
    return matchContraction(l);
  return std::nullopt;
}

std::optional<WeightGradient> matchWeightGradient(Operation *op) {
  WeightGradient g;
  g.op = op;
  if (auto grouped = dyn_cast<moe::GroupedWeightGradOp>(op)) {
    g.rows = grouped.getRows(), g.gradient = grouped.getGradient();
    g.offsets = grouped.getOffsets(), g.active = grouped.getActive(),
    g.source = grouped.getSource();
    if (!isZeroFill(grouped.getInit()))
      g.init = grouped.getInit();
    auto out = grouped.getResult().getType();
    g.batch = out.getDimSize(0), g.n = out.getDimSize(1), g.k = out.getDimSize(2);
    return g;
  }
  if (auto coded = dyn_cast<fp8::WeightGradOp>(op)) {
    g.rows = coded.getX(), g.rowsScale = coded.getXScale();
    g.gradient = coded.getGradient(), g.gradientScale = coded.getGradientScale();
    g.offsets = coded.getOffsets(), g.active = coded.getActive();
    if (!isZeroFill(coded.getInit()))
      g.init = coded.getInit();
    ArrayRef<int64_t> matrix = coded.getResult().getType().getShape();
    g.batch = matrix.size() == 3 ? matrix[0] : 1;
    g.n = matrix[matrix.size() - 2], g.k = matrix.back();
    g.tile = coded.getBlock()[0];
    g.interval = coded.getInterval() ? int64_t(*coded.getInterval()) : g.tile;
    g.accumulate = accumulateOf(coded.getAccumulate());
    return g;
  }
  auto linalgOp = dyn_cast<linalg::LinalgOp>(op);
  if (!linalgOp || !linalg::isaContractionOpInterface(linalgOp) || linalgOp.getNumLoops() != 3 ||
      matchProduct(op))
    return std::nullopt;
  auto out = dyn_cast<RankedTensorType>(op->getResult(0).getType());
  if (!out || out.getRank() != 2 || !out.hasStaticShape() || !out.getElementType().isF32())
    return std::nullopt;
  auto maps = linalgOp.getIndexingMapsArray();
  if (!maps[2].isProjectedPermutation() || maps[2].getNumResults() != 2)
    return std::nullopt;
  AffineExpr n = maps[2].getResult(0), k = maps[2].getResult(1);
  for (unsigned i = 0; i < 2; ++i) {
    Value operand = linalgOp.getDpsInputs()[i];
    if (maps[i].getNumResults() != 2 || !getElementTypeOrSelf(operand.getType()).isF32())
      return std::nullopt;
    AffineExpr row = maps[i].getResult(0), column = maps[i].getResult(1);
    if (row == n || row == k)
      return std::nullopt;
    (column == n ? g.gradient : g.rows) = operand;
  }
  if (!g.gradient || !g.rows)
    return std::nullopt;
  if (!isZeroFill(linalgOp.getDpsInits()[0]))
    g.init = linalgOp.getDpsInits()[0];
  g.n = out.getDimSize(0), g.k = out.getDimSize(1);
  return g;
}

/// True if the payload can be cloned on vectors.
static bool runsOnVectors(linalg::GenericOp generic) {
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

bool isColumnSum(Operation *op) {
  auto generic = dyn_cast<linalg::GenericOp>(op);
  if (!generic || generic.getNumLoops() != 2 || generic.getNumParallelLoops() != 1 ||
      generic.getNumReductionLoops() != 1 || generic.getNumResults() != 1 ||
      !runsOnVectors(generic))
    return false;
  auto out = dyn_cast<RankedTensorType>(generic.getResult(0).getType());
  if (!out || out.getRank() != 1 || !out.hasStaticShape() || !out.getElementType().isF32())
    return false;
  unsigned column = generic.getIteratorTypesArray()[0] == utils::IteratorType::parallel ? 0 : 1;
  bool whole = false; // some operand has to say how many rows there are
  for (OpOperand *operand : generic.getDpsInputOperands()) {
    AffineMap map = generic.getMatchingIndexingMap(operand);
    if (!map.isProjectedPermutation() ||
        (map.getNumResults() == 2 && map.getDimPosition(1) != column))
      return false;
    whole |=
        map.getNumResults() == 2 || (map.getNumResults() == 1 && map.getDimPosition(0) != column);
    if (isa<RankedTensorType>(operand->get().getType()) && map.getNumResults() == 0)
      return false;
  }
  Value sum = generic.getBody()->getTerminator()->getOperand(0);
  auto add = sum.getDefiningOp<arith::AddFOp>();
  BlockArgument carried = generic.getRegionOutputArgs()[0];
  return whole && add && sum.hasOneUse() && carried.hasOneUse() &&
         (add.getLhs() == carried) != (add.getRhs() == carried);
}

bool isEpilogue(Operation *op) {
  auto generic = dyn_cast<linalg::GenericOp>(op);
  if (!generic || generic.getNumLoops() != 2 || generic.getNumParallelLoops() != 2 ||
      generic.getNumResults() != 1)
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
  return runsOnVectors(generic);
}

} // namespace hadal
