//===- KernelBuffers.h - what a kernel does with its memory -----*- C++ -*-===//

#ifndef HADAL_PASSES_MODULE_KERNELBUFFERS_H
#define HADAL_PASSES_MODULE_KERNELBUFFERS_H

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "runtime/module/Module_generated.h"

namespace hadal {

struct KernelBufferUse {
  fb::Access access;
  std::vector<int64_t> bytes; ///< an Expr over the kernel's scalars
};

/// One for each binding of a kernel on memrefs with a kLaunchAttr. Fails where a kernel writes to
/// what it says that it reads.
mlir::FailureOr<std::vector<KernelBufferUse>> kernelBuffers(mlir::func::FuncOp kernel);

} // namespace hadal

#endif // HADAL_PASSES_MODULE_KERNELBUFFERS_H
