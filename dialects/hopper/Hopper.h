//===- Hopper.h - the hopper dialect -----------------------------*- C++ -*-===//

#ifndef HADAL_DIALECTS_HOPPER_HOPPER_H
#define HADAL_DIALECTS_HOPPER_HOPPER_H

#include "mlir/Bytecode/BytecodeOpInterface.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/IR/BuiltinAttributes.h"
#include "mlir/IR/BuiltinTypes.h"
#include "mlir/IR/Dialect.h"
#include "mlir/IR/OpDefinition.h"
#include "mlir/IR/OpImplementation.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"

#include "dialects/hopper/HopperDialect.h.inc"

#define GET_TYPEDEF_CLASSES
#include "dialects/hopper/HopperTypes.h.inc"
#define GET_OP_CLASSES
#include "dialects/hopper/Hopper.h.inc"

namespace hadal::hopper {

/// Unit, on a synchronization: the lowerings leave it out.
inline constexpr llvm::StringLiteral kDroppedAttr = "hopper.dropped";

/// The kind of synchronization that `op` is, as hadal-kernel-mutants calls it: "mbarrier_init",
/// "mbarrier_wait", "mbarrier_arrive", "barrier", "cluster_barrier", "wgmma_wait", "bulk_wait" or
/// "proxy_fence"; empty for other ops.
llvm::StringRef synchronizationOf(mlir::Operation *op);

/// The op that a value of type !hopper.pipeline or !hopper.pending is from, or null.
PipelineOp pipelineOf(mlir::Value pipeline);
MmaOp productOf(mlir::Value pending);

} // namespace hadal::hopper

#endif // HADAL_DIALECTS_HOPPER_HOPPER_H
