//===- EmitInsertSlice.cpp - what fills a tensor piece by piece -----------===//
//
// What fills a tensor piece by piece, in place: linalg.fill, its initial value, and
// tensor.insert_slice, a copy of rows into a part of each row.
//
//===----------------------------------------------------------------------===//

#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "passes/targets/cpu/Kernel.h"

using namespace mlir;
using namespace hadal;
using Values = KernelBuilder::Values;

/// Copies from[at...] to to[at...] over the dimensions that `at` leaves.
static void copyRow(KernelBuilder &b, Value from, Value to, Values at) {
  auto type = cast<MemRefType>(from.getType());
  unsigned d = at.size();
  auto under = [&](Value i) {
    Values inner = at;
    inner.push_back(i);
    return inner;
  };
  if (d + 1 < type.getRank()) {
    b.loop(b.index(0), b.dim(from, d), 1, [&](Value i) { copyRow(b, from, to, under(i)); });
    return;
  }
  bool wide = !type.isDynamicDim(d) && type.getElementType().isF32();
  int64_t lanes = b.shape.lanes, whole = wide ? type.getDimSize(d) / lanes * lanes : 0;
  auto move = [&](Value i, int64_t valid) {
    b.storeVector(b.loadVector(from, under(i), lanes, valid), to, under(i), valid);
  };
  b.loop(0, whole, lanes, [&](Value i) { move(i, lanes); });
  if (!wide)
    b.loop(b.index(0), b.dim(from, d), 1,
           [&](Value i) { b.store(b.load(from, under(i)), to, under(i)); });
  else if (whole < type.getDimSize(d))
    move(b.index(whole), type.getDimSize(d) - whole);
}

/// A task is a row, of a vector a block.
LogicalResult hadal::emitFill(Kernel &kernel, Operation *made) {
  auto op = cast<linalg::FillOp>(made);
  KernelBuilder &b = kernel.b;
  Value to = kernel.memory(op.getResult(0)),
        value = b.clone(*op.getInputs()[0].getDefiningOp())->getResult(0);
  auto rank = cast<MemRefType>(to.getType()).getRank();
  constexpr int64_t block = 4096;
  int64_t step = rank == 1 ? block : 1;
  Value end = b.min(b.mul(kernel.end, step), b.dim(to, 0));
  std::function<void(Values)> fill = [&](Values at) {
    if (int64_t(at.size()) == rank) {
      b.store(value, to, at);
      return;
    }
    b.loop(b.index(0), b.dim(to, at.size()), 1, [&](Value i) {
      Values inner = at;
      inner.push_back(i);
      fill(inner);
    });
  };
  b.loop(b.mul(kernel.begin, step), end, 1, [&](Value row) { fill({row}); });
  kernel.finish({kernel.resultDim(0, 0).ceilDiv(step)}, 0);
  return success();
}

LogicalResult hadal::emitInsertSlice(Kernel &kernel, Operation *made) {
  KernelBuilder &b = kernel.b;
  auto op = cast<tensor::InsertSliceOp>(made);
  Value from = kernel.memory(op.getSource()), whole = kernel.memory(op.getResult());
  if (!from)
    return kernel.tensors.emitError(
        "insert_slice kernel wants its source to be an argument or a view of one");
  auto rows = op.getSourceType();
  bool leading = !op.getDroppedDims().test(0);
  if (rows.getRank() == 0 || !op.hasUnitStride() || (rows.isDynamicDim(0) && !leading))
    return kernel.tensors.emitError("insert_slice kernel wants rows, and steps of one");
  auto mixed = [&](ArrayRef<OpFoldResult> in) {
    SmallVector<OpFoldResult> out;
    for (OpFoldResult f : in)
      out.push_back(isa<Attribute>(f) ? f : OpFoldResult(kernel.indexValue(cast<Value>(f))));
    return out;
  };
  auto offsets = mixed(op.getMixedOffsets()), sizes = mixed(op.getMixedSizes()),
       strides = mixed(op.getMixedStrides());
  auto type = memref::SubViewOp::inferRankReducedResultType(
      rows.getShape(), cast<MemRefType>(whole.getType()), offsets, sizes, strides);
  Value to = memref::SubViewOp::create(b, cast<MemRefType>(type), whole, offsets, sizes, strides);
  Value end = b.min(kernel.end, b.dim(from, 0));
  // A task is a row of the source.
  b.loop(kernel.begin, end, 1, [&](Value row) { copyRow(b, from, to, {row}); });
  // The destination has at least the slice's rows.
  kernel.finish(
      {rows.isDynamicDim(0) ? kernel.resultDim(0, 0) : b.getAffineConstantExpr(rows.getDimSize(0))},
      0);
  return success();
}
