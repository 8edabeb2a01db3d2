//===- Train.h - the train dialect -------------------------------*- C++ -*-===//

#ifndef HADAL_DIALECTS_TRAIN_TRAIN_H
#define HADAL_DIALECTS_TRAIN_TRAIN_H

#include "mlir/Bytecode/BytecodeOpInterface.h"
#include "mlir/IR/BuiltinTypes.h"
#include "mlir/IR/Dialect.h"
#include "mlir/IR/OpDefinition.h"
#include "mlir/IR/OpImplementation.h"
#include "mlir/Interfaces/InferTypeOpInterface.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"

#include "dialects/train/TrainDialect.h.inc"

#define GET_OP_CLASSES
#include "dialects/train/Train.h.inc"

#endif // HADAL_DIALECTS_TRAIN_TRAIN_H
