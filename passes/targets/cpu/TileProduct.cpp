//===- TileProduct.cpp - products of AMX tiles ---------------------------===//

#include "passes/targets/cpu/TileProduct.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"

using namespace mlir;
using namespace hadal;
using Values = KernelBuilder::Values;

// Tiles 0 to 3 are sums, [row tile][column tile]; 4 and 5 hold a piece of the left operand, 6 and 7
// of the right one.
static constexpr int64_t leftTile = 4, rightTile = 6;

Value TileProduct::pieceView(Value scratch, int64_t &offset, int64_t blocks, int64_t steps) {
  return b.scratchView(scratch, offset, {blocks * elements(steps)}, b.getI32Type());
}

void TileProduct::intrinsic(StringRef name, ValueRange operands) {
  LLVM::CallIntrinsicOp::create(b, b.getStringAttr(name), operands);
}

Value TileProduct::tile(int64_t number) {
  return LLVM::ConstantOp::create(b, b.getI8Type(), b.getI8IntegerAttr(number));
}

Value TileProduct::pointer(Value memory) {
  Value address = memref::ExtractAlignedPointerAsIndexOp::create(b, memory);
  Value bits = arith::IndexCastOp::create(b, b.getI64Type(), address);
  return LLVM::IntToPtrOp::create(b, LLVM::LLVMPointerType::get(b.getContext()), bits);
}

Value TileProduct::elementPointer(Value pointer, Value element) {
  Value bits = arith::IndexCastOp::create(b, b.getI64Type(), element);
  return LLVM::GEPOp::create(b, pointer.getType(), b.getI32Type(), pointer,
                             ArrayRef<LLVM::GEPArg>{bits});
}

void TileProduct::configure(Value scratch, int64_t &offset) {
  // Palette 1: columns of each tile in bytes from byte 16 on, two bytes each; rows from byte 48 on.
  Value bytes = b.scratchView(scratch, offset, {64}, b.getI8Type());
  SmallVector<int8_t> shape(64);
  shape[0] = 1;
  for (int i = 0; i < 8; ++i)
    shape[16 + 2 * i] = 64, shape[48 + i] = 16;
  auto type = b.vectorOf(64, b.getI8Type());
  b.storeVector(arith::ConstantOp::create(b, DenseElementsAttr::get(type, ArrayRef<int8_t>(shape))),
                bytes, {b.index(0)});
  intrinsic("llvm.x86.ldtilecfg", pointer(bytes));
}

void TileProduct::release() { intrinsic("llvm.x86.tilerelease", {}); }

Values TileProduct::split(Value low, Value high) {
  auto floats = b.vectorOf(16, b.getF32Type()), bits = b.vectorOf(16, b.getI32Type());
  auto constant = [&](int64_t v) -> Value {
    return arith::ConstantOp::create(
        b, DenseElementsAttr::get(bits, b.getI32IntegerAttr(static_cast<int32_t>(v))));
  };
  auto asBits = [&](Value v) -> Value { return arith::BitcastOp::create(b, bits, v); };
  // To nearest, ties away from zero: two instructions.
  auto rounded = [&](Value v) -> Value {
    return arith::AndIOp::create(b, arith::AddIOp::create(b, asBits(v), constant(0x8000)),
                                 constant(0xffff0000));
  };
  auto pair = [&](Value low, Value high) -> Value {
    return arith::OrIOp::create(b, arith::ShRUIOp::create(b, low, constant(16)), high);
  };
  Values result;
  for (int64_t piece = 0; piece + 1 < pieces; ++piece) {
    Value l = rounded(low), h = rounded(high);
    result.push_back(pair(l, h));
    low = b.subf(low, arith::BitcastOp::create(b, floats, l));
    high = b.subf(high, arith::BitcastOp::create(b, floats, h));
  }
  result.push_back(pair(asBits(low), asBits(high))); // bf16 holds it
  return result;
}

void TileProduct::storeRow(const Values &row, Value memory, Value at) {
  for (auto [piece, v] : llvm::enumerate(row))
    b.storeVector(v, memory, {b.add(at, piece * 2 * tileElements)});
}

Value TileProduct::tileAt(Value base, Value step, Value tile) {
  return b.add(b.add(base, b.mul(step, stepElements())), b.mul(tile, tileElements));
}

void TileProduct::splitTile(function_ref<std::pair<Value, Value>(int64_t)> rows, bool transposed,
                            Value memory, Value at) {
  auto floats = b.vectorOf(16, b.getF32Type()), bits = b.vectorOf(16, b.getI32Type());
  if (!transposed) {
    for (int64_t i = 0; i < 16; ++i) {
      auto [low, high] = rows(i);
      storeRow(split(low, high), memory, b.add(at, 16 * i));
    }
    return;
  }
  if (pieces == 1) { // one square of pairs to turn, not two of f32
    Values pairs;
    for (int64_t i = 0; i < 16; ++i) {
      auto [low, high] = rows(i);
      pairs.push_back(arith::BitcastOp::create(b, floats, split(low, high)[0]));
    }
    for (auto [i, v] : llvm::enumerate(b.transpose(pairs)))
      storeRow({arith::BitcastOp::create(b, bits, v)}, memory, b.add(at, 16 * i));
    return;
  }
  Values low, high;
  for (int64_t i = 0; i < 16; ++i) {
    auto [l, h] = rows(i);
    low.push_back(l), high.push_back(h);
  }
  low = b.transpose(low), high = b.transpose(high);
  for (int64_t i = 0; i < 16; ++i)
    storeRow(split(low[i], high[i]), memory, b.add(at, 16 * i));
}

void TileProduct::zeroSums(int64_t rowTiles) {
  for (int64_t i = 0; i < 2 * rowTiles; ++i)
    intrinsic("llvm.x86.tilezero", tile(i));
}

void TileProduct::forSums(int64_t rowTiles, Value memory, Value at, int64_t stride,
                          StringRef name) {
  Value base = elementPointer(pointer(memory), at);
  Value bytes = LLVM::ConstantOp::create(b, b.getI64Type(), b.getI64IntegerAttr(4 * stride));
  for (int64_t i = 0; i < 2 * rowTiles; ++i)
    intrinsic(name,
              {tile(i), elementPointer(base, b.index(i / 2 * 16 * stride + i % 2 * 16)), bytes});
}

void TileProduct::loadSums(int64_t rowTiles, Value memory, Value at, int64_t stride) {
  forSums(rowTiles, memory, at, stride, "llvm.x86.tileloadd64");
}

void TileProduct::storeSums(int64_t rowTiles, Value memory, Value at, int64_t stride) {
  forSums(rowTiles, memory, at, stride, "llvm.x86.tilestored64");
}

void TileProduct::multiply(int64_t rowTiles, const Operand &left, const Operand &right, Value steps,
                           function_ref<void(Value)> beside) {
  auto begin = [&](const Operand &o) { return elementPointer(pointer(o.memory), o.at); };
  Value leftBase = begin(left), rightBase = begin(right);
  b.loop(b.index(0), steps, 1, [&](Value step) {
    Value l = elementPointer(leftBase, b.mul(step, left.step)),
          r = elementPointer(rightBase, b.mul(step, right.step));
    auto load = [&](int64_t first, int64_t count, const Operand &o, Value from, int64_t piece) {
      Value apart = LLVM::ConstantOp::create(b, b.getI64Type(), b.getI64IntegerAttr(4 * o.row));
      for (int64_t i = 0; i < count; ++i)
        intrinsic(
            "llvm.x86.tileloadd64",
            {tile(first + i), elementPointer(from, b.index(piece * o.piece + i * o.tile)), apart});
    };
    auto add = [&] {
      for (int64_t i = 0; i < rowTiles; ++i)
        for (int64_t j = 0; j < 2; ++j)
          intrinsic("llvm.x86.tdpbf16ps",
                    {tile(2 * i + j), tile(leftTile + i), tile(rightTile + j)});
    };
    // Small products first; each pair but the first shares a piece with the one before.
    static constexpr std::pair<int64_t, int64_t> all[] = {{2, 0}, {1, 0}, {1, 1},
                                                          {0, 1}, {0, 2}, {0, 0}};
    int64_t lastLeft = -1, lastRight = -1;
    for (auto [leftPiece, rightPiece] : ArrayRef(all).take_back(pieces == 1 ? 1 : 6)) {
      if (leftPiece != lastLeft)
        load(leftTile, rowTiles, left, l, leftPiece);
      if (rightPiece != lastRight)
        load(rightTile, 2, right, r, rightPiece);
      bool isFirst = lastLeft < 0;
      lastLeft = leftPiece, lastRight = rightPiece;
      add();
      if (isFirst && beside)
        beside(step);
    }
  });
}
