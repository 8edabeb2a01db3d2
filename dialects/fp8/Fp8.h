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

namespace hadal::fp8 {

/// What a code is, as Fp8.td's dialect says.
enum class Format { E4M3, E5M2, E5M6 };

/// The format that an op's attribute `format` names: E4M3 where there is none, or no such name
/// (verifiers refuse those).
Format formatOf(std::optional<llvm::StringRef> name);

/// Its name in IR: "e4m3", "e5m2", "e5m6".
llvm::StringRef nameOf(Format format);

/// The largest number that it holds.
float largestOf(Format format);

/// The type of codes in a tensor (i8 for E5M6), and how many stand for a row of `columns`.
mlir::Type elementOf(Format format, mlir::MLIRContext *context);
int64_t elementsOfRow(Format format, int64_t columns);

/// `x`, a number of any type that weights and their scales are stored in (f32, bf16, f16, and
/// powers of two as f8E8M0FNU), in f32.
mlir::Value widen(mlir::OpBuilder &b, mlir::Location loc, mlir::Value x);

} // namespace hadal::fp8

#define GET_OP_CLASSES
#include "dialects/fp8/Fp8.h.inc"

#endif // HADAL_DIALECTS_FP8_FP8_H
