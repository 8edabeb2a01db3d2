//===- EntryParts.h - what entries of kernels hand to their bodies -----------===//
//
// A kernel that became a function of the LLVM dialect takes each memref apart, as pointers, an
// offset, sizes and strides. Its entry puts these together from addresses and scalars.
//
//===------------------------------------------------------------------------===//

#ifndef HADAL_PASSES_TARGETS_CPU_ENTRYPARTS_H
#define HADAL_PASSES_TARGETS_CPU_ENTRYPARTS_H

#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/IR/ImplicitLocOpBuilder.h"

namespace hadal {

/// Makes `kernel` the body of an entry, which takes its name: "NAME.body", inlined. Buffers of one
/// launch do not overlap, for what is written in place is bound once.
void makeBody(mlir::LLVM::LLVMFuncOp kernel);

/// What a body takes for its buffers, whose types are kSignatureAttr: addresses of buffers, and
/// scalars, in the order of the launch.
mlir::SmallVector<mlir::Value> bufferParts(mlir::ImplicitLocOpBuilder &b,
                                           mlir::LLVM::LLVMFuncOp body,
                                           llvm::function_ref<mlir::Value(int64_t)> address,
                                           llvm::function_ref<mlir::Value(int64_t)> scalar);

/// What it takes for the scratch at `base`.
mlir::SmallVector<mlir::Value> scratchParts(mlir::ImplicitLocOpBuilder &b, mlir::Value base);

} // namespace hadal

#endif // HADAL_PASSES_TARGETS_CPU_ENTRYPARTS_H
