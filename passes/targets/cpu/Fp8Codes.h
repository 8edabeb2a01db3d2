// E4M3 codes and f32, one value at a time: exact, subnormals and NaN included.
#pragma once
#include "passes/targets/cpu/KernelBuilder.h"

namespace hadal {
/// The f32 value of an i8 code.
mlir::Value decodeE4M3(KernelBuilder &b, mlir::Value code);
/// The i8 code nearest to an f32 (ties to even, |x| > 448 becomes 448, NaN becomes 0x7f).
mlir::Value encodeE4M3(KernelBuilder &b, mlir::Value x);
} // namespace hadal
