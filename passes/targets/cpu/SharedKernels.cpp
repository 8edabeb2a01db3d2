//===- SharedKernels.cpp - which ops run in one kernel on a processor -----===//

#include "passes/targets/cpu/SharedKernels.h"
#include "dialects/fp8/Fp8.h"
#include "mlir/Dialect/MLProgram/IR/MLProgram.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "passes/analysis/GraphQueries.h"
#include "passes/targets/cpu/CpuTarget.h"

using namespace mlir;
using namespace hadal;

/// Weights that are trained lie each in panels of its own, a copy of them or not.
static bool isTrained(Value weights) {
  if (auto copy = weights.getDefiningOp<exec::RelayoutOp>())
    weights = copy.getSource();
  return isa_and_nonnull<ml_program::GlobalLoadOp>(weights.getDefiningOp());
}

/// Products under one epilogue share the left operand, the shape and the kind of weights: a pair
/// wants its two side by side.
static bool arePair(const Product &a, const Product &b) {
  return !isTrained(a.right) && !isTrained(b.right) && a.left == b.left &&
         a.right.getType() == b.right.getType() && a.op->getName() == b.op->getName() &&
         a.leftScale == b.leftScale && a.source == b.source && a.offsets == b.offsets &&
         a.blockN == b.blockN && a.blockK == b.blockK && a.interval == b.interval &&
         a.accumulate == b.accumulate && a.leftK == b.leftK && a.rightN == b.rightN &&
         a.outBatch < 0 && b.outBatch < 0;
}

SmallVector<Product> hadal::productsUnder(linalg::GenericOp epilogue) {
  SmallVector<Product> products;
  for (OpOperand *operand : epilogue.getDpsInputOperands())
    if (Operation *producer = operand->get().getDefiningOp())
      if (auto product = matchProduct(producer))
        if (operand->get().hasOneUse() && product->outBatch < 0 &&
            epilogue.getMatchingIndexingMap(operand).isIdentity())
          products.push_back(*product);
  return products;
}

/// The product's epilogue, or null.
static linalg::GenericOp epilogueOf(Operation *product) {
  if (!product->hasOneUse())
    return {};
  auto reader = dyn_cast<linalg::GenericOp>(*product->user_begin());
  return reader && !matchProduct(reader) && !standsAlone(reader) && isEpilogue(reader)
             ? reader
             : linalg::GenericOp();
}

std::optional<Product> hadal::pairOf(Operation *product) {
  linalg::GenericOp epilogue = epilogueOf(product);
  if (!epilogue)
    return std::nullopt;
  SmallVector<Product> products = productsUnder(epilogue);
  if (products.size() != 2 || !arePair(products[0], products[1]))
    return std::nullopt;
  return products[products[0].op == product ? 1 : 0];
}

/// The product whose kernel makes `rows`, if that is one of codes: `rows` or what its epilogue
/// reads.
static std::optional<Product> codedProductOf(Operation *rows) {
  if (auto product = matchProduct(rows))
    return product->leftScale && product->outBatch < 0 ? product : std::nullopt;
  auto epilogue = dyn_cast<linalg::GenericOp>(rows);
  if (!epilogue || !isEpilogue(epilogue))
    return std::nullopt;
  SmallVector<Product> products = productsUnder(epilogue);
  return products.size() == 1 ? codedProductOf(products[0].op) : std::nullopt;
}

/// True if a kernel makes its result row by row, and in a loop over these: `producer` and what runs
/// on its rows.
static bool makesRows(Operation *producer) {
  auto rows = dyn_cast<linalg::GenericOp>(producer);
  if (!rows || rows->getNumResults() != 1 || matchProduct(rows) || standsAlone(rows) ||
      destinationOf(rows) || (isEpilogue(rows) && !productsUnder(rows).empty()))
    return false;
  AffineMap made = rows.getMatchingIndexingMap(rows.getDpsInitOperand(0));
  return made.getResult(0) == getAffineDimExpr(0, rows.getContext()) &&
         rows.getIteratorTypesArray()[0] == utils::IteratorType::parallel;
}

/// True if `quantize` runs on the rows that `producer` makes: its tiles are of one row, and nothing
/// before it in the program reads the rows. A product's are in memory, for something after it.
static bool quantizesRows(fp8::QuantizeOp quantize, Operation *producer, const VectorShape &shape) {
  auto type = quantize.getX().getType();
  if (quantize.getBlock()[0] != 1 || type.getRank() != 2 || !type.getElementType().isF32())
    return false;
  if (!makesRows(producer)) {
    int64_t width = quantize.getBlock()[1];
    if (!codedProductOf(producer) || producer->hasOneUse() || !width || width % shape.panel)
      return false;
  }
  return llvm::all_of(producer->getUsers(), [&](Operation *user) {
    return user == quantize ||
           (user->getBlock() == quantize->getBlock() && quantize->isBeforeInBlock(user));
  });
}

/// A weight gradient quantizes its operands while it copies them, where nothing else reads the
/// codes.
static bool isQuantizedFor(fp8::QuantizeOp quantize, fp8::WeightGradOp gradient) {
  auto isOperand = [&](Value codes, Value scale) {
    return codes == quantize.getQ() && scale == quantize.getScale();
  };
  auto slice = quantize.getX().getDefiningOp<tensor::ExtractSliceOp>();
  return (isOperand(gradient.getGradient(), gradient.getGradientScale()) ||
          isOperand(gradient.getX(), gradient.getXScale())) &&
         quantize.getBlock() == gradient.getBlock() &&
         quantize.getOffsets() == gradient.getOffsets() && (!slice || slice.hasUnitStride()) &&
         llvm::all_of(quantize->getUsers(), [&](Operation *user) { return user == gradient; });
}

/// An element-wise op runs on a product's tile while that is in registers: on the last of its
/// products, or on both of a pair. Ops that go over the same rows run one after the other on each
/// row, and a quantizer of tiles within rows after them.
bool CpuTarget::sharesKernel(Operation *producer, Operation *consumer) const {
  if (auto quantize = dyn_cast<fp8::QuantizeOp>(consumer))
    return quantizesRows(quantize, producer, shape);
  if (auto quantize = dyn_cast<fp8::QuantizeOp>(producer))
    if (auto gradient = dyn_cast<fp8::WeightGradOp>(consumer))
      return isQuantizedFor(quantize, gradient);
  auto generic = dyn_cast<linalg::GenericOp>(consumer);
  if (!generic || matchProduct(generic) || standsAlone(generic))
    return false;
  if (isEpilogue(generic))
    if (SmallVector<Product> products = productsUnder(generic); !products.empty())
      return producer == products.back().op ||
             (producer == products.front().op && pairOf(producer));
  auto rows = dyn_cast<linalg::GenericOp>(producer);
  if (!rows || matchProduct(rows) || standsAlone(rows) || !rows->hasOneUse() ||
      rows->getNumResults() != 1)
    return false;
  // It takes no product along.
  if (isEpilogue(rows) && !productsUnder(rows).empty())
    return false;
  for (OpOperand *operand : generic.getDpsInputOperands()) {
    if (operand->get() != rows.getResult(0))
      continue;
    AffineMap access = generic.getMatchingIndexingMap(operand);
    return access.getNumResults() &&
           access.getResult(0) == getAffineDimExpr(0, generic.getContext()) &&
           generic.getIteratorTypesArray()[0] == utils::IteratorType::parallel &&
           rows.getIteratorTypesArray()[0] == utils::IteratorType::parallel;
  }
  return false;
}
