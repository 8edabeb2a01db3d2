//===- Fp8.h - the fp8 dialect -----------------------------------*- C++ -*-===//

#ifndef HADAL_DIALECTS_FP8_FP8_H
#define HADAL_DIALECTS_FP8_FP8_H

#include "dialects/GraphOp.h"
#include "mlir/Bytecode/BytecodeOpInterface.h"
#include "mlir/IR/BuiltinTypes.h"
#include "mlir/IR/Dialect.h"
#include "mlir/IR/OpDefinition.h"
#include "mlir/IR/OpImplementation.h"
#include "mlir/Interfaces/DestinationStyleOpInterface.h"
#include "mlir/Interfaces/InferTypeOpInterface.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"

#include "dialects/fp8/Fp8Dialect.h.inc"

#define GET_OP_CLASSES
#include "dialects/fp8/Fp8.h.inc"

#endif // HADAL_DIALECTS_FP8_FP8_H
