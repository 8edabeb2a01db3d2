//===- EmitScalars.cpp - kernels that compute single numbers --------------===//
//
// Kernels whose results are small tensors made element by element (tensor.from_elements) from
// elements of their arguments (tensor.extract). One task runs the ops as they stand.
//
//===----------------------------------------------------------------------===//

#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "passes/targets/cpu/Kernel.h"

using namespace mlir;
using namespace hadal;

/// Whether `op`, with what it holds, takes and gives numbers alone.
static bool isOnNumbers(Operation &op) {
  WalkResult walked = op.walk([](Operation *inner) {
    auto isTensor = [](Type type) { return isa<ShapedType>(type); };
    bool isKnown =
        isa<arith::ArithDialect, math::MathDialect, scf::SCFDialect>(inner->getDialect());
    return isKnown && llvm::none_of(inner->getOperandTypes(), isTensor) &&
                   llvm::none_of(inner->getResultTypes(), isTensor)
               ? WalkResult::advance()
               : WalkResult::interrupt();
  });
  return !walked.wasInterrupted();
}

/// Each element of a result of rank 1 goes to its place.
static void store(KernelBuilder &b, tensor::FromElementsOp made, Value memory,
                  const IRMapping &map) {
  for (auto [i, element] : llvm::enumerate(made.getElements()))
    b.store(map.lookup(element), memory, {b.index(i)});
}

/// Names the first op that a kernel of single numbers cannot hold.
static LogicalResult check(Kernel &kernel, Block &body) {
  for (Operation &op : body.without_terminator()) {
    auto extract = dyn_cast<tensor::ExtractOp>(op);
    auto made = dyn_cast<tensor::FromElementsOp>(op);
    bool isKnown =
        extract ? isa<BlockArgument>(extract.getTensor()) && !kernel.inPanels(extract.getTensor())
        : made  ? made.getType().getRank() == 1
                : isOnNumbers(op);
    if (!isKnown)
      return kernel.tensors.emitError()
             << "kernel of single numbers wants elements of arguments as they lie, arithmetic on "
                "numbers, and results of rank 1; it has "
             << op.getName();
  }
  for (Value result : body.getTerminator()->getOperands())
    if (!result.getDefiningOp<tensor::FromElementsOp>())
      return kernel.tensors.emitError(
          "kernel of single numbers wants to make all its results element by element");
  return success();
}

LogicalResult hadal::emitScalars(Kernel &kernel, Operation *) {
  KernelBuilder &b = kernel.b;
  Block &body = kernel.tensors.getBody().front();
  if (failed(check(kernel, body)))
    return failure();
  b.loop(kernel.begin, kernel.end, 1, [&](Value) {
    IRMapping map;
    for (Operation &op : body.without_terminator()) {
      if (auto extract = dyn_cast<tensor::ExtractOp>(op)) {
        auto at = llvm::map_to_vector(extract.getIndices(), [&](Value i) { return map.lookup(i); });
        map.map(extract.getResult(), b.load(kernel.memory(extract.getTensor()), at));
      } else if (!isa<tensor::FromElementsOp>(op)) {
        b.clone(op, map);
      }
    }
    for (Value result : body.getTerminator()->getOperands())
      store(b, result.getDefiningOp<tensor::FromElementsOp>(), kernel.memory(result), map);
  });
  kernel.finish({b.getAffineConstantExpr(1)}, 0);
  return success();
}
