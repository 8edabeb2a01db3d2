//===- Json.cpp - JSON texts, read within bounds ------------------------===//

#include "runtime/Json.h"

#include "runtime/File.h"
#include "runtime/FileKind.h"

#include <algorithm>

using namespace hadal;

bool hadal::jsonNestsDeeper(std::string_view text, int limit) {
  int depth = 0;
  bool quoted = false;
  for (size_t i = 0; i < text.size(); ++i) {
    char c = text[i];
    if (quoted && c == '\\')
      ++i;
    else if (c == '"')
      quoted = !quoted;
    else if (!quoted && (c == '{' || c == '[') && ++depth > limit)
      return true;
    else if (!quoted && (c == '}' || c == ']'))
      --depth;
  }
  return false;
}

namespace {
/// Keeps nothing but where the text goes wrong.
struct FirstMistake : JsonVisitor {
  size_t at = 0; ///< characters read until then, the wrong one included

  bool parse_error(size_t position, const std::string &,
                   const nlohmann::detail::exception &) override {
    at = position;
    return false;
  }
};
} // namespace

/// "line 3, column 7" of the first mistake in `text`, which has one.
static std::string placeOfMistake(std::string_view text) {
  FirstMistake mistake;
  nlohmann::json::sax_parse(text, &mistake);
  std::string_view before = text.substr(0, mistake.at ? mistake.at - 1 : 0);
  size_t lineBegin = before.rfind('\n') == before.npos ? 0 : before.rfind('\n') + 1;
  return "line " + std::to_string(1 + std::count(before.begin(), before.end(), '\n')) +
         ", column " + std::to_string(before.size() - lineBegin + 1);
}

static Error refusal(const std::string &name, const std::string &message) {
  return invalidFile(name.empty() ? message : name + ": " + message);
}

template <typename Json>
Result<Json> hadal::parseJson(std::string_view text, const std::string &name) {
  if (jsonNestsDeeper(text))
    return refusal(name, "nests deeper than " + std::to_string(maxJsonDepth) + " levels");
  Json json = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (json.is_discarded())
    return refusal(name, placeOfMistake(text) + ": is no JSON");
  return json;
}

template <typename Json>
Result<Json> hadal::parseJsonObject(std::string_view text, const std::string &name) {
  Json json = HADAL_TRY(parseJson<Json>(text, name));
  if (!json.is_object())
    return refusal(name, std::string("wants an object, got ") + (json.is_array() ? "an " : "a ") +
                             json.type_name());
  return json;
}

template <typename Json> Result<Json> hadal::readJsonObject(const std::string &path) {
  std::string text = HADAL_TRY(readTextFile(path));
  HADAL_TRY(refuseForeignFile(path, std::as_bytes(std::span(text)), "JSON", FileKind::Json));
  return parseJsonObject<Json>(text, path);
}

template Result<nlohmann::json> hadal::parseJson(std::string_view, const std::string &);
template Result<nlohmann::ordered_json> hadal::parseJson(std::string_view, const std::string &);
template Result<nlohmann::json> hadal::parseJsonObject(std::string_view, const std::string &);
template Result<nlohmann::ordered_json> hadal::parseJsonObject(std::string_view,
                                                               const std::string &);
template Result<nlohmann::json> hadal::readJsonObject(const std::string &);
template Result<nlohmann::ordered_json> hadal::readJsonObject(const std::string &);
