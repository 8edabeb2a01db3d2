//===- RunKernel.h - hand-written kernels on the emulated device --------===//
//
// A kernel is a C++ function that calls hadal_emu_*. `keep(n)` is false for the one call that a
// test leaves out: "each synchronization dropped is caught" is a loop over n.
//
//===--------------------------------------------------------------------===//

#ifndef HADAL_TEST_EMULATED_RUNKERNEL_H
#define HADAL_TEST_EMULATED_RUNKERNEL_H

#include "runtime/emulated/Launch.h"
#include "runtime/emulated/TensorMap.h"
#include "test/emulated/KernelThreads.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <string>
#include <vector>

namespace hadal::test {

/// The call that the kernels leave out; none.
inline int dropped = -1;
inline bool keep(int call) { return call != dropped; }

struct Shape {
  uint32_t blocks = 1, threads = 32, cluster = 1;
  uint64_t shared = 0;
};

/// How a launch ended: "" or the failure's name.
struct Outcome {
  std::string kind, report;
};

inline Outcome run(emulated::KernelEntry kernel, Shape shape, std::vector<void *> params,
                   uint64_t seed = 0, const emulated::GlobalRanges *memory = nullptr) {
  static uint64_t number = 0;
  emulated::Launch launch;
  launch.entry = kernel;
  launch.params = params.data();
  launch.grid = {shape.blocks, 1, 1};
  launch.block = {shape.threads, 1, 1};
  launch.clusterSize = shape.cluster;
  launch.sharedBytes = shape.shared;
  launch.seed = seed;
  launch.number = ++number;
  launch.memory = memory;
  launch.locations = {"here", "there", "elsewhere"};
  emulated::run(launch);
  if (!launch.failed())
    return {};
  return {nameOf(launch.failure), launch.report};
}

/// The first failure over eight seeds.
inline Outcome runSeeds(emulated::KernelEntry kernel, Shape shape, std::vector<void *> params) {
  for (uint64_t seed = 0; seed < 8; ++seed)
    if (Outcome outcome = run(kernel, shape, params, seed); !outcome.kind.empty())
      return outcome;
  return {};
}

/// A tensor map of a matrix [rows, columns] in memory, `box` its rows and columns.
inline cuda::CUtensorMap mapOf(void *address, cuda::CUtensorMapDataType type, uint64_t rows,
                               uint64_t columns, uint64_t strideBytes, uint32_t boxRows,
                               uint32_t boxColumns, cuda::CUtensorMapSwizzle swizzle) {
  cuda::CUtensorMap map;
  uint64_t sizes[] = {columns, rows}, strides[] = {strideBytes};
  uint32_t box[] = {boxColumns, boxRows}, ones[] = {1, 1};
  const char *why = nullptr;
  emulated::encode(
      &map, type, 2, address, sizes, strides, box, ones, cuda::CU_TENSOR_MAP_INTERLEAVE_NONE,
      swizzle, cuda::CU_TENSOR_MAP_L2_PROMOTION_NONE, cuda::CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE, why);
  EXPECT_EQ(why, nullptr) << why;
  return map;
}

/// The descriptor of a matrix in shared memory, as wgmma takes it: strides in bytes, `swizzle` a
/// CUtensorMapSwizzle.
inline uint64_t descriptor(const char *at, uint32_t leading, uint32_t stride, uint32_t swizzle) {
  return (reinterpret_cast<uintptr_t>(at) & 0x3ffff) >> 4 | uint64_t(leading >> 4) << 16 |
         uint64_t(stride >> 4) << 32 | uint64_t(swizzle ? 4 - swizzle : 0) << 62;
}

} // namespace hadal::test

#endif // HADAL_TEST_EMULATED_RUNKERNEL_H
