//===- TokenRows.cpp - rows of token ids from a file --------------------===//

#include "tools/run/TokenRows.h"

#include "runtime/Json.h"
#include "runtime/ModelLimits.h"
#include "runtime/tokenizer/Utf8.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <sstream>

using namespace hadal;
using namespace hadal::run;

bool TokenRows::isPadded() const {
  return std::any_of(rows.begin(), rows.end(),
                     [&](const auto &row) { return static_cast<int64_t>(row.size()) != width; });
}

static Status checkNames(const Safetensors &file) {
  static constexpr std::array<std::string_view, 5> known = {"input_ids", "attention_mask",
                                                            "position_ids", "lengths", "labels"};
  for (const StoredTensor &tensor : file.tensors())
    if (std::find(known.begin(), known.end(), tensor.name) == known.end())
      return invalidFile(file.path() + ": tensor '" + tensor.name +
                         "' has no meaning here; wants input_ids, and with it attention_mask, "
                         "lengths, position_ids or labels");
  return {};
}

Result<std::vector<int64_t>> run::readWholeNumbers(const Safetensors &file, const std::string &name,
                                                   const Shape &shape) {
  Tensor tensor = HADAL_TRY(file.read(name));
  std::vector<int64_t> values;
  auto take = [&]<typename T>(std::span<const T> elements) {
    values.assign(elements.begin(), elements.end());
  };
  bool fits = tensor.shape() == shape;
  switch (tensor.element()) {
  case ElementType::I64: take(std::as_const(tensor).as<int64_t>()); break;
  case ElementType::I32: take(std::as_const(tensor).as<int32_t>()); break;
  case ElementType::I16: take(std::as_const(tensor).as<int16_t>()); break;
  case ElementType::I8: take(std::as_const(tensor).as<int8_t>()); break;
  case ElementType::U8:
  case ElementType::Bool:
    take(std::span(static_cast<const uint8_t *>(std::as_const(tensor).data()),
                   static_cast<size_t>(tensor.size())));
    break;
  default: fits = false;
  }
  if (!fits)
    return invalidFile(file.path() + ": " + name + ": wants I64 " + toString(shape) + ", got " +
                       std::string(elementTypeName(tensor.element())) + " " +
                       toString(tensor.shape()));
  return values;
}

namespace {
/// The columns of a row that hold tokens.
struct Columns {
  int64_t begin, end;
};

/// Reads which tokens are there, and then the tokens.
class RowReader {
public:
  RowReader(const Safetensors &file, const fb::Model &model) : file(file), model(model) {}
  Result<TokenRows> read();

private:
  Error wrong(const char *name, int64_t row, const std::string &message) const {
    return invalidFile(file.path() + ": " + name + ": row " + std::to_string(row) + ": " + message);
  }
  Status readMask();
  Status readLengths();
  Status checkPositions() const;
  Result<std::vector<int32_t>> tokensOf(int64_t row, const std::vector<int64_t> &ids) const;

  const Safetensors &file;
  const fb::Model &model;
  Shape shape;
  std::vector<Columns> columns; ///< of each row
};
} // namespace

Status RowReader::readMask() {
  std::vector<int64_t> mask = HADAL_TRY(readWholeNumbers(file, "attention_mask", shape));
  for (int64_t row = 0; row < shape[0]; ++row) {
    auto begin = mask.begin() + row * shape[1], end = begin + shape[1];
    if (auto other =
            std::find_if(begin, end, [](int64_t value) { return value != 0 && value != 1; });
        other != end)
      return wrong("attention_mask", row, "wants 0 or 1, got " + std::to_string(*other));
    auto first = std::find(begin, end, 1), last = std::find(first, end, 0);
    if (first == end)
      return wrong("attention_mask", row, "leaves no token");
    if (std::find(last, end, 1) != end)
      return wrong("attention_mask", row,
                   "has a hole at column " + std::to_string(last - begin) +
                       "; wants padding before or after the tokens only");
    columns[row] = {first - begin, last - begin};
  }
  return {};
}

Status RowReader::readLengths() {
  std::vector<int64_t> lengths = HADAL_TRY(readWholeNumbers(file, "lengths", {shape[0]}));
  bool hasMask = file.find("attention_mask");
  for (int64_t row = 0; row < shape[0]; ++row) {
    if (lengths[row] < 1 || lengths[row] > shape[1])
      return wrong("lengths", row,
                   "wants 1 to " + std::to_string(shape[1]) + " tokens, got " +
                       std::to_string(lengths[row]));
    if (hasMask && lengths[row] != columns[row].end - columns[row].begin)
      return wrong("lengths", row,
                   "is " + std::to_string(lengths[row]) + ", attention_mask has " +
                       std::to_string(columns[row].end - columns[row].begin));
    if (!hasMask)
      columns[row] = {0, lengths[row]};
  }
  return {};
}

Status RowReader::checkPositions() const {
  // One row of positions may stand for all, as in transformers.
  bool isShared = file.find("position_ids")->shape == Shape{1, shape[1]};
  std::vector<int64_t> positions =
      HADAL_TRY(readWholeNumbers(file, "position_ids", isShared ? Shape{1, shape[1]} : shape));
  for (int64_t row = 0; row < shape[0]; ++row)
    for (int64_t column = columns[row].begin; column < columns[row].end; ++column)
      if (int64_t got = positions[(isShared ? 0 : row * shape[1]) + column];
          got != column - columns[row].begin)
        return wrong("position_ids", row,
                     "the tokens of a row have 0, 1, 2 ..., got " + std::to_string(got) +
                         " for token " + std::to_string(column - columns[row].begin));
  return {};
}

Result<std::vector<int32_t>> RowReader::tokensOf(int64_t row,
                                                 const std::vector<int64_t> &ids) const {
  std::vector<int32_t> tokens;
  for (int64_t column = columns[row].begin; column < columns[row].end; ++column) {
    int64_t id = ids[row * shape[1] + column];
    if (id != static_cast<int32_t>(id))
      return wrong("input_ids", row,
                   "token id " + std::to_string(id) + " is not in the vocabulary (0 to " +
                       std::to_string(model.vocab_size() - 1) + ")");
    tokens.push_back(static_cast<int32_t>(id));
  }
  HADAL_TRY(checkSequence(model, tokens, file.path() + ": input_ids: row " + std::to_string(row)));
  return tokens;
}

Result<TokenRows> RowReader::read() {
  const StoredTensor *stored = file.find("input_ids");
  if (!stored)
    return notFound(file.path() + ": no tensor 'input_ids'");
  HADAL_TRY(checkNames(file));
  shape = stored->shape;
  bool isWhole = stored->element == ElementType::I64 || stored->element == ElementType::I32;
  if (!isWhole || shape.size() != 2 || shape[0] < 1 || shape[1] < 1)
    return invalidFile(file.path() +
                       ": input_ids: wants I64 [B, T] with at least one row and one token, got " +
                       std::string(elementTypeName(stored->element)) + " " + toString(shape));
  columns.assign(shape[0], {0, shape[1]});
  if (file.find("attention_mask"))
    HADAL_TRY(readMask());
  if (file.find("lengths"))
    HADAL_TRY(readLengths());
  if (file.find("position_ids"))
    HADAL_TRY(checkPositions());
  std::vector<int64_t> ids = HADAL_TRY(readWholeNumbers(file, "input_ids", shape));
  TokenRows result;
  result.width = shape[1];
  for (int64_t row = 0; row < shape[0]; ++row) {
    result.rows.push_back(HADAL_TRY(tokensOf(row, ids)));
    result.begins.push_back(columns[row].begin);
  }
  return result;
}

Result<TokenRows> run::readTokenRows(const Safetensors &file, const Module &module) {
  return RowReader(file, *HADAL_TRY(modelOf(module))).read();
}

/// What rows of ids stand in.
enum class Format { Safetensors, Json, Text };

static Format formatOf(std::string_view text) {
  size_t first = text.find_first_not_of(" \t\r\n");
  // A safetensors file begins with eight bytes of a length.
  if (first == std::string_view::npos || (text.size() > 8 && text[8] == '{' && text.find('\0') < 8))
    return Format::Safetensors;
  if (text[first] == '[' || text[first] == '{')
    return Format::Json;
  // Of text that begins like a number its reader says what is wrong with it.
  auto isPlain = [](char c) {
    return (c >= ' ' && c <= '~') || c == '\t' || c == '\r' || c == '\n';
  };
  std::string_view begin = text.substr(0, 256);
  bool isText = std::string_view("0123456789+-").find(text[first]) != std::string_view::npos &&
                std::all_of(begin.begin(), begin.end(), isPlain);
  return isText ? Format::Text : Format::Safetensors;
}

namespace {
/// Rows of ids from JSON, [[1, 2], [3]], [1, 2] for one row or {"input_ids": ...}, or from text,
/// the ids of one row on each line with spaces or commas between them.
class WrittenRows {
public:
  WrittenRows(std::string path, const fb::Model &model) : path(std::move(path)), model(model) {}

  Result<TokenRows> readJson(std::string_view text) {
    nlohmann::json json = HADAL_TRY(parseJson(text, path));
    if (json.is_object()) {
      for (const auto &[name, value] : json.items())
        if (name != "input_ids")
          return invalidFile(path + ": '" + name + "' has no meaning here; wants input_ids alone");
      nlohmann::json ids = json.value("input_ids", nlohmann::json());
      json = std::move(ids);
    }
    if (!json.is_array() || json.empty())
      return invalidFile(path + ": wants a list of rows of token ids, as [[1, 2], [3]]");
    if (!json[0].is_array())
      json = nlohmann::json::array({std::move(json)});
    for (const nlohmann::json &row : json) {
      if (!row.is_array())
        return invalidFile(where() + "wants a list of token ids, got " +
                           row.dump(-1, ' ', true, nlohmann::json::error_handler_t::replace));
      std::vector<int32_t> ids;
      for (const nlohmann::json &id : row) {
        if (!id.is_number_integer() || !inVocabulary(id.get<int64_t>()))
          return noId(id.dump(-1, ' ', true, nlohmann::json::error_handler_t::replace));
        ids.push_back(id.get<int32_t>());
      }
      HADAL_TRY(add(std::move(ids)));
    }
    return std::move(result);
  }

  Result<TokenRows> readText(std::string text) {
    std::replace_if(
        text.begin(), text.end(), [](char c) { return c == ',' || c == '\r' || c == '\t'; }, ' ');
    text.erase(text.find_last_not_of(" \n") + 1); // lines after the last row
    std::istringstream lines(text);
    for (std::string line; std::getline(lines, line);) {
      std::istringstream words(line);
      std::vector<int32_t> ids;
      for (std::string word; words >> word;) {
        int64_t id = -1;
        auto read = std::from_chars(word.data(), word.data() + word.size(), id);
        if (read.ec != std::errc() || read.ptr != word.data() + word.size() || !inVocabulary(id))
          return noId(word);
        ids.push_back(static_cast<int32_t>(id));
      }
      HADAL_TRY(add(std::move(ids)));
    }
    return std::move(result);
  }

private:
  std::string where() const { return path + ": row " + std::to_string(result.rows.size()) + ": "; }
  bool inVocabulary(int64_t id) const { return id >= 0 && id < model.vocab_size(); }
  Error noId(const std::string &got) const {
    return invalidFile(where() + "wants token ids from 0 to " +
                       std::to_string(model.vocab_size() - 1) + ", got " + got);
  }
  Status add(std::vector<int32_t> ids) {
    HADAL_TRY(checkSequence(model, ids, path + ": row " + std::to_string(result.rows.size())));
    result.width = std::max(result.width, static_cast<int64_t>(ids.size()));
    result.begins.push_back(0);
    result.rows.push_back(std::move(ids));
    return {};
  }

  std::string path;
  const fb::Model &model;
  TokenRows result;
};
} // namespace

Result<TokenRows> run::readTokenRows(const std::string &path, const Module &module) {
  const fb::Model &model = *HADAL_TRY(modelOf(module));
  MappedFile file = HADAL_TRY(MappedFile::openInput(path));
  std::string_view text(reinterpret_cast<const char *>(file.bytes().data()), file.bytes().size());
  if (text.starts_with("\xEF\xBB\xBF")) // an editor's
    text.remove_prefix(3);
  switch (formatOf(text)) {
  case Format::Json: return WrittenRows(file.path(), model).readJson(text);
  case Format::Text: return WrittenRows(file.path(), model).readText(std::string(text));
  case Format::Safetensors:
    return readTokenRows(HADAL_TRY(Safetensors::open(std::move(file))), module);
  }
}

Result<std::vector<std::string>> run::readPromptLines(const std::string &path) {
  std::string text = HADAL_TRY(readInputText(path)), name = nameOfInput(path);
  std::vector<std::string> lines;
  // A byte-order mark and carriage returns are an editor's, not the prompts'.
  for (size_t begin = text.starts_with("\xEF\xBB\xBF") ? 3 : 0; begin < text.size();) {
    size_t end = std::min(text.find('\n', begin), text.size());
    std::string line = text.substr(begin, end - begin);
    if (line.ends_with('\r'))
      line.pop_back();
    std::string where = name + ": line " + std::to_string(lines.size() + 1) + ": ";
    if (line.empty())
      return invalidFile(where + "has no text");
    if (!isUtf8(line))
      return invalidFile(where + "is not UTF-8");
    lines.push_back(std::move(line));
    begin = end + 1;
  }
  if (lines.empty())
    return invalidFile(name + ": has no prompts");
  return lines;
}
