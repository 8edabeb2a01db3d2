//===- Json.h - JSON texts, read within bounds --------------------------===//
//
// The one way in which JSON is read here: files, lines of files and headers come from strangers. No
// exception is thrown, and nesting is bounded before anything is parsed: code that walks a document
// (a parser, dump(), copies) may recurse, and would exhaust the stack on "[[[[...".
//
//===--------------------------------------------------------------------===//

#ifndef HADAL_RUNTIME_JSON_H
#define HADAL_RUNTIME_JSON_H

#include "runtime/Result.h"

#include <nlohmann/json.hpp>

#include <string>
#include <string_view>

namespace hadal {

/// Arrays and objects inside each other that a text may have. Real files have fewer than ten.
inline constexpr int maxJsonDepth = 64;

/// Whether `text` nests deeper than `limit`. It need not be well-formed: up to its first mistake,
/// where a parser stops, the answer holds.
bool jsonNestsDeeper(std::string_view text, int limit = maxJsonDepth);

/// Parses a text; `name` stands for it in errors: "ckpt/config.json: line 3, column 7: is no JSON"
/// and "ckpt/config.json: nests deeper than 64 levels"; it may be empty. `Json` is nlohmann::json
/// or nlohmann::ordered_json.
template <typename Json = nlohmann::json>
Result<Json> parseJson(std::string_view text, const std::string &name);

/// The same of a text that is one object: "ckpt/config.json: wants an object, got an array".
template <typename Json = nlohmann::json>
Result<Json> parseJsonObject(std::string_view text, const std::string &name);

/// parseJsonObject of a file. One that is no JSON at all is named: "DIR/config.json: wants JSON, is
/// a Git LFS pointer ...".
template <typename Json = nlohmann::json> Result<Json> readJsonObject(const std::string &path);

/// Takes every part of a text and does nothing: a base for what looks at some of them, with
/// nlohmann::json::sax_parse.
struct JsonVisitor : nlohmann::json_sax<nlohmann::json> {
  bool null() override { return true; }
  bool boolean(bool) override { return true; }
  bool number_integer(number_integer_t) override { return true; }
  bool number_unsigned(number_unsigned_t) override { return true; }
  bool number_float(number_float_t, const string_t &) override { return true; }
  bool string(string_t &) override { return true; }
  bool binary(binary_t &) override { return true; }
  bool start_object(size_t) override { return true; }
  bool key(string_t &) override { return true; }
  bool end_object() override { return true; }
  bool start_array(size_t) override { return true; }
  bool end_array() override { return true; }
  bool parse_error(size_t, const std::string &, const nlohmann::detail::exception &) override {
    return false;
  }
};

extern template Result<nlohmann::json> parseJson(std::string_view, const std::string &);
extern template Result<nlohmann::ordered_json> parseJson(std::string_view, const std::string &);
extern template Result<nlohmann::json> parseJsonObject(std::string_view, const std::string &);
extern template Result<nlohmann::ordered_json> parseJsonObject(std::string_view,
                                                               const std::string &);
extern template Result<nlohmann::json> readJsonObject(const std::string &);
extern template Result<nlohmann::ordered_json> readJsonObject(const std::string &);

} // namespace hadal

#endif // HADAL_RUNTIME_JSON_H
