//===- ConfigReader.h - keys of a configuration, one complaint ----------===//
//
// For runtime/ModelConfig.cpp: reads the keys of a JSON object with what is wanted of each, and
// words what is wrong.
//
//===--------------------------------------------------------------------===//

#ifndef HADAL_RUNTIME_CONFIGREADER_H
#define HADAL_RUNTIME_CONFIGREADER_H

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstdint>
#include <functional>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace hadal {

/// A JSON value for an error message: compact, on one line, at most 60 characters.
inline std::string show(const nlohmann::json *value) {
  if (!value)
    return "nothing";
  std::string text = value->dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  if (text.size() > 60) {
    // Cut between characters, never inside one.
    size_t end = 57;
    while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80)
      --end;
    text = text.substr(0, end) + "...";
  }
  return text;
}

/// As show, but a plain word stands without quotes: "wants deepseek_v3, got llama".
inline std::string showWord(const nlohmann::json *value) {
  if (value && value->is_string()) {
    const auto &word = value->get_ref<const std::string &>();
    auto isPlain = [](char c) { return c >= ' ' && c <= '~' && c != '"'; };
    if (!word.empty() && word.size() <= 60 && std::all_of(word.begin(), word.end(), isPlain))
      return word;
  }
  return show(value);
}

inline std::optional<double> numberOf(const nlohmann::json *value) {
  if (!value || !value->is_number())
    return std::nullopt;
  return value->get<double>();
}

/// A whole number, also one written as 16.0.
inline std::optional<int64_t> exactInteger(const nlohmann::json *value) {
  std::optional<double> number = numberOf(value);
  constexpr double limit = 9007199254740992.0;             // 2^53
  if (!number || !(*number >= -limit && *number <= limit)) // also turns away what is not a number
    return std::nullopt;
  auto whole = static_cast<int64_t>(*number);
  return static_cast<double>(whole) == *number ? std::optional(whole) : std::nullopt;
}

/// Reads the keys of one JSON object and keeps the first complaint. After a complaint the values
/// returned are placeholders, so a caller checks `ok()` before it relies on several keys at once.
/// One thread at a time.
class ConfigReader {
public:
  ConfigReader(const nlohmann::json &object, std::string prefix, std::string &complaint)
      : object(object), prefix(std::move(prefix)), complaint(complaint) {}

  bool ok() const { return complaint.empty(); }
  /// What stands before the keys of the object at `key`.
  std::string prefixOf(const std::string &key) const { return prefix + key + "."; }
  void complain(const std::string &key, const std::string &wanted, const std::string &got) {
    if (ok())
      complaint = prefix + key + " wants " + wanted + ", got " + got;
  }

  const nlohmann::json *find(const std::string &key) const {
    auto at = object.find(key);
    return at == object.end() ? nullptr : &*at;
  }
  /// The first key in alphabetical order that begins with `start` and is not null; empty when there
  /// is none.
  std::string firstWith(std::string_view start) const {
    for (auto &[key, value] : object.items()) // ordered by key
      if (key.starts_with(start) && !value.is_null())
        return key;
    return "";
  }
  /// Neither missing nor null.
  bool has(const std::string &key) const {
    const nlohmann::json *value = find(key);
    return value && !value->is_null();
  }

  /// A positive integer. Where it is not `needed` a missing key or null gives 0.
  int64_t positive(const std::string &key, int64_t maximum, bool needed = true) {
    if (!needed && !has(key))
      return 0;
    return integer(key, 1, maximum, "a positive integer");
  }
  int64_t count(const std::string &key, int64_t maximum, bool needed = true) {
    if (!needed && !has(key))
      return 0;
    return integer(key, 0, maximum, "an integer of at least 0");
  }

  bool boolean(const std::string &key, std::optional<bool> otherwise) {
    if (!has(key) && otherwise)
      return *otherwise;
    const nlohmann::json *value = find(key);
    if (value && value->is_boolean())
      return value->get<bool>();
    complain(key, "true or false", show(value));
    return false;
  }

  /// A finite number that `accepts` lets pass.
  double number(const std::string &key, const std::string &wanted,
                const std::function<bool(double)> &accepts, std::optional<double> otherwise) {
    if (!has(key) && otherwise)
      return *otherwise;
    const nlohmann::json *value = find(key);
    std::optional<double> number = numberOf(value);
    constexpr double largest = std::numeric_limits<double>::max();
    if (number && *number >= -largest && *number <= largest && accepts(*number))
      return *number;
    complain(key, wanted, show(value));
    return 1;
  }

  /// One of `words`; an empty result for a missing key or null.
  std::string word(const std::string &key, const std::vector<std::string> &words,
                   const std::string &wanted, bool needed = false) {
    if (!needed && !has(key))
      return "";
    const nlohmann::json *value = find(key);
    if (value && value->is_string())
      for (const std::string &known : words)
        if (value->get_ref<const std::string &>() == known)
          return known;
    complain(key, wanted, showWord(value));
    return "";
  }

  /// Null for a missing key or null.
  const nlohmann::json *child(const std::string &key) {
    if (!has(key))
      return nullptr;
    const nlohmann::json *result = find(key);
    if (result->is_object())
      return result;
    complain(key, "an object or null", show(result));
    return nullptr;
  }

  /// A token id below `vocab`.
  std::optional<int64_t> tokenId(const std::string &key, const nlohmann::json &value,
                                 int64_t vocab) {
    std::optional<int64_t> id = exactInteger(&value);
    if (id && *id >= 0 && *id < vocab)
      return id;
    complain(key, "token ids below vocab_size (" + std::to_string(vocab) + ")", show(&value));
    return std::nullopt;
  }

private:
  int64_t integer(const std::string &key, int64_t minimum, int64_t maximum,
                  const std::string &wanted) {
    const nlohmann::json *value = find(key);
    std::optional<double> number = numberOf(value);
    if (number && *number > static_cast<double>(maximum)) {
      complain(key, wanted + (minimum ? " of at most " : " and at most ") + std::to_string(maximum),
               show(value));
      return minimum;
    }
    std::optional<int64_t> result = exactInteger(value);
    if (result && *result >= minimum)
      return *result;
    complain(key, wanted, show(value));
    return minimum;
  }

  const nlohmann::json &object;
  std::string prefix;
  std::string &complaint;
};

} // namespace hadal

#endif // HADAL_RUNTIME_CONFIGREADER_H
