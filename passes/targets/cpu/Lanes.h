// For passes that write vectors themselves, until they leave that to a target.
#pragma once
#include "passes/targets/Target.h"
#include "passes/targets/cpu/KernelBuilder.h"

namespace hadal {

/// The registers of a target's vectors; none, and `module` has an error, where there is no such
/// target.
inline mlir::FailureOr<VectorShape> vectorShapeOf(mlir::ModuleOp module, llvm::StringRef name) {
  const Target *target = findTarget(module, name);
  if (!target)
    return mlir::failure();
  llvm::StringRef known = target->name();
  return vectorShapeFor(known.starts_with("x86-64-v4") ? 16 : known == "x86-64-v3" ? 8 : 4);
}

} // namespace hadal
