//===- JsonView.h - a value of a JSON file that knows its place ----------===//
//
// Reads values without exceptions; every error names the key: "model.merges[3]: wants a string, got
// 7".
//
//===--------------------------------------------------------------------===//

#ifndef HADAL_RUNTIME_TOKENIZER_JSONVIEW_H
#define HADAL_RUNTIME_TOKENIZER_JSONVIEW_H

#include "runtime/Json.h"
#include "runtime/Result.h"

#include <cstdint>
#include <limits>
#include <string>
#include <string_view>

namespace hadal {

/// Refers to a document that outlives it. Any thread may read it.
class JsonView {
public:
  using Json = nlohmann::json;

  JsonView(const Json &value, std::string path = {}) : value(&value), path(std::move(path)) {}

  const Json &json() const { return *value; }
  const std::string &name() const { return path; }

  /// Null, or a key that its object does not have.
  bool absent() const { return value->is_null(); }

  /// An absent value where there is no such key, or this is no object.
  JsonView operator[](std::string_view key) const {
    static const Json null;
    std::string inner = (path.empty() ? "" : path + ".") + std::string(key);
    if (!value->is_object())
      return {null, std::move(inner)};
    auto found = value->find(key);
    return {found == value->end() ? null : *found, std::move(inner)};
  }
  /// An element of an array; `index` is in range.
  JsonView element(size_t index) const {
    return {(*value)[index], path + "[" + std::to_string(index) + "]"};
  }

  Error wants(std::string_view what) const {
    std::string got = value->dump(-1, ' ', false, Json::error_handler_t::replace);
    if (got.size() > 60)
      got = got.substr(0, 60) + "...";
    return invalidFile(path + ": wants " + std::string(what) + ", got " + got);
  }

  Result<std::string> string() const {
    auto *text = value->get_ptr<const std::string *>();
    return text ? Result<std::string>(*text) : wants("a string");
  }
  /// `fallback` when absent.
  Result<bool> boolean(bool fallback) const {
    if (absent())
      return fallback;
    auto *flag = value->get_ptr<const bool *>();
    return flag ? Result<bool>(*flag) : wants("true or false");
  }
  /// A token id: an integer in [0, 2^31).
  Result<int32_t> tokenId() const {
    auto *number = value->get_ptr<const Json::number_unsigned_t *>();
    if (!number || *number > static_cast<uint64_t>(std::numeric_limits<int32_t>::max()))
      return wants("a token id");
    return static_cast<int32_t>(*number);
  }
  /// Passes when absent, false, zero or empty.
  Status unset() const {
    bool isUnset =
        absent() || *value == false || *value == 0 || *value == "" || *value == Json::array();
    return isUnset ? Status() : wants("null (nothing else is supported)");
  }

private:
  const Json *value;
  std::string path;
};

} // namespace hadal

#endif // HADAL_RUNTIME_TOKENIZER_JSONVIEW_H
