//===- RowBlock.cpp - the threads of a block that share a row -------------===//

#include "passes/targets/hopper/RowBlock.h"
#include "dialects/hopper/Hopper.h"
#include "mlir/IR/TypeUtilities.h"
#include "passes/targets/hopper/GridKernel.h"

using namespace mlir;
using namespace hadal;

/// One for every four elements: whole warps, at most eight of them.
static int64_t threadsFor(int64_t width) {
  return std::clamp<int64_t>(llvm::alignTo(llvm::divideCeil(width, 4), 32), 32, 256);
}

RowBlock::RowBlock(Kernel &kernel, int64_t width)
    : kernel(kernel), b(kernel.b), threads(threadsFor(width)), warps(threads / 32) {
  Type i32 = b.getI32Type();
  row = b.add(kernel.begin, b.toIndex(hopper::BlockIdOp::create(b, i32)));
  thread = b.toIndex(hopper::ThreadIdOp::create(b, i32));
  warp = b.toIndex(hopper::WarpIdOp::create(b, i32));
  lane = b.toIndex(hopper::LaneIdOp::create(b, i32));
}

void RowBlock::places(int64_t count, int64_t lanes, function_ref<void(Value at)> body) {
  if (count <= threads) {
    auto one = [&] { body(b.mul(thread, lanes)); };
    return count == threads ? one() : b.when(b.less(thread, b.index(count)), one);
  }
  b.loop(b.mul(thread, lanes), b.index(count * lanes), threads * lanes, body);
}

void RowBlock::byWarps(Value count, function_ref<void(Value)> body) {
  b.loop(warp, count, warps, body);
}

//===----------------------------------------------------------------------===//
// Memory
//===----------------------------------------------------------------------===//

int64_t RowBlock::share(int64_t bytes) {
  int64_t offset = sharedBytes;
  sharedBytes += llvm::alignTo(bytes, 16);
  return offset;
}

static Value byteOf(KernelBuilder &b, int64_t offset, Value element, Type type) {
  int64_t bytes = getElementTypeOrSelf(type).getIntOrFloatBitWidth() / 8;
  return b.toI32(b.add(b.mul(element, bytes), offset));
}

Value RowBlock::loadShared(int64_t offset, Value element, Type type) {
  return hopper::LoadSharedOp::create(b, type, byteOf(b, offset, element, type));
}

void RowBlock::storeShared(Value v, int64_t offset, Value element) {
  hopper::StoreSharedOp::create(b, v, byteOf(b, offset, element, v.getType()));
}

void RowBlock::barrier() { hopper::BarrierOp::create(b, uint32_t(0), IntegerAttr()); }

/// The bytes that a vector of memory is aligned to: all of it where rows begin at multiples of it,
/// up to 16. Buffers begin at multiples of 16.
static llvm::MaybeAlign alignmentOf(MemRefType type, int64_t lanes) {
  int64_t bytes = lanes * type.getElementTypeBitWidth() / 8, offset;
  SmallVector<int64_t> strides;
  if (bytes > 16 || !llvm::isPowerOf2_64(bytes) ||
      failed(type.getStridesAndOffset(strides, offset)) || strides.empty() || strides.back() != 1)
    return std::nullopt;
  auto isWhole = [&](int64_t v) { return !ShapedType::isDynamic(v) && v % lanes == 0; };
  if (!isWhole(offset) || !llvm::all_of(ArrayRef(strides).drop_back(), isWhole))
    return std::nullopt;
  return llvm::Align(bytes);
}

Value RowBlock::load(Value memref, ValueRange at, int64_t lanes) {
  if (lanes == 1) // memory of one number has no vectors
    return b.splat(b.load(memref, at), 1);
  auto type = cast<MemRefType>(memref.getType());
  auto vector = b.vectorOf(lanes, type.getElementType());
  return vector::LoadOp::create(b, vector, memref, at, /*nontemporal=*/false,
                                alignmentOf(type, lanes));
}

void RowBlock::store(Value v, Value memref, ValueRange at) {
  int64_t lanes = cast<VectorType>(v.getType()).getNumElements();
  if (lanes == 1)
    return b.store(vector::ExtractOp::create(b, v, 0), memref, at);
  vector::StoreOp::create(b, v, memref, at, /*nontemporal=*/false,
                          alignmentOf(cast<MemRefType>(memref.getType()), lanes));
}

//===----------------------------------------------------------------------===//
// Lanes
//===----------------------------------------------------------------------===//

Value RowBlock::shuffle(Value v, int64_t distance) {
  Type type = v.getType(), i32 = b.getI32Type();
  auto one = [&](Value part) -> Value {
    return hopper::ShuffleOp::create(b, part.getType(), "xor", part, b.i32(distance));
  };
  if (!type.isF64())
    return one(v);
  // 64 bits go in halves.
  Value halves = vector::BitCastOp::create(b, b.vectorOf(2, i32),
                                           vector::BroadcastOp::create(b, b.vectorOf(1, type), v));
  Value low = one(vector::ExtractOp::create(b, halves, 0)),
        high = one(vector::ExtractOp::create(b, halves, 1));
  Value joined = vector::FromElementsOp::create(b, b.vectorOf(2, i32), ValueRange{low, high});
  return vector::ExtractOp::create(b, vector::BitCastOp::create(b, b.vectorOf(1, type), joined), 0);
}

Value RowBlock::acrossLanes(Value v, function_ref<Value(Value, Value)> join) {
  for (int64_t distance = 16; distance; distance /= 2)
    v = join(v, shuffle(v, distance));
  return v;
}

Value RowBlock::sumRow(Type element, Value first, Value last,
                       function_ref<Value(Value i, Value sum)> add) {
  Value partial = b.carry(
      b.add(first, lane), last, 32, {b.zeros(element)},
      [&](Value i, KernelBuilder::Values sum) { return KernelBuilder::Values{add(i, sum[0])}; })[0];
  // A lane below `distance` adds as the tree does; those above have the same two numbers.
  return acrossLanes(partial, [&](Value a, Value c) { return b.addf(a, c); });
}

void RowBlock::finish(AffineExpr tasks) {
  kernel.finish({tasks}, /*scratchBytes=*/0);
  launchAsGrid(kernel.lowered, {.tier = "rows", .threads = threads, .sharedBytes = sharedBytes});
}
