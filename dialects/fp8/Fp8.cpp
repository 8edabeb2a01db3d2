//===- Fp8.cpp - the fp8 dialect --------------------------------------------===//

#include "dialects/fp8/Fp8.h"
#include "dialects/Shapes.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/TypeUtilities.h"
#include "llvm/Support/MathExtras.h"

using namespace mlir;
using namespace hadal;
using namespace hadal::fp8;

#include "dialects/fp8/Fp8Dialect.cpp.inc"

#define GET_OP_CLASSES
#include "dialects/fp8/Fp8.cpp.inc"

void Fp8Dialect::initialize() {
  addOperations<
#define GET_OP_LIST
#include "dialects/fp8/Fp8.cpp.inc"
      >();
}

//===----------------------------------------------------------------------===//
// Numbers
//===----------------------------------------------------------------------===//

/// A power of two by its exponent + 127; the least is subnormal in f32, and the code of ones NaN.
static Value widenE8M0(OpBuilder &b, Location loc, Value x) {
  Type i32 = b.getI32Type();
  auto constant = [&](uint32_t bits) -> Value {
    return arith::ConstantOp::create(b, loc, b.getI32IntegerAttr(int32_t(bits)));
  };
  auto is = [&](Value code, uint32_t bits) -> Value {
    return arith::CmpIOp::create(b, loc, arith::CmpIPredicate::eq, code, constant(bits));
  };
  Value code =
      arith::ExtUIOp::create(b, loc, i32, arith::BitcastOp::create(b, loc, b.getI8Type(), x));
  Value bits = arith::ShLIOp::create(b, loc, code, constant(23));
  bits = arith::SelectOp::create(b, loc, is(code, 0), constant(0x00400000), bits);
  bits = arith::SelectOp::create(b, loc, is(code, 0xFF), constant(0x7FC00000), bits);
  return arith::BitcastOp::create(b, loc, b.getF32Type(), bits);
}

Value fp8::widen(OpBuilder &b, Location loc, Value x) {
  if (x.getType().isF32())
    return x;
  if (isa<Float8E8M0FNUType>(x.getType()))
    return widenE8M0(b, loc, x);
  return arith::ExtFOp::create(b, loc, b.getF32Type(), x);
}

//===----------------------------------------------------------------------===//
// Formats
//===----------------------------------------------------------------------===//

static constexpr Format kFormats[] = {Format::E4M3, Format::E5M2, Format::E5M6};

StringRef fp8::nameOf(Format format) {
  switch (format) {
  case Format::E4M3: return "e4m3";
  case Format::E5M2: return "e5m2";
  case Format::E5M6: return "e5m6";
  }
  llvm_unreachable("a format");
}

Format fp8::formatOf(std::optional<StringRef> name) {
  const Format *found = llvm::find_if(kFormats, [&](Format f) { return name == nameOf(f); });
  return found == std::end(kFormats) ? Format::E4M3 : *found;
}

float fp8::largestOf(Format format) {
  return format == Format::E4M3 ? 448 : format == Format::E5M2 ? 57344 : 65024;
}

Type fp8::elementOf(Format format, MLIRContext *context) {
  if (format == Format::E4M3)
    return Float8E4M3FNType::get(context);
  if (format == Format::E5M2)
    return Float8E5M2Type::get(context);
  return IntegerType::get(context, 8);
}

int64_t fp8::elementsOfRow(Format format, int64_t columns) {
  return format == Format::E5M6 ? (3 * columns + 1) / 2 : columns;
}

//===----------------------------------------------------------------------===//
// What several ops want
//===----------------------------------------------------------------------===//

/// A misspelt attribute would change numbers silently.
static LogicalResult verifyAttributes(Operation *op) {
  for (NamedAttribute attribute : op->getDiscardableAttrs())
    if (!attribute.getName().getValue().contains('.'))
      return op->emitOpError() << "knows no attribute " << attribute.getName().getValue();
  return success();
}

static LogicalResult verifyBlock(Operation *op, ArrayRef<int64_t> block, int64_t least) {
  if (block.size() != 2 || block[0] < least || block[1] < least)
    return op->emitOpError() << "wants block (" << block << ") to be two sizes of at least "
                             << least;
  return success();
}

static LogicalResult verifyFormat(Operation *op, std::optional<StringRef> name) {
  if (name && *name != nameOf(formatOf(name)))
    return op->emitOpError() << "wants format (" << *name << ") to be e4m3, e5m2 or e5m6";
  return success();
}

/// How products may form their sums over tiles of `tile`.
static LogicalResult verifySums(Operation *op, std::optional<StringRef> accumulate,
                                std::optional<uint64_t> interval, int64_t tile) {
  if (accumulate && *accumulate != "hopper")
    return op->emitOpError() << "wants accumulate (" << *accumulate << ") to be hopper";
  if (!interval)
    return success();
  auto every = static_cast<int64_t>(*interval);
  if (every != 0 && every != 32 && every != 64 && every != 128)
    return op->emitOpError() << "wants interval (" << every << ") to be 0, 32, 64 or 128";
  if (every == 0 ? tile != 0 : tile % every != 0)
    return op->emitOpError() << "wants tiles (" << tile << ") "
                             << (every ? "of a multiple of" : "of all that is summed over (0) for")
                             << " interval (" << every << ")";
  return success();
}

/// Names the number of tiles along `name`, where its size is known.
static void setTiles(NamedSizes &sizes, StringRef name, StringRef tilesName, int64_t block) {
  int64_t size = sizes[name];
  if (block == 0)
    sizes.set(tilesName, 1);
  else if (!ShapedType::isDynamic(size))
    sizes.set(tilesName,
              llvm::divideCeil(static_cast<uint64_t>(size), static_cast<uint64_t>(block)));
}

/// The same along rows, which may be those of G groups. Returns the name.
static StringRef setRowTiles(NamedSizes &sizes, StringRef name, int64_t block, bool isGrouped) {
  if (!isGrouped) {
    StringRef tiles = name == "M" ? "ceil(M/bm)" : "ceil(T/bt)";
    setTiles(sizes, name, tiles, block);
    return tiles;
  }
  if (block == 0)
    return "G";
  StringRef tiles = name == "M" ? "floor(M/bm)+G" : "floor(T/bt)+G";
  if (int64_t size = sizes[name]; !ShapedType::isDynamic(size))
    sizes.set(tiles, size / block + sizes["G"]);
  return tiles;
}

/// Of quantize and dequantize: what they say of `x`, the unquantized side, and of the other.
template <typename Op>
static LogicalResult verifyTiles(Op op, StringRef xName, Value x, NamedSizes &sizes) {
  ArrayRef<int64_t> block = op.getBlock();
  if (failed(verifyAttributes(op)) || failed(verifyBlock(op, block, 0)) || // C1
      failed(verifyFormat(op, op.getFormat())))                            // C2
    return failure();
  auto rankOf = [](Value v) { return cast<RankedTensorType>(v.getType()).getRank(); };
  int64_t rank = rankOf(x);
  if (rankOf(op.getQ()) != rank || rankOf(op.getScale()) != rank)
    return op.emitOpError() << "wants q (rank " << rankOf(op.getQ()) << ") and scale (rank "
                            << rankOf(op.getScale()) << ") to have the rank of " << xName << " ("
                            << rank << ")"; // C3, C4
  SmallVector<StringRef> shape{"M", "K"};
  if (rank == 3)
    shape.insert(shape.begin(), "E");
  if (failed(sizes.match(xName, x, shape))) // C3, C4
    return failure();
  if (op.getOffsets()) { // C5
    if (rank != 2 || block[0] == 1)
      return op.emitOpError() << "wants offsets with a matrix in tiles of rows, got rank " << rank
                              << " and block (" << block << ")";
    if (failed(sizes.match("offsets", op.getOffsets(), {"G+1"})))
      return failure();
  }
  Format format = op.codeFormat();
  if (Type element = op.getQ().getType().getElementType();
      element != elementOf(format, op.getContext()))
    return op.emitOpError() << "wants q of " << elementOf(format, op.getContext())
                            << " for the format " << nameOf(format) << ", got " << element; // C6
  if (format == Format::E5M6) {
    if (block[1] % 2 && block[1] != 1)
      return op.emitOpError() << "wants tiles of an even number of columns, or one, for e5m6, got "
                              << "block (" << block << ")"; // C6
    shape.back() = "ceil(3K/2)";
    sizes.set(shape.back(), elementsOfRow(format, sizes["K"]));
  }
  if (failed(sizes.match("q", op.getQ(), shape))) // C6
    return failure();
  shape[rank - 2] = setRowTiles(sizes, "M", block[0], bool(op.getOffsets()));
  shape.back() = "ceil(K/bk)";
  setTiles(sizes, "K", shape.back(), block[1]);
  return sizes.match("scale", op.getScale(), shape); // C7
}

/// Of both products: what they say of weights, scales and sums. `batch`: the weights are a stack.
template <typename Op>
static LogicalResult verifyProduct(Op op, Value left, bool batch, NamedSizes &sizes) {
  bool isCoded = bool(op.getXScale());
  ArrayRef<int64_t> block = op.getBlock();
  if (failed(verifyAttributes(op)) || failed(verifyBlock(op, block, isCoded ? 0 : 1))) // C1
    return failure();
  SmallVector<StringRef> weights{"E", "N", "K"}, tiles{"E", "ceil(N/bn)", "ceil(K/bk)"};
  if (!batch)
    weights.erase(weights.begin()), tiles.erase(tiles.begin());
  if (failed(sizes.match("weights", op.getWeights(), weights))) // C2
    return failure();
  setTiles(sizes, "N", "ceil(N/bn)", block[0]);
  setTiles(sizes, "K", "ceil(K/bk)", block[1]);
  if (failed(sizes.match("scale", op.getScale(), tiles))) // C3
    return failure();
  Type x = getElementTypeOrSelf(left.getType()),
       w = getElementTypeOrSelf(op.getWeights().getType());
  if (isCoded ? x.isF32() : !x.isF32() || !isa<Float8E4M3FNType>(w))
    return op.emitOpError() << "wants "
                            << (isCoded ? "codes with x_scale"
                                        : "rows of f32 and weights of f8E4M3FN without x_scale")
                            << ", got " << x << " and " << w; // C4
  if (!isCoded && (op.getTranspose() || op.getAccumulate() || op.getInterval()))
    return op.emitOpError("wants x_scale where it has transpose, accumulate or interval"); // C5
  return verifySums(op, op.getAccumulate(), op.getInterval(),
                    block[op.getTranspose() ? 0 : 1]); // C6, C7
}

/// The tiles along what a product sums over.
template <typename Op> static StringRef summedTiles(Op op) {
  return op.getTranspose() ? "ceil(N/bn)" : "ceil(K/bk)";
}

//===----------------------------------------------------------------------===//
// quantize
//===----------------------------------------------------------------------===//

void QuantizeOp::build(OpBuilder &b, OperationState &state, Value x, ArrayRef<int64_t> block,
                       Value offsets, bool pow2, Format format) {
  auto type = cast<RankedTensorType>(x.getType());
  SmallVector<int64_t> codes(type.getShape()), scales(codes);
  codes.back() = elementsOfRow(format, codes.back());
  int64_t groups = offsets ? cast<RankedTensorType>(offsets.getType()).getDimSize(0) - 1 : 0;
  int64_t &rows = scales[scales.size() - 2], &columns = scales.back();
  if (block[0] == 0)
    rows = offsets ? groups : 1;
  else if (!ShapedType::isDynamic(rows))
    rows = offsets ? rows / block[0] + groups : llvm::divideCeil(rows, block[0]);
  columns = block[1] ? llvm::divideCeil(columns, block[1]) : 1;
  build(b, state, RankedTensorType::get(codes, elementOf(format, b.getContext())),
        RankedTensorType::get(scales, b.getF32Type()), x, offsets, block, pow2,
        format == Format::E4M3 ? StringAttr() : b.getStringAttr(nameOf(format)));
}

LogicalResult QuantizeOp::verify() {
  NamedSizes sizes(*this, {"M", "ceil(M/bm)", "floor(M/bm)+G"});
  return verifyTiles(*this, "x", getX(), sizes);
}

LogicalResult QuantizeOp::reifyResultShapes(OpBuilder &builder,
                                            ReifiedRankedShapedTypeDims &shapes) {
  int64_t rows = getX().getType().getRank() - 2;
  shapes.push_back(
      shapeOf(builder, getQ(), [&](int64_t dim) { return sizeOf(builder, getX(), dim); }));
  shapes.push_back(shapeOf(builder, getScale(), [&](int64_t) -> OpFoldResult {
    OpFoldResult size = sizeOf(builder, getX(), rows);
    if (getBlock()[0] == 1)
      return size;
    Value count = getValueOrCreateConstantIndexOp(builder, getLoc(), size);
    Value block = arith::ConstantIndexOp::create(builder, getLoc(), getBlock()[0]);
    if (!getOffsets())
      return arith::CeilDivUIOp::create(builder, getLoc(), count, block).getResult();
    Value groups =
        arith::ConstantIndexOp::create(builder, getLoc(), getOffsets().getType().getDimSize(0) - 1);
    Value whole = arith::DivUIOp::create(builder, getLoc(), count, block);
    return arith::AddIOp::create(builder, getLoc(), whole, groups).getResult();
  }));
  return success();
}

//===----------------------------------------------------------------------===//
// dequantize
//===----------------------------------------------------------------------===//

LogicalResult DequantizeOp::verify() {
  NamedSizes sizes(*this, {"M", "ceil(M/bm)", "floor(M/bm)+G"});
  return verifyTiles(*this, "result", getResult(), sizes);
}

LogicalResult DequantizeOp::reifyResultShapes(OpBuilder &builder,
                                              ReifiedRankedShapedTypeDims &shapes) {
  shapes.push_back(
      shapeOf(builder, getResult(), [&](int64_t dim) { return sizeOf(builder, getQ(), dim); }));
  return success();
}

//===----------------------------------------------------------------------===//
// matmul
//===----------------------------------------------------------------------===//

LogicalResult MatmulOp::verify() {
  NamedSizes sizes(*this, {"T"});
  if (failed(verifyProduct(*this, getX(), /*batch=*/false, sizes)))
    return failure();
  StringRef summed = getTranspose() ? "N" : "K", kept = getTranspose() ? "K" : "N";
  if (failed(sizes.match("x", getX(), {"T", summed}))) // C8
    return failure();
  if (getXScale() && failed(sizes.match("x_scale", getXScale(), {"T", summedTiles(*this)}))) // C9
    return failure();
  return sizes.match("result", getResult(), {"T", kept}); // C10
}

LogicalResult MatmulOp::reifyResultShapes(OpBuilder &builder, ReifiedRankedShapedTypeDims &shapes) {
  shapes.push_back(leadingShapeOf(builder, getResult(), getX()));
  return success();
}

//===----------------------------------------------------------------------===//
// grouped_matmul
//===----------------------------------------------------------------------===//

LogicalResult GroupedMatmulOp::verify() {
  NamedSizes sizes(*this, {"T", "R"});
  if (failed(verifyProduct(*this, getRows(), /*batch=*/true, sizes)) || // C1 .. C7
      failed(verifyGroupedProduct(*this, sizes)))                       // C8 .. C12
    return failure();
  if (!getXScale())
    return success();
  return sizes.match("x_scale", getXScale(), {getSource() ? "T" : "R", summedTiles(*this)}); // C13
}

LogicalResult GroupedMatmulOp::reifyResultShapes(OpBuilder &builder,
                                                 ReifiedRankedShapedTypeDims &shapes) {
  Value rows = getSource() ? Value(getSource()) : Value(getRows());
  shapes.push_back(leadingShapeOf(builder, getResult(), rows));
  return success();
}

//===----------------------------------------------------------------------===//
// weight_grad
//===----------------------------------------------------------------------===//

MutableOperandRange WeightGradOp::getDpsInitsMutable() { return getInitMutable(); }

LogicalResult WeightGradOp::verify() {
  ArrayRef<int64_t> block = getBlock();
  if (failed(verifyAttributes(*this)) || failed(verifyBlock(*this, block, 0)))
    return failure();
  if (block[1] != 1)
    return emitOpError() << "wants tiles of one column, got block (" << block << ")"; // C1
  NamedSizes sizes(*this, {"T", "ceil(T/bt)", "floor(T/bt)+G"});
  bool isGrouped = bool(getOffsets());
  if (int64_t rank = getInit().getType().getRank(); rank != (isGrouped ? 3 : 2))
    return emitOpError() << "wants init of rank " << (isGrouped ? "3 with" : "2 without")
                         << " offsets, got " << getInit().getType(); // C2
  SmallVector<StringRef> matrix{"N", "K"};
  if (isGrouped)
    matrix.insert(matrix.begin(), "E");
  if (failed(sizes.match("init", getInit(), matrix))) // C2
    return failure();
  if (isGrouped != bool(getActive()))
    return emitOpError("wants offsets and active, or neither"); // C4
  if (isGrouped && block[0] == 1)
    return emitOpError() << "wants tiles of rows with offsets, got block (" << block << ")"; // C3
  if (isGrouped && failed(verifyGroups(*this, sizes))) // C3, C4
    return failure();
  if (failed(sizes.match("gradient", getGradient(), {"T", "N"})) || // C5
      failed(sizes.match("x", getX(), {"T", "K"})))                 // C6
    return failure();
  StringRef tiles = setRowTiles(sizes, "T", block[0], isGrouped);
  if (failed(sizes.match("gradient_scale", getGradientScale(), {tiles, "N"})) || // C7
      failed(sizes.match("x_scale", getXScale(), {tiles, "K"})))                 // C8
    return failure();
  return verifySums(*this, getAccumulate(), getInterval(), block[0]); // C9, C10
}

AffineExpr WeightGradOp::flops(const WorkSizes &sizes) {
  int64_t outputs = getGradient().getType().getDimSize(1), columns = getX().getType().getDimSize(1);
  return sizes.size(getGradient(), 0) * (2 * outputs * columns);
}

LogicalResult WeightGradOp::reifyResultShapes(OpBuilder &builder,
                                              ReifiedRankedShapedTypeDims &shapes) {
  shapes.push_back(leadingShapeOf(builder, getResult(), getInit()));
  return success();
}
