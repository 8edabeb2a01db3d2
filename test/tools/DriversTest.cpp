//===- DriversTest.cpp - generation, logits and scores over FakeModel ---===//

#include "runtime/File.h"
#include "runtime/GenerationConfig.h"
#include "runtime/device/CpuDevice.h"
#include "runtime/inference/Generation.h"
#include "runtime/inference/Logits.h"
#include "runtime/inference/PageAllocator.h"
#include "runtime/inference/Scoring.h"
#include "runtime/inference/StopText.h"
#include "test/tools/FakeModel.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <limits>
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
    std::string path =
        testing::TempDir() + "hadal-fake-" + std::to_string(getpid()) + ".safetensors";
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
  Rows generate(const Rows &prompts, const GenerationOptions &options,
                GenerationStatistics *statistics = nullptr) {
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
  while (static_cast<int64_t>(out.size()) < count &&
         static_cast<int64_t>(tokens.size()) <= fake::maxPositions) {
    out.push_back(fake::nextOf(tokens));
    tokens.push_back(out.back());
    if (out.back() == fake::eosToken && !ignoreEos)
      break;
  }
  return out;
}

} // namespace

// Sequences of different lengths, more of them than run at once, each get the tokens that they get
// by themselves: pages are given, grown, given back and used again, and no row reads another's.
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

// Other end-of-sequence tokens than the module's, stop tokens, and whatever the driver says end a
// row.
TEST_F(Drivers, StopTokens) {
  std::vector<int32_t> prompt = {65, 66}, all = expectedTokens(prompt, 30, true);
  auto upTo = [&](size_t count) { return std::vector<int32_t>(all.begin(), all.begin() + count); };
  auto first = [&](int32_t token) {
    return static_cast<size_t>(std::find(all.begin(), all.end(), token) - all.begin()) + 1;
  };
  GenerationOptions options;
  options.maxNewTokens = 30;
  options.ignoreEos = true;
  options.stopTokens = {all[12], all[7]};
  EXPECT_EQ(generate({prompt}, options)[0], upTo(std::min(first(all[12]), first(all[7]))));
  options.stopTokens.clear();
  options.endsAt = [](const GeneratedToken &token) { return token.index == 4; };
  EXPECT_EQ(generate({prompt, {1}}, options)[0], upTo(5));

  auto lengthWith = [&](std::vector<int64_t> eos) {
    GenerationOptions other;
    other.maxNewTokens = 30;
    other.eosTokens = std::move(eos);
    auto generation = Generation::create(*executor, other);
    EXPECT_TRUE(generation.ok() && (*generation)->add(prompt).ok());
    size_t count = 0;
    EXPECT_TRUE((*generation)->run([&](const GeneratedToken &) { ++count; }).ok());
    return count;
  };
  EXPECT_EQ(lengthWith({all[9]}), first(all[9]));
  EXPECT_EQ(lengthWith({}), 30u);
}

// A stop text ends a text, also across the borders of its pieces; what may begin one is held back
// until it cannot.
TEST(StopText, CutsAcrossPieces) {
  auto shown = [](std::vector<std::string> stops, const std::vector<std::string> &pieces) {
    StopText text(std::move(stops));
    std::string out;
    for (const std::string &piece : pieces)
      out += text.push(piece) + "|";
    return out + text.finish() + (text.found() ? "." : "");
  };
  EXPECT_EQ(shown({}, {"a", "b"}), "a|b|");
  EXPECT_EQ(shown({"END"}, {"aEN", "D b", "c"}), "a|||.");
  EXPECT_EQ(shown({"END"}, {"aE", "N", "x"}), "a||ENx|");
  EXPECT_EQ(shown({"END"}, {"aE", "N"}), "a||EN");
  EXPECT_EQ(shown({"aab"}, {"aa", "ab"}), "|a|.");
  EXPECT_EQ(shown({"xyz", "y"}, {"ax", "yz"}), "a||.");
  EXPECT_EQ(shown({"y", "z"}, {"ax", "zy"}), "ax||.");
  EXPECT_EQ(shown({"b", "ab"}, {"ab"}), "|.");
  StopText text({"<s>x"});
  EXPECT_EQ(text.push("a<") + text.push("<s>", false), "a<");
  EXPECT_EQ(text.push("y"), "y");
  EXPECT_EQ(text.push("<s>", false) + text.push("x"), "");
  EXPECT_TRUE(text.found());
}

// generation_config.json goes before config.json; a number and a list are alike.
TEST(GenerationConfig, EosOfFolder) {
  std::string folder = testing::TempDir() + "hadal-eos-" + std::to_string(getpid());
  std::filesystem::create_directories(folder);
  auto write = [&](const char *name, const std::string &text) {
    EXPECT_TRUE(writeFile(folder + "/" + name, std::as_bytes(std::span(text))).ok());
  };
  using Ids = std::optional<std::vector<int64_t>>;
  EXPECT_EQ(*eosOfFolder(folder, 100), Ids());
  write("config.json", R"({"eos_token_id": 1})");
  EXPECT_EQ(*eosOfFolder(folder, 100), Ids({1}));
  write("generation_config.json", R"({"eos_token_id": null})");
  EXPECT_EQ(*eosOfFolder(folder, 100), Ids({1}));
  write("generation_config.json", R"({"eos_token_id": [7, 3]})");
  EXPECT_EQ(*eosOfFolder(folder, 100), Ids({7, 3}));
  write("generation_config.json", R"({"eos_token_id": 61})");
  EXPECT_EQ(*eosOfFolder(folder, 100), Ids({61}));
  write("config.json", R"({"text_config": {"eos_token_id": 5}})");
  std::filesystem::remove(folder + "/generation_config.json");
  EXPECT_EQ(*eosOfFolder(folder, 100), Ids({5}));
  for (const char *wrong : {R"({"eos_token_id": 100})", R"({"eos_token_id": [1, "2"]})",
                            R"({"eos_token_id": -1})", R"({"eos_token_id": 1.5})", "[]", "{"}) {
    write("generation_config.json", wrong);
    EXPECT_NE(eosOfFolder(folder, 100).error().message.find("generation_config.json: "),
              std::string::npos)
        << wrong;
  }
  std::filesystem::remove_all(folder);
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
      EXPECT_EQ(together[i][step],
                static_cast<int32_t>(drawUniform(100 + i, step) * fake::vocabulary));
  }
  EXPECT_NE(together[0], together[1]);
}

// Requests with settings of their own, some of which come when others are under way, each get the
// tokens that they get alone.
TEST_F(Drivers, RequestsDoNotShow) {
  auto prompts = randomPrompts(12, 9, 5);
  std::vector<RequestSettings> settings(prompts.size());
  Rows alone;
  for (size_t i = 0; i < prompts.size(); ++i) {
    settings[i].maxNewTokens = 3 + static_cast<int64_t>(i);
    settings[i].ignoreEos = true;
    settings[i].sampling.temperature = i % 3 == 0 ? 0 : 0.5f * static_cast<float>(i % 3);
    settings[i].seed = 40 + i;
    GenerationOptions options;
    static_cast<RequestSettings &>(options) = settings[i];
    alone.push_back(generate({prompts[i]}, options)[0]);
    EXPECT_EQ(alone.back().size(), 3 + i);
  }
  auto engine = Engine::create(*executor, {.maxSequences = 5});
  ASSERT_TRUE(engine.ok()) << engine.error().message;
  Rows rows(prompts.size());
  auto take = [&](const GeneratedToken &token) { rows[token.sequence].push_back(token.token); };
  size_t submitted = 0;
  bool isBusy = true;
  while (isBusy || submitted < prompts.size()) {
    // Two more before each step.
    for (size_t end = std::min(submitted + 2, prompts.size()); submitted < end; ++submitted) {
      auto number = (*engine)->submit(prompts[submitted], settings[submitted]);
      ASSERT_TRUE(number.ok()) << number.error().message;
      EXPECT_EQ(*number, static_cast<int64_t>(submitted));
    }
    auto stepped = (*engine)->step(take);
    ASSERT_TRUE(stepped.ok()) << stepped.error().message;
    isBusy = *stepped;
  }
  EXPECT_EQ(rows, alone);
  EXPECT_NE(alone[1], alone[4]);
}

TEST_F(Drivers, Refused) {
  GenerationOptions options;
  auto generation = Generation::create(*executor, options);
  ASSERT_TRUE(generation.ok());
  auto errorOf = [&](std::vector<int32_t> prompt) {
    return (*generation)->add(std::move(prompt)).error().message;
  };
  EXPECT_EQ(errorOf({}), "row 0: has no tokens");
  EXPECT_EQ(errorOf({1, 259}),
            "row 0: token id 259 at position 1 is not in the vocabulary (0 to 258)");
  EXPECT_EQ(errorOf({-1}), "row 0: token id -1 at position 0 is not in the vocabulary (0 to 258)");
  EXPECT_EQ(errorOf(std::vector<int32_t>(201, 0)),
            "row 0: has 201 tokens, the model has 200 positions");
  options.maxNewTokens = 0;
  EXPECT_FALSE(Generation::create(*executor, options).ok());
  options.maxNewTokens = 1;
  options.logprobs = -1;
  EXPECT_FALSE(Generation::create(*executor, options).ok());
  options.logprobs = 0;
  options.sampling.topP = 0;
  EXPECT_FALSE(Generation::create(*executor, options).ok());
  options.sampling.topP = 1;
  for (float temperature :
       {-1.f, std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    options.sampling.temperature = temperature;
    EXPECT_FALSE(Generation::create(*executor, options).ok()) << temperature;
  }
}

// The cache has pages for the rows that run, not for all that ever ran.
TEST_F(Drivers, PagesAreUsedAgain) {
  GenerationOptions options;
  options.maxNewTokens = 10;
  options.maxSequences = 2;
  options.ignoreEos = true;
  generate(Rows(60, std::vector<int32_t>(8, 5)), options);
  int64_t pages = (8 + 10 + fake::pageTokens - 1) / fake::pageTokens;
  EXPECT_LE(executor->stateBytes(),
            static_cast<uint64_t>(2 * pages * 3 / 2 * fake::pageTokens) * sizeof(float));
}

// Each token sees itself and those before it: what FLOPs of attention are counted by.
TEST_F(Drivers, CountsWhatIsAttended) {
  GenerationOptions options;
  options.maxNewTokens = 3;
  options.ignoreEos = true;
  GenerationStatistics statistics;
  generate({{1, 2, 3, 4}, {5, 6}}, options, &statistics);
  EXPECT_EQ(statistics.prefillFlops, (1 + 2 + 3 + 4) + (1 + 2) + 6);
  EXPECT_EQ(statistics.decodeFlops, (5 + 3) + (6 + 4) + 4);
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
          EXPECT_EQ(tensor.as<float>()[(b * 150 + t) * fake::vocabulary + next], 0)
              << b << " " << t;
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
  EXPECT_EQ(names, (std::vector<std::string>{"cache.0.ckv", "hidden.0", "hidden.1", "logits",
                                             "router.0.topk_ids", "router.0.topk_weights"}));
}

// Rows of different lengths, anywhere in their columns, give what each gives alone; elsewhere
// results are 0.
TEST_F(Drivers, PaddedLogits) {
  Rows rows = randomPrompts(60, 30, 8);
  LogitsOptions options{.dump = true};
  options.width = 40;
  for (size_t row = 0; row < rows.size(); ++row)
    options.begins.push_back(static_cast<int64_t>(row % 11));
  auto results = computeLogits(*executor, rows, options);
  ASSERT_TRUE(results.ok()) << results.error().message;
  for (auto &[name, tensor] : *results) {
    if (name == "router.0.topk_ids") {
      ASSERT_EQ(tensor.shape(), (Shape{60 * 40, 2}));
      EXPECT_EQ(tensor.as<int32_t>()[(17 * 40 + 17 % 11) * 2], rows[17][0] % 3);
    }
    if (name != "logits")
      continue;
    ASSERT_EQ(tensor.shape(), (Shape{60, 40, fake::vocabulary}));
    for (size_t row = 0; row < rows.size(); ++row) {
      auto alone = computeLogits(*executor, {rows[row]}, {});
      ASSERT_TRUE(alone.ok());
      std::span<const float> wanted = std::as_const((*alone)[0].second).as<float>(),
                             got = std::as_const(tensor).as<float>();
      std::span<const float> mine = got.subspan(row * 40 * fake::vocabulary, 40 * fake::vocabulary);
      size_t first = static_cast<size_t>(options.begins[row] * fake::vocabulary);
      EXPECT_TRUE(std::equal(wanted.begin(), wanted.end(), mine.begin() + first)) << "row " << row;
      EXPECT_TRUE(
          std::all_of(mine.begin(), mine.begin() + first, [](float value) { return value == 0; }));
      EXPECT_TRUE(std::all_of(mine.begin() + first + wanted.size(), mine.end(),
                              [](float value) { return value == 0; }));
    }
  }
  options.width = 30;
  EXPECT_FALSE(computeLogits(*executor, rows, options).ok());
}

// Choices that are forced must be experts that there are, each once.
TEST_F(Drivers, RoutesAreChecked) {
  std::string path =
      testing::TempDir() + "hadal-routes-" + std::to_string(getpid()) + ".safetensors";
  auto said = [&](std::vector<int32_t> experts) {
    NamedTensor named{"router.0.topk_ids", TensorView::of(experts, {2, 2})};
    EXPECT_TRUE(writeSafetensors(path, {&named, 1}).ok());
    auto file = Safetensors::open(path);
    auto results = computeLogits(*executor, {{1, 2}}, {.dump = true, .routes = &*file});
    return results.ok() ? "" : results.error().message.substr(path.size() + 2);
  };
  EXPECT_EQ(said({0, 1, 2, 3}), "");
  EXPECT_EQ(said({0, 1, 2, 4}), "router.0.topk_ids: row 1 wants 2 different experts below 4");
  EXPECT_EQ(said({0, -1, 2, 3}), "router.0.topk_ids: row 0 wants 2 different experts below 4");
  EXPECT_EQ(said({0, 1, 2, 2}), "router.0.topk_ids: row 1 wants 2 different experts below 4");
  std::filesystem::remove(path);
}

/// A checkpoint of one tensor "scale", 1 where it is F32, which lies `skip` bytes after a multiple
/// of 8.
Result<Checkpoint> scaleAt(const char *dtype, size_t bytes, size_t skip) {
  std::string path =
      testing::TempDir() + "hadal-scale-" + std::to_string(getpid()) + ".safetensors";
  std::string header = R"({"scale": {"dtype": ")" + std::string(dtype) +
                       R"(", "shape": [1], "data_offsets": [0, )" + std::to_string(bytes) + "]}}";
  header.append(8 - header.size() % 8 + skip, ' ');
  uint64_t length = header.size();
  std::string file = std::string(reinterpret_cast<const char *>(&length), 8) + header +
                     std::string("\0\0\x80\x3F\0\0\0\0", 8).substr(0, bytes);
  EXPECT_TRUE(writeFile(path, std::as_bytes(std::span(file))).ok());
  auto opened = Checkpoint::open(path);
  std::filesystem::remove(path);
  return opened;
}

// Kernels read parameters as numbers of the module's type that lie where such numbers may.
TEST_F(Drivers, ParametersAreWhatTheModuleWants) {
  for (size_t skip : {0, 1, 2, 4}) {
    auto checkpoint = scaleAt("F32", 4, skip);
    ASSERT_TRUE(checkpoint.ok()) << checkpoint.error().message;
    auto store = WeightStore::load(*module, device, std::move(*checkpoint));
    ASSERT_TRUE(store.ok()) << store.error().message;
    auto stream = device.makeStream();
    ASSERT_TRUE(stream.ok());
    auto place = store->parameter(device, **stream, 0, 0, 4);
    ASSERT_TRUE(place.ok());
    EXPECT_EQ(reinterpret_cast<uintptr_t>(*place) % 4, 0u) << skip;
    EXPECT_EQ(*reinterpret_cast<const float *>(store->weight(0)), 1);
  }
  for (auto [dtype, bytes] : {std::pair("I32", 4), {"BF16", 2}, {"F64", 8}}) {
    auto store = WeightStore::load(*module, device, std::move(*scaleAt(dtype, size_t(bytes), 0)));
    ASSERT_FALSE(store.ok());
    EXPECT_NE(store.error().message.find("scale: module wants F32 [1], file has " +
                                         std::string(dtype) + " [1]"),
              std::string::npos)
        << store.error().message;
  }
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
      sum += static_cast<double>(
          (part[t + 1] - fake::nextOf(part.first(t + 1)) + fake::vocabulary) % fake::vocabulary);
  }
  auto score = scoreTokens(*executor, tokens);
  ASSERT_TRUE(score.ok()) << score.error().message;
  EXPECT_EQ(score->tokens, 40 * 128);
  EXPECT_EQ(score->windows, 40);
  EXPECT_DOUBLE_EQ(score->meanNll, sum / (40 * 128));
  EXPECT_EQ(score->rest, 100);
}

/// What the later tokens of `text` cost, from `scored` on, given those before them and `bos`.
static double costOf(std::span<const int32_t> text, int64_t scored,
                     std::optional<int32_t> bos = {}) {
  std::vector<int32_t> seen;
  if (bos)
    seen.push_back(*bos);
  double sum = 0;
  for (int64_t t = 0; t < static_cast<int64_t>(text.size()); ++t) {
    if (t >= scored)
      sum +=
          static_cast<double>((text[t] - fake::nextOf(seen) + fake::vocabulary) % fake::vocabulary);
    seen.push_back(text[t]);
  }
  return sum;
}

// A text shorter than a window is one; with a stride windows overlap and each token is scored once;
// BOS lets a window's first token be scored.
TEST_F(Drivers, ScoreWindows) {
  std::vector<int32_t> tokens = randomPrompts(1, 1, 6)[0];
  for (std::mt19937 random(7); tokens.size() < 47;)
    tokens.push_back(static_cast<int32_t>(random() % 256));
  std::span<const int32_t> text(tokens);
  auto scored = [&](const ScoringOptions &options) {
    auto score = scoreTokens(*executor, tokens, options);
    EXPECT_TRUE(score.ok()) << score.error().message;
    return *score;
  };
  Score whole = scored({});
  EXPECT_EQ(whole.tokens, 46);
  EXPECT_EQ(whole.windows, 1);
  EXPECT_EQ(whole.rest, 0);
  EXPECT_DOUBLE_EQ(whole.meanNll, costOf(text, 1) / 46);

  Score cut = scored({.window = 20, .stride = 0, .bos = {}});
  EXPECT_EQ(cut.tokens, 38);
  EXPECT_EQ(cut.rest, 7);
  EXPECT_DOUBLE_EQ(cut.meanNll,
                   (costOf(text.subspan(0, 20), 1) + costOf(text.subspan(20, 20), 1)) / 38);

  Score slid = scored({.window = 20, .stride = 10, .bos = {}});
  EXPECT_EQ(slid.tokens, 46);
  EXPECT_EQ(slid.windows, 4);
  EXPECT_DOUBLE_EQ(slid.meanNll,
                   (costOf(text.subspan(0, 20), 1) + costOf(text.subspan(10, 20), 10) +
                    costOf(text.subspan(20, 20), 10) + costOf(text.subspan(30, 17), 10)) /
                       46);

  Score begun = scored({.window = 20, .stride = 20, .bos = 9});
  EXPECT_EQ(begun.tokens, 47);
  EXPECT_DOUBLE_EQ(begun.meanNll,
                   (costOf(text.subspan(0, 20), 0, 9) + costOf(text.subspan(20, 20), 0, 9) +
                    costOf(text.subspan(40, 7), 0, 9)) /
                       47);

  for (int64_t length : {0, 1})
    EXPECT_NE(scoreTokens(*executor, text.first(length)).error().message.find("nothing to score"),
              std::string::npos);
  EXPECT_TRUE(scoreTokens(*executor, text.first(1), {.window = 20, .stride = 0, .bos = 9}).ok());
  EXPECT_FALSE(scoreTokens(*executor, tokens, {.window = 20, .stride = 21, .bos = {}}).ok());
  EXPECT_FALSE(scoreTokens(*executor, tokens, {.window = 20, .stride = 0, .bos = 259}).ok());
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

// A page with two users is free when both have given it back.
TEST(PageAllocator, SharedPages) {
  PageAllocator pages(2);
  EXPECT_EQ(pages.take(), 0);
  pages.share(0);
  pages.give({0});
  EXPECT_EQ(pages.freeCount(), 1);
  EXPECT_EQ(pages.take(), 1);
  pages.give({0});
  EXPECT_EQ(pages.take(), 0);
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
