//===- StageLoads.cpp - who fills the stages of a product, and how --------===//

#include "passes/targets/hopper/StageLoads.h"
#include "dialects/hopper/Hopper.h"
#include "passes/analysis/Products.h"

using namespace mlir;
using namespace hadal;

static constexpr int64_t kPiece = 16; // bytes of a tile that a thread writes at a time

StageLoads::StageLoads(Kernel &kernel, const ProductShape &shape)
    : kernel(kernel), b(kernel.b), shape(shape) {
  const Product &first = shape.first;
  operands.push_back({first.left, kernel.memory(first.left), first.leftBatch, first.leftRow,
                      first.leftK, ProductShape::rows, shape.leftParts, 0, true, 0});
  for (auto [i, p] : llvm::enumerate(shape.products))
    operands.push_back({p.right, kernel.memory(p.right), p.rightBatch, p.rightN, p.rightK,
                        shape.columns, shape.rightParts, shape.rightOffset(i), false,
                        shape.floatOffset(i)});
  if (first.source)
    source = kernel.memory(first.source);
  for (Operand &o : operands)
    o.byHardware = isCopied(o, false), o.hasFloats = isCopied(o, true);
}

bool StageLoads::isCopied(const Operand &o, bool floats) const {
  auto type = cast<MemRefType>(o.memory.getType());
  Type stored = cast<RankedTensorType>(o.tensor.getType()).getElementType();
  bool isTaken = floats          ? !o.isLeft && o.parts > 1 && stored.isF32()
                 : shape.ofCodes ? isa<Float8E4M3FNType>(stored)
                                 : stored.isBF16();
  return isTaken && isa<BlockArgument>(o.memory) && o.k == type.getRank() - 1 &&
         shape.first.k * type.getElementTypeBitWidth() / 8 % kPiece == 0 && !(o.isLeft && source);
}

bool StageLoads::anyByThreads() const {
  return llvm::any_of(operands, [](const Operand &o) { return !o.byHardware; });
}

bool StageLoads::anyByHardware() const {
  return llvm::any_of(operands, [](const Operand &o) { return o.byHardware; });
}

bool StageLoads::anyFloats() const {
  return llvm::any_of(operands, [](const Operand &o) { return o.hasFloats; });
}

/// K, rows, matrices; boxes of 128 bytes of a tile's rows.
exec::TensorMapAttr StageLoads::mapOf(const Operand &o) {
  auto type = cast<MemRefType>(o.memory.getType());
  SmallVector<int> dims{o.k, o.row};
  if (o.batch >= 0)
    dims.push_back(o.batch);
  SmallVector<AffineExpr> sizes, strides;
  for (int dim : dims) {
    sizes.push_back(kernel.sizeOf(o.memory, dim));
    AffineExpr stride = b.getAffineConstantExpr(type.getElementTypeBitWidth() / 8);
    for (int64_t inner = dim + 1; inner < type.getRank(); ++inner)
      stride = stride * kernel.sizeOf(o.memory, inner);
    if (dim != o.k)
      strides.push_back(stride);
  }
  SmallVector<int64_t> box{shape.blockK(), o.rowsOfTile};
  box.resize(dims.size(), 1);
  unsigned scalars = 0; // of the kernel: its dynamic sizes
  for (Type argument : kernel.lowered.getArgumentTypes().drop_back(3))
    scalars += cast<MemRefType>(argument).getNumDynamicDims();
  auto mapOver = [&](ArrayRef<AffineExpr> results) {
    return AffineMapAttr::get(AffineMap::get(0, scalars, results, b.getContext()));
  };
  Type element = type.getElementType();
  return exec::TensorMapAttr::get(
      b.getContext(), cast<BlockArgument>(o.memory).getArgNumber(), element, mapOver(sizes),
      mapOver(strides), b.getDenseI64ArrayAttr(box), o.hasFloats ? 0 : ProductShape::rowBytes);
}

ArrayAttr StageLoads::addTensorMaps() {
  SmallVector<Attribute> maps;
  for (Operand &o : operands)
    if (o.byHardware || o.hasFloats)
      maps.push_back(mapOf(o));
  Type pointer = LLVM::LLVMPointerType::get(b.getContext());
  for (Operand &o : operands) {
    if (!o.byHardware && !o.hasFloats)
      continue;
    unsigned at = kernel.lowered.getNumArguments();
    (void)kernel.lowered.insertArgument(at, pointer, {}, b.getLoc());
    o.map = kernel.lowered.getArgument(at);
  }
  return maps.empty() ? ArrayAttr() : b.getArrayAttr(maps);
}

void StageLoads::copy(Value pipeline, Value stage, const ProductTile &tile, Value k, bool floats) {
  auto isMeant = [&](const Operand &o) { return floats ? o.hasFloats : o.byHardware; };
  int64_t bytes = 0, rowBytes = floats ? ProductShape::floatRowBytes : ProductShape::rowBytes;
  for (const Operand &o : operands)
    bytes += isMeant(o) ? o.rowsOfTile * rowBytes : 0;
  hopper::ExpectOp::create(b, pipeline, stage, bytes);
  Value base = arith::MulIOp::create(b, stage, b.i32(shape.stageBytes()));
  Value k0 = b.toI32(b.mul(k, shape.blockK()));
  for (const Operand &o : operands) {
    if (!isMeant(o))
      continue;
    SmallVector<Value> at{k0, b.toI32(o.isLeft ? tile.row : tile.column)};
    if (o.batch >= 0)
      at.push_back(b.toI32(tile.batch));
    Value to = b.add(base, b.i32(floats ? o.floatOffset : o.offset));
    hopper::LoadTileOp::create(b, o.map, at, to, pipeline, stage, Value());
  }
}

/// bf16 is the upper half of an f32.
Value StageLoads::upperHalves(Value words) {
  auto halves = cast<VectorType>(words.getType()).clone(b.getI16Type());
  Value sixteen = b.constantLike(words, b.getI32IntegerAttr(16));
  return arith::TruncIOp::create(b, halves, arith::ShRUIOp::create(b, words, sixteen));
}

/// What tensor cores read of numbers, part after part: codes as they are, bf16 as its bits.
SmallVector<Value> StageLoads::partsOf(Value loaded, int64_t parts) {
  auto type = cast<VectorType>(loaded.getType());
  Type element = type.getElementType();
  auto words = type.clone(b.getI32Type()), floats = type.clone(b.getF32Type());
  auto constant = [&](Value like, uint32_t bits) {
    return b.constantLike(like, b.getI32IntegerAttr(int32_t(bits)));
  };
  if (element.isBF16())
    return {arith::BitcastOp::create(b, type.clone(b.getI16Type()), loaded)};
  if (element.isInteger(8)) {
    if (shape.ofCodes)
      return {loaded};
    // E4M3: sign, exponent and mantissa in their places in an f32 are the number times 2^-120,
    // exact, subnormals included.
    Value code = arith::ExtUIOp::create(b, words, loaded);
    Value sign = arith::ShLIOp::create(b, arith::AndIOp::create(b, code, constant(code, 0x80)),
                                       constant(code, 24));
    Value rest = arith::ShLIOp::create(b, arith::AndIOp::create(b, code, constant(code, 0x7f)),
                                       constant(code, 20));
    Value small =
        arith::BitcastOp::create(b, floats, arith::OrIOp::create(b, sign, rest).getResult());
    Value number = b.mulf(small, b.constantLike(small, b.getF32FloatAttr(0x1p120f)));
    // But for NaN, whose bits are those of 480.
    Value isNan = b.equal(rest, constant(code, 0x7f << 20));
    Value bits = arith::OrIOp::create(b, sign, constant(code, 0x7fc00000));
    bits = b.select(isNan, bits, arith::BitcastOp::create(b, words, number));
    return {upperHalves(bits)};
  }
  SmallVector<Value> out;
  Value rest = b.widen(loaded);
  for (int64_t i = 0; i < parts; ++i) {
    Value bits = arith::BitcastOp::create(b, words, rest);
    out.push_back(upperHalves(bits));
    if (i + 1 == parts)
      break;
    // What the upper half leaves is exact.
    Value upper = arith::AndIOp::create(b, bits, constant(bits, 0xffff0000));
    rest = b.subf(rest, arith::BitcastOp::create(b, floats, upper));
  }
  return out;
}

/// The 8 numbers of piece `at` of a row that hardware has copied.
Value StageLoads::loadFloats(const Operand &o, Value base, Value row, Value at) {
  Value offset = b.add(b.mul(row, ProductShape::floatRowBytes), b.mul(at, 2 * kPiece));
  Value from = b.add(b.add(base, b.i32(o.floatOffset)), b.toI32(offset));
  auto four = b.vectorOf(4, b.getF32Type());
  Value low = hopper::LoadSharedOp::create(b, four, from);
  Value high = hopper::LoadSharedOp::create(b, four, b.add(from, b.i32(kPiece)));
  return vector::ShuffleOp::create(b, low, high, ArrayRef<int64_t>{0, 1, 2, 3, 4, 5, 6, 7});
}

/// 16 bytes of each part of a tile's row: of K from `k` on, zeros where that ends.
SmallVector<Value> StageLoads::piece(const Operand &o, Value row, Value k, Value batch) {
  auto memref = cast<MemRefType>(o.memory.getType());
  int64_t count = kPiece / shape.elementBytes(), size = shape.first.k;
  auto type = b.vectorOf(count, memref.getElementType());
  auto at = [&](Value k) {
    SmallVector<Value> place(memref.getRank());
    place[o.row] = row, place[o.k] = k;
    if (o.batch >= 0)
      place[o.batch] = batch;
    return place;
  };
  if (size % count == 0 && o.k == memref.getRank() - 1) {
    int64_t width = memref.getElementTypeBitWidth() / 8, bytes = std::min(count * width, kPiece);
    bool isAligned = isa<BlockArgument>(o.memory) && size * width % bytes == 0;
    Value loaded = b.choose(
        b.less(k, b.index(size)), SmallVector<Type>{type},
        [&]() -> KernelBuilder::Values {
          return {vector::LoadOp::create(b, type, o.memory, at(k), /*nontemporal=*/false,
                                         isAligned ? llvm::MaybeAlign(bytes) : llvm::MaybeAlign())};
        },
        [&]() -> KernelBuilder::Values { return {b.zeros(type)}; })[0];
    return partsOf(loaded, o.parts);
  }
  SmallVector<Value> elements;
  Value zero = b.zeros(memref.getElementType()), last = b.index(size - 1);
  for (int64_t i = 0; i < count; ++i) {
    Value here = b.add(k, i);
    elements.push_back(b.select(b.less(last, here), zero, b.load(o.memory, at(b.min(here, last)))));
  }
  return partsOf(vector::FromElementsOp::create(b, type, elements), o.parts);
}

/// Eight threads to a row, so that they read 128 bytes of it (of f32 256) side by side.
void StageLoads::load(Value thread, Value stage, const ProductTile &tile, Value k) {
  constexpr int64_t pieces = ProductShape::rowBytes / kPiece;
  constexpr int64_t rowsAtOnce = ProductShape::warpgroup / pieces;
  Value base = arith::MulIOp::create(b, stage, b.i32(shape.stageBytes()));
  Value at = b.rem(thread, pieces), firstRow = b.div(thread, pieces);
  Value k0 = b.add(b.mul(k, shape.blockK()), b.mul(at, kPiece / shape.elementBytes()));
  for (const Operand &o : operands) {
    if (o.byHardware)
      continue;
    Value begin = o.isLeft ? tile.row : tile.column;
    Value last = b.sub(o.isLeft ? tile.rowEnd : b.index(shape.first.n), b.index(1));
    b.loop(0, o.rowsOfTile, rowsAtOnce, [&](Value i) {
      Value inTile = b.add(firstRow, i), row = b.min(b.add(begin, inTile), last);
      if (o.isLeft && source)
        row = b.toIndex(b.load(source, {row}));
      SmallVector<Value> parts = o.hasFloats ? partsOf(loadFloats(o, base, inTile, at), o.parts)
                                             : piece(o, row, k0, tile.batch);
      Value offset = b.toI32(b.add(b.mul(inTile, ProductShape::rowBytes), b.mul(at, kPiece)));
      offset = b.add(b.add(base, b.i32(o.offset)), offset);
      for (auto [part, value] : llvm::enumerate(parts)) {
        Value to = b.add(offset, b.i32(part * o.rowsOfTile * ProductShape::rowBytes));
        hopper::StoreSharedOp::create(b, value, hopper::SwizzleOp::create(b, b.getI32Type(), to));
      }
    });
  }
}
