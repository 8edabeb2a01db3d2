//===- FuzzTest.cpp - modules, headers and a checkpoint's JSON, mutated -===//
//
// Runs under address and undefined-behaviour sanitizers: a mutation is refused or it is usable, and
// never more.
//
//===--------------------------------------------------------------------===//

#include "runtime/Safetensors.h"
#include "runtime/module/Module.h"
#include "runtime/module/Verify.h"
#include "runtime/training/Manifest.h"
#include "runtime/training/ranks/PredictMemory.h"
#include "test/parallel/FakeRanks.h"
#include "test/tools/FakeModel.h"
#include "test/training/FakeTraining.h"
#include "tools/inspect/Describe.h"

#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <random>
#include <unistd.h>

using namespace hadal;

namespace {

// Of each of the three kinds below there are 60,000 mutations, in parts that ctest runs side by
// side.
constexpr int parts = 6, mutations = 60'000 / parts;
constexpr int fileMutations = 1'500; // of files that are written and opened
using Bytes = std::vector<std::byte>;

/// Flips bits, sets bytes and words to values that lie at edges, cuts, copies a part over another.
void mutate(Bytes &bytes, size_t first, std::mt19937_64 &random) {
  static const int64_t edges[] = {0,         1,          -1,
                                  127,       128,        255,
                                  256,       0x7fffffff, int64_t(0x80000000),
                                  INT64_MAX, INT64_MIN,  int64_t(1) << 40};
  auto below = [&](size_t n) { return static_cast<size_t>(random() % n); };
  for (size_t times = 1 + below(4); times > 0 && bytes.size() > first + 8; --times) {
    size_t at = first + below(bytes.size() - first);
    switch (below(5)) {
    case 0: bytes[at] ^= std::byte(1 << below(8)); break;
    case 1: bytes[at] = std::byte(random()); break;
    case 2: {
      int64_t edge = edges[below(std::size(edges))];
      size_t width = size_t(1) << below(4);
      at = std::min(at, bytes.size() - width);
      std::memcpy(bytes.data() + at, &edge, width);
      break;
    }
    case 3: {
      size_t from = first + below(bytes.size() - first),
             length = std::min(below(32) + 1, bytes.size() - std::max(at, from));
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
  const Bytes wholes[] = {fake::modulePayload(), fake::trainingPayload({}),
                          fake::ranksPayload(ranks)};
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
    EXPECT_FALSE(inspect::describe(*module)
                     .dump(-1, ' ', false, nlohmann::json::error_handler_t::replace)
                     .empty());
    if (i % 64 == 0)
      (void)verifyRanks(*module), (void)verifyPrograms(*module, false),
          (void)predictMemory(*module, RowsOfExperts::Worst);
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
  std::string header =
      R"({"__metadata__":{"format":"pt"},"model.embed_tokens.weight":{"dtype":"F32","shape":[3,4],"data_offsets":[0,48]},)"
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
    // Mostly after the length, where the JSON is.
    mutate(bytes, i % 8 ? 8 : 0, random);
    // Exactly as much memory as there is: the sanitizer sees a read past it.
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

//===----------------------------------------------------------------------===//
// JSON
//===----------------------------------------------------------------------===//

using Json = nlohmann::ordered_json;

/// Replaces a value somewhere in a document by one of another kind, or takes it out.
void disturb(Json &document, std::mt19937_64 &random) {
  Json *at = &document, *parent = nullptr;
  while (at->is_structured() && !at->empty() && (at == &document || random() % 4)) {
    parent = at;
    auto child = at->begin();
    std::advance(child, random() % at->size());
    at = &*child;
  }
  Json deep = 1;
  for (int i = 0; i < 40; ++i)
    deep = random() % 2 ? Json::array({std::move(deep)}) : Json{{"a", std::move(deep)}};
  const Json others[] = {nullptr,
                         -1,
                         0,
                         1,
                         UINT64_MAX,
                         uint64_t(1) << 53,
                         (uint64_t(1) << 53) + 1,
                         1.5,
                         1e300,
                         "",
                         "..",
                         "../x",
                         "\xff",
                         "x/y",
                         std::string(300, 'a'),
                         true,
                         Json::array(),
                         Json::object(),
                         deep,
                         *at,
                         document};
  Json other = others[random() % std::size(others)];
  if (parent && parent->is_object() && random() % 8 == 0)
    parent->erase(parent->begin());
  else
    *at = std::move(other);
}

/// `tries` texts near `whole`: bytes changed, values exchanged, cut, or nested deeper than any
/// stack reaches.
void forMutations(const std::string &whole, int tries, uint64_t seed,
                  const std::function<void(const std::string &)> &tryOne) {
  std::mt19937_64 random(seed);
  Json document = Json::parse(whole);
  for (int i = 0; i < tries; ++i) {
    if (i % 2) {
      Json changed = document;
      for (unsigned times = 1 + random() % 2; times > 0; --times)
        disturb(changed, random);
      tryOne(changed.dump(-1, ' ', false, Json::error_handler_t::replace));
    } else {
      Bytes bytes(whole.size());
      std::memcpy(bytes.data(), whole.data(), whole.size());
      mutate(bytes, 0, random);
      tryOne({reinterpret_cast<const char *>(bytes.data()), bytes.size()});
    }
  }
  for (size_t depth : {size_t(20), size_t(2'000), size_t(200'000)})
    for (std::string open : {"[", "{\"a\":"}) {
      std::string nested;
      for (size_t i = 0; i < depth; ++i)
        nested += open;
      nested += "1";
      for (size_t i = 0; i < depth; ++i)
        nested += open == "[" ? "]" : "}";
      tryOne(nested);
      // In the place of each value of the document's own.
      for (auto &[key, value] : document.items()) {
        Json changed = document;
        changed[key] = "HERE";
        std::string text = changed.dump();
        tryOne(text.replace(text.find("\"HERE\""), 6, nested));
      }
    }
}

class FuzzFiles : public testing::Test {
protected:
  void SetUp() override {
    folder = testing::TempDir() + "hadal-fuzz-" + std::to_string(getpid());
    std::filesystem::remove_all(folder);
    std::filesystem::create_directories(folder);
  }
  void TearDown() override { std::filesystem::remove_all(folder); }
  void write(const std::string &name, const std::string &text) {
    std::ofstream(folder + "/" + name) << text;
  } // without fsync: there are many
  std::string folder;
};

// model.safetensors.index.json: a checkpoint that opens has all of its tensors in files of its
// folder.
TEST_F(FuzzFiles, IndexIsRefusedOrWhole) {
  std::vector<float> a = {1}, b = {2, 3};
  NamedTensor first{"a", TensorView::of(a)}, second{"b", TensorView::of(b)};
  ASSERT_TRUE(writeSafetensors(folder + "/1.safetensors", {&first, 1}).ok());
  ASSERT_TRUE(writeSafetensors(folder + "/2.safetensors", {&second, 1}).ok());
  int accepted = 0, refused = 0;
  std::string whole =
      R"({"metadata": {"total_size": 12}, "weight_map": {"a": "1.safetensors", "b": "2.safetensors"}})";
  forMutations(whole, fileMutations, 4, [&](const std::string &text) {
    write("model.safetensors.index.json", text);
    auto checkpoint = Checkpoint::open(folder);
    if (!checkpoint.ok()) {
      ++refused;
      return expectRefusal(checkpoint);
    }
    ++accepted;
    for (const std::string &name : checkpoint->names())
      EXPECT_EQ(checkpoint->find(name)->tensor->bytes, name == "a" ? 4u : 8u);
  });
  EXPECT_GT(accepted, 10);
  EXPECT_GT(refused, 300);
}

// training.json: a checkpoint says where a run goes on, or what is wrong; with a checksum that fits
// what it says, or none.
TEST_F(FuzzFiles, TrainingJsonIsRefusedOrWhole) {
  TrainingProgress progress{
      4, {"key", 1, 2, 3}, {{"lr", 0.5}, {"schedule", "cosine"}}, BestStep{2, 1.5}};
  Manifest manifest{.name = "step-00000004",
                    .progress = progress,
                    .files = {{"config.json", {12, 34}}, {"model.safetensors", {56, 78}}}};
  std::string whole = manifestText(manifest),
              end = whole.substr(whole.find(",\n  \"xxh3\": \"", whole.size() - 40));
  std::filesystem::create_directories(folder + "/optimizer");
  int accepted = 0, refused = 0;
  auto tryOne = [&](const std::string &text) {
    write("optimizer/training.json", text);
    auto read = readManifest(folder);
    if (!read.ok()) {
      ++refused;
      return expectRefusal(read);
    }
    ++accepted;
    EXPECT_GE(read->progress.step, 0);
    EXPECT_LE(read->progress.step, int64_t(1) << 53);
    EXPECT_GE(read->format, 1u);
    EXPECT_LE(read->format, Manifest::newestFormat);
    (void)verifyFiles(folder, *read);
  };
  tryOne(whole);
  EXPECT_EQ(accepted, 1);
  forMutations(whole.substr(0, whole.size() - end.size()) + "\n}", fileMutations, 5,
               [&](const std::string &text) {
                 tryOne(text);
                 // The same with the end that its contents want.
                 std::string body = text.substr(0, text.rfind("\n}")),
                             sum = hexOf(digestOf(std::as_bytes(std::span(body))).xxh3);
                 tryOne(body + end.substr(0, end.size() - 16 - 4) + sum + "\"\n}\n");
               });
  EXPECT_GT(accepted, 10);
  EXPECT_GT(refused, 300);
}

} // namespace
