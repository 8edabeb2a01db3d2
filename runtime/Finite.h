//===- Finite.h - numbers that are infinite or none ---------------------===//
//
// A look at bits, while weights are read anyway and where a run's figures come out: NaN and
// infinities that nobody notices become answers.
//
//===--------------------------------------------------------------------===//

#ifndef HADAL_RUNTIME_FINITE_H
#define HADAL_RUNTIME_FINITE_H

#include "runtime/Tensor.h"

#include <cstdint>
#include <span>

namespace hadal {

/// Whether an f32 of this magnitude, its bits but the sign's, is finite. Magnitudes compare as
/// their bits do.
constexpr bool isFiniteMagnitude(uint32_t bits) { return bits < 0x7F800000; }

/// Whether all of `values` are finite.
bool allFinite(std::span<const float> values);

/// The same of `count` elements of any type at `data`, which may lie misaligned. Whole numbers are
/// finite; F8E4M3 and F8E8M0 have NaN and no infinity.
bool allFinite(ElementType element, const void *data, uint64_t count);

/// Whether a row of logits has a likeliest token: no NaN, no positive infinity, and one finite
/// value at least.
bool hasFiniteMaximum(std::span<const float> logits);

/// The first row of `logits` [R, V] F32 that has none, or -1.
int64_t rowWithoutMaximum(const TensorView &logits);

} // namespace hadal

#endif // HADAL_RUNTIME_FINITE_H
