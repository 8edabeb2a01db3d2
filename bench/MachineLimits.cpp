// hadal-machine-limits: what this machine can do at most, for the fractions that benchmarks state.
//
//   fma_gflops    f32 fused multiply-adds in registers (of LANES lanes), all threads
//   tile_gflops   bf16 products in AMX tiles, summed in f32, all threads; 0 where there are none
//   stream_gbps   reading memory that no cache holds, all threads
//
// hadal-machine-limits [THREADS [LANES]] prints one JSON line. Each figure is the best of several
// rounds: noise only ever slows a machine down.
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <thread>
#include <vector>
#ifdef __AMX_BF16__
#include <immintrin.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace {

// The widest registers that the machine has.
#ifdef __AVX512F__
constexpr int widest = 16;
#else
constexpr int widest = 8;
#endif

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

/// Twelve independent chains hide the latency of an addition. Where they begin and what they
/// multiply by is hidden from the compiler, which otherwise finds a chain at its fixed point,
/// leaves it out and is counted for twelve.
template <int lanes> float multiplyAdd(int64_t rounds) {
  typedef float Vector __attribute__((vector_size(4 * lanes)));
  Vector sums[12], x, y;
  float start = 1, factor = 0.9999f, addend = 1e-4f;
  asm volatile("" : "+m"(start), "+m"(factor), "+m"(addend));
  for (int lane = 0; lane < lanes; ++lane)
    x[lane] = factor, y[lane] = addend;
  for (int i = 0; i < 12; ++i)
    sums[i] = x * (start + float(i));
  for (int64_t r = 0; r < rounds; ++r) {
#pragma clang loop unroll(full)
    for (int i = 0; i < 12; ++i)
      sums[i] = __builtin_elementwise_fma(sums[i], x, y);
    asm volatile("" ::: "memory");
  }
  float total = 0;
  for (auto &s : sums)
    for (int lane = 0; lane < lanes; ++lane)
      total += s[lane];
  return total;
}

constexpr int64_t tileFlops = 4 * 2 * 16 * 16 * 32; // of a round

#ifdef __AMX_BF16__
/// Tiles are given to a process that asks (asm/prctl.h, ARCH_REQ_XCOMP_PERM for XTILEDATA).
bool hasTiles() { return ::syscall(SYS_arch_prctl, 0x1023, 18) == 0; }

/// Four sums hide the latency of a product.
void multiplyTiles(int64_t rounds) {
  alignas(64) uint8_t shape[64] = {1};
  for (int i = 0; i < 8; ++i)
    shape[16 + 2 * i] = 64, shape[48 + i] = 16;
  _tile_loadconfig(shape);
  _tile_zero(0), _tile_zero(1), _tile_zero(2), _tile_zero(3), _tile_zero(4), _tile_zero(5),
      _tile_zero(6), _tile_zero(7);
  for (int64_t r = 0; r < rounds; ++r) {
    _tile_dpbf16ps(0, 4, 6), _tile_dpbf16ps(1, 4, 7);
    _tile_dpbf16ps(2, 5, 6), _tile_dpbf16ps(3, 5, 7);
  }
  _tile_release();
}
#else
bool hasTiles() { return false; }
void multiplyTiles(int64_t) {}
#endif

uint64_t readAll(const uint64_t *begin, const uint64_t *end) {
  typedef uint64_t Words __attribute__((vector_size(32)));
  Words sums[4] = {};
  for (; begin + 16 <= end; begin += 16)
    for (int i = 0; i < 4; ++i) {
      Words words;
      std::memcpy(&words, begin + 4 * i, sizeof words);
      sums[i] ^= words;
    }
  Words all = sums[0] ^ sums[1] ^ sums[2] ^ sums[3];
  return all[0] ^ all[1] ^ all[2] ^ all[3];
}

template <typename F> double onAll(unsigned threads, F work) {
  std::vector<std::thread> others;
  double begin = now();
  for (unsigned t = 1; t < threads; ++t)
    others.emplace_back(work, t);
  work(0u);
  for (auto &thread : others)
    thread.join();
  return now() - begin;
}

} // namespace

int main(int argc, char **argv) {
  unsigned threads =
      argc > 1 ? std::max(1, std::atoi(argv[1])) : std::thread::hardware_concurrency();
  int lanes = argc > 2 ? std::atoi(argv[2]) : widest;
  if ((lanes != 4 && lanes != 8 && lanes != 16) || lanes > widest) {
    std::fprintf(stderr,
                 "hadal-machine-limits [THREADS [LANES]]: LANES is 4, 8 or 16, and at most %d on "
                 "this machine\n",
                 widest);
    return 1;
  }
  auto fma = lanes == 16 ? multiplyAdd<16> : lanes == 8 ? multiplyAdd<8> : multiplyAdd<4>;
  constexpr int rounds = 5;
  constexpr int64_t steps = 20'000'000;
  volatile float sink = 0;
  constexpr int64_t tileSteps = 10'000'000;
  bool tiles = hasTiles();
  double flops = 0, inTiles = 0, bytesPerSecond = 0;
  size_t words = (size_t(512) << 20) / 8 * threads;
  std::vector<uint64_t> memory(words, 1);
  volatile uint64_t sum = 0;
  for (int r = 0; r < rounds; ++r) {
    double seconds = onAll(threads, [&](unsigned) { sink = sink + fma(steps); });
    flops = std::max(flops, double(threads) * steps * 12 * lanes * 2 / seconds);
    if (tiles)
      inTiles = std::max(inTiles, double(threads * tileSteps * tileFlops) /
                                      onAll(threads, [&](unsigned) { multiplyTiles(tileSteps); }));
    seconds = onAll(threads, [&](unsigned t) {
      sum = sum +
            readAll(memory.data() + words / threads * t, memory.data() + words / threads * (t + 1));
    });
    bytesPerSecond = std::max(bytesPerSecond, double(words) * 8 / seconds);
  }
  std::printf("{\"threads\": %u, \"lanes\": %d, \"fma_gflops\": %.1f, \"tile_gflops\": %.1f, "
              "\"stream_gbps\": %.2f}\n",
              threads, lanes, flops * 1e-9, inTiles * 1e-9, bytesPerSecond * 1e-9);
}
