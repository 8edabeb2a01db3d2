// The option of passes that write vectors.
#pragma once
#include "mlir/IR/BuiltinOps.h"

namespace hadal {

/// Holds `lanes` to the vector registers that kernels are written for.
inline mlir::LogicalResult checkLanes(mlir::ModuleOp module, int64_t lanes) {
  if (lanes == 4 || lanes == 8 || lanes == 16)
    return mlir::success();
  return module.emitError() << "wants lanes to be 4, 8 or 16, got " << lanes;
}

} // namespace hadal
