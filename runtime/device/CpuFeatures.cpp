//===- CpuFeatures.cpp - what this CPU offers -----------------------------===//

#include "runtime/device/CpuFeatures.h"

#include <algorithm>

#if defined(__x86_64__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#elif defined(__aarch64__)
#include <sys/auxv.h>
#endif

namespace hadal {

#if defined(__x86_64__)
/// Tiles are 8 KiB of state: the system gives them to a process that asks (asm/prctl.h,
/// ARCH_REQ_XCOMP_PERM for XTILEDATA).
static bool mayUseTiles(uint64_t saved) {
  return (saved & 0x60000) == 0x60000 && ::syscall(SYS_arch_prctl, 0x1023, 18) == 0;
}

static std::vector<std::string> detect() {
  std::vector<std::string> found;
  unsigned a, b, c, d;
  if (!__get_cpuid(1, &a, &b, &c, &d))
    return found;
  auto add = [&](bool has, const char *name) {
    if (has)
      found.push_back(name);
  };
  auto bit = [](unsigned word, int n) { return (word >> n & 1) != 0; };
  unsigned c1 = c;
  // Which registers the system saves says which extensions may be used.
  uint64_t saved = 0;
  if (bit(c1, 27)) {
    unsigned low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    saved = uint64_t(high) << 32 | low;
  }
  bool avx = (saved & 0x6) == 0x6, avx512 = avx && (saved & 0xe0) == 0xe0;
  add(bit(c1, 0), "sse3");
  add(bit(c1, 9), "ssse3");
  add(bit(c1, 19), "sse4.1");
  add(bit(c1, 20), "sse4.2");
  add(bit(c1, 23), "popcnt");
  add(bit(c1, 22), "movbe");
  add(avx && bit(c1, 28), "avx");
  add(avx && bit(c1, 12), "fma");
  add(avx && bit(c1, 29), "f16c");
  if (__get_cpuid_count(7, 0, &a, &b, &c, &d)) {
    add(bit(b, 3), "bmi");
    add(bit(b, 8), "bmi2");
    add(avx && bit(b, 5), "avx2");
    add(avx512 && bit(b, 16), "avx512f");
    add(avx512 && bit(b, 17), "avx512dq");
    add(avx512 && bit(b, 28), "avx512cd");
    add(avx512 && bit(b, 30), "avx512bw");
    add(avx512 && bit(b, 31), "avx512vl");
    add(avx512 && bit(c, 11), "avx512vnni");
    if (avx512 && bit(d, 22) && bit(d, 24) && mayUseTiles(saved)) {
      add(true, "amx-bf16");
      add(true, "amx-tile");
    }
    if (__get_cpuid_count(7, 1, &a, &b, &c, &d))
      add(avx512 && bit(a, 5), "avx512bf16");
  }
  if (__get_cpuid(0x80000001, &a, &b, &c, &d))
    add(bit(c, 5), "lzcnt");
  std::sort(found.begin(), found.end());
  return found;
}
std::string_view cpuArchitecture() { return "x86_64"; }
#elif defined(__aarch64__)
static std::vector<std::string> detect() {
  std::vector<std::string> found{"neon"}; // every AArch64 that Linux runs on
  if (::getauxval(AT_HWCAP) >> 20 & 1)
    found.push_back("dotprod");
  std::sort(found.begin(), found.end());
  return found;
}
std::string_view cpuArchitecture() { return "aarch64"; }
#else
#error "hadal's CPU device knows x86-64 and AArch64"
#endif

const std::vector<std::string> &cpuFeatures() {
  static const std::vector<std::string> features = detect();
  return features;
}

} // namespace hadal
