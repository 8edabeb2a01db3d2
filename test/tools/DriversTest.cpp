//===- DriversTest.cpp - generation, logits and scores over FakeModel ---===//

#include "runtime/Generation.h"
#include "runtime/Logits.h"
#include "runtime/PageAllocator.h"
#include "runtime/Scoring.h"
#include "runtime/device/CpuDevice.h"
#include "test/tools/FakeModel.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <random>
#include <set>
#include <unistd.h>

using namespace hadal;

namespace {

/// The fake model, loaded on two threads.
class Drivers : public testing::Test {
protected:
  void SetUp() override {
    auto opened = Module::fromBytes(moduleBytes(fake::modulePayload()), "fake.hadal");
    ASSERT_TRUE(opened.ok()) << opened.error().message;
    module.emplace(std::move(*opened));
    std::string path = testing::TempDir() + "hadal-fake-" + std::to_string(getpid()) + ".safetensors";
    std::vector<float> scale = {1};
    NamedTensor named{"scale", TensorView::of(scale)};
    ASSERT_TRUE(writeSafetensors(path, {&named, 1}).ok());
    auto checkpoint = Checkpoint::open(path);
    ASSERT_TRUE(checkpoint.ok()) << checkpoint.error().message;
    std::filesystem::remove(path);
    auto loaded = WeightStore::load(*module, device, std::move(*checkpoint));
    ASSERT_TRUE(loaded.ok()) << loaded.error().message;
    weights = std::move(*loaded);
    auto created = Executor::create(*module, device, weights);
    ASSERT_TRUE(created.ok()) << created.error().message;
    executor = std::move(*created);
  }

  using Rows = std::vector<std::vector<int32_t>>;

  /// The new tokens of each prompt; each chosen from logits that are highest there.
  Rows generate(const Rows &prompts, const GenerationOptions &options, GenerationStatistics *statistics = nullptr) {
    auto generation = Generation::create(*executor, options);
    EXPECT_TRUE(generation.ok());
    for (const auto &prompt : prompts)
      EXPECT_TRUE((*generation)->add(prompt).ok());
    Rows rows(prompts.size());
    Status run = (*generation)->run([&](const GeneratedToken &token) {
      EXPECT_EQ(token.index, static_cast<int64_t>(rows[token.sequence].size()));
      EXPECT_EQ(token.logits.size(), static_cast<size_t>(fake::vocabulary));
      EXPECT_EQ(token.isEos, token.token == fake::eosToken);
      if (options.sampling.temperature == 0)
        EXPECT_EQ(token.logits[token.token], 0);
      rows[token.sequence].push_back(token.token);
    });
    EXPECT_TRUE(run.ok()) << run.error().message;
    if (statistics)
      *statistics = (*generation)->statistics();
    return rows;
  }

  std::optional<Module> module;
  CpuDevice device{2};
  WeightStore weights;
  std::unique_ptr<Executor> executor;
};

/// `count` prompts of 1 to `longest` tokens.
std::vector<std::vector<int32_t>> randomPrompts(int count, int longest, unsigned seed) {
  std::mt19937 random(seed);
  std::vector<std::vector<int32_t>> prompts(count);
  for (auto &prompt : prompts)
    for (int length = 1 + static_cast<int>(random() % longest); length > 0; --length)
      prompt.push_back(static_cast<int32_t>(random() % 256));
  return prompts;
}

/// What the model says, by the definition.
std::vector<int32_t> expectedTokens(std::vector<int32_t> tokens, int64_t count, bool ignoreEos) {
  std::vector<int32_t> out;
  while (static_cast<int64_t>(out.size()) < count && static_cast<int64_t>(tokens.size()) <= fake::maxPositions) {
    out.push_back(fake::nextOf(tokens));
    tokens.push_back(out.back());
    if (out.back() == fake::eosToken && !ignoreEos)
      break;
  }
  return out;
}

} // namespace

// Sequences of different lengths, more of them than run at once, each get the tokens that they get by themselves:
// pages are given, grown, given back and used again, and no row reads another's.
TEST_F(Drivers, BatchesDoNotShow) {
  auto prompts = randomPrompts(40, 30, 1);
  GenerationOptions options;
  options.maxNewTokens = 60;
  options.maxSequences = 7;
  Rows rows = generate(prompts, options);
  for (size_t i = 0; i < prompts.size(); ++i)
    EXPECT_EQ(rows[i], expectedTokens(prompts[i], 60, false)) << "row " << i;
}

// An end-of-sequence token ends its row, unless it is to be ignored.
TEST_F(Drivers, EndOfSequence) {
  std::vector<int32_t> prompt;
  for (int32_t token = 0; prompt.empty() || fake::nextOf(prompt) != fake::eosToken; ++token)
    prompt = {token % 256, token / 256};
  GenerationOptions options;
  options.maxNewTokens = 5;
  EXPECT_EQ(generate({prompt}, options)[0], std::vector<int32_t>{fake::eosToken});
  options.ignoreEos = true;
  EXPECT_EQ(generate({prompt}, options)[0], expectedTokens(prompt, 5, true));
}

// A row stops where the model has no more positions; the last token needs none.
TEST_F(Drivers, LastPosition) {
  std::vector<int32_t> prompt(fake::maxPositions - 2, 65);
  GenerationOptions options;
  options.maxNewTokens = 50;
  options.ignoreEos = true;
  GenerationStatistics statistics;
  Rows rows = generate({prompt, {1}}, options, &statistics);
  EXPECT_EQ(rows[0].size(), 3u);
  EXPECT_EQ(rows[0], expectedTokens(prompt, 50, true));
  EXPECT_EQ(rows[1].size(), 50u);
  EXPECT_EQ(statistics.stoppedByPositions, 1);
  EXPECT_EQ(statistics.prefillTokens, fake::maxPositions - 2 + 1);
  EXPECT_EQ(statistics.decodeTokens, 2 + 49);
}

// Row i of a batch draws what a row alone draws with seed + i, whatever runs beside it.
TEST_F(Drivers, SeedsBelongToRows) {
  auto prompts = randomPrompts(5, 9, 2);
  GenerationOptions options;
  options.maxNewTokens = 20;
  options.ignoreEos = true;
  options.sampling.temperature = 1;
  options.seed = 100;
  Rows together = generate(prompts, options);
  for (size_t i = 0; i < prompts.size(); ++i) {
    options.seed = 100 + i;
    EXPECT_EQ(generate({prompts[i]}, options)[0], together[i]);
    for (size_t step = 0; step < together[i].size(); ++step)
      EXPECT_EQ(together[i][step], static_cast<int32_t>(drawUniform(100 + i, step) * fake::vocabulary));
  }
  EXPECT_NE(together[0], together[1]);
}

TEST_F(Drivers, Refused) {
  GenerationOptions options;
  auto generation = Generation::create(*executor, options);
  ASSERT_TRUE(generation.ok());
  auto errorOf = [&](std::vector<int32_t> prompt) { return (*generation)->add(std::move(prompt)).error().message; };
  EXPECT_EQ(errorOf({}), "row 0: has no tokens");
  EXPECT_EQ(errorOf({1, 259}), "row 0: token id 259 at position 1 is not in the vocabulary (0 to 258)");
  EXPECT_EQ(errorOf({-1}), "row 0: token id -1 at position 0 is not in the vocabulary (0 to 258)");
  EXPECT_EQ(errorOf(std::vector<int32_t>(201, 0)), "row 0: has 201 tokens, the model has 200 positions");
  options.maxNewTokens = 0;
  EXPECT_FALSE(Generation::create(*executor, options).ok());
  options.maxNewTokens = 1;
  options.sampling.topP = 0;
  EXPECT_FALSE(Generation::create(*executor, options).ok());
}

// Outputs of all rows are put together in place, over more than one run.
TEST_F(Drivers, Logits) {
  Rows rows = randomPrompts(30, 1, 3);
  std::mt19937 random(4);
  for (auto &row : rows)
    while (row.size() < 150)
      row.push_back(static_cast<int32_t>(random() % 259));
  auto results = computeLogits(*executor, rows, {.dump = true, .routes = nullptr});
  ASSERT_TRUE(results.ok()) << results.error().message;
  std::vector<std::string> names;
  for (auto &[name, tensor] : *results) {
    names.push_back(name);
    if (name == "logits") {
      ASSERT_EQ(tensor.shape(), (Shape{30, 150, fake::vocabulary}));
      for (int64_t t : {0, 1, 77, 149})
        for (int64_t b : {0, 12, 13, 29}) {
          int32_t next = fake::nextOf(std::span(rows[b]).first(t + 1));
          EXPECT_EQ(tensor.as<float>()[(b * 150 + t) * fake::vocabulary + next], 0) << b << " " << t;
        }
    } else if (name == "hidden.0") {
      ASSERT_EQ(tensor.shape(), (Shape{30, 150, 2}));
      EXPECT_EQ(tensor.as<float>()[(17 * 150 + 33) * 2], static_cast<float>(rows[17][33]));
      EXPECT_EQ(tensor.as<float>()[(17 * 150 + 33) * 2 + 1], 33);
    } else if (name == "router.0.topk_ids") {
      ASSERT_EQ(tensor.shape(), (Shape{30 * 150, 2}));
      EXPECT_EQ(tensor.as<int32_t>()[(29 * 150 + 149) * 2], rows[29][149] % 3);
    }
  }
  std::sort(names.begin(), names.end());
  EXPECT_EQ(names, (std::vector<std::string>{"cache.0.ckv", "hidden.0", "hidden.1", "logits", "router.0.topk_ids",
                                             "router.0.topk_weights"}));
}

// The score is the mean over the later tokens of whole windows.
TEST_F(Drivers, Score) {
  std::mt19937 random(5);
  std::vector<int32_t> tokens(129 * 40 + 100);
  for (int32_t &token : tokens)
    token = static_cast<int32_t>(random() % 256);
  double sum = 0;
  for (int64_t window = 0; window < 40; ++window) {
    std::span<const int32_t> part(tokens.data() + window * 129, 129);
    for (int64_t t = 0; t < 128; ++t)
      sum += static_cast<double>((part[t + 1] - fake::nextOf(part.first(t + 1)) + fake::vocabulary) % fake::vocabulary);
  }
  auto score = scoreTokens(*executor, tokens);
  ASSERT_TRUE(score.ok()) << score.error().message;
  EXPECT_EQ(score->tokens, 40 * 128);
  EXPECT_EQ(score->windows, 40);
  EXPECT_DOUBLE_EQ(score->meanNll, sum / (40 * 128));
  EXPECT_FALSE(scoreTokens(*executor, std::span(tokens).first(128)).ok());
}

// The lowest free page goes first; pages that were given back are used again.
TEST(PageAllocator, LowestFirst) {
  PageAllocator pages(3);
  EXPECT_EQ(pages.take(), 0);
  EXPECT_EQ(pages.take(), 1);
  EXPECT_EQ(pages.take(), 2);
  EXPECT_EQ(pages.take(), std::nullopt);
  pages.give({1, 0});
  pages.grow(4);
  pages.grow(2);
  EXPECT_EQ(pages.pageCount(), 4);
  EXPECT_EQ(pages.freeCount(), 3);
  EXPECT_EQ(pages.take(), 0);
  EXPECT_EQ(pages.take(), 1);
  EXPECT_EQ(pages.take(), 3);
}

// Draws are in [0, 1), depend on seed and step, and are spread evenly.
TEST(Draws, Uniform) {
  EXPECT_EQ(drawUniform(7, 3), drawUniform(7, 3));
  std::set<float> values;
  double sum = 0;
  for (uint64_t seed = 0; seed < 100; ++seed)
    for (uint64_t step = 0; step < 100; ++step) {
      float value = drawUniform(seed, step);
      EXPECT_TRUE(value >= 0 && value < 1);
      values.insert(value);
      sum += value;
    }
  EXPECT_GT(values.size(), 9980u);
  EXPECT_NEAR(sum / 10000, 0.5, 0.015); // five standard deviations
}
