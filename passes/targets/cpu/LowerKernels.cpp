//===- LowerKernels.cpp - kernels on tensors become kernels on memory ----===//

#include "mlir/Dialect/Affine/IR/AffineOps.h"
#include "mlir/Dialect/Bufferization/IR/Bufferization.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "passes/Passes.h"
#include "passes/targets/cpu/Kernel.h"
#include "passes/targets/cpu/Lanes.h"

namespace hadal {
#define GEN_PASS_DEF_HADALLOWERKERNELS
#include "passes/Passes.h.inc"
} // namespace hadal

using namespace mlir;
using namespace hadal;

namespace {
struct LowerKernels : public hadal::impl::HadalLowerKernelsBase<LowerKernels> {
  using HadalLowerKernelsBase::HadalLowerKernelsBase;

  /// A kernel has one block from ranked tensors to ranked tensors, each of which is an argument or
  /// made there.
  LogicalResult check(func::FuncOp f) {
    if (f.isExternal() || !f.getBody().hasOneBlock())
      return f.emitError("kernel wants one block");
    for (Type type : llvm::concat<const Type>(f.getArgumentTypes(), f.getResultTypes())) {
      auto tensor = dyn_cast<RankedTensorType>(type);
      if (!tensor || !tensor.getElementType().isIntOrFloat())
        return f.emitError() << "kernel wants ranked tensors of numbers, got " << type;
    }
    for (unsigned i = 0; i < f.getNumArguments(); ++i) {
      auto type = cast<RankedTensorType>(f.getArgumentTypes()[i]);
      if (f.getArgAttr(i, kPanelsAttr) && (!type.hasStaticShape() || type.getRank() < 2 ||
                                           type.getRank() > 3 || !type.getElementType().isF32()))
        return f.emitError() << "kernel wants a matrix of f32, or a stack of them, in panels, got "
                             << type;
      if (auto place = f.getArgAttrOfType<IntegerAttr>(i, kInPlaceAttr))
        if (place.getInt() >= f.getNumResults() || f.getResultTypes()[place.getInt()] != type)
          return f.emitError() << "kernel wants a result of type " << type
                               << " in place of argument " << i;
    }
    for (unsigned i = 0; i < f.getNumResults(); ++i)
      if (auto type = cast<RankedTensorType>(f.getResultTypes()[i]);
          f.getResultAttr(i, kPanelsAttr) && (!type.hasStaticShape() || type.getRank() < 2 ||
                                              type.getRank() > 3 || !type.getElementType().isF32()))
        return f.emitError() << "kernel wants a matrix of f32, or a stack of them, in panels, got "
                             << type;
    return success();
  }

  LogicalResult lower(func::FuncOp f) {
    if (failed(check(f)))
      return failure();
    VectorShape shape = vectorShapeFor(lanes);
    shape.tiles = tiles;
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

  void runOnOperation() override {
    if (failed(checkLanes(getOperation(), lanes)))
      return signalPassFailure();
    if (tiles && lanes != 16) {
      getOperation().emitError() << "hadal-lower-kernels wants 16 lanes with tiles, got "
                                 << lanes.getValue();
      return signalPassFailure();
    }
    for (auto f : llvm::make_early_inc_range(getOperation().getOps<func::FuncOp>()))
      if (f->hasAttr(kKernelAttr) && !f->hasAttr(kLoweredAttr) && failed(lower(f)))
        return signalPassFailure();
    // The conversion to LLVM takes memrefs apart; entries need to know what they were.
    for (auto f : getOperation().getOps<func::FuncOp>())
      if (f->hasAttr(kLoweredAttr)) {
        SmallVector<Attribute> types;
        for (Type t : f.getArgumentTypes().drop_back(3))
          types.push_back(TypeAttr::get(t));
        f->setAttr("exec.signature", ArrayAttr::get(&getContext(), types));
      }
  }
};
} // namespace
