//===- OptimizerKernels.h - what a step does with parameters -----*- C++ -*-===//
//
// Kernels on tensors, which a target lowers: parameters and their states as flat tensors, in
// whatever order their elements lie in memory. Padding is zero, and stays zero.
//
//===----------------------------------------------------------------------===//

#ifndef HADAL_PASSES_PROGRAMS_OPTIMIZERKERNELS_H
#define HADAL_PASSES_PROGRAMS_OPTIMIZERKERNELS_H

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/BuiltinOps.h"

namespace hadal {

/// Elements of one partial sum of squares: the order of a global sum does not depend on who holds
/// which parameter.
inline constexpr int64_t sumBlock = 4096;

/// Elements of `step_scalars`, f32: what `scale_step` makes of a step's settings for `adamw_step`.
extern const int64_t stepScalarCount;

// Each adds a kernel to the end of `module`, under the name given. A launch binds its arguments in
// this order, and then the results that are not in place of one. T, N and B are dynamic.

/// "clear": memory [N] f32, in place -> zeros.
mlir::func::FuncOp addClear(mlir::ModuleOp module);
/// "round_to_bf16": x [N] f32 -> x rounded to values of bf16, as --hadal-round-products does.
mlir::func::FuncOp addRoundToBf16(mlir::ModuleOp module);
/// "add_f32", "add_i32": from [N], sum [N], in place -> sum + from.
mlir::func::FuncOp addAdd(mlir::ModuleOp module, mlir::Type element);
/// "sums_of_squares": x [T, N] f32 -> [T, ceil(N / sumBlock)] f32.
mlir::func::FuncOp addSumsOfSquares(mlir::ModuleOp module);
/// "sum_of_tensor": blocks [T, B] f32 -> [T] f64.
mlir::func::FuncOp addSumOfTensor(mlir::ModuleOp module);
/// "norm": sums [T] f64 -> [1] f32.
mlir::func::FuncOp addNorm(mlir::ModuleOp module);
/// "scale_step": settings [stepSettingCount] f64, norm [1] f32 -> step_scalars [stepScalarCount],
/// learning rate [1], f32.
mlir::func::FuncOp addScaleStep(mlir::ModuleOp module);
/// "adamw_step": weight, gradient [N] f32, first and second moment [N] of `moment`, all in place;
/// step_scalars; with `average` the average [N] f32, in place. The gradient becomes zero.
mlir::func::FuncOp addAdamwStep(mlir::ModuleOp module, mlir::Type moment, bool average);
/// "largest_magnitude": x [T, N] f32 -> [T] i32, the bits of each row's largest magnitude, which
/// compare as magnitudes do; NaN is above infinity.
mlir::func::FuncOp addLargestMagnitude(mlir::ModuleOp module);
/// "largest": x [T, N] i32, none negative -> [T] i32, each row's largest.
mlir::func::FuncOp addLargest(mlir::ModuleOp module);
/// "widen_bf16": x [N] bf16 -> f32; "narrow_f32": x [N] f32 -> bf16, ties to even.
mlir::func::FuncOp addConversion(mlir::ModuleOp module, mlir::Type from, mlir::Type to);
/// "draw_normal": key [2] i32, mean and standard deviation [2] f32, values [N] f32, in place ->
/// normal numbers, each a function of the key and of its place.
mlir::func::FuncOp addDrawNormal(mlir::ModuleOp module);

} // namespace hadal

#endif // HADAL_PASSES_PROGRAMS_OPTIMIZERKERNELS_H
