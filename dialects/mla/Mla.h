//===- Mla.h - the mla dialect -----------------------------------*- C++ -*-===//

#ifndef HADAL_DIALECTS_MLA_MLA_H
#define HADAL_DIALECTS_MLA_MLA_H

#include "dialects/GraphOp.h"
#include "mlir/Bytecode/BytecodeOpInterface.h"
#include "mlir/IR/BuiltinTypes.h"
#include "mlir/IR/Dialect.h"
#include "mlir/IR/OpDefinition.h"
#include "mlir/IR/OpImplementation.h"
#include "mlir/Interfaces/DestinationStyleOpInterface.h"
#include "mlir/Interfaces/InferTypeOpInterface.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"

#include "dialects/mla/MlaDialect.h.inc"

#define GET_OP_CLASSES
#include "dialects/mla/Mla.h.inc"

#endif // HADAL_DIALECTS_MLA_MLA_H
