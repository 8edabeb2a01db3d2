//===- Moe.h - the moe dialect -----------------------------------*- C++ -*-===//

#ifndef HADAL_DIALECTS_MOE_MOE_H
#define HADAL_DIALECTS_MOE_MOE_H

#include "dialects/GraphOp.h"
#include "mlir/Bytecode/BytecodeOpInterface.h"
#include "mlir/IR/BuiltinTypes.h"
#include "mlir/IR/Dialect.h"
#include "mlir/IR/OpDefinition.h"
#include "mlir/IR/OpImplementation.h"
#include "mlir/Interfaces/DestinationStyleOpInterface.h"
#include "mlir/Interfaces/InferTypeOpInterface.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"

#include <algorithm>

#include "dialects/moe/MoeDialect.h.inc"

namespace hadal::moe {

/// What ranks send each other, as ops with effects name it.
struct MessagesResource : mlir::SideEffects::Resource::Base<MessagesResource> {
  llvm::StringRef getName() final { return "Messages"; }
};

} // namespace hadal::moe

#define GET_OP_CLASSES
#include "dialects/moe/Moe.h.inc"

#endif // HADAL_DIALECTS_MOE_MOE_H
