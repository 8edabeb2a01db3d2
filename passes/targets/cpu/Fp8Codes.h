// Codes of eight bits and f32: exact, subnormals and NaN included.
#pragma once
#include "passes/targets/cpu/KernelBuilder.h"

namespace hadal {
/// The f32 values of i8 codes (one, or a vector of them) of `format`: f8E4M3FN or f8E5M2.
mlir::Value decodeF8(KernelBuilder &b, mlir::Value code, mlir::Type format);
/// The same of the codes in the upper bytes of i16, whatever is below, but for a factor:
/// f8Factor(format) times this is the value.
mlir::Value decodeUpperF8(KernelBuilder &b, mlir::Value halves, mlir::Type format);
float f8Factor(mlir::Type format);
/// The i8 code nearest to an f32 (ties to even, |x| > 448 becomes 448, NaN becomes 0x7f).
mlir::Value encodeE4M3(KernelBuilder &b, mlir::Value x);
} // namespace hadal
