//===- MmaSums.h - how an emulated tensor core adds ---------------------===//

#ifndef HADAL_RUNTIME_EMULATED_MMASUMS_H
#define HADAL_RUNTIME_EMULATED_MMASUMS_H

#include <cstdint>

namespace hadal::emulated {

/// A step of a product: d[64, n] += a[64, k] b[k, n], all in rows, d's rows n apart. Operands are
/// the codes, of E4M3 (k 32) or BF16 (k 16).

/// BF16: a chain of f32 fused multiply-adds for each element, ascending k.
void addBf16(const uint16_t *a, const uint16_t *b, float *d, uint32_t n);

/// E4M3: a product's exponent is the sum of its operands' exponents (-6 for subnormals); `top` is
/// the largest among those of the products and the accumulator that are not zero. All are cut
/// toward zero to multiples of 2^(top - 13) and added exactly; the sum is cut toward zero to 13
/// bits after its leading one. What DeepSeek-V3 reports of Hopper (arXiv:2412.19437,
/// section 3.3.2); that the accumulator is aligned in the same step is an assumption that no GPU
/// has confirmed here.
void addE4m3(const uint8_t *a, const uint8_t *b, float *d, uint32_t n);

} // namespace hadal::emulated

#endif // HADAL_RUNTIME_EMULATED_MMASUMS_H
