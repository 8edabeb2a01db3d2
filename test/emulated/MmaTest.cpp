//===- MmaTest.cpp - wgmma ----------------------------------------------===//

#include "runtime/Bfloat16.h"
#include "test/emulated/RunKernel.h"

#include <bit>
#include <cmath>
#include <cstring>
#include <random>

using namespace hadal;
using namespace hadal::test;

//===--- What the products should give -------------------------------------------------------===//

/// One element, in integers: products as multiples of 2^(exponent - 6), cut one by one.
static float stepE4m3(float c, const uint8_t *a, const uint8_t *b) {
  auto exponent = [](uint8_t code) { return (code >> 3 & 15 ? code >> 3 & 15 : 1) - 7; };
  auto whole = [](uint8_t code) { return (code & 7) | (code & 0x78 ? 8 : 0); };
  int top = c != 0 ? std::ilogb(c) : -9999;
  for (int k = 0; k < 32; ++k)
    if ((a[k] & 0x7f) && (b[k] & 0x7f))
      top = std::max(top, exponent(a[k]) + exponent(b[k]));
  if (top == -9999)
    return 0;
  auto sum = static_cast<int64_t>(std::ldexp(double(c), 13 - top));
  for (int k = 0; k < 32; ++k) {
    int64_t product = whole(a[k]) * whole(b[k]);
    int shift = exponent(a[k]) + exponent(b[k]) - 6 + 13 - top;
    product = shift >= 0 ? product << shift : shift > -62 ? product >> -shift : 0;
    sum += (a[k] ^ b[k]) & 0x80 ? -product : product;
  }
  int64_t size = std::abs(sum), cut = size;
  int up = 0;
  for (; cut >> 14; ++up)
    cut >>= 1;
  double result = std::ldexp(double(cut), up + top - 13);
  return static_cast<float>(sum < 0 ? -result : result);
}

//===--- One product -------------------------------------------------------------------------===//

/// How operands lie in shared memory: A at 0, B at 32768; `leading` and `stride` as descriptors
/// have them.
struct Layout {
  uint32_t swizzle = 3; ///< CUtensorMapSwizzle
  bool rowsInnermost = false;
};

/// The byte of element (row, byte of K) of an operand with K innermost.
static uint32_t kInnermost(uint32_t swizzle, uint32_t row, uint32_t byte) {
  if (!swizzle) // 8 rows of 16 bytes together, then the next 16 bytes of K
    return row / 8 * 256 + byte / 16 * 128 + row % 8 * 16 + byte % 16;
  uint32_t span = 16u << swizzle, at = row / 8 * span * 8 + row % 8 * span + byte;
  return at ^ ((at >> 7 & ((1u << swizzle) - 1)) << 4);
}

/// The byte of element (row, k) of BF16 with rows innermost and a swizzle of 128 bytes.
static uint32_t rowsInnermost(uint32_t rows, uint32_t row, uint32_t k) {
  uint32_t at = row / 64 * 1024 + k / 8 * (rows / 64) * 1024 + k % 8 * 128 + row % 64 * 2;
  return at ^ ((at >> 7 & 7) << 4);
}

struct Product {
  int32_t element = HADAL_EMU_BF16, accumulate = 0;
  uint32_t n = 64;
  Layout layout;
  bool aRegisters = false;
  const uint8_t *a = nullptr, *b = nullptr; ///< [64, 32 bytes], [n, 32 bytes], rows of K
  float *d = nullptr;                       ///< [64, n]
};

static void writeOperand(const Product &product, char *shared, const uint8_t *values, uint32_t rows,
                         bool turned) {
  for (uint32_t row = hadal_emu_thread_index(0); row < rows; row += 128)
    for (uint32_t byte = 0; byte < 32; byte += 2) {
      uint32_t at = turned ? rowsInnermost(rows, row, byte / 2)
                           : kInnermost(product.layout.swizzle, row, byte);
      hadal_emu_write(shared + at, 2, 0);
      std::memcpy(shared + at, values + row * 32 + byte, 2);
    }
}

/// Parameters: Product *.
static void oneProduct(void *const *params) {
  const Product &product = **static_cast<Product *const *>(params[0]);
  uint32_t thread = hadal_emu_thread_index(0), lane = thread % 32, n = product.n;
  char *a = hadal_emu_shared(), *b = a + 32768;
  bool turned = product.layout.rowsInnermost;
  writeOperand(product, a, product.a, 64, turned && !product.aRegisters);
  writeOperand(product, b, product.b, n, turned);
  if (keep(0))
    hadal_emu_fence_proxy(0);
  if (keep(1))
    hadal_emu_barrier(0, 0, 0);
  uint32_t registers[4];
  for (uint32_t r = 0; r < 4; ++r)
    std::memcpy(
        registers + r,
        product.a + (thread / 32 * 16 + lane / 4 + r % 2 * 8) * 32 + lane % 4 * 4 + r / 2 * 16, 4);
  float d[128];
  auto place = [&](uint32_t i) {
    return (thread / 32 * 16 + lane / 4 + i % 4 / 2 * 8) * n + i / 4 * 8 + lane % 4 * 2 + i % 2;
  };
  for (uint32_t i = 0; i < n / 2; ++i)
    d[i] = product.d[place(i)];
  uint32_t swizzle = product.layout.swizzle, span = 16u << swizzle;
  auto describe = [&](const char *at, uint32_t rows) {
    if (turned)
      return descriptor(at, 1024, rows / 64 * 1024, 3);
    return swizzle ? descriptor(at, 16, span * 8, swizzle) : descriptor(at, 128, 256, 0);
  };
  int32_t transpose = turned ? HADAL_EMU_TRANSPOSE_B | (product.aRegisters ? 0 : 1) : 0;
  if (keep(2))
    hadal_emu_wgmma_fence(1);
  hadal_emu_wgmma(product.element, describe(a, 64), product.aRegisters ? registers : nullptr,
                  describe(b, n), d, n, product.accumulate, transpose, 1);
  hadal_emu_wgmma_commit(1);
  if (keep(3))
    hadal_emu_wgmma_wait(0, 2);
  for (uint32_t i = 0; i < n / 2; ++i)
    product.d[place(i)] = d[i];
}

static const Shape oneWarpgroup = {1, 128, 1, 65536};

namespace {
/// Operands and accumulators at random, and what comes out.
struct Problem {
  std::vector<uint8_t> a, b;
  std::vector<float> d, want;
  Product product;

  Problem(int32_t element, uint32_t n, int32_t accumulate, uint32_t seed)
      : a(64 * 32), b(n * 32), d(64 * n) {
    std::minstd_rand random(seed + 1);
    auto fill = [&](std::vector<uint8_t> &codes) {
      for (size_t i = 0; i < codes.size(); i += 2) {
        uint16_t code = bfloat16Of(static_cast<float>(random() % 2001) / 1000 - 1);
        std::memcpy(&codes[i], &code, 2);
        if (element == HADAL_EMU_E4M3)
          for (size_t j = i; j < i + 2; ++j)
            do
              codes[j] = static_cast<uint8_t>(random());
            while ((codes[j] & 0x7f) == 0x7f || (seed % 2 && (codes[j] & 0x40)));
      }
    };
    fill(a);
    fill(b);
    for (float &value : d)
      value = seed % 3 ? static_cast<float>(random() % 4096) / 4096 : 0;
    product.element = element;
    product.accumulate = accumulate;
    product.n = n;
    product.a = a.data();
    product.b = b.data();
    solve();
  }

  void solve() {
    want = d;
    uint32_t n = product.n;
    for (uint32_t r = 0; r < 64; ++r)
      for (uint32_t c = 0; c < n; ++c) {
        float sum = product.accumulate ? d[r * n + c] : 0;
        if (product.element == HADAL_EMU_E4M3) {
          sum = stepE4m3(sum, &a[r * 32], &b[c * 32]);
        } else {
          for (uint32_t k = 0; k < 16; ++k) {
            uint16_t x, y;
            std::memcpy(&x, &a[r * 32 + k * 2], 2);
            std::memcpy(&y, &b[c * 32 + k * 2], 2);
            sum = std::fma(floatOf(x), floatOf(y), sum);
          }
        }
        want[r * n + c] = sum;
      }
  }

  Outcome run(uint64_t seed = 0) {
    product.d = d.data();
    Product *address = &product;
    return test::run(oneProduct, oneWarpgroup, {&address}, seed);
  }
  void check() {
    Outcome outcome = run();
    ASSERT_EQ(outcome.report, "");
    for (size_t i = 0; i < want.size(); ++i)
      ASSERT_EQ(std::bit_cast<uint32_t>(d[i]), std::bit_cast<uint32_t>(want[i]))
          << i / product.n << ", " << i % product.n << ": " << d[i] << " " << want[i];
  }
};
} // namespace

// Sums to the bit, for every width that differs, with an accumulator and without.
TEST(EmulatedMma, AddsAsTheHeaderSays) {
  for (int32_t element : {HADAL_EMU_BF16, HADAL_EMU_E4M3})
    for (uint32_t n : {8u, 24u, 64u, 128u, 256u})
      for (uint32_t seed = 0; seed < 6; ++seed)
        Problem(element, n, seed % 3 != 0, seed).check();
}

TEST(EmulatedMma, ReadsAllLayouts) {
  for (int32_t element : {HADAL_EMU_BF16, HADAL_EMU_E4M3})
    for (uint32_t swizzle : {0u, 1u, 2u, 3u}) {
      Problem problem(element, 64, 1, swizzle);
      problem.product.layout.swizzle = swizzle;
      problem.check();
    }
  for (uint32_t n : {64u, 128u}) {
    Problem problem(HADAL_EMU_BF16, n, 1, 1);
    problem.product.layout.rowsInnermost = true;
    problem.check();
  }
}

TEST(EmulatedMma, TakesAFromRegisters) {
  for (int32_t element : {HADAL_EMU_BF16, HADAL_EMU_E4M3}) {
    Problem problem(element, 64, 1, 1);
    problem.product.aRegisters = true;
    problem.check();
  }
}

TEST(EmulatedMma, NanStaysNan) {
  Problem problem(HADAL_EMU_E4M3, 64, 1, 1);
  problem.a[5 * 32 + 7] = 0x7f;
  problem.b[9 * 32 + 3] = 0xff;
  problem.d[64 * 20 + 30] = INFINITY;
  ASSERT_EQ(problem.run().report, "");
  for (uint32_t r = 0; r < 64; ++r)
    for (uint32_t c = 0; c < 64; ++c)
      EXPECT_EQ(std::isnan(problem.d[r * 64 + c]), r == 5 || c == 9) << r << " " << c;
  EXPECT_EQ(problem.d[64 * 20 + 30], INFINITY);
}

TEST(EmulatedMma, EachDroppedStepIsCaught) {
  const char *kinds[] = {"race", "race", "race", "poison"}; // proxy fence, barrier, fence, wait
  for (dropped = 0; dropped < 4; ++dropped) {
    Problem problem(HADAL_EMU_E4M3, 64, 0, 1);
    Outcome outcome = problem.run();
    EXPECT_EQ(outcome.kind, kinds[dropped]) << outcome.report;
    EXPECT_NE(outcome.report.find("'there'"), std::string::npos) << outcome.report;
  }
  dropped = -1;
}

TEST(EmulatedMma, RefusesWhatTheInstructionDoes) {
  Problem odd(HADAL_EMU_BF16, 64, 0, 1);
  odd.product.n = 60;
  EXPECT_EQ(odd.run().kind, "trap");
  Problem turned(HADAL_EMU_E4M3, 64, 0, 1);
  turned.product.layout.rowsInnermost = true;
  EXPECT_EQ(turned.run().kind, "trap");
  Problem alone(HADAL_EMU_BF16, 64, 0, 1);
  alone.product.d = alone.d.data();
  Product *address = &alone.product;
  EXPECT_EQ(run(oneProduct, {1, 96, 1, 65536}, {&address}).kind, "trap");
}
