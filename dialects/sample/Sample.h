//===- Sample.h - the sample dialect -----------------------------*- C++ -*-===//

#ifndef HADAL_DIALECTS_SAMPLE_SAMPLE_H
#define HADAL_DIALECTS_SAMPLE_SAMPLE_H

#include "mlir/Bytecode/BytecodeOpInterface.h"
#include "mlir/IR/BuiltinTypes.h"
#include "mlir/IR/Dialect.h"
#include "mlir/IR/OpDefinition.h"
#include "mlir/IR/OpImplementation.h"
#include "mlir/Interfaces/DestinationStyleOpInterface.h"
#include "mlir/Interfaces/InferTypeOpInterface.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"

#include "dialects/sample/SampleDialect.h.inc"

#define GET_OP_CLASSES
#include "dialects/sample/Sample.h.inc"

#endif // HADAL_DIALECTS_SAMPLE_SAMPLE_H
