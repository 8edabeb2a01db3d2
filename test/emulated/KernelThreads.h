//===- KernelThreads.h - what hand-written kernels know of themselves ---===//

#ifndef HADAL_TEST_EMULATED_KERNELTHREADS_H
#define HADAL_TEST_EMULATED_KERNELTHREADS_H

#include "runtime/emulated/EmulatorCalls.h"

namespace hadal::test {

/// Parameter `i` of a kernel.
template <typename T> T param(void *const *params, int i) {
  return *static_cast<const T *>(params[i]);
}

/// The number of the calling thread in a grid along x.
inline uint32_t globalThread() {
  return hadal_emu_block_index(0) * hadal_emu_block_size(0) + hadal_emu_thread_index(0);
}

} // namespace hadal::test

#endif // HADAL_TEST_EMULATED_KERNELTHREADS_H
