//===- Fp8Codes.h - codes of few bits and f32 -------------------*- C++ -*-===//
//
// Codes of few bits and f32: exact, subnormals and NaN included. Values are one number or a vector.
//
//===----------------------------------------------------------------------===//

#ifndef HADAL_PASSES_TARGETS_CPU_FP8CODES_H
#define HADAL_PASSES_TARGETS_CPU_FP8CODES_H

#include "dialects/fp8/Fp8.h"
#include "passes/targets/cpu/Kernel.h"

namespace hadal {
/// The f32 values of i8 codes (one, or a vector of them) of `format`, f8E4M3FN or f8E5M2, times a
/// power of two.
mlir::Value decodeF8(KernelBuilder &b, mlir::Value code, mlir::Type format, float times = 1);
/// The same of the codes in the upper bytes of i16, whatever is below, but for a factor:
/// f8Factor(format) times this is the value.
mlir::Value decodeUpperF8(KernelBuilder &b, mlir::Value words, mlir::Type format);
float f8Factor(mlir::Type format);
/// The values of 32 i8 codes times a power of two, as the bits of bf16: vector<32xi16>. Only with
/// AVX-512, and for values that are normal numbers of bf16.
mlir::Value decodeF8ToBf16(KernelBuilder &b, mlir::Value codes, mlir::Type format, float times = 1);

/// The i32 codes nearest to x / scale, rounded to f32 once: ties to even, numbers beyond the
/// format's largest become that one, NaN becomes NaN; each has the sign of x. `divisor` as
/// divisorOf makes it of the scale. `isFinite`: x is of tiles that are, and the scale theirs.
mlir::Value encode(KernelBuilder &b, mlir::Value x, mlir::Value divisor, fp8::Format format,
                   bool pow2, bool isFinite = false);

/// The larger of the i32 `most`, which starts at 0, and the bits of |x|: those of numbers are in
/// the numbers' order, and NaN is above infinity.
mlir::Value largerBits(KernelBuilder &b, mlir::Value most, mlir::Value x);
/// The f32 scales of tiles whose largest |x| has the i32 bits `most` (fp8.quantize).
mlir::Value scaleOf(KernelBuilder &b, mlir::Value most, fp8::Format format, bool pow2);
/// What divides by `scale`: with `pow2` the exact inverse, to multiply with.
mlir::Value divisorOf(KernelBuilder &b, mlir::Value scale, bool pow2);

/// A scale as power * mantissa, the mantissa from 1 to 2, with their inverses: what divides by it
/// in six multiplications instead of a division. Of a power of two the first is all.
struct Divisor {
  mlir::Value inversePower, mantissa, inverseMantissa;
};
Divisor inParts(KernelBuilder &b, mlir::Value scale, bool pow2);
/// The numbers, as f32, of the codes nearest to x / scale, for x of the scale's tile: what encode
/// and decodeF8 make of x but for the sign of zero. Not of E5M6.
mlir::Value nearest(KernelBuilder &b, mlir::Value x, const Divisor &divisor, fp8::Format format);

/// Writes the codes and scales of row `row` of `op`, whose x and results have memory and whose
/// tiles are of one row. With `first` and `last` of its columns from the one up to the other: tiles
/// begin at both, or `last` is the end.
void quantizeRow(Kernel &kernel, fp8::QuantizeOp op, mlir::Value row, mlir::Value first = {},
                 mlir::Value last = {});
} // namespace hadal

#endif // HADAL_PASSES_TARGETS_CPU_FP8CODES_H
