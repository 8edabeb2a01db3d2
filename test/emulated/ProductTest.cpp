//===- ProductTest.cpp - a whole product kernel -------------------------===//
//
// D[M, N] = A[M, K] B[N, K]^T in BF16, tiles of 64 x 64, K in blocks of 64; persistent over tiles,
// three stages, a warp that loads and a warpgroup that multiplies. Each synchronization has a
// number.
//
//===--------------------------------------------------------------------===//

#include "runtime/Bfloat16.h"
#include "test/emulated/RunKernel.h"

#include <cmath>
#include <random>

using namespace hadal;
using namespace hadal::test;
using namespace hadal::cuda;

static constexpr uint32_t stages = 3, tileBytes = 64 * 64 * 2, dAt = 2 * stages * tileBytes,
                          barsAt = dAt + tileBytes, productShared = barsAt + 16 * stages;
static constexpr int productCalls = 15;

static char *fullBar(uint32_t stage) { return hadal_emu_shared() + barsAt + stage * 16; }
static char *emptyBar(uint32_t stage) { return fullBar(stage) + 8; }

static void loadTiles(void *const *params, int32_t m, int32_t n, uint32_t k, uint32_t step) {
  uint32_t stage = step % stages, phase = step / stages & 1;
  if (keep(4))
    hadal_emu_mbarrier_wait(emptyBar(stage), phase ^ 1, 0);
  if (keep(5))
    hadal_emu_mbarrier_arrive_expect(fullBar(stage), 2 * tileBytes, 0);
  int32_t fromA[] = {static_cast<int32_t>(k * 64), m * 64},
          fromB[] = {static_cast<int32_t>(k * 64), n * 64};
  char *a = hadal_emu_shared() + stage * 2 * tileBytes;
  hadal_emu_tensor_load(a, params[0], 2, fromA, fullBar(stage), 0, 0);
  hadal_emu_tensor_load(a + tileBytes, params[1], 2, fromB, fullBar(stage), 0, 0);
}

static void multiplyStage(float *d, uint32_t k, uint32_t step) {
  uint32_t stage = step % stages, phase = step / stages & 1;
  if (keep(6))
    hadal_emu_mbarrier_wait(fullBar(stage), phase, 1);
  char *a = hadal_emu_shared() + stage * 2 * tileBytes;
  if (keep(7))
    hadal_emu_wgmma_fence(1);
  for (uint32_t part = 0; part < 4; ++part)
    hadal_emu_wgmma(HADAL_EMU_BF16, descriptor(a + part * 32, 16, 1024, 3), nullptr,
                    descriptor(a + tileBytes + part * 32, 16, 1024, 3), d, 64, k + part > 0, 0, 1);
  hadal_emu_wgmma_commit(1);
  if (keep(8))
    hadal_emu_wgmma_wait(0, 1);
  if (hadal_emu_thread_index(0) % 32 == 0 && keep(9))
    hadal_emu_mbarrier_arrive(emptyBar(stage), 1);
}

static void storeTile(void *const *params, int32_t m, int32_t n, const float *d) {
  uint32_t thread = hadal_emu_thread_index(0), lane = thread % 32;
  if (thread == 0 && keep(10))
    hadal_emu_bulk_wait(0, 1, 2);
  if (keep(11))
    hadal_emu_barrier(1, 128, 2);
  char *tile = hadal_emu_shared() + dAt;
  for (uint32_t pair = 0; pair < 4; ++pair) {
    uint32_t registers[4];
    for (uint32_t r = 0; r < 4; ++r) {
      const float *from = d + (pair * 2 + r / 2) * 4 + r % 2 * 2;
      registers[r] = bfloat16Of(from[0]) | uint32_t(bfloat16Of(from[1])) << 16;
    }
    uint32_t row = thread / 32 * 16 + lane % 16, chunk = pair * 2 + lane / 16;
    hadal_emu_store_matrix(tile + row * 128 + ((chunk ^ (row & 7)) * 16), registers, 4, 0, 2);
  }
  if (keep(12))
    hadal_emu_fence_proxy(2);
  if (keep(13))
    hadal_emu_barrier(1, 128, 2);
  int32_t to[] = {n * 64, m * 64};
  if (thread == 0) {
    hadal_emu_tensor_store(params[2], 2, to, tile, 2);
    hadal_emu_bulk_commit(2);
  }
}

/// Parameters: maps of A, B, D; tiles along M and N, blocks of K.
static void product(void *const *params) {
  auto tilesM = param<uint32_t>(params, 3), tilesN = param<uint32_t>(params, 4),
       blocksK = param<uint32_t>(params, 5);
  uint32_t thread = hadal_emu_thread_index(0), step = 0;
  if (thread == 128) {
    for (uint32_t stage = 0; stage < stages; ++stage) {
      if (keep(0))
        hadal_emu_mbarrier_init(fullBar(stage), 1, 0);
      if (keep(1))
        hadal_emu_mbarrier_init(emptyBar(stage), 4, 0);
    }
    if (keep(2))
      hadal_emu_fence_mbarrier_init(0);
  }
  if (keep(3))
    hadal_emu_barrier(0, 0, 0);
  for (uint32_t tile = hadal_emu_block_index(0); tile < tilesM * tilesN;
       tile += hadal_emu_grid_size(0)) {
    auto m = static_cast<int32_t>(tile / tilesN), n = static_cast<int32_t>(tile % tilesN);
    float d[32];
    for (uint32_t k = 0; k < blocksK; ++k, ++step) {
      if (thread == 128)
        loadTiles(params, m, n, k, step);
      else if (thread < 128)
        multiplyStage(d, k, step);
    }
    if (thread < 128)
      storeTile(params, m, n, d);
  }
  if (thread == 0 && keep(14))
    hadal_emu_bulk_wait(0, 1, 2);
}

namespace {
struct Whole {
  uint32_t m = 150, n = 72, k = 264;
  std::vector<uint16_t> a, b, d;
  CUtensorMap maps[3];
  uint32_t tiles[3];

  Whole() : a(m * k), b(n * k), d(m * n) {
    std::minstd_rand random(5);
    for (auto *matrix : {&a, &b})
      for (uint16_t &code : *matrix)
        code = bfloat16Of(static_cast<float>(random() % 2001) / 1000 - 1);
    auto map = [&](std::vector<uint16_t> &of, uint32_t rows, uint32_t columns) {
      return mapOf(of.data(), CU_TENSOR_MAP_DATA_TYPE_BFLOAT16, rows, columns, columns * 2, 64, 64,
                   CU_TENSOR_MAP_SWIZZLE_128B);
    };
    maps[0] = map(a, m, k);
    maps[1] = map(b, n, k);
    maps[2] = map(d, m, n);
    tiles[0] = (m + 63) / 64;
    tiles[1] = (n + 63) / 64;
    tiles[2] = (k + 63) / 64;
  }
  std::vector<void *> params() {
    return {&maps[0], &maps[1], &maps[2], &tiles[0], &tiles[1], &tiles[2]};
  }
  uint32_t wrong() const {
    uint32_t count = 0;
    for (uint32_t r = 0; r < m; ++r)
      for (uint32_t c = 0; c < n; ++c) {
        float sum = 0;
        for (uint32_t i = 0; i < k; ++i)
          sum = std::fma(floatOf(a[r * k + i]), floatOf(b[c * k + i]), sum);
        count += d[r * n + c] != bfloat16Of(sum);
      }
    return count;
  }
};
} // namespace

static const Shape productShape = {4, 160, 1, productShared};

TEST(EmulatedProduct, IsRightInEveryOrder) {
  for (uint64_t seed = 0; seed < 8; ++seed) {
    Whole whole;
    ASSERT_EQ(run(product, productShape, whole.params(), seed).report, "");
    ASSERT_EQ(whole.wrong(), 0u);
  }
}

// Each synchronization of the kernel in turn: the report says what is missing, at the first seed.
TEST(EmulatedProduct, EachDroppedSynchronizationIsCaught) {
  const char *kinds[productCalls] = {"trap",     "trap", "race", "",     "",
                                     "deadlock", "race", "race", "",     "deadlock",
                                     "race",     "race", "race", "race", "race"};
  for (dropped = 0; dropped < productCalls; ++dropped) {
    Whole whole;
    Outcome outcome = run(product, productShape, whole.params(), 0);
    EXPECT_NE(outcome.kind, "") << dropped;
    if (*kinds[dropped])
      EXPECT_EQ(outcome.kind, kinds[dropped]) << dropped << ": " << outcome.report;
    EXPECT_NE(outcome.report.find(" at '"), std::string::npos) << outcome.report;
  }
  dropped = -1;
}
