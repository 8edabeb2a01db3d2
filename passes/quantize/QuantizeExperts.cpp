//===- QuantizeExperts.cpp - rows and gradients go to experts in codes ----===//
//
//   x ═ quantize ═ way ═ gate, up ─ SwiGLU ─ down ─ combine ─ y            ═ codes and scales
//                                                             │            ─ numbers
//   dx ─ ... ─ gate, up ─ SwiGLU ─ weight · V ── down ═ way ═ quantize ═ dy
//                                  ⟨H, V⟩ = the routing weight's gradient
//
// The way are gathers and exchanges between ranks: rows are quantized once, where they are, on one
// rank as on many (DeepSeek-V3, arXiv:2412.19437, section 3.3.2 and figure 7: powers of two, so
// that tiles along tokens, which weight gradients read, are made of them without a loss). The
// experts' outputs are not kept: of the gradient as it travelled, g, down's input gradient is V =
// W^T g, so that a routing weight's gradient, the product of g with the expert's output W H, is
// ⟨H, V⟩, and the gradient of H is weight · V. The routing weight joins H in down's weight gradient
// (ours; so does the SwiGLU backward of DeepSeek's TileKernels).
//
//===----------------------------------------------------------------------===//

#include "dialects/fp8/Fp8.h"
#include "dialects/job/PartBuilder.h"
#include "dialects/moe/Moe.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "passes/quantize/Fp8Quantizer.h"
#include "passes/quantize/RowMoves.h"
#include "llvm/ADT/SetVector.h"

using namespace mlir;
using namespace hadal;

namespace {

/// How tokens' rows come to their experts: gathers by a plan, and exchanges between ranks.
struct Way {
  Value tokens;                  ///< whose rows they are, f32
  SmallVector<Operation *> hops; ///< in their order, each made of the one before
};

Way wayOf(Value rows) {
  Way way{rows, {}};
  while (Operation *op = way.tokens.getDefiningOp()) {
    auto dispatch = dyn_cast<moe::DispatchOp>(op);
    bool isPlanned = dispatch && isa_and_nonnull<moe::PlanOp, moe::PlanSendsOp>(
                                     dispatch.getSource().getDefiningOp());
    if (!isPlanned && !isa<moe::ExchangeOp>(op))
      break;
    way.hops.push_back(op);
    way.tokens = op->getOperand(0);
  }
  std::reverse(way.hops.begin(), way.hops.end());
  return way;
}

class RoutedExperts {
public:
  explicit RoutedExperts(Fp8Quantizer &quantizer) : quantizer(quantizer) {}

  void run() {
    Block &block = quantizer.function().getBody().front();
    // Outputs first: what their gradient goes to are then no plain Linears any more.
    for (auto grad : llvm::to_vector(block.getOps<moe::CombineGradOp>()))
      rewriteOutputs(grad);
    SmallVector<Operation *> products;
    for (Operation &op : block)
      if (quantizer.roles.contains(&op))
        products.push_back(&op);
    for (Operation *op : products)
      if (auto product = dyn_cast<moe::GroupedMatmulOp>(op))
        rewriteInput(product);
      else if (auto gradient = dyn_cast<moe::GroupedWeightGradOp>(op))
        rewriteInputGradient(gradient);
    dropHops();
  }

private:
  using Role = Fp8Quantizer::Role;

  //===--------------------------------------------------------------------===//
  // The way to the experts
  //===--------------------------------------------------------------------===//

  /// Codes, or scales, one hop on.
  Value carry(Operation *hop, Value rows) {
    Value &known = carried[{hop, rows}];
    if (known)
      return known;
    job::PartBuilder b(hop);
    return known = moveInstead(b, hop, rows);
  }

  /// The codes of the tokens' rows, where the last of `hops`, a part of the way, leads. `reader`
  /// wants them if there are none.
  Fp8Codes travel(Operation *reader, const Way &way, ArrayRef<Operation *> hops,
                  const Fp8Options &options) {
    Operation *first = way.hops.empty() ? reader : way.hops.front();
    Fp8Codes codes = quantizer.quantize(first, way.tokens, options.rowTile().withPow2(true));
    for (Operation *hop : hops)
      codes.q = carry(hop, codes.q), codes.scale = carry(hop, codes.scale);
    left.insert(way.hops.begin(), way.hops.end());
    return codes;
  }

  /// Codes by `source`, in front of `reader`, which may be far from where they arrive: before it
  /// there are fewer of them, one row per token.
  Fp8Codes gathered(Operation *reader, Fp8Codes codes, Value source) {
    job::PartBuilder b(reader);
    for (Value *rows : {&codes.q, &codes.scale}) {
      Value &known = carried[{source.getDefiningOp(), *rows}];
      if (!known)
        known = gatherRows(b, reader->getLoc(), *rows, source);
      else if (reader->isBeforeInBlock(known.getDefiningOp()))
        known.getDefiningOp()->moveBefore(reader);
      *rows = known;
    }
    return codes;
  }

  /// The numbers that rows stand for which have come to `reader` as codes; other rows as they are.
  Value asTravelled(Operation *reader, Value rows, const Fp8Options &options) {
    auto last = rows.getDefiningOp<moe::DispatchOp>();
    Way way = wayOf(rows);
    if (!last || way.hops.empty())
      return rows;
    Fp8Codes codes = travel(reader, way, ArrayRef(way.hops).drop_back(), options);
    return quantizer.dequantize(reader, gathered(reader, codes, last.getSource()));
  }

  /// Takes away what rows no longer go: exchanges stay by themselves, read or not.
  void dropHops() {
    SmallVector<Operation *> hops(left.begin(), left.end());
    llvm::sort(hops, [](Operation *a, Operation *b) { return b->isBeforeInBlock(a); });
    for (Operation *hop : hops)
      if (hop->use_empty())
        hop->erase();
  }

  //===--------------------------------------------------------------------===//
  // gate and up
  //===--------------------------------------------------------------------===//

  /// A product of gathered rows gathers codes by itself.
  void rewriteInput(moe::GroupedMatmulOp op) {
    auto dispatch = op.getRows().getDefiningOp<moe::DispatchOp>();
    Way way = wayOf(op.getRows());
    if (quantizer.roles.lookup(op) != Role::Forward || !dispatch || way.hops.empty() ||
        op.getSource() || op.getTranspose())
      return;
    Fp8Options options = quantizer.optionsOf(op);
    Fp8Codes rows = travel(op, way, ArrayRef(way.hops).drop_back(), options);
    quantizer.product(op, rows, op.getWeights(), /*transpose=*/false, options, op.getOffsets(),
                      op.getActive(), dispatch.getSource());
  }

  /// Its operands are tiled anew like any Linear's then, with powers of two as scales.
  void rewriteInputGradient(moe::GroupedWeightGradOp op) {
    if (!op.getSource())
      op.getRowsMutable().assign(asTravelled(op, op.getRows(), quantizer.optionsOf(op)));
  }

  //===--------------------------------------------------------------------===//
  // down
  //===--------------------------------------------------------------------===//

  /// The products that read the gradient of the experts' outputs; false where anything else does.
  bool findReaders(moe::CombineGradOp op, moe::GroupedMatmulOp &input,
                   moe::GroupedWeightGradOp &weight) {
    for (Operation *user : op.getRowsGrad().getUsers()) {
      auto product = dyn_cast<moe::GroupedMatmulOp>(user);
      auto gradient = dyn_cast<moe::GroupedWeightGradOp>(user);
      bool isInput = product && !input && product.getTranspose() && !product.getSource() &&
                     product.getRows() == op.getRowsGrad();
      bool isWeight = gradient && !weight && !gradient.getSource() &&
                      gradient.getGradient() == op.getRowsGrad() &&
                      gradient.getRows() != op.getRowsGrad();
      if (!quantizer.roles.contains(user) || !(isInput || isWeight))
        return false;
      if (isInput)
        input = product;
      else
        weight = gradient;
    }
    return input && (!weight || input->isBeforeInBlock(weight));
  }

  void rewriteOutputs(moe::CombineGradOp op) {
    auto plan = op.getPosition().getDefiningOp<moe::PlanOp>();
    auto down = op.getRows().getDefiningOp<moe::GroupedMatmulOp>();
    moe::GroupedMatmulOp input;
    moe::GroupedWeightGradOp weight;
    if (!plan || !down || !findReaders(op, input, weight))
      return;
    // H is there where down's weight gradient reads it.
    Operation *place = weight ? weight.getOperation() : input->getNextNode();
    Fp8Options options = quantizer.optionsOf(input);
    Way way = wayOf(op.getGradient());
    Fp8Codes gradient = travel(op, way, way.hops, options);
    Value hidden =
        asTravelled(place, weight ? Value(weight.getRows()) : Value(down.getRows()), options);
    Value v = inputGradient(input, gradient, plan.getSource(), options);
    SmallVector<OpOperand *> readers;
    for (OpOperand &use : v.getUses())
      readers.push_back(&use);
    job::PartBuilder b(place, op);
    auto [each, weightsGrad] = weighRows(b, op, rowProducts(b, hidden, v));
    Value hiddenGrad = timesRow(b, v, each);
    for (OpOperand *use : readers)
      use->set(hiddenGrad);
    op.getWeightsGrad().replaceAllUsesWith(weightsGrad);
    if (weight) {
      weight.getRowsMutable().assign(timesRow(b, hidden, each));
      weight.getGradientMutable().assign(
          quantizer.dequantize(weight, gathered(weight, gradient, plan.getSource())));
    }
    op.erase();
  }

  /// V, in place of `input`.
  Value inputGradient(moe::GroupedMatmulOp input, Fp8Codes gradient, Value source,
                      const Fp8Options &options) {
    Value offsets = input.getOffsets();
    if (options.gradientBlocks) { // tiles of many rows: of each group's by themselves
      Value rows = quantizer.dequantize(input, gathered(input, gradient, source));
      gradient = quantizer.gradientCodes(input, rows, options, /*pow2=*/true, offsets);
      source = {};
    }
    return quantizer.product(input, gradient, input.getWeights(), /*transpose=*/true, options,
                             offsets, input.getActive(), source);
  }

  //===--------------------------------------------------------------------===//
  // Rows and their routing weights
  //===--------------------------------------------------------------------===//

  /// ⟨x, y⟩ of each row.
  Value rowProducts(ImplicitLocOpBuilder &b, Value x, Value y) {
    Value rows = tensor::DimOp::create(b, y, 0);
    auto type = cast<RankedTensorType>(y.getType());
    Value empty = tensor::EmptyOp::create(b, type.getShape().take_front(), b.getF32Type(),
                                          type.isDynamicDim(0) ? ValueRange(rows) : ValueRange());
    Value zero = arith::ConstantOp::create(b, b.getF32FloatAttr(0));
    Value zeros = linalg::FillOp::create(b, zero, empty).getResult(0);
    AffineMap identity = b.getMultiDimIdentityMap(2), row = identity.getSubMap({0});
    // As in a norm: the order of a row's sum is the target's to write.
    return linalg::GenericOp::create(
               b, zeros.getType(), ValueRange{x, y}, zeros, ArrayRef({identity, identity, row}),
               ArrayRef({utils::IteratorType::parallel, utils::IteratorType::reduction}),
               [](OpBuilder &b, Location loc, ValueRange args) {
                 Value product = arith::MulFOp::create(b, loc, args[0], args[1]);
                 Value sum =
                     arith::AddFOp::create(b, loc, args[2], product, arith::FastMathFlags::reassoc);
                 linalg::YieldOp::create(b, loc, sum);
               })
        .getResult(0);
  }

  /// Each row's routing weight [R], and `products` [R] as what they are to the choices [T, K]. It
  /// is what the adjoint of the combination says of rows of one number whose sum's gradient is 1.
  std::pair<Value, Value> weighRows(ImplicitLocOpBuilder &b, moe::CombineGradOp op,
                                    Value products) {
    auto type = cast<RankedTensorType>(products.getType());
    SmallVector<ReassociationIndices> group{{0, 1}};
    Value rows = tensor::DimOp::create(b, products, 0);
    SmallVector<OpFoldResult> sizes{type.isDynamicDim(0) ? OpFoldResult(rows)
                                                         : b.getIndexAttr(type.getDimSize(0)),
                                    b.getIndexAttr(1)};
    auto column = type.clone({type.getDimSize(0), 1});
    Value columns = tensor::ExpandShapeOp::create(b, column, products, group, sizes);
    auto tokens = op.getPosition().getType();
    Value count = tensor::DimOp::create(b, op.getPosition(), 0);
    Value one = arith::ConstantOp::create(b, b.getF32FloatAttr(1));
    Value empty =
        tensor::EmptyOp::create(b, ArrayRef<int64_t>{tokens.getDimSize(0), 1}, b.getF32Type(),
                                tokens.isDynamicDim(0) ? ValueRange(count) : ValueRange());
    Value ones = linalg::FillOp::create(b, one, empty).getResult(0);
    auto adjoint =
        moe::CombineGradOp::create(b, column, op.getWeightsGrad().getType(), columns,
                                   op.getPosition(), op.getWeights(), ones, op.getPartial());
    return {tensor::CollapseShapeOp::create(b, type, adjoint.getRowsGrad(), group).getResult(),
            adjoint.getWeightsGrad()};
  }

  /// Each row of x [R, N] times its number of `each` [R].
  Value timesRow(ImplicitLocOpBuilder &b, Value x, Value each) {
    auto type = cast<RankedTensorType>(x.getType());
    Value rows = tensor::DimOp::create(b, x, 0);
    Value empty = tensor::EmptyOp::create(b, type.getShape(), type.getElementType(),
                                          type.isDynamicDim(0) ? ValueRange(rows) : ValueRange());
    AffineMap identity = b.getMultiDimIdentityMap(2);
    return linalg::GenericOp::create(
               b, type, ValueRange{x, each}, empty,
               ArrayRef({identity, identity.getSubMap({0}), identity}),
               SmallVector<utils::IteratorType>(2, utils::IteratorType::parallel),
               [](OpBuilder &b, Location loc, ValueRange args) {
                 Value product = arith::MulFOp::create(b, loc, args[0], args[1]);
                 linalg::YieldOp::create(b, loc, product);
               })
        .getResult(0);
  }

  Fp8Quantizer &quantizer;
  llvm::DenseMap<std::pair<Operation *, Value>, Value> carried; ///< by hop (or plan) and rows
  llvm::SetVector<Operation *> left;                            ///< hops that rows no longer go
};

} // namespace

void hadal::quantizeRoutedExperts(Fp8Quantizer &quantizer) { RoutedExperts(quantizer).run(); }
