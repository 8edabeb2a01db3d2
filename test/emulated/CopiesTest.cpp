//===- CopiesTest.cpp - mbarriers, tensor copies, clusters --------------===//

#include "test/emulated/RunKernel.h"

#include <cstring>
#include <numeric>

using namespace hadal;
using namespace hadal::test;
using namespace hadal::cuda;

static constexpr uint32_t barAt = 16384; // of mbarriers, after the tiles

static char *bar(uint32_t i) { return hadal_emu_shared() + barAt + 8 * i; }

//===--- Loads -------------------------------------------------------------------------------===//

static constexpr uint32_t boxRows = 8, boxColumns = 64;

/// One box of u16 [8, 64] at the coordinates, as it lies in shared memory. Parameters: map, column,
/// row, out.
static void loadBox(void *const *params) {
  uint32_t thread = hadal_emu_thread_index(0);
  if (thread == 0) {
    if (keep(0))
      hadal_emu_mbarrier_init(bar(0), 1, 0);
    if (keep(1))
      hadal_emu_fence_mbarrier_init(0);
  }
  if (keep(2))
    hadal_emu_barrier(0, 0, 0);
  if (thread == 0) {
    if (keep(3))
      hadal_emu_mbarrier_arrive_expect(bar(0), boxRows * boxColumns * 2, 1);
    int32_t coordinates[] = {param<int32_t>(params, 1), param<int32_t>(params, 2)};
    hadal_emu_tensor_load(hadal_emu_shared(), params[0], 2, coordinates, bar(0), 0, 1);
  }
  if (keep(4))
    hadal_emu_mbarrier_wait(bar(0), 0, 2);
  for (uint32_t i = thread; i < boxRows * boxColumns; i += 32) {
    auto *from = reinterpret_cast<uint16_t *>(hadal_emu_shared()) + i;
    hadal_emu_read(from, 2, 2);
    param<uint16_t *>(params, 3)[i] = *from;
  }
}

namespace {
struct Matrix {
  std::vector<uint16_t> values = std::vector<uint16_t>(20 * 104);
  Matrix() { std::iota(values.begin(), values.end(), 1); }
  CUtensorMap map(CUtensorMapSwizzle swizzle) {
    return mapOf(values.data(), CU_TENSOR_MAP_DATA_TYPE_UINT16, 20, 100, 104 * 2, boxRows,
                 boxColumns, swizzle);
  }
  uint16_t at(int row, int column) const {
    return row < 0 || row >= 20 || column < 0 || column >= 100 ? 0 : values[row * 104 + column];
  }
};
} // namespace

static const Shape oneWarp = {1, 32, 1, 16384 + 64};

// Inside, over each edge, and outside: what the tensor lacks is zero. The swizzle exchanges groups
// of 8 elements by row.
TEST(EmulatedCopies, LoadBoxes) {
  Matrix matrix;
  for (CUtensorMapSwizzle swizzle : {CU_TENSOR_MAP_SWIZZLE_NONE, CU_TENSOR_MAP_SWIZZLE_128B}) {
    CUtensorMap map = matrix.map(swizzle);
    for (auto [column, row] : {std::pair{0, 0}, {36, 12}, {50, 15}, {-10, -3}, {200, 0}, {0, 20}}) {
      std::vector<uint16_t> out(boxRows * boxColumns, 9);
      uint16_t *data = out.data();
      ASSERT_EQ(run(loadBox, oneWarp, {&map, &column, &row, &data}, 1).report, "");
      for (uint32_t r = 0; r < boxRows; ++r)
        for (uint32_t c = 0; c < boxColumns; ++c) {
          uint32_t place = swizzle ? (c / 8 ^ r) * 8 + c % 8 : c;
          ASSERT_EQ(out[r * boxColumns + place],
                    matrix.at(row + static_cast<int>(r), column + static_cast<int>(c)))
              << row << " " << column << " " << r << " " << c;
        }
    }
  }
}

TEST(EmulatedCopies, EachDroppedStepOfALoadIsCaught) {
  Matrix matrix;
  CUtensorMap map = matrix.map(CU_TENSOR_MAP_SWIZZLE_128B);
  int32_t zero = 0;
  std::vector<uint16_t> out(boxRows * boxColumns);
  uint16_t *data = out.data();
  std::vector<void *> params = {&map, &zero, &zero, &data};
  EXPECT_EQ(runSeeds(loadBox, oneWarp, params).report, "");
  // init, its fence, the barrier after it, expect, wait
  for (const char *kind : {"trap", "race", "race", "deadlock", "race"}) {
    ++dropped;
    Outcome outcome = runSeeds(loadBox, oneWarp, params);
    // Without the barrier a thread may come before the initialization: not even a race then.
    EXPECT_TRUE(outcome.kind == kind || (dropped == 2 && outcome.kind == "trap"))
        << dropped << ": " << outcome.report;
  }
  dropped = -1;
}

static void misuse(void *const *params) {
  switch (param<int>(params, 0)) {
  case 0:
    hadal_emu_mbarrier_init(bar(0), 2, 0);
    hadal_emu_mbarrier_init(bar(0), 2, 0);
    break;
  case 1: // more arrivals than a phase takes
    hadal_emu_mbarrier_init(bar(0), 2, 0);
    hadal_emu_mbarrier_expect(bar(0), 16, 0);
    for (int i = 0; i < 3; ++i)
      hadal_emu_mbarrier_arrive(bar(0), 1);
    break;
  case 2: // plain stores over it
    hadal_emu_mbarrier_init(bar(0), 1, 0);
    hadal_emu_write(bar(0) + 4, 4, 1);
    break;
  case 3:
    hadal_emu_mbarrier_init(bar(0), 1, 0);
    hadal_emu_mbarrier_expect(bar(0), 1 << 20, 1);
    break;
  case 4: hadal_emu_write(bar(8), 4, 1); break;
  case 5: hadal_emu_mbarrier_init(bar(0) + 4, 1, 0); break;
  case 6: hadal_emu_cluster_wait(1); break;
  case 7: hadal_emu_async_copy(hadal_emu_shared(), hadal_emu_shared(), 5, 5, 1); break;
  }
}

TEST(EmulatedCopies, MisuseEndsTheLaunch) {
  const char *kinds[] = {"trap", "trap", "race", "trap", "illegal address", "trap", "trap", "trap"};
  for (int which = 0; which < 8; ++which)
    EXPECT_EQ(run(misuse, {1, 1, 1, 16384 + 64}, {&which}).kind, kinds[which]) << which;
}

//===--- Stores ------------------------------------------------------------------------------===//

/// Threads fill a box and one of them stores it, twice from the same place. Parameters: map.
static void storeBoxes(void *const *params) {
  uint32_t thread = hadal_emu_thread_index(0);
  auto *shared = reinterpret_cast<uint16_t *>(hadal_emu_shared());
  for (int32_t box = 0; box < 2; ++box) {
    if (thread == 0 && keep(0))
      hadal_emu_bulk_wait(0, 1, 0);
    if (keep(1))
      hadal_emu_barrier(0, 0, 0);
    for (uint32_t i = thread; i < boxRows * boxColumns; i += 64) {
      hadal_emu_write(shared + i, 2, 0);
      shared[i] = static_cast<uint16_t>(box * 1000 + i);
    }
    if (keep(2))
      hadal_emu_fence_proxy(1);
    if (keep(3))
      hadal_emu_barrier(0, 0, 1);
    int32_t coordinates[] = {box * 64 - 10, 5};
    if (thread == 0) {
      hadal_emu_tensor_store(params[0], 2, coordinates, shared, 2);
      if (keep(4))
        hadal_emu_bulk_commit(2);
    }
  }
  if (thread == 0 && keep(5))
    hadal_emu_bulk_wait(0, 1, 2);
}

TEST(EmulatedCopies, StoreBoxes) {
  for (uint64_t seed = 0; seed < 8; ++seed) {
    Matrix matrix, before;
    CUtensorMap map = matrix.map(CU_TENSOR_MAP_SWIZZLE_NONE);
    ASSERT_EQ(run(storeBoxes, {1, 64, 1, 1024}, {&map}, seed).report, "");
    for (int row = 0; row < 20; ++row)
      for (int column = 0; column < 104; ++column) {
        int box = (column + 10) / 64, c = (column + 10) % 64;
        bool stored = row >= 5 && row < 13 && column < 100;
        int want = stored ? box * 1000 + (row - 5) * 64 + c : before.values[row * 104 + column];
        ASSERT_EQ(matrix.values[row * 104 + column], want) << row << " " << column;
      }
  }
}

TEST(EmulatedCopies, EachDroppedStepOfAStoreIsCaught) {
  Matrix matrix;
  CUtensorMap map = matrix.map(CU_TENSOR_MAP_SWIZZLE_NONE);
  for (dropped = 0; dropped < 6; ++dropped) {
    Outcome outcome = runSeeds(storeBoxes, {1, 64, 1, 1024}, {&map});
    EXPECT_EQ(outcome.kind, "race") << dropped;
    if (dropped == 2)
      EXPECT_NE(outcome.report.find("no proxy fence"), std::string::npos) << outcome.report;
  }
  dropped = -1;
}

/// Without tensor maps. Parameters: from, to, bytes.
static void bulkRound(void *const *params) {
  hadal_emu_mbarrier_init(bar(0), 1, 0);
  hadal_emu_fence_mbarrier_init(0);
  auto bytes = param<uint32_t>(params, 2);
  hadal_emu_mbarrier_arrive_expect(bar(0), bytes, 0);
  hadal_emu_bulk_load(hadal_emu_shared(), param<char *>(params, 0), bytes, bar(0), 1);
  if (keep(0))
    hadal_emu_mbarrier_wait(bar(0), 0, 1);
  hadal_emu_bulk_store(param<char *>(params, 1), hadal_emu_shared(), bytes, 2);
  hadal_emu_bulk_commit(2);
  hadal_emu_bulk_wait(0, 0, 2);
}

TEST(EmulatedCopies, BulkCopiesGoRound) {
  alignas(16) char from[512], to[512] = {};
  std::iota(from, from + 512, 0);
  char *fromAt = from, *toAt = to;
  uint32_t bytes = 496;
  std::vector<void *> params = {&fromAt, &toAt, &bytes};
  EXPECT_EQ(runSeeds(bulkRound, {1, 1, 1, 16384 + 64}, params).report, "");
  EXPECT_EQ(std::memcmp(from, to, 496), 0);
  EXPECT_EQ(to[496], 0);
  dropped = 0;
  EXPECT_EQ(runSeeds(bulkRound, {1, 1, 1, 16384 + 64}, params).kind, "race");
  dropped = -1;
  bytes = 8;
  EXPECT_EQ(runSeeds(bulkRound, {1, 1, 1, 16384 + 64}, params).kind, "trap");
}

/// cp.async: 12 of 16 bytes a thread, then the whole is read by others. Parameters: from, out.
static void threadCopies(void *const *params) {
  uint32_t thread = hadal_emu_thread_index(0);
  hadal_emu_async_copy(hadal_emu_shared() + thread * 16, param<char *>(params, 0) + thread * 16, 16,
                       12, 0);
  hadal_emu_async_commit(0);
  if (keep(0))
    hadal_emu_async_wait(0, 0);
  if (keep(1))
    hadal_emu_barrier(0, 0, 1);
  auto *from = reinterpret_cast<uint32_t *>(hadal_emu_shared()) + (thread ^ 1) * 4;
  hadal_emu_read(from, 16, 2);
  std::memcpy(param<uint32_t *>(params, 1) + thread * 4, from, 16);
}

TEST(EmulatedCopies, OfThreads) {
  alignas(16) uint32_t from[128];
  std::iota(from, from + 128, 1);
  std::vector<uint32_t> out(128);
  uint32_t *fromAt = from, *data = out.data();
  EXPECT_EQ(runSeeds(threadCopies, {1, 32, 1, 512}, {&fromAt, &data}).report, "");
  for (uint32_t i = 0; i < 128; ++i)
    EXPECT_EQ(out[i], i % 4 == 3 ? 0 : (i ^ 4) + 1);
  for (dropped = 0; dropped < 2; ++dropped)
    EXPECT_EQ(runSeeds(threadCopies, {1, 32, 1, 512}, {&fromAt, &data}).kind, "race");
  dropped = -1;
}

//===--- Clusters ----------------------------------------------------------------------------===//

/// Two blocks: each loads half a box to both, waits for both halves, and tells the other that it
/// has read them; then half boxes again. Parameters: map, out.
static void shareBoxes(void *const *params) {
  uint32_t thread = hadal_emu_thread_index(0), rank = hadal_emu_cluster_rank();
  char *full = bar(0), *empty = bar(1);
  if (thread == 0) {
    hadal_emu_mbarrier_init(full, 1, 0);
    hadal_emu_mbarrier_init(empty, 2, 0);
    if (keep(0))
      hadal_emu_fence_mbarrier_init(0);
  }
  hadal_emu_cluster_arrive(1, 0);
  if (keep(1))
    hadal_emu_cluster_wait(0);
  uint32_t half = boxRows * boxColumns * 2 / 2;
  uint16_t sum = 0;
  for (uint32_t round = 0; round < 3; ++round) {
    if (thread == 0) {
      if (keep(2))
        hadal_emu_mbarrier_wait(empty, (round & 1) ^ 1, 1);
      hadal_emu_mbarrier_arrive_expect(full, 2 * half, 1);
      int32_t coordinates[] = {static_cast<int32_t>(round), static_cast<int32_t>(rank * 4)};
      hadal_emu_tensor_load(hadal_emu_shared() + rank * half, params[0], 2, coordinates, full, 3,
                            1);
    }
    if (keep(3))
      hadal_emu_mbarrier_wait(full, round & 1, 2);
    for (uint32_t i = thread; i < half; i += 32) {
      auto *from = reinterpret_cast<uint16_t *>(hadal_emu_shared()) + i;
      hadal_emu_read(from, 2, 2);
      sum = static_cast<uint16_t>(sum + *from);
    }
    if (keep(4))
      hadal_emu_warp_sync(~0u, 2);
    if (thread < 2 && keep(5))
      hadal_emu_mbarrier_arrive(hadal_emu_map_shared(empty, thread), 2);
  }
  if (keep(6)) {
    hadal_emu_cluster_arrive(0, 2);
    hadal_emu_cluster_wait(2);
  }
  param<uint16_t *>(params, 1)[hadal_emu_block_index(0) * 32 + thread] = sum;
}

TEST(EmulatedClusters, ShareLoads) {
  Matrix matrix;
  CUtensorMap map = mapOf(matrix.values.data(), CU_TENSOR_MAP_DATA_TYPE_UINT16, 20, 100, 104 * 2, 4,
                          boxColumns, CU_TENSOR_MAP_SWIZZLE_NONE);
  Shape shape = {4, 32, 2, 16384 + 64};
  std::vector<uint16_t> out(4 * 32);
  uint16_t *data = out.data();
  EXPECT_EQ(runSeeds(shareBoxes, shape, {&map, &data}).report, "");
  for (uint32_t block = 0; block < 4; ++block)
    for (int thread = 0; thread < 32; ++thread) {
      uint16_t want = 0;
      for (int round = 0; round < 3; ++round)
        for (int row = 0; row < 8; ++row)
          want = static_cast<uint16_t>(want + matrix.at(row, round + thread) +
                                       matrix.at(row, round + thread + 32));
      ASSERT_EQ(out[block * 32 + static_cast<uint32_t>(thread)], want);
    }
  const char *kinds[] = {"race", "trap", "race", "race", "race", "deadlock", "race"};
  for (dropped = 0; dropped < 7; ++dropped) {
    Outcome outcome = runSeeds(shareBoxes, shape, {&map, &data});
    EXPECT_TRUE(outcome.kind == kinds[dropped] || (dropped == 2 && outcome.kind == "trap") ||
                (dropped == 1 && outcome.kind == "race"))
        << dropped << ": " << outcome.report;
  }
  dropped = -1;
}

/// A block writes to the other's memory; the other reads after the cluster's barrier. Parameters:
/// out.
static void writeToOther(void *const *params) {
  auto *shared = reinterpret_cast<uint32_t *>(hadal_emu_shared());
  uint32_t rank = hadal_emu_cluster_rank(), thread = hadal_emu_thread_index(0);
  auto *other = reinterpret_cast<uint32_t *>(hadal_emu_map_shared(shared + thread, rank ^ 1));
  hadal_emu_cluster_arrive(0, 0);
  hadal_emu_cluster_wait(0);
  hadal_emu_write(other, 4, 0);
  *other = rank * 100 + thread;
  if (keep(0)) {
    hadal_emu_cluster_arrive(!keep(1), 1);
    hadal_emu_cluster_wait(1);
  }
  hadal_emu_read(shared + thread, 4, 2);
  param<uint32_t *>(params, 0)[hadal_emu_block_index(0) * 32 + thread] = shared[thread];
}

TEST(EmulatedClusters, ShareMemory) {
  std::vector<uint32_t> out(64);
  uint32_t *data = out.data();
  EXPECT_EQ(runSeeds(writeToOther, {2, 32, 2, 128}, {&data}).report, "");
  for (uint32_t i = 0; i < 64; ++i)
    EXPECT_EQ(out[i], (i < 32 ? 100 : 0) + i % 32);
  for (dropped = 0; dropped < 2; ++dropped)
    EXPECT_EQ(runSeeds(writeToOther, {2, 32, 2, 128}, {&data}).kind, "race") << dropped;
  dropped = -1;
}
