//===- TokenizerFuzzTest.cpp - damaged tokenizer files ------------------===//
//
// Runs under address and undefined-behaviour sanitizers: a damaged tokenizer.json or
// tokenizer_config.json is refused with one line, or it is a tokenizer that works, and never more.
//
//===--------------------------------------------------------------------===//

#include "runtime/Tokenizer.h"

#include "runtime/tokenizer/ByteLevel.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <random>

using namespace hadal;
using Json = nlohmann::json;

namespace {

/// A small file with every part that the reader knows.
Json tokenizerFile() {
  Json vocabulary = Json::object();
  for (int byte = 0; byte < 256; ++byte) {
    std::string spelled;
    appendUtf8(spelled, byteCharacters()[byte]);
    vocabulary[spelled] = byte;
  }
  vocabulary["ab"] = 256;
  vocabulary["abc"] = 257;
  Json byteLevel = {{"type", "ByteLevel"},
                    {"add_prefix_space", false},
                    {"trim_offsets", true},
                    {"use_regex", false}};
  Json split = {
      {"type", "Split"},
      {"pattern", {{"Regex", "[\\p{L}&&[^\\p{Han}]]+|[^\\s[\\p{L}]]|\\p{N}{1,3}|\\s+(?!\\S)"}}},
      {"behavior", "Isolated"},
      {"invert", false}};
  Json bos = {{"SpecialToken", {{"id", "<s>"}, {"type_id", 0}}}},
       text = {{"Sequence", {{"id", "A"}, {"type_id", 0}}}};
  Json post = {{"type", "TemplateProcessing"},
               {"single", {bos, text}},
               {"special_tokens", {{"<s>", {{"id", "<s>"}, {"ids", {258}}}}}}};
  return {
      {"version", "1.0"},
      {"added_tokens",
       {{{"id", 258},
         {"content", "<s>"},
         {"special", true},
         {"normalized", false},
         {"lstrip", true}},
        {{"id", 259},
         {"content", "<sep>"},
         {"special", false},
         {"normalized", true},
         {"single_word", true}}}},
      {"normalizer", nullptr},
      {"pre_tokenizer",
       {{"type", "Sequence"},
        {"pretokenizers", {split, {{"type", "Digits"}, {"individual_digits", true}}, byteLevel}}}},
      {"post_processor", {{"type", "Sequence"}, {"processors", {byteLevel, post}}}},
      {"decoder", byteLevel},
      {"model",
       {{"type", "BPE"},
        {"vocab", vocabulary},
        {"merges", {"a b", {"ab", "c"}}},
        {"ignore_merges", false}}}};
}

Json configFile() {
  return {{"add_bos_token", true},
          {"bos_token", {{"content", "<s>"}, {"lstrip", false}}},
          {"eos_token", "<sep>"},
          {"model_max_length", 4096}};
}

/// A value somewhere in the document.
Json &somewhere(Json &value, std::mt19937 &random) {
  Json *at = &value;
  while (at->is_structured() && !at->empty() && random() % 5) {
    auto child = at->begin();
    std::advance(child, random() % std::min<size_t>(at->size(), 12));
    at = &*child;
  }
  return *at;
}

/// The text with bits flipped, bytes changed, an end cut off, values of other types, or something
/// nested deeply.
std::string damage(const Json &document, std::mt19937 &random) {
  const Json others[] = {nullptr,
                         -1,
                         4294967296,
                         2147483647,
                         1.5,
                         1e300,
                         "",
                         "\u0120",
                         "a b",
                         Json::array(),
                         Json::object(),
                         true,
                         "(?<=\\s)[\\w]*+|$",
                         "[a&&[b]",
                         "[[^\\W]&&\\H]{2,}",
                         "ByteLevel",
                         "Removed",
                         "<s>"};
  Json other = document;
  std::string text;
  switch (random() % 5) {
  case 0:
    text = document.dump();
    for (unsigned i = 0; i <= random() % 4; ++i)
      text[random() % text.size()] ^= static_cast<char>(1 << random() % 8);
    return text;
  case 1:
    text = document.dump();
    for (unsigned i = 0; i <= random() % 4; ++i)
      text[random() % text.size()] = static_cast<char>(random());
    return text;
  case 2:
    text = document.dump();
    text.resize(random() % text.size());
    return text;
  case 3:
    for (unsigned i = 0; i <= random() % 3; ++i)
      somewhere(other, random) = others[random() % std::size(others)];
    break;
  case 4: somewhere(other, random) = "@"; break;
  }
  text = other.dump(-1, ' ', false, Json::error_handler_t::replace);
  if (size_t at = text.find("\"@\""); at != text.npos) {
    size_t depth = 1 + random() % (random() % 8 ? 80 : 300'000);
    bool isObject = random() % 2;
    std::string deep;
    for (size_t i = 0; i < depth; ++i)
      deep += isObject ? "{\"a\":" : "[";
    deep += "0" + std::string(random() % 4 ? depth : depth / 2, isObject ? '}' : ']');
    text.replace(at, 3, deep);
  }
  return text;
}

/// Refused with one line, or used; whether it was accepted.
bool refusedOrUsable(const std::string &json, const std::string &config) {
  auto tokenizer = Tokenizer::parse(json, config);
  if (!tokenizer.ok()) {
    EXPECT_FALSE(tokenizer.error().message.empty());
    EXPECT_EQ(tokenizer.error().message.find('\n'), std::string::npos) << tokenizer.error().message;
    return false;
  }
  for (const char *text : {"ab <s> abc--\n\n 123 \xE4\xBD\xA0<sep>", "", "<s>\xFF"}) {
    auto ids = tokenizer->encodePrompt(text);
    if (ids.ok())
      (void)tokenizer->decode(*ids, false);
  }
  return true;
}

constexpr int mutations = 500; // of each file

} // namespace

TEST(TokenizerFuzz, TokenizerJson) {
  Json document = tokenizerFile();
  std::string config = configFile().dump();
  ASSERT_TRUE(refusedOrUsable(document.dump(), config))
      << Tokenizer::parse(document.dump(), config).error().message;
  std::mt19937 random(1);
  int accepted = 0;
  for (int i = 0; i < mutations; ++i)
    accepted += refusedOrUsable(damage(document, random), config);
  EXPECT_GT(accepted, 3);
  EXPECT_LT(accepted, mutations);
}

TEST(TokenizerFuzz, TokenizerConfigJson) {
  std::string json = tokenizerFile().dump();
  std::mt19937 random(2);
  int accepted = 0;
  for (int i = 0; i < mutations; ++i)
    accepted += refusedOrUsable(json, damage(configFile(), random));
  EXPECT_GT(accepted, 3);
  EXPECT_LT(accepted, mutations);
}
