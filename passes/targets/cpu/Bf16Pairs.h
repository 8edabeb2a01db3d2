//===- Bf16Pairs.h - products of pairs of bf16 ----------------------------===//
//
// VDPBF16PS (AVX-512-BF16) adds two products of bf16 to an f32 in each lane. It is two fused
// multiply-adds, that of the upper halves first, so with step k of a sum in the upper half and
// k + 1 in the lower one the chain stays ascending, and the bits are those of f32 instructions.
// Subnormal operands and results count as zero: products of codes are far from these, other
// operands meet them below 2^-126 alone.
//
//===----------------------------------------------------------------------===//
#ifndef HADAL_PASSES_TARGETS_CPU_BF16PAIRS_H
#define HADAL_PASSES_TARGETS_CPU_BF16PAIRS_H

#include "passes/targets/cpu/KernelBuilder.h"

namespace hadal {

/// Pairs as i32 vectors: `first` in the upper halves, `second` in the lower ones; the other way
/// round where AMX multiplies them, whose sums have an order of their own. Both are f32 vectors
/// whose values bf16 holds.
mlir::Value pairOf(KernelBuilder &b, mlir::Value first, mlir::Value second);

/// The same of bits of bf16 (i16): the two of a pair are side by side.
mlir::Value pairsOfBf16(KernelBuilder &b, mlir::Value bits);

/// The even and the odd elements of a vector.
std::pair<mlir::Value, mlir::Value> splitPairs(KernelBuilder &b, mlir::Value elements);

/// `sums` + left's first * right's first + left's second * right's second, added in this order: of
/// vectors of 16 pairs and 16 f32. Only where VectorShape::pairs.
mlir::Value dotPairs(KernelBuilder &b, mlir::Value left, mlir::Value right, mlir::Value sums);

} // namespace hadal

#endif // HADAL_PASSES_TARGETS_CPU_BF16PAIRS_H
