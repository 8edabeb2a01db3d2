//===- FuzzTest.cpp - modules and safetensors headers, mutated ----------===//
//
// Runs under address and undefined-behaviour sanitizers: a mutation is refused or it is usable, and never more.
//
//===--------------------------------------------------------------------===//

#include "runtime/Safetensors.h"
#include "runtime/module/Module.h"
#include "runtime/module/Verify.h"
#include "runtime/parallel/PredictMemory.h"
#include "test/tools/FakeModel.h"
#include "test/parallel/FakeRanks.h"
#include "test/training/FakeTraining.h"
#include "tools/inspect/Describe.h"

#include <gtest/gtest.h>

#include <cstring>
#include <random>

using namespace hadal;

namespace {

// Of each of the three kinds below there are 60,000 mutations, in parts that ctest runs side by side.
constexpr int parts = 6, mutations = 60'000 / parts;
using Bytes = std::vector<std::byte>;

/// Flips bits, sets bytes and words to values that lie at edges, cuts, copies a part over another.
void mutate(Bytes &bytes, size_t first, std::mt19937_64 &random) {
  static const int64_t edges[] = {0, 1, -1, 127, 128, 255, 256, 0x7fffffff, int64_t(0x80000000), INT64_MAX, INT64_MIN, int64_t(1) << 40};
  auto below = [&](size_t n) { return static_cast<size_t>(random() % n); };
  for (size_t times = 1 + below(4); times > 0 && bytes.size() > first + 8; --times) {
    size_t at = first + below(bytes.size() - first);
    switch (below(5)) {
    case 0:
      bytes[at] ^= std::byte(1 << below(8));
      break;
    case 1:
      bytes[at] = std::byte(random());
      break;
    case 2: {
      int64_t edge = edges[below(std::size(edges))];
      size_t width = size_t(1) << below(4);
      at = std::min(at, bytes.size() - width);
      std::memcpy(bytes.data() + at, &edge, width);
      break;
    }
    case 3: {
      size_t from = first + below(bytes.size() - first), length = std::min(below(32) + 1, bytes.size() - std::max(at, from));
      std::memmove(bytes.data() + at, bytes.data() + from, length);
      break;
    }
    case 4:
      if (below(8) == 0)
        bytes.resize(at);
      break;
    }
  }
}

/// Refused with one line of text.
template <typename T> void expectRefusal(const Result<T> &result) {
  ASSERT_FALSE(result.ok());
  EXPECT_FALSE(result.error().message.empty());
  EXPECT_EQ(result.error().message.find('\n'), std::string::npos) << result.error().message;
}

class Fuzz : public testing::TestWithParam<int> {
protected:
  /// Another seed for each part and kind.
  std::mt19937_64 randomOf(int kind) const { return std::mt19937_64(3 * GetParam() + kind); }
};
INSTANTIATE_TEST_SUITE_P(Part, Fuzz, testing::Range(0, parts));

TEST_P(Fuzz, ModuleWithAStaleChecksumIsRefused) {
  const Bytes whole = moduleBytes(fake::modulePayload());
  ASSERT_TRUE(Module::fromBytes(whole, "whole").ok());
  std::mt19937_64 random = randomOf(1);
  for (int i = 0; i < mutations; ++i) {
    Bytes bytes = whole;
    mutate(bytes, 0, random);
    if (bytes != whole)
      expectRefusal(Module::fromBytes(bytes, "mutated"));
  }
}

TEST_P(Fuzz, ModuleWithAFreshChecksumIsRefusedOrWhole) {
  fake::RanksShape ranks;
  ranks.pp = ranks.ep = 2;
  ranks.schedule = "dualpipe";
  ranks.pairs = true;
  const Bytes wholes[] = {fake::modulePayload(), fake::trainingPayload({}), fake::ranksPayload(ranks)};
  std::mt19937_64 random = randomOf(2);
  int accepted = 0;
  for (int i = 0; i < mutations; ++i) {
    Bytes payload = wholes[i % 16 == 0 ? 2 : i % 2]; // the large one is slow
    mutate(payload, 0, random);
    auto module = Module::fromBytes(moduleBytes(payload), "mutated");
    if (!module.ok())
      continue;
    ++accepted;
    // Reads every table, string and expression.
    EXPECT_FALSE(inspect::describe(*module).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace).empty());
    if (i % 64 == 0)
      (void)verifyRanks(*module), (void)verifyPrograms(*module, false), (void)predictMemory(*module, RowsOfExperts::Worst);
  }
  EXPECT_GT(accepted, 0);
  EXPECT_LT(accepted, mutations);
}

TEST(FuzzCuts, EveryCutOfAModuleIsRefused) {
  const Bytes whole = moduleBytes(fake::modulePayload());
  for (size_t size = 0; size < whole.size(); ++size)
    expectRefusal(Module::fromBytes(std::span(whole).first(size), "cut"));
}

Bytes safetensorsFile() {
  std::string header = R"({"__metadata__":{"format":"pt"},"model.embed_tokens.weight":{"dtype":"F32","shape":[3,4],"data_offsets":[0,48]},)"
                       R"("a.weight":{"dtype":"BF16","shape":[2,2,2],"data_offsets":[48,64]},)"
                       R"("b_scale_inv":{"dtype":"F8_E4M3","shape":[5],"data_offsets":[64,69]},"ids":{"dtype":"I64","shape":[],"data_offsets":[69,77]}})";
  uint64_t length = header.size();
  Bytes bytes(8 + length + 77);
  std::memcpy(bytes.data(), &length, 8);
  std::memcpy(bytes.data() + 8, header.data(), length);
  return bytes;
}

TEST_P(Fuzz, SafetensorsHeaderIsRefusedOrWhole) {
  const Bytes whole = safetensorsFile();
  auto intact = Safetensors::parse(whole, "whole");
  ASSERT_TRUE(intact.ok()) << intact.error().message;
  ASSERT_EQ(intact->tensors().size(), 4u);
  std::mt19937_64 random = randomOf(3);
  int accepted = 0;
  for (int i = 0; i < mutations; ++i) {
    Bytes bytes = whole;
    // Mostly behind the length, where the JSON is.
    mutate(bytes, i % 8 ? 8 : 0, random);
    // Exactly as much memory as there is: the sanitizer sees a read behind it.
    std::unique_ptr<std::byte[]> exact(new std::byte[bytes.size()]);
    std::copy(bytes.begin(), bytes.end(), exact.get());
    auto file = Safetensors::parse({exact.get(), bytes.size()}, "mutated");
    if (!file.ok()) {
      expectRefusal(file);
      continue;
    }
    ++accepted;
    volatile unsigned sum = 0;
    for (const StoredTensor &tensor : file->tensors()) {
      for (uint64_t b = 0; b < tensor.bytes; ++b)
        sum = sum + static_cast<unsigned>(file->data(tensor)[b]);
      EXPECT_EQ(file->read(tensor.name).ok(), tensor.element != ElementType::Other);
    }
  }
  EXPECT_GT(accepted, 0);
  EXPECT_LT(accepted, mutations);
}

} // namespace
