//===- Permutation.h - a shuffle that takes no memory -------------------===//

#ifndef HADAL_RUNTIME_TRAINING_PERMUTATION_H
#define HADAL_RUNTIME_TRAINING_PERMUTATION_H

#include <cstdint>

namespace hadal {

/// 64 bits that look random. Source: Steele et al., 2014, SplitMix64.
constexpr uint64_t mixBits(uint64_t x) {
  x += 0x9E3779B97F4A7C15u;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
  return x ^ (x >> 31);
}

/// One permutation of 0 .. n-1 for each key: a Feistel network over the next power of four, walked
/// until it lands inside. Source: Black and Rogaway, 2002, "Ciphers with arbitrary finite domains",
/// section 3. Any thread may read it.
class Permutation {
public:
  Permutation(uint64_t n, uint64_t key) : n(n), key(key) {
    while (halfBits < 31 && (uint64_t(1) << (2 * halfBits)) < n)
      ++halfBits;
  }

  /// Where `i` below n goes.
  uint64_t operator()(uint64_t i) const {
    do
      i = scramble(i);
    while (i >= n);
    return i;
  }

private:
  uint64_t scramble(uint64_t i) const {
    uint64_t mask = (uint64_t(1) << halfBits) - 1, left = i >> halfBits, right = i & mask;
    for (uint64_t round = 0; round < 6; ++round) {
      uint64_t next = left ^ (mixBits(key ^ mixBits(right + (round << 32))) & mask);
      left = right;
      right = next;
    }
    return left << halfBits | right;
  }

  uint64_t n, key;
  unsigned halfBits = 1;
};

} // namespace hadal

#endif // HADAL_RUNTIME_TRAINING_PERMUTATION_H
