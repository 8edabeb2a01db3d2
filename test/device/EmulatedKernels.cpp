//===- EmulatedKernels.cpp - kernels for tests of the emulated device ---===//
//
// By hand what the compiler makes for the target sm_90a-emulated: functions that each thread of a
// grid runs, and what their parameters are (runtime/emulated/EmulatorCalls.h).
//
//===--------------------------------------------------------------------===//

#include "runtime/emulated/EmulatorCalls.h"

#define KERNEL(name)                                                                               \
  extern "C" {                                                                                     \
  extern const uint32_t name##Parameters[] __asm__(#name ".params");                               \
  extern const char name##Locations[] __asm__(#name ".locations");                                 \
  const uint32_t name##Parameters[] = {4, 8, 8, 8, 8};                                             \
  const char name##Locations[] = "EmulatedKernels.cpp " #name "\0";                                \
  }                                                                                                \
  extern "C" void name(void *const *params)

template <typename T> static T at(void *const *params, unsigned i) {
  return *static_cast<T *>(params[i]);
}

static int64_t task() {
  return int64_t(hadal_emu_block_index(0)) * hadal_emu_block_size(0) + hadal_emu_thread_index(0);
}

// Addends, sums; a scalar that is added to all; tasks.
KERNEL(check_add) {
  int64_t i = task();
  if (i >= at<int64_t>(params, 3))
    return;
  int64_t *sum = at<int64_t *>(params, 1) + i;
  hadal_emu_read(sum, sizeof *sum, 0);
  hadal_emu_write(sum, sizeof *sum, 0);
  *sum += at<const int64_t *>(params, 0)[i] + at<int64_t>(params, 2);
}

// Writes to where nothing is.
KERNEL(check_trap) {
  hadal_emu_write(reinterpret_cast<void *>(64), 8, 0);
  *reinterpret_cast<volatile int64_t *>(64) = 1;
}

// All threads write to one place.
KERNEL(check_race) {
  int64_t *sum = at<int64_t *>(params, 1);
  hadal_emu_write(sum, sizeof *sum, 0);
  *sum = task();
}

// The first thread waits for the others at a barrier that they do not come to.
KERNEL(check_deadlock) {
  if (task() == 0)
    hadal_emu_barrier(1, 32, 0);
}
