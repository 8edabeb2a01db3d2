//===- HopperSum.h - sums as Hopper's tensor cores form them --------------===//
//
// 32 products and the accumulator are aligned to the largest exponent among them, cut toward zero
// to 13 fraction bits below it and added exactly; the sum keeps 13 fraction bits, too (1, 8, 13:
// FP22; ISCA 2025, arXiv:2505.09343, section 3.1.1; SageAttention2, arXiv:2411.10958, section 3.4).
// A product's exponent is the sum of its operands', each at least -6, the least one of E4M3's
// normal numbers; numbers of E5M2 below it count so, too.
//
//===----------------------------------------------------------------------===//
#ifndef HADAL_PASSES_TARGETS_CPU_HOPPERSUM_H
#define HADAL_PASSES_TARGETS_CPU_HOPPERSUM_H

#include "passes/targets/cpu/KernelBuilder.h"

namespace hadal {

/// One thread at a time.
class HopperSum {
public:
  using Value = mlir::Value;
  using Values = mlir::SmallVector<Value>;
  /// Products of codes, f8E4M3FN or f8E5M2.
  explicit HopperSum(KernelBuilder &b) : b(b) {}

  /// The f32 values of the codes at t: the left ones, each in all lanes, and the right ones,
  /// vectors; their product i * right.size() + j belongs to that sum.
  using Operands = llvm::function_ref<std::pair<Values, Values>(Value t)>;
  /// Adds the products [from, to) to `sums`. Products that are zero change nothing.
  Values sum(Value from, Value to, Values sums, Operands operands);

private:
  Values step(Value t0, Value t1, Values sums, Operands operands);
  Value exponentOf(Value v);
  Value masked(Value v, uint32_t mask);

  static constexpr int64_t length = 32; ///< products of a step
  KernelBuilder &b;
};

} // namespace hadal

#endif // HADAL_PASSES_TARGETS_CPU_HOPPERSUM_H
