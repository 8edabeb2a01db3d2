//===- Bf16Pairs.cpp - products of pairs of bf16 --------------------------===//

#include "passes/targets/cpu/Bf16Pairs.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"

using namespace mlir;
using namespace hadal;

static Value bitsOf(KernelBuilder &b, Value v) {
  return arith::BitcastOp::create(b, b.like(v, b.getI32Type()), v);
}

Value hadal::pairOf(KernelBuilder &b, Value first, Value second) {
  if (b.shape.tiles)
    std::swap(first, second);
  Value by = b.constantLike(second, b.getI32IntegerAttr(16));
  Value low = arith::ShRUIOp::create(b, bitsOf(b, second), by);
  return arith::OrIOp::create(b, bitsOf(b, first), low);
}

Value hadal::pairsOfBf16(KernelBuilder &b, Value bits) {
  int64_t lanes = cast<VectorType>(bits.getType()).getNumElements() / 2;
  Value pairs = vector::BitCastOp::create(b, b.vectorOf(lanes, b.getI32Type()), bits);
  if (b.shape.tiles)
    return pairs;
  Value half = b.constantLike(pairs, b.getI32IntegerAttr(16));
  return arith::OrIOp::create(b, arith::ShLIOp::create(b, pairs, half),
                              arith::ShRUIOp::create(b, pairs, half));
}

std::pair<Value, Value> hadal::splitPairs(KernelBuilder &b, Value elements) {
  auto type = cast<VectorType>(elements.getType());
  int64_t lanes = type.getNumElements() / 2;
  if (type.getElementType().isInteger(8)) { // the two codes of an i16: no shuffle
    Value pair = vector::BitCastOp::create(b, b.vectorOf(lanes, b.getI16Type()), elements);
    Value odd = arith::ShRUIOp::create(b, pair, b.constantLike(pair, b.getI16IntegerAttr(8)));
    Type codes = b.vectorOf(lanes, b.getI8Type());
    return {arith::TruncIOp::create(b, codes, pair), arith::TruncIOp::create(b, codes, odd)};
  }
  SmallVector<int64_t> even, odd;
  for (int64_t i = 0; i < lanes; ++i)
    even.push_back(2 * i), odd.push_back(2 * i + 1);
  return {vector::ShuffleOp::create(b, elements, elements, even),
          vector::ShuffleOp::create(b, elements, elements, odd)};
}

Value hadal::dotPairs(KernelBuilder &b, Value left, Value right, Value sums) {
  assert(b.shape.pairs && b.shape.lanes == 16 && "wants AVX-512-BF16");
  Type numbers = b.vectorOf(32, b.getBF16Type());
  Value l = vector::BitCastOp::create(b, numbers, left);
  Value r = vector::BitCastOp::create(b, numbers, right);
  return LLVM::CallIntrinsicOp::create(b, sums.getType(),
                                       b.getStringAttr("llvm.x86.avx512bf16.dpbf16ps.512"),
                                       ValueRange{sums, l, r})
      .getResult(0);
}
