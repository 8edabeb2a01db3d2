//===- LowerKernel.cpp - a kernel on tensors becomes one on memory --------===//

#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "passes/targets/cpu/Kernel.h"
#include "passes/targets/cpu/Packing.h"

using namespace mlir;
using namespace hadal;

/// A layout is one that kernels for these vectors know.
static LogicalResult checkLayout(func::FuncOp f, exec::LayoutAttr layout, RankedTensorType type,
                                 const VectorShape &shape) {
  if (!layout)
    return success();
  if (!isPanels(layout))
    return f.emitError() << "kernel wants tensors that lie as " << kPanelsLayout << ", got "
                         << layout;
  if (layout.getN() >= 0 || layout.getParts() > 1 || type.getRank() > 3 ||
      !type.getElementType().isF32())
    return f.emitError() << "kernel wants a matrix of f32, or a stack of them, in panels, got "
                         << type << " as " << layout;
  if (layout.getOutputs() && (layout.getOutputs() != shape.panel || layout.getInner() != 2))
    return f.emitError() << "kernel wants panels of " << shape.panel << " outputs, got " << layout;
  return success();
}

/// A kernel has one block from ranked tensors to ranked tensors, each of which is an argument or
/// made there.
static LogicalResult check(func::FuncOp f, const VectorShape &shape) {
  if (f.isExternal() || !f.getBody().hasOneBlock())
    return f.emitError("kernel wants one block");
  for (Type type : llvm::concat<const Type>(f.getArgumentTypes(), f.getResultTypes())) {
    auto tensor = dyn_cast<RankedTensorType>(type);
    if (!tensor || !tensor.getElementType().isIntOrFloat())
      return f.emitError() << "kernel wants ranked tensors of numbers, got " << type;
  }
  for (unsigned i = 0; i < f.getNumArguments(); ++i) {
    auto type = cast<RankedTensorType>(f.getArgumentTypes()[i]);
    if (failed(checkLayout(f, f.getArgAttrOfType<exec::LayoutAttr>(i, kLayoutAttr), type, shape)))
      return failure();
    if (auto place = f.getArgAttrOfType<IntegerAttr>(i, kInPlaceAttr))
      if (place.getInt() >= f.getNumResults() || f.getResultTypes()[place.getInt()] != type)
        return f.emitError() << "kernel wants a result of type " << type << " in place of argument "
                             << i;
  }
  for (unsigned i = 0; i < f.getNumResults(); ++i)
    if (failed(checkLayout(f, f.getResultAttrOfType<exec::LayoutAttr>(i, kLayoutAttr),
                           cast<RankedTensorType>(f.getResultTypes()[i]), shape)))
      return failure();
  return success();
}

LogicalResult hadal::lowerKernel(func::FuncOp f, const VectorShape &shape) {
  if (failed(check(f, shape)))
    return failure();
  Kernel kernel(f, shape);
  for (auto emit : {emitTileMatmul, emitTileWeightGradient, emitMatmul, emitWeightGradient,
                    emitColumnSum, emitPanelCopy, emitAttention, emitAttentionGradient,
                    emitLatentAttention, emitPosition, emitRouting, emitRoutingGradient,
                    emitQuantize, emitSampling, emitInsertSlice, emitLinalg}) {
    FailureOr<bool> done = emit(kernel);
    if (failed(done))
      return failure();
    if (!*done)
      continue;
    StringAttr name = f.getSymNameAttr();
    f.erase();
    kernel.lowered.setSymName(name);
    return success();
  }
  InFlightDiagnostic error = f.emitError("no kernel computes this:");
  for (Operation &op : f.getBody().front().without_terminator())
    error << ' ' << op.getName();
  return error;
}
