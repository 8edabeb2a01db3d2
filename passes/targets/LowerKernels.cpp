//===- LowerKernels.cpp - kernels on tensors become kernels on memory ----===//

#include "dialects/exec/Exec.h"
#include "dialects/exec/KernelAttributes.h"
#include "dialects/hopper/Hopper.h"
#include "mlir/Dialect/Affine/IR/AffineOps.h"
#include "mlir/Dialect/Bufferization/IR/Bufferization.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "passes/Passes.h"
#include "passes/targets/Target.h"

namespace hadal {
#define GEN_PASS_DEF_HADALLOWERKERNELS
#include "passes/Passes.h.inc"
} // namespace hadal

using namespace mlir;
using namespace hadal;

namespace {
struct LowerKernels : public hadal::impl::HadalLowerKernelsBase<LowerKernels> {
  using HadalLowerKernelsBase::HadalLowerKernelsBase;

  void runOnOperation() override {
    const Target *madeFor = findTarget(getOperation(), target);
    if (!madeFor)
      return signalPassFailure();
    for (auto f : llvm::make_early_inc_range(getOperation().getOps<func::FuncOp>()))
      if (f->hasAttr(kKernelAttr) && !f->hasAttr(kLaunchAttr) && failed(madeFor->lower(f)))
        return signalPassFailure();
    // The conversion to LLVM takes memrefs apart; entries need to know what they were.
    for (auto f : getOperation().getOps<func::FuncOp>())
      if (auto launch = f->getAttrOfType<exec::LaunchAttr>(kLaunchAttr)) {
        SmallVector<Attribute> types;
        for (Type t : f.getArgumentTypes().take_front(launch.getAccess().size()))
          types.push_back(TypeAttr::get(t));
        f->setAttr(kSignatureAttr, ArrayAttr::get(&getContext(), types));
      }
  }
};
} // namespace
