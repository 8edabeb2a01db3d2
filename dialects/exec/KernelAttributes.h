//===- KernelAttributes.h - attributes of functions -------------*- C++ -*-===//
//
// How passes speak of functions that become programs, and passes and targets of a kernel: a
// function on tensors that a program launches, which a target then lowers.
//
//===----------------------------------------------------------------------===//

#ifndef HADAL_DIALECTS_EXEC_KERNELATTRIBUTES_H
#define HADAL_DIALECTS_EXEC_KERNELATTRIBUTES_H

#include "llvm/ADT/StringRef.h"

namespace hadal {

/// Unit: the function is a kernel.
inline constexpr llvm::StringLiteral kKernelAttr = "exec.kernel";
/// The kernel is on memory, and this is how it is launched, an exec::LaunchAttr. Its arguments are
/// buffers, one for each access, then what its target wants.
inline constexpr llvm::StringLiteral kLaunchAttr = "exec.launch";
/// Types of its buffers as memrefs, which may become something else on the way to code.
inline constexpr llvm::StringLiteral kSignatureAttr = "exec.signature";
/// On a global, a kernel's argument or its result, a tensor: how it lies in memory, an
/// exec::LayoutAttr. Without it, as stored.
inline constexpr llvm::StringLiteral kLayoutAttr = "exec.layout";
/// On a kernel's argument: result number i is written in place of it.
inline constexpr llvm::StringLiteral kInPlaceAttr = "exec.in_place";

/// On an argument or result, and on what is exchanged: its name in the program.
inline constexpr llvm::StringLiteral kNameAttr = "exec.name";
/// Affine map: registers -> sizes of an argument or result.
inline constexpr llvm::StringLiteral kShapeAttr = "exec.shape";
/// On a function: names of its registers.
inline constexpr llvm::StringLiteral kRegistersAttr = "exec.registers";
/// On an argument, a result or a global: the state of the module that it is.
inline constexpr llvm::StringLiteral kStateAttr = "exec.state";
/// On the module: names of the registers that sizes of states are over.
inline constexpr llvm::StringLiteral kStateRegistersAttr = "exec.state_registers";

} // namespace hadal

#endif // HADAL_DIALECTS_EXEC_KERNELATTRIBUTES_H
