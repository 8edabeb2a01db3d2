//===- DriverKernels.cpp - an image of kernels for DriverTest -----------===//
//
// As the compiler makes them: an entry, the bytes of its parameters, names of its ops.
//
//===--------------------------------------------------------------------===//

#include "test/emulated/KernelThreads.h"

using namespace hadal::test;

#define KERNEL(NAME, LOCATIONS, ...)                                                               \
  extern "C" const uint32_t NAME##Params[];                                                        \
  extern "C" const uint32_t NAME##Params[] __asm__(#NAME ".params") = {__VA_ARGS__};               \
  extern "C" const char NAME##Locations[];                                                         \
  extern "C" const char NAME##Locations[] __asm__(#NAME ".locations") = LOCATIONS "\0";            \
  extern "C" void NAME([[maybe_unused]] void *const *params)

/// to[i] = from[i] + add. Parameters: to, from, add, count.
KERNEL(addTo, "addTo", 4, 8, 8, 4, 8) {
  uint32_t i = globalThread();
  if (i < param<uint64_t>(params, 3))
    param<uint32_t *>(params, 0)[i] = param<uint32_t *>(params, 1)[i] + param<uint32_t>(params, 2);
}

/// Threads write one place without a barrier.
KERNEL(race, "the store\0", 1, 8) {
  hadal_emu_write(param<uint32_t *>(params, 0), 4, 0);
  *param<uint32_t *>(params, 0) = globalThread();
}

/// Threads wait for one that does not come.
KERNEL(hang, "the barrier\0", 0) {
  if (hadal_emu_thread_index(0))
    hadal_emu_barrier(0, 64, 0);
}

KERNEL(trap, "the trap\0", 0) { hadal_emu_trap(0); }

/// The ranks of the clusters' blocks, and a tensor map that arrived as it was. Parameters: out,
/// map.
KERNEL(clusters, "", 2, 8, 128) {
  if (hadal_emu_thread_index(0) == 0)
    param<uint32_t *>(params, 0)[hadal_emu_block_index(0)] =
        hadal_emu_cluster_rank() * 16 + hadal_emu_cluster_size() +
        (reinterpret_cast<uintptr_t>(params[1]) % 64 ? 1000 : 0) +
        param<uint8_t>(params, 1) * 0x100;
}
