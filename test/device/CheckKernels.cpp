//===- CheckKernels.cpp - the kernel of the checks of devices, for a CPU -===//

#include "runtime/Abi.h"

// addends, sums; scalar: added to all
extern "C" void check_add(void *const *buffers, const int64_t *scalars, int64_t begin, int64_t end,
                          void *) {
  auto *addends = static_cast<const int64_t *>(buffers[0]);
  auto *sums = static_cast<int64_t *>(buffers[1]);
  for (int64_t i = begin; i < end; ++i)
    sums[i] += addends[i] + scalars[0];
}
