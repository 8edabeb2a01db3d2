//===- SineCosine.h - sine and cosine of an angle -------------------------===//
#ifndef HADAL_PASSES_TARGETS_CPU_SINECOSINE_H
#define HADAL_PASSES_TARGETS_CPU_SINECOSINE_H

#include "passes/targets/cpu/KernelBuilder.h"

namespace hadal {

/// sin and cos of an f64, |x| < 2^30, to well under half an ulp of f32: the nearest multiple n of
/// pi/2 is taken off in three parts (Cody and Waite), then Taylor polynomials on [-pi/4, pi/4]
/// change places by n mod 4.
std::pair<mlir::Value, mlir::Value> sineCosine(KernelBuilder &b, mlir::Value x);

} // namespace hadal

#endif // HADAL_PASSES_TARGETS_CPU_SINECOSINE_H
