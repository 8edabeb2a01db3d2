//===- Fp8.cpp - the fp8 dialect --------------------------------------------===//

#include "dialects/fp8/Fp8.h"
#include "dialects/Shapes.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/IR/Builders.h"
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

static LogicalResult verifyBlock(Operation *op, ArrayRef<int64_t> block) {
  if (block.size() != 2 || block[0] < 1 || block[1] < 1)
    return op->emitOpError() << "wants block (" << block << ") to be two sizes of at least 1";
  return success();
}

/// Names the number of blocks along `name`, where its size is known.
static void setBlocks(NamedSizes &sizes, StringRef name, StringRef blocksName, int64_t block) {
  if (int64_t size = sizes[name]; !ShapedType::isDynamic(size))
    sizes.set(blocksName,
              llvm::divideCeil(static_cast<uint64_t>(size), static_cast<uint64_t>(block)));
}

//===----------------------------------------------------------------------===//
// quantize
//===----------------------------------------------------------------------===//

LogicalResult QuantizeOp::verify() {
  if (failed(verifyBlock(*this, getBlock()))) // C1
    return failure();
  NamedSizes sizes(*this, {"M", "ceil(M/bm)"});
  if (failed(sizes.match("x", getX(), {"M", "K"})) || // C2
      failed(sizes.match("q", getQ(), {"M", "K"})))   // C3
    return failure();
  setBlocks(sizes, "M", "ceil(M/bm)", getBlock()[0]);
  setBlocks(sizes, "K", "ceil(K/bk)", getBlock()[1]);
  return sizes.match("scale", getScale(), {"ceil(M/bm)", "ceil(K/bk)"}); // C4
}

LogicalResult QuantizeOp::reifyResultShapes(OpBuilder &builder,
                                            ReifiedRankedShapedTypeDims &shapes) {
  shapes.push_back(leadingShapeOf(builder, getQ(), getX()));
  shapes.push_back(shapeOf(builder, getScale(), [&](int64_t) -> OpFoldResult {
    OpFoldResult rows = sizeOf(builder, getX(), 0);
    if (getBlock()[0] == 1)
      return rows;
    Value count = getValueOrCreateConstantIndexOp(builder, getLoc(), rows);
    Value block = arith::ConstantIndexOp::create(builder, getLoc(), getBlock()[0]);
    return arith::CeilDivUIOp::create(builder, getLoc(), count, block).getResult();
  }));
  return success();
}

//===----------------------------------------------------------------------===//
// dequantize
//===----------------------------------------------------------------------===//

LogicalResult DequantizeOp::verify() {
  if (failed(verifyBlock(*this, getBlock()))) // C1
    return failure();
  int64_t rank = getQ().getType().getRank();
  if (getScale().getType().getRank() != rank || getResult().getType().getRank() != rank)
    return emitOpError() << "wants scale (rank " << getScale().getType().getRank()
                         << ") and result (rank " << getResult().getType().getRank()
                         << ") to have q's rank (" << rank << ")"; // C2
  SmallVector<StringRef> shape{"M", "K"}, blocks{"ceil(M/bm)", "ceil(K/bk)"};
  if (rank == 3) {
    shape.insert(shape.begin(), "E");
    blocks.insert(blocks.begin(), "E");
  }
  NamedSizes sizes(*this, {"M", "ceil(M/bm)"});
  if (failed(sizes.match("q", getQ(), shape))) // C3
    return failure();
  setBlocks(sizes, "M", "ceil(M/bm)", getBlock()[0]);
  setBlocks(sizes, "K", "ceil(K/bk)", getBlock()[1]);
  if (failed(sizes.match("scale", getScale(), blocks)) || // C4
      failed(sizes.match("result", getResult(), shape)))  // C5
    return failure();
  return success();
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
  if (failed(verifyBlock(*this, getBlock()))) // C1
    return failure();
  NamedSizes sizes(*this, {"T"});
  if (failed(sizes.match("weights", getWeights(), {"N", "K"}))) // C2
    return failure();
  setBlocks(sizes, "N", "ceil(N/bn)", getBlock()[0]);
  setBlocks(sizes, "K", "ceil(K/bk)", getBlock()[1]);
  if (failed(sizes.match("scale", getScale(), {"ceil(N/bn)", "ceil(K/bk)"})) || // C3
      failed(sizes.match("x", getX(), {"T", "K"})) ||                           // C4
      failed(sizes.match("result", getResult(), {"T", "N"})))                   // C5
    return failure();
  return success();
}

LogicalResult MatmulOp::reifyResultShapes(OpBuilder &builder, ReifiedRankedShapedTypeDims &shapes) {
  shapes.push_back(leadingShapeOf(builder, getResult(), getX()));
  return success();
}

//===----------------------------------------------------------------------===//
// grouped_matmul
//===----------------------------------------------------------------------===//

LogicalResult GroupedMatmulOp::verify() {
  if (failed(verifyBlock(*this, getBlock()))) // C1
    return failure();
  NamedSizes sizes(*this, {"T", "R"});
  if (failed(sizes.match("weights", getWeights(), {"E", "N", "K"}))) // C2
    return failure();
  setBlocks(sizes, "N", "ceil(N/bn)", getBlock()[0]);
  setBlocks(sizes, "K", "ceil(K/bk)", getBlock()[1]);
  if (failed(sizes.match("scale", getScale(), {"E", "ceil(N/bn)", "ceil(K/bk)"})) || // C3
      failed(sizes.match("offsets", getOffsets(), {"G+1"})))                         // C4
    return failure();
  if (sizes["G"] % sizes["E"] != 0)
    return emitOpError() << "wants the groups of offsets (" << sizes["G"]
                         << ") to be a multiple of E (" << sizes["E"] << ")"; // C4
  if (failed(sizes.match("active", getActive(), {"G"})))                      // C5
    return failure();
  if (getSource() && failed(sizes.match("source", getSource(), {"R"}))) // C6
    return failure();
  if (failed(sizes.match("rows", getRows(), {getSource() ? "T" : "R", "K"})) || // C7
      failed(sizes.match("result", getResult(), {"R", "N"})))                   // C8
    return failure();
  return success();
}

LogicalResult GroupedMatmulOp::reifyResultShapes(OpBuilder &builder,
                                                 ReifiedRankedShapedTypeDims &shapes) {
  Value rows = getSource() ? Value(getSource()) : Value(getRows());
  shapes.push_back(leadingShapeOf(builder, getResult(), rows));
  return success();
}
