// How a kernel on memrefs says what it does with its buffers.
#pragma once
#include "llvm/ADT/StringRef.h"

namespace hadal {

/// On a lowered kernel: what it does with each buffer, an i64 array of Access
/// (runtime/module/Module.fbs).
inline constexpr llvm::StringLiteral kAccessAttr = "exec.access";

} // namespace hadal
