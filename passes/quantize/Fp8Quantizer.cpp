//===- Fp8Quantizer.cpp - a function's values on their way to codes -------===//

#include "passes/quantize/Fp8Quantizer.h"
#include "dialects/job/PartBuilder.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/MLProgram/IR/MLProgram.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "passes/analysis/GraphQueries.h"
#include "passes/analysis/Products.h"

using namespace mlir;
using namespace hadal;

//===----------------------------------------------------------------------===//
// Which ops are a Linear's
//===----------------------------------------------------------------------===//

/// Models name their parts: Linears are what the release stores in FP8. Functions without parts
/// have Linears only.
static bool isOfLinear(Operation *op) {
  StringRef part = job::partOf(op), name = part.rsplit('.').second;
  return part.empty() || name == "kv_a_proj_with_mqa" ||
         (name.ends_with("_proj") && name != "eh_proj");
}

/// Where the numbers of weights come from.
static Value parameterOf(Value weights) {
  Value root = rootOf(weights);
  if (auto dequantize = root.getDefiningOp<fp8::DequantizeOp>())
    root = dequantize.getQ();
  Operation *op = root.getDefiningOp();
  return !op || isa<ml_program::GlobalLoadOp, ml_program::GlobalLoadConstOp>(op) ? root : Value();
}

/// A product of f32 rows and a parameter's matrix, or a stack of them.
static std::optional<Product> matchLinear(Operation *op) {
  auto p = matchProduct(op);
  bool isPlain = p && !p->scale && (p->grouped() || p->outBatch < 0) && p->leftRow == 0 &&
                 p->leftK == 1 && getElementTypeOrSelf(p->left.getType()).isF32() &&
                 parameterOf(p->right);
  return isPlain ? p : std::nullopt;
}

std::optional<WeightGradient> hadal::matchLinearGradient(Operation *op) {
  if (auto g = matchWeightGradient(op))
    return g->gradientScale ? std::nullopt : g;
  auto p = matchProduct(op);
  if (!p || p->grouped() || p->outBatch >= 0 || p->leftRow != 1 || p->rightN != 1)
    return std::nullopt;
  WeightGradient g;
  g.op = op, g.gradient = p->left, g.rows = p->right;
  g.n = cast<RankedTensorType>(p->left.getType()).getDimSize(1), g.k = p->n;
  return g;
}

Fp8Quantizer::Fp8Quantizer(func::FuncOp f, Fp8Recipe &recipe) : f(f), recipe(recipe), halves(f) {
  // Gradients are those of Linears that are seen here, too.
  llvm::DenseSet<Value> parameters, inputs;
  Block &block = f.getBody().front();
  for (Operation &op : block)
    if (auto p = matchLinear(&op); p && isOfLinear(&op) && halves.forward.contains(&op)) {
      roles[&op] = Role::Forward;
      parameters.insert(parameterOf(p->right));
      inputs.insert(p->left);
    }
  for (Operation &op : block) {
    if (halves.forward.contains(&op) || !isOfLinear(&op))
      continue;
    if (auto p = matchLinear(&op); p && parameters.contains(parameterOf(p->right)))
      roles[&op] = Role::InputGradient;
    else if (auto g = matchLinearGradient(&op);
             g && (inputs.contains(g->rows) || inputs.contains(g->gradient)))
      roles[&op] = Role::WeightGradient;
  }
}

Fp8Options Fp8Quantizer::optionsOf(Operation *product) { return recipe.of(job::partOf(product)); }

bool Fp8Quantizer::keepsE5M6(Operation *linear) { return recipe.keepsE5M6(job::partOf(linear)); }

bool Fp8Quantizer::keepsCodes(Operation *linear) { return recipe.keepsCodes(job::partOf(linear)); }

bool Fp8Quantizer::isBackward(Operation *op) const {
  return halves.isBackward(func::FuncOp(f).getBody().front().findAncestorOpInBlock(*op));
}

//===----------------------------------------------------------------------===//
// Codes
//===----------------------------------------------------------------------===//

static StringAttr formatAttr(Builder &b, fp8::Format format) {
  return format == fp8::Format::E4M3 ? StringAttr() : b.getStringAttr(fp8::nameOf(format));
}

void Fp8Quantizer::standBefore(Operation *reader, Operation *op) {
  if (!op->isBeforeInBlock(reader))
    op->moveBefore(reader);
  if (!isBackward(reader))
    setForward(op);
}

Fp8Codes Fp8Quantizer::quantize(Operation *reader, Value x, const Fp8Tile &tile, Value offsets) {
  if (tile.rows == 1)
    offsets = {}; // a tile has one row: groups do not matter
  for (const Fp8Codes &known : codesOf[x])
    if (known.tile == tile && known.offsets == offsets) {
      standBefore(reader, known.q.getDefiningOp());
      return known;
    }
  job::PartBuilder b(reader);
  auto op =
      fp8::QuantizeOp::create(b, x, {tile.rows, tile.columns}, offsets, tile.pow2, tile.format);
  standBefore(reader, op);
  return codesOf[x].emplace_back(Fp8Codes{op.getQ(), op.getScale(), offsets, tile});
}

Value Fp8Quantizer::dequantize(Operation *reader, const Fp8Codes &codes) {
  Value &known = numbersOf[codes.q];
  if (known) {
    standBefore(reader, known.getDefiningOp());
    return known;
  }
  job::PartBuilder b(reader);
  auto type = cast<RankedTensorType>(codes.q.getType()).clone(b.getF32Type());
  if (auto made = codes.q.getDefiningOp<fp8::QuantizeOp>())
    type = made.getX().getType().clone(b.getF32Type());
  auto op = fp8::DequantizeOp::create(b, type, codes.q, codes.scale, codes.offsets,
                                      ArrayRef({codes.tile.rows, codes.tile.columns}),
                                      codes.tile.pow2, formatAttr(b, codes.tile.format));
  standBefore(reader, op);
  return known = op.getResult();
}

Fp8Codes Fp8Quantizer::weights(Operation *reader, Value w, const Fp8Options &options,
                               bool transpose) {
  Fp8Tile tile = options.weightTile(transpose);
  // What is codes already.
  if (auto stored = w.getDefiningOp<fp8::DequantizeOp>();
      stored && tile == Fp8Tile{128, 128} && stored.codeFormat() == tile.format &&
      stored.getBlock() == ArrayRef<int64_t>({tile.rows, tile.columns}))
    return {stored.getQ(), stored.getScale(), {}, tile};
  for (const Fp8Codes &known : codesOf[w])
    if (known.tile == tile)
      return known;
  job::PartBuilder b(reader);
  b.setInsertionPointAfterValue(w);
  auto op = fp8::QuantizeOp::create(b, w, {tile.rows, tile.columns}, {}, tile.pow2, tile.format);
  setForward(op);
  return codesOf[w].emplace_back(Fp8Codes{op.getQ(), op.getScale(), {}, tile});
}

/// [T, C] of a scale for each tile of rows, [S, C]: ones in place of codes come back as their
/// scales.
static Value scalesOfRows(ImplicitLocOpBuilder &b, const Fp8Codes &codes) {
  auto type = cast<RankedTensorType>(codes.q.getType())
                  .clone(b.getF32Type())
                  .clone({cast<RankedTensorType>(codes.q.getType()).getDimSize(0),
                          cast<RankedTensorType>(codes.scale.getType()).getDimSize(1)});
  SmallVector<Value> sizes;
  if (type.isDynamicDim(0))
    sizes.push_back(tensor::DimOp::create(b, codes.q, 0));
  auto elementwise = [&](ValueRange inputs,
                         function_ref<Value(OpBuilder &, Location, ValueRange)> body) {
    return linalg::GenericOp::create(
               b, TypeRange{type}, inputs, ValueRange{tensor::EmptyOp::create(b, type, sizes)},
               SmallVector<AffineMap>(inputs.size() + 1, b.getMultiDimIdentityMap(2)),
               SmallVector<utils::IteratorType>(2, utils::IteratorType::parallel),
               [&](OpBuilder &b, Location loc, ValueRange args) {
                 linalg::YieldOp::create(b, loc, body(b, loc, args));
               })
        .getResult(0);
  };
  auto number = [](OpBuilder &b, Location loc, float v) -> Value {
    return arith::ConstantOp::create(b, loc, b.getF32FloatAttr(v));
  };
  Value ones =
      elementwise({}, [&](OpBuilder &b, Location loc, ValueRange) { return number(b, loc, 1); });
  // A power of two is the scale of 1, so that nothing is rounded: the code stands for 256.
  auto q = fp8::QuantizeOp::create(b, ones, {1, 1}, {}, /*pow2=*/true);
  Value products = fp8::DequantizeOp::create(b, type, q.getQ(), codes.scale, codes.offsets,
                                             ArrayRef<int64_t>({codes.tile.rows, 1}),
                                             /*pow2=*/false, StringAttr());
  return elementwise(products, [&](OpBuilder &b, Location loc, ValueRange args) -> Value {
    return arith::MulFOp::create(b, loc, args[0], number(b, loc, 1.0f / 256));
  });
}

Fp8Codes Fp8Quantizer::gradientCodes(Operation *reader, Value dy, const Fp8Options &options,
                                     bool pow2, Value offsets) {
  Fp8Tile tile = options.rowTile().withPow2(pow2);
  if (!options.gradientBlocks)
    return quantize(reader, dy, tile);
  Fp8Codes codes = quantize(reader, dy, {128, tile.columns, tile.pow2, tile.format}, offsets);
  job::PartBuilder b(reader);
  return {codes.q, scalesOfRows(b, codes), {}, tile};
}

//===----------------------------------------------------------------------===//
// Products
//===----------------------------------------------------------------------===//

static StringAttr accumulateAttr(Builder &b, const Fp8Options &options) {
  return options.hopper ? b.getStringAttr("hopper") : StringAttr();
}
static IntegerAttr intervalAttr(Builder &b, const Fp8Options &options) {
  return options.interval == 128 ? IntegerAttr() : b.getI64IntegerAttr(options.interval);
}

void Fp8Quantizer::replace(Operation *op, Value value) {
  if (!isBackward(op))
    setForward(value.getDefiningOp());
  roles.erase(op);
  halves.forward.erase(op);
  op->getResult(0).replaceAllUsesWith(value);
  op->erase();
}

Value Fp8Quantizer::product(Operation *op, const Fp8Codes &rows, Value weights, bool transpose,
                            const Fp8Options &options, Value offsets, Value active, Value source) {
  Fp8Codes w = this->weights(op, weights, options, transpose);
  job::PartBuilder b(op);
  Type type = op->getResult(0).getType();
  int64_t block[] = {w.tile.rows, w.tile.columns};
  Value y;
  if (offsets)
    y = fp8::GroupedMatmulOp::create(b, type, rows.q, w.q, w.scale, offsets, active, source,
                                     rows.scale, ArrayRef(block), transpose,
                                     accumulateAttr(b, options), intervalAttr(b, options));
  else
    y = fp8::MatmulOp::create(b, type, rows.q, w.q, w.scale, rows.scale, ArrayRef(block), transpose,
                              accumulateAttr(b, options), intervalAttr(b, options));
  replace(op, y);
  return y;
}

Value Fp8Quantizer::weightGradient(Operation *op, Value dy, bool dyPow2, Value x, bool xPow2,
                                   Value init, const Fp8Options &options, Value offsets,
                                   Value active) {
  Fp8Tile tile = options.tokenTile();
  Fp8Codes gradient = quantize(op, dy, tile.withPow2(dyPow2), offsets),
           rows = quantize(op, x, tile.withPow2(xPow2), offsets);
  job::PartBuilder b(op);
  Value dw = fp8::WeightGradOp::create(b, op->getResult(0).getType(), gradient.q, gradient.scale,
                                       rows.q, rows.scale, init, offsets, active,
                                       ArrayRef({tile.rows, tile.columns}),
                                       accumulateAttr(b, options), intervalAttr(b, options));
  replace(op, dw);
  return dw;
}
