//===- Dialects.h - hadal's dialects together -------------------*- C++ -*-===//

#ifndef HADAL_DIALECTS_DIALECTS_H
#define HADAL_DIALECTS_DIALECTS_H

#include "mlir/IR/DialectRegistry.h"

namespace hadal {

/// Registers all dialects of hadal. Upstream dialects that their ops build (arith, tensor) come
/// along when loaded.
void registerHadalDialects(mlir::DialectRegistry &registry);

} // namespace hadal

#endif // HADAL_DIALECTS_DIALECTS_H
