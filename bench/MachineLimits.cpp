// hadal-machine-limits: what this machine can do at most, for the fractions that benchmarks state.
//
//   fma_gflops    f32 fused multiply-adds in registers (of LANES lanes), all threads
//   stream_gbps   reading memory that no cache holds, all threads
//
// hadal-machine-limits [THREADS [LANES]] prints one JSON line. Each figure is the best of several rounds: noise only ever slows a machine down.
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <thread>
#include <vector>

namespace {

// The widest registers that the machine has.
#ifdef __AVX512F__
constexpr int widest = 16;
#else
constexpr int widest = 8;
#endif

double now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

/// Twelve independent chains hide the latency of an addition. Where they begin and what they multiply by is hidden from the
/// compiler, which otherwise finds a chain at its fixed point, leaves it out and is counted for twelve.
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
  unsigned threads = argc > 1 ? std::max(1, std::atoi(argv[1])) : std::thread::hardware_concurrency();
  int lanes = argc > 2 ? std::atoi(argv[2]) : widest;
  if ((lanes != 4 && lanes != 8 && lanes != 16) || lanes > widest) {
    std::fprintf(stderr, "hadal-machine-limits [THREADS [LANES]]: LANES is 4, 8 or 16, and at most %d on this machine\n", widest);
    return 1;
  }
  auto fma = lanes == 16 ? multiplyAdd<16> : lanes == 8 ? multiplyAdd<8> : multiplyAdd<4>;
  constexpr int rounds = 5;
  constexpr int64_t steps = 20'000'000;
  volatile float sink = 0;
  double flops = 0, bytesPerSecond = 0;
  size_t words = (size_t(512) << 20) / 8 * threads;
  std::vector<uint64_t> memory(words, 1);
  volatile uint64_t sum = 0;
  for (int r = 0; r < rounds; ++r) {
    double seconds = onAll(threads, [&](unsigned) { sink = sink + fma(steps); });
    flops = std::max(flops, double(threads) * steps * 12 * lanes * 2 / seconds);
    seconds = onAll(threads, [&](unsigned t) {
      sum = sum + readAll(memory.data() + words / threads * t, memory.data() + words / threads * (t + 1));
    });
    bytesPerSecond = std::max(bytesPerSecond, double(words) * 8 / seconds);
  }
  std::printf("{\"threads\": %u, \"lanes\": %d, \"fma_gflops\": %.1f, \"stream_gbps\": %.2f}\n", threads, lanes, flops * 1e-9, bytesPerSecond * 1e-9);
}
