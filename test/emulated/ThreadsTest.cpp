//===- ThreadsTest.cpp - threads, warps, barriers, faults of kernels ----===//

#include "test/emulated/RunKernel.h"

#include <algorithm>
#include <numeric>

using namespace hadal;
using namespace hadal::test;

/// A value shared through memory: note it, then touch it.
template <typename T> static void put(T *to, T value, int at = -1) {
  hadal_emu_write(to, sizeof(T), at);
  *to = value;
}
template <typename T> static T get(const T *from, int at = -1) {
  hadal_emu_read(from, sizeof(T), at);
  return *from;
}

//===--- Grids -------------------------------------------------------------------------------===//

static void numberThreads(void *const *params) {
  param<uint32_t *>(params, 0)[globalThread()] = globalThread() + 1;
}

// Every thread of every block runs once; more blocks than workers.
TEST(EmulatedThreads, EachRunsOnce) {
  std::vector<uint32_t> out(1000 * 96);
  uint32_t *data = out.data();
  Outcome outcome = run(numberThreads, {1000, 96}, {&data}, 3);
  EXPECT_EQ(outcome.report, "");
  for (uint32_t i = 0; i < out.size(); ++i)
    ASSERT_EQ(out[i], i + 1);
}

//===--- Barriers ----------------------------------------------------------------------------===//

/// Each thread reads what its neighbour wrote, twice, in the same place.
static void exchangeInShared(void *const *params) {
  auto *shared = reinterpret_cast<uint32_t *>(hadal_emu_shared());
  uint32_t thread = hadal_emu_thread_index(0), threads = hadal_emu_block_size(0), sum = 0;
  for (uint32_t round = 0; round < 2; ++round) {
    put(shared + thread, thread + round, 0);
    if (keep(0))
      hadal_emu_barrier(0, 0, 2);
    sum += get(shared + (thread + 1) % threads, 1);
    if (keep(1))
      hadal_emu_barrier(0, 0, 2);
  }
  param<uint32_t *>(params, 0)[globalThread()] = sum;
}

TEST(EmulatedBarriers, OrderWhatThreadsWrite) {
  std::vector<uint32_t> out(3 * 96);
  uint32_t *data = out.data();
  dropped = -1;
  EXPECT_EQ(runSeeds(exchangeInShared, {3, 96, 1, 400}, {&data}).report, "");
  for (uint32_t i = 0; i < out.size(); ++i)
    ASSERT_EQ(out[i], 2 * ((i + 1) % 96) + 1);
}

// Without either barrier the report names both ops, both threads and the place.
TEST(EmulatedBarriers, DroppedIsARace) {
  std::vector<uint32_t> out(96);
  uint32_t *data = out.data();
  for (dropped = 0; dropped < 2; ++dropped) {
    Outcome outcome = run(exchangeInShared, {1, 96, 1, 400}, {&data});
    EXPECT_EQ(outcome.kind, "race");
    for (const char *word : {"race: ", "'here'", "'there'", "thread ", "of block 0",
                             "shared memory of block 0 at byte "})
      EXPECT_NE(outcome.report.find(word), std::string::npos) << outcome.report;
  }
  dropped = -1;
}

static void skipBarrier(void *const *) {
  if (hadal_emu_thread_index(0) >= 32)
    hadal_emu_barrier(3, 64, 1);
}
static void disagree(void *const *) {
  hadal_emu_barrier(1, hadal_emu_thread_index(0) < 32 ? 64 : 96, 1);
}

TEST(EmulatedBarriers, ThatNeverFillAreDeadlocks) {
  Outcome outcome = run(skipBarrier, {1, 64}, {});
  EXPECT_EQ(outcome.kind, "deadlock");
  EXPECT_NE(outcome.report.find("32 threads wait for ever: thread 32 of block 0 waits for barrier "
                                "3 at 'there'"),
            std::string::npos)
      << outcome.report;
  EXPECT_EQ(run(disagree, {1, 96}, {}).kind, "trap");
}

/// Warp 0 writes and only arrives; warp 1 waits and reads.
static void arriveOnly(void *const *params) {
  auto *shared = reinterpret_cast<uint32_t *>(hadal_emu_shared());
  uint32_t thread = hadal_emu_thread_index(0);
  if (thread < 32) {
    put(shared + thread, thread, 0);
    hadal_emu_barrier_arrive(1, 64, 0);
    if (!keep(0)) // what an arrival alone does not order
      get(shared + 32 + thread, 1);
    return;
  }
  put(shared + thread, thread, 0);
  hadal_emu_barrier(1, 64, 1);
  param<uint32_t *>(params, 0)[thread - 32] = get(shared + thread - 32, 1);
}

TEST(EmulatedBarriers, ArrivalsReleaseAndLearnNothing) {
  std::vector<uint32_t> out(32);
  uint32_t *data = out.data();
  EXPECT_EQ(runSeeds(arriveOnly, {1, 64, 1, 256}, {&data}).report, "");
  for (uint32_t i = 0; i < 32; ++i)
    EXPECT_EQ(out[i], i);
  dropped = 0;
  EXPECT_EQ(runSeeds(arriveOnly, {1, 64, 1, 256}, {&data}).kind, "race");
  dropped = -1;
}

/// Threads write the same place, or bytes beside one another.
static void writeTogether(void *const *params) {
  put(hadal_emu_shared() + hadal_emu_thread_index(0) * param<uint32_t>(params, 0), char(1), 0);
}

TEST(EmulatedRaces, AreOfBytes) {
  uint32_t stride = 1;
  EXPECT_EQ(run(writeTogether, {1, 64, 1, 64}, {&stride}).report, "");
  stride = 0;
  EXPECT_EQ(run(writeTogether, {1, 64, 1, 64}, {&stride}).kind, "race");
}

/// Blocks write global memory: each its own word, or all the same.
static void writeGlobal(void *const *params) {
  put(param<uint32_t *>(params, 0) + hadal_emu_block_index(0) * param<uint32_t>(params, 1), 7u, 1);
}

TEST(EmulatedRaces, OfBlocksInGlobalMemory) {
  std::vector<uint32_t> out(64);
  uint32_t *data = out.data(), stride = 1;
  EXPECT_EQ(run(writeGlobal, {64, 1}, {&data, &stride}).report, "");
  stride = 0;
  Outcome outcome = run(writeGlobal, {64, 1}, {&data, &stride});
  EXPECT_EQ(outcome.kind, "race");
  EXPECT_NE(outcome.report.find("a thread of cluster "), std::string::npos) << outcome.report;
}

//===--- Warps -------------------------------------------------------------------------------===//

static void shuffles(void *const *params) {
  uint32_t lane = hadal_emu_thread_index(0) % 32, *out = param<uint32_t *>(params, 0) + lane * 8;
  out[0] = hadal_emu_shuffle(HADAL_EMU_INDEX, ~0u, lane * 3, 5, 32, -1);
  out[1] = hadal_emu_shuffle(HADAL_EMU_XOR, ~0u, lane, 9, 32, -1);
  out[2] = hadal_emu_shuffle(HADAL_EMU_UP, ~0u, lane, 2, 32, -1);
  out[3] = hadal_emu_shuffle(HADAL_EMU_DOWN, ~0u, lane, 2, 8, -1);
  out[4] = hadal_emu_ballot(~0u, lane % 3 == 0, -1);
  out[5] = static_cast<uint32_t>(hadal_emu_elect());
  // Halves of the warp on their own.
  out[6] = hadal_emu_shuffle(HADAL_EMU_XOR, lane < 16 ? 0xffffu : 0xffff0000u, lane, 15, 32, -1);
}

TEST(EmulatedWarps, Exchange) {
  std::vector<uint32_t> out(32 * 8);
  uint32_t *data = out.data();
  ASSERT_EQ(run(shuffles, {1, 32}, {&data}, 5).report, "");
  for (uint32_t lane = 0; lane < 32; ++lane) {
    const uint32_t *row = data + lane * 8;
    EXPECT_EQ(row[0], 15u);
    EXPECT_EQ(row[1], lane ^ 9);
    EXPECT_EQ(row[2], lane < 2 ? lane : lane - 2);
    EXPECT_EQ(row[3], lane % 8 < 6 ? lane + 2 : lane);
    EXPECT_EQ(row[4], 0x49249249u);
    EXPECT_EQ(row[5], lane == 0);
    EXPECT_EQ(row[6], lane ^ 15);
  }
}

static void shuffleInHalfAWarp(void *const *) {
  if (hadal_emu_thread_index(0) < 16)
    hadal_emu_shuffle(HADAL_EMU_XOR, ~0u, 0, 1, 32, 1);
}
static void shuffleBeyondMask(void *const *) {
  if (hadal_emu_thread_index(0) < 16)
    hadal_emu_shuffle(HADAL_EMU_XOR, 0xffff, 0, 16, 32, 1);
}

TEST(EmulatedWarps, MasksAreHeld) {
  EXPECT_EQ(run(shuffleInHalfAWarp, {1, 32}, {}).kind, "deadlock");
  EXPECT_EQ(run(shuffleBeyondMask, {1, 32}, {}).kind, "trap");
}

/// A shuffle orders no memory, the warp's barrier does.
static void exchangeInWarp(void *const *params) {
  auto *shared = reinterpret_cast<uint32_t *>(hadal_emu_shared());
  uint32_t lane = hadal_emu_thread_index(0);
  put(shared + lane, lane, 0);
  if (keep(0))
    hadal_emu_warp_sync(~0u, 1);
  else
    hadal_emu_shuffle(HADAL_EMU_XOR, ~0u, 0, 1, 32, 1);
  param<uint32_t *>(params, 0)[lane] = get(shared + (lane ^ 1), 1);
}

TEST(EmulatedWarps, SyncOrdersMemory) {
  std::vector<uint32_t> out(32);
  uint32_t *data = out.data();
  EXPECT_EQ(runSeeds(exchangeInWarp, {1, 32, 1, 128}, {&data}).report, "");
  dropped = 0;
  EXPECT_EQ(runSeeds(exchangeInWarp, {1, 32, 1, 128}, {&data}).kind, "race");
  dropped = -1;
}

/// 8x8 matrices to shared memory and back, the second time turned.
static void matrices(void *const *params) {
  uint32_t lane = hadal_emu_thread_index(0), registers[4], back[4];
  for (uint32_t m = 0; m < 4; ++m)
    registers[m] = (m * 64 + lane * 2) | (m * 64 + lane * 2 + 1) << 16;
  char *row = hadal_emu_shared() + lane * 16;
  hadal_emu_store_matrix(row, registers, 4, 0, 0);
  hadal_emu_warp_sync(~0u, -1);
  hadal_emu_load_matrix(row, back, 4, 1, 1);
  std::copy(back, back + 4, param<uint32_t *>(params, 0) + lane * 4);
}

TEST(EmulatedWarps, MatricesGoRoundAndTurn) {
  std::vector<uint32_t> out(32 * 4);
  uint32_t *data = out.data();
  ASSERT_EQ(runSeeds(matrices, {1, 32, 1, 512}, {&data}).report, "");
  for (uint32_t lane = 0; lane < 32; ++lane)
    for (uint32_t m = 0; m < 4; ++m) {
      // Registers hold two neighbours of a column of what was stored by rows.
      uint32_t row = lane % 4 * 2, column = lane / 4;
      EXPECT_EQ(out[lane * 4 + m] & 0xffff, m * 64 + row * 8 + column);
      EXPECT_EQ(out[lane * 4 + m] >> 16, m * 64 + (row + 1) * 8 + column);
    }
}

//===--- Atomics -----------------------------------------------------------------------------===//

/// Threads count; the last one reads what all wrote.
static void lastReads(void *const *params) {
  auto *shared = reinterpret_cast<uint32_t *>(hadal_emu_shared());
  uint32_t thread = hadal_emu_thread_index(0), *out = param<uint32_t *>(params, 0);
  if (thread == 0)
    hadal_emu_atomic_exchange_u32(shared, 0, 0, -1);
  hadal_emu_barrier(0, 0, -1);
  put(shared + 1 + thread, thread, 0);
  if (hadal_emu_atomic_add_u32(shared, 1, keep(0) ? 3 : 0, 1) != 63)
    return;
  for (uint32_t i = 0; i < 64; ++i)
    *out += get(shared + 1 + i, 1);
}

TEST(EmulatedAtomics, OrderWithAcquireAndRelease) {
  uint32_t sum = 0, *data = &sum;
  EXPECT_EQ(runSeeds(lastReads, {1, 64, 1, 512}, {&data}).report, "");
  EXPECT_EQ(sum, 8 * 63 * 32u);
  dropped = 0;
  EXPECT_EQ(runSeeds(lastReads, {1, 64, 1, 512}, {&data}).kind, "race");
  dropped = -1;
}

static void addEverywhere(void *const *params) {
  hadal_emu_atomic_add_f32(param<float *>(params, 0), 1, 0, 0);
  hadal_emu_atomic_max_u32(param<uint32_t *>(params, 1), globalThread(), 0, 0);
  hadal_emu_atomic_add_u64(param<uint64_t *>(params, 2), 1, 0, 0);
}

TEST(EmulatedAtomics, OfAllBlocks) {
  float sum = 0, *sumAt = &sum;
  uint32_t most = 0, *mostAt = &most;
  uint64_t count = 0, *countAt = &count;
  ASSERT_EQ(run(addEverywhere, {100, 64}, {&sumAt, &mostAt, &countAt}).report, "");
  EXPECT_EQ(sum, 6400);
  EXPECT_EQ(most, 6399u);
  EXPECT_EQ(count, 6400u);
}

//===--- Faults ------------------------------------------------------------------------------===//

static void touchNothing(void *const *params) {
  if (hadal_emu_thread_index(0) == 17)
    *param<volatile int *>(params, 0) = 1;
}
static void divide(void *const *params) {
  volatile int by = 0;
  if (hadal_emu_thread_index(0) == 3)
    *param<int *>(params, 0) = 5 / by;
}
static void trapAtOnce(void *const *) {
  if (hadal_emu_thread_index(0) == 3)
    hadal_emu_trap(0);
}
static uint32_t recurse(uint32_t depth) {
  volatile char room[4096] = {};
  room[depth % 4096] = 1;
  return depth ? recurse(depth - 1) + room[0] : 0;
}
static void deepStack(void *const *params) { *param<uint32_t *>(params, 0) = recurse(1000); }

TEST(EmulatedFaults, EndTheLaunchAndNotTheProcess) {
  int *nothing = reinterpret_cast<int *>(64);
  for (int again = 0; again < 2; ++again) {
    Outcome outcome = run(touchNothing, {4, 32}, {&nothing});
    EXPECT_EQ(outcome.kind, "illegal address");
    EXPECT_NE(outcome.report.find("access of 0x40 by thread 17 of block "), std::string::npos)
        << outcome.report;
  }
  EXPECT_EQ(run(deepStack, {1, 1}, {&nothing}).kind, "trap");
  EXPECT_EQ(run(trapAtOnce, {1, 32}, {}).kind, "trap");
#if defined(__x86_64__)
  EXPECT_EQ(run(divide, {1, 32}, {&nothing}).kind, "trap");
#endif
  EXPECT_EQ(run(trapAtOnce, {1, 3}, {}).report, "") << "a launch after failed ones";
}

static void readFar(void *const *params) { get(param<uint32_t *>(params, 0), 0); }

TEST(EmulatedFaults, NoticesAreHeldToAllocations) {
  std::vector<uint32_t> memory(4);
  auto begin = reinterpret_cast<uintptr_t>(memory.data());
  emulated::GlobalRanges ranges({{begin, begin + 16}});
  uint32_t *at = memory.data() + 3;
  EXPECT_EQ(run(readFar, {1, 1}, {&at}, 0, &ranges).report, "");
  at = memory.data() + 4;
  Outcome outcome = run(readFar, {1, 1}, {&at}, 0, &ranges);
  EXPECT_EQ(outcome.kind, "illegal address");
  EXPECT_NE(outcome.report.find("byte 16 of an allocation of 16"), std::string::npos)
      << outcome.report;
}
