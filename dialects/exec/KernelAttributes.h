//===- KernelAttributes.h - attributes of kernel functions ------*- C++ -*-===//
//
// How passes and targets speak of a kernel: a function on tensors that a program launches, which a
// target then lowers.
//
//===----------------------------------------------------------------------===//

#ifndef HADAL_DIALECTS_EXEC_KERNELATTRIBUTES_H
#define HADAL_DIALECTS_EXEC_KERNELATTRIBUTES_H

#include "llvm/ADT/StringRef.h"

namespace hadal {

/// Unit: the function is a kernel.
inline constexpr llvm::StringLiteral kKernelAttr = "exec.kernel";
/// Affine map: scalars -> tasks (minimum of results).
inline constexpr llvm::StringLiteral kTasksAttr = "exec.tasks";
/// i64.
inline constexpr llvm::StringLiteral kScratchAttr = "exec.scratch_bytes";
/// Unit: the kernel is on memrefs.
inline constexpr llvm::StringLiteral kLoweredAttr = "exec.lowered";
/// On a global, a kernel's argument or its result, a tensor: how it lies in memory, an
/// exec::LayoutAttr. Without it, as stored.
inline constexpr llvm::StringLiteral kLayoutAttr = "exec.layout";
/// On a kernel's argument: result number i is written in place of it.
inline constexpr llvm::StringLiteral kInPlaceAttr = "exec.in_place";
/// On a kernel on memrefs: what it does with each buffer, an i64 array of Access
/// (runtime/module/Module.fbs).
inline constexpr llvm::StringLiteral kAccessAttr = "exec.access";

} // namespace hadal

#endif // HADAL_DIALECTS_EXEC_KERNELATTRIBUTES_H
