//===- FakeKernels.h - what kernels of hand-made modules share ------------===//
//
// Their libraries are linked with nothing.
//
//===----------------------------------------------------------------------===//

#ifndef HADAL_TEST_TOOLS_FAKEKERNELS_H
#define HADAL_TEST_TOOLS_FAKEKERNELS_H

#include <cstdint>

/// A kernel of the module: buffers `b`, `scalars`, tasks `begin` to `end`.
#define KERNEL(name)                                                                               \
  extern "C" void name([[maybe_unused]] void *const *b, [[maybe_unused]] const int64_t *scalars,   \
                       [[maybe_unused]] int64_t begin, [[maybe_unused]] int64_t end, void *)

namespace hadal::fake {

template <typename T> T *at(void *const *buffers, int i) { return static_cast<T *>(buffers[i]); }

/// The largest bits of `count` numbers without their signs.
inline int32_t largestMagnitude(const int32_t *values, int64_t count) {
  int32_t largest = 0;
  for (int64_t i = 0; i < count; ++i) {
    int32_t bits = values[i] & 0x7FFFFFFF;
    largest = bits > largest ? bits : largest;
  }
  return largest;
}

} // namespace hadal::fake

#endif // HADAL_TEST_TOOLS_FAKEKERNELS_H
