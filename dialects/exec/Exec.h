//===- Exec.h - programs and schedules as data ------------------*- C++ -*-===//

#ifndef HADAL_DIALECTS_EXEC_EXEC_H
#define HADAL_DIALECTS_EXEC_EXEC_H

#include "dialects/exec/KernelAttributes.h"
#include "mlir/Bytecode/BytecodeOpInterface.h"
#include "mlir/IR/AffineMap.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/BuiltinTypes.h"
#include "mlir/IR/Dialect.h"
#include "mlir/IR/OpDefinition.h"
#include "mlir/IR/OpImplementation.h"
#include "mlir/IR/SymbolTable.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"

#include "dialects/exec/ExecDialect.h.inc"

namespace hadal::exec {

/// What a chunk of an order runs; values as in runtime/module/ChunkKind.h and Module.fbs.
enum class ChunkKind : uint8_t { Forward, Backward, InputGrad, WeightGrad };

} // namespace hadal::exec

#define GET_ATTRDEF_CLASSES
#include "dialects/exec/ExecAttributes.h.inc"
#define GET_TYPEDEF_CLASSES
#include "dialects/exec/ExecTypes.h.inc"
#define GET_OP_CLASSES
#include "dialects/exec/Exec.h.inc"

#endif // HADAL_DIALECTS_EXEC_EXEC_H
