//===- NativeCode.h - kernels to machine code -----------------------------===//
//
// LLVM dialect -> LLVM IR -> objects -> one shared object; or for a GPU -> PTX.
//
//===------------------------------------------------------------------------===//

#ifndef HADAL_PASSES_TARGETS_CPU_NATIVECODE_H
#define HADAL_PASSES_TARGETS_CPU_NATIVECODE_H

#include "passes/targets/Target.h"

namespace hadal {

/// All kernels of `module` (LLVM dialect functions, nothing else) as text.
llvm::Expected<std::string> printKernels(mlir::ModuleOp module, const Processor &processor,
                                         CodeForm form);

/// Names of the kernels of `module`, in order.
std::vector<std::string> kernelNames(mlir::ModuleOp module);

/// Objects of the kernels of `module`, one each, in order; one that is empty where there is none.
/// Whatever a kernel's name, its entry is called kernelEntry: kernels that compute the same become
/// the same bytes. They need nothing but memcpy, memmove and memset, and the calls of the emulated
/// device. Of an NVPTX processor each is PTX, which needs nothing. Uses all cores that this process
/// may use.
llvm::Expected<std::vector<std::string>>
compileKernels(mlir::ModuleOp module, const Processor &processor, const CodeProgress &progress);

/// What an entry is called until it has its name: longer than a kernel's name may be.
const std::string &kernelEntry();

/// A shared object that defines the entry of each object under its name, which is no longer than
/// kernelEntry. An empty name is for an object without an entry.
llvm::Expected<std::string> linkKernels(llvm::ArrayRef<NamedPart> kernels);

} // namespace hadal

#endif // HADAL_PASSES_TARGETS_CPU_NATIVECODE_H
