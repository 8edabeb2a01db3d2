//===- RoundToBf16.h - rounding of f32 to the values of bf16 ----*- C++ -*-===//

#ifndef HADAL_PASSES_QUANTIZE_ROUNDTOBF16_H
#define HADAL_PASSES_QUANTIZE_ROUNDTOBF16_H

#include "mlir/IR/Builders.h"

namespace hadal {

/// `x`, f32 or a vector of it, rounded to nearest even to its upper 16 bits. On the bits: what a
/// target makes of a bf16 in between is not asked. NaN stays as it is.
mlir::Value roundToBf16(mlir::OpBuilder &b, mlir::Location loc, mlir::Value x);

} // namespace hadal

#endif // HADAL_PASSES_QUANTIZE_ROUNDTOBF16_H
