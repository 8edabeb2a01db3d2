//===- Safetensors.cpp - named tensors in files ---------------------------===//

#include "runtime/Safetensors.h"

#include "runtime/FileKind.h"
#include "runtime/Json.h"

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <unordered_set>

namespace hadal {

using nlohmann::json;

/// Headers past this are refused before they are parsed (the format's own limit).
static constexpr uint64_t maxHeaderBytes = 100'000'000;

Result<Safetensors> Safetensors::open(const std::string &path) {
  return open(HADAL_TRY(MappedFile::open(path)));
}

Result<Safetensors> Safetensors::open(MappedFile mapped) {
  Safetensors file;
  file.name = mapped.path();
  file.contents = mapped.bytes();
  file.file = std::move(mapped);
  HADAL_TRY(file.parseHeader());
  return file;
}

Result<Safetensors> Safetensors::parse(std::span<const std::byte> bytes, std::string name) {
  Safetensors file;
  file.name = std::move(name);
  file.contents = bytes;
  HADAL_TRY(file.parseHeader());
  return file;
}

/// An unsigned number that fits 63 bits, or none.
static std::optional<uint64_t> unsignedNumber(const json &value) {
  if (!value.is_number_unsigned() || value.get<uint64_t>() > uint64_t(INT64_MAX))
    return std::nullopt;
  return value.get<uint64_t>();
}

static Result<StoredTensor> parseTensor(const std::string &file, const std::string &name,
                                        const json &entry, uint64_t dataBegin, uint64_t dataBytes) {
  std::string where = file + ": tensor '" + name + "': ";
  if (!entry.is_object() || !entry.contains("dtype") || !entry.contains("shape") ||
      !entry.contains("data_offsets"))
    return invalidFile(where + "wants dtype, shape and data_offsets");
  StoredTensor tensor;
  tensor.name = name;
  const json &dtype = entry["dtype"], &shape = entry["shape"], &offsets = entry["data_offsets"];
  if (!dtype.is_string() || dtype.get_ref<const std::string &>().empty())
    return invalidFile(where + "wants the name of a dtype, got " +
                       dtype.dump(-1, ' ', true, json::error_handler_t::replace));
  tensor.dtype = dtype.get<std::string>();
  // One tensor of a newer format does not make the others unreadable.
  tensor.element = parseElementType(tensor.dtype).value_or(ElementType::Other);
  if (!shape.is_array() || shape.size() > 16)
    return invalidFile(where + "wants a shape of at most 16 dimensions");
  for (const json &d : shape) {
    auto size = unsignedNumber(d);
    if (!size)
      return invalidFile(where + "wants non-negative whole numbers in its shape");
    tensor.shape.push_back(static_cast<int64_t>(*size));
  }
  auto begin =
      offsets.is_array() && offsets.size() == 2 ? unsignedNumber(offsets[0]) : std::nullopt;
  auto end = begin ? unsignedNumber(offsets[1]) : std::nullopt;
  if (!end || *begin > *end || *end > dataBytes)
    return invalidFile(where + "wants data_offsets inside the file's " + std::to_string(dataBytes) +
                       " bytes of data (an unfinished download?)");
  std::optional<uint64_t> bytes = byteCount(tensor.element, tensor.shape);
  if (bytes && tensor.element == ElementType::Other)
    bytes = *end - *begin;
  if (!bytes || *bytes != *end - *begin)
    return invalidFile(where + "wants " + (bytes ? std::to_string(*bytes) : "too many") +
                       " bytes for " + std::string(elementTypeName(tensor.element)) + " " +
                       toString(tensor.shape) + ", offsets give " + std::to_string(*end - *begin));
  tensor.offset = dataBegin + *begin;
  tensor.bytes = *bytes;
  return tensor;
}

namespace {
/// Keeps nothing but the names of a header's tensors: one that comes twice would lose its first
/// tensor silently.
struct TopLevelNames : JsonVisitor {
  std::string twice;

  bool key(string_t &name) override {
    if (depth == 1 && !seen.insert(name).second)
      twice = name;
    return true;
  }
  bool start_object(size_t) override { return ++depth > 0; }
  bool end_object() override { return --depth >= 0; }
  bool start_array(size_t) override { return ++depth > 0; }
  bool end_array() override { return --depth >= 0; }

private:
  std::unordered_set<std::string> seen;
  int depth = 0;
};
} // namespace

/// The beginning of a file that is a line of text ("Entry not found"), for an error; empty for
/// anything else.
static std::string firstWords(std::span<const std::byte> contents) {
  std::string words;
  for (std::byte b : contents.first(std::min<size_t>(contents.size(), 48))) {
    char c = static_cast<char>(b);
    if (c == '\n' || c == '\r')
      break;
    if (c < ' ' || c > '~' || c == '"')
      return "";
    words += c;
  }
  return words.size() < 4 ? "" : words;
}

Status Safetensors::parseHeader() {
  HADAL_TRY(refuseForeignFile(name, contents, "safetensors", FileKind::Safetensors));
  if (std::string words = firstWords(contents); !words.empty())
    return invalidFile(name + ": wants safetensors, is text that begins with \"" + words + "\"");
  if (contents.size() < 8)
    return invalidFile(name + ": wants at least 8 bytes, file has " +
                       std::to_string(contents.size()));
  uint64_t headerBytes;
  std::memcpy(&headerBytes, contents.data(), 8);
  bool fits = headerBytes <= maxHeaderBytes && headerBytes <= contents.size() - 8;
  if (!fits && contents.size() > 8 && contents[8] != std::byte('{'))
    return invalidFile(name + ": wants safetensors, is a file of another format");
  if (!fits)
    return invalidFile(name + ": header of " + std::to_string(headerBytes) +
                       " bytes does not fit the file's " + std::to_string(contents.size()) +
                       " (an unfinished download?)");
  const char *text = reinterpret_cast<const char *>(contents.data()) + 8;
  if (jsonNestsDeeper({text, headerBytes}))
    return invalidFile(name + ": header nests deeper than " + std::to_string(maxJsonDepth) +
                       " levels");
  TopLevelNames names;
  bool isObject = json::sax_parse(text, text + headerBytes, &names);
  // No callback here: with one, every object that ends is looked for among all before it.
  json header = isObject ? json::parse(text, text + headerBytes, nullptr, false)
                         : json(json::value_t::discarded);
  if (header.is_discarded() || !header.is_object())
    return invalidFile(name + ": header is not a JSON object");
  if (!names.twice.empty())
    return invalidFile(name + ": tensor '" + names.twice + "' is there twice");
  uint64_t dataBegin = 8 + headerBytes, dataBytes = contents.size() - dataBegin;
  for (auto &[key, value] : header.items()) {
    if (key == "__metadata__") {
      if (!value.is_object())
        return invalidFile(name + ": __metadata__ wants an object");
      for (auto &[k, v] : value.items())
        if (v.is_string())
          meta[k] = v.get<std::string>();
      continue;
    }
    entries.push_back(HADAL_TRY(parseTensor(name, key, value, dataBegin, dataBytes)));
  }
  std::sort(entries.begin(), entries.end(), [](const StoredTensor &a, const StoredTensor &b) {
    return std::tie(a.offset, a.bytes, a.name) < std::tie(b.offset, b.bytes, b.name);
  });
  HADAL_TRY(checkCover(dataBegin));
  for (size_t i = 0; i < entries.size(); ++i)
    index.emplace(entries[i].name, i);
  return {};
}

/// The format wants tensors that cover the data without holes. A header whose length is wrong by a
/// byte shows here alone.
Status Safetensors::checkCover(uint64_t dataBegin) const {
  uint64_t end = dataBegin;
  for (size_t i = 0; i < entries.size(); ++i) {
    if (entries[i].offset < end)
      return invalidFile(name + ": tensors '" + entries[i - 1].name + "' and '" + entries[i].name +
                         "' overlap");
    if (entries[i].offset > end)
      return invalidFile(name + ": wants tensor '" + entries[i].name + "' at byte " +
                         std::to_string(end) + ", " +
                         (i ? "after '" + entries[i - 1].name + "'" : "where the data begins") +
                         ", it is at " + std::to_string(entries[i].offset));
    end += entries[i].bytes;
  }
  if (end != contents.size())
    return invalidFile(name + ": wants " + std::to_string(end) +
                       " bytes, where its last tensor ends, file has " +
                       std::to_string(contents.size()));
  return {};
}

const StoredTensor *Safetensors::find(std::string_view tensorName) const {
  auto known = index.find(std::string(tensorName));
  return known == index.end() ? nullptr : &entries[known->second];
}

Result<Tensor> Safetensors::read(std::string_view tensorName) const {
  const StoredTensor *stored = find(tensorName);
  if (!stored)
    return notFound(name + ": no tensor '" + std::string(tensorName) + "'");
  if (stored->element == ElementType::Other)
    return unsupported(name + ": tensor '" + stored->name + "' has the dtype " + stored->dtype +
                       ", which is not read");
  Tensor tensor = HADAL_TRY(Tensor::create(stored->element, stored->shape));
  if (stored->bytes)
    std::memcpy(tensor.data(), data(*stored), stored->bytes);
  return tensor;
}

void Safetensors::release(const StoredTensor &tensor) const {
  file.release(tensor.offset, tensor.bytes);
}
void Safetensors::willNeed(const StoredTensor &tensor) const {
  file.willNeed(tensor.offset, tensor.bytes);
}

//===----------------------------------------------------------------------===//
// Checkpoint
//===----------------------------------------------------------------------===//

/// The files of a checkpoint folder, by the index or by themselves.
static Result<std::vector<std::string>> checkpointFiles(const std::string &folder,
                                                        const std::string &stem) {
  namespace fs = std::filesystem;
  std::error_code code;
  std::string whole = folder + "/" + stem + ".safetensors", listed = whole + ".index.json";
  if (fs::exists(whole, code))
    return std::vector<std::string>{whole};
  if (fs::exists(listed, code)) {
    json index = HADAL_TRY(readJsonObject(listed));
    if (!index.contains("weight_map") || !index["weight_map"].is_object())
      return invalidFile(listed + ": wants a JSON object with weight_map");
    std::vector<std::string> files;
    for (auto &[tensor, file] : index["weight_map"].items()) {
      if (!file.is_string() || file.get_ref<const std::string &>().find('/') != std::string::npos)
        return invalidFile(listed + ": weight_map of '" + tensor + "' wants a file's name");
      files.push_back(folder + "/" + file.get<std::string>());
    }
    std::sort(files.begin(), files.end());
    files.erase(std::unique(files.begin(), files.end()), files.end());
    return files;
  }
  std::vector<std::string> files, others;
  for (fs::directory_iterator it(folder, code), end; !code && it != end; it.increment(code))
    if (it->path().extension() == ".safetensors")
      files.push_back(it->path().string());
    else if (isOtherWeightFile(it->path().filename().string()))
      others.push_back(it->path().filename().string());
  if (code)
    return notFound(folder + ": " + code.message());
  if (files.size() == 1)
    return files;
  std::string message = folder + ": wants " + stem + ".safetensors, " + stem +
                        ".safetensors.index.json or one *.safetensors file, has ";
  if (!files.empty() || others.empty())
    return notFound(message + std::to_string(files.size()) + " such files");
  std::sort(others.begin(), others.end());
  std::string more = others.size() > 1 ? " and " + std::to_string(others.size() - 1) + " more" : "";
  return notFound(message + "only " + others.front() + more +
                  ", in a format that hadal does not read");
}

bool isOtherWeightFile(std::string_view name) {
  for (std::string_view ending :
       {".bin", ".gguf", ".pt", ".pth", ".ckpt", ".h5", ".msgpack", ".npz"})
    if (name.ends_with(ending))
      return true;
  return false;
}

Result<Checkpoint> Checkpoint::open(const std::string &path, const std::string &stem) {
  Checkpoint checkpoint;
  checkpoint.location = path;
  std::error_code code;
  std::vector<std::string> paths{path};
  if (!std::filesystem::exists(path, code))
    return notFound(path + ": no such file or folder");
  if (std::filesystem::is_directory(path, code))
    paths = HADAL_TRY(checkpointFiles(path, stem));
  for (const std::string &p : paths) {
    checkpoint.files.push_back(std::make_unique<Safetensors>(HADAL_TRY(Safetensors::open(p))));
    const Safetensors *file = checkpoint.files.back().get();
    for (const StoredTensor &tensor : file->tensors())
      if (!checkpoint.index.emplace(tensor.name, Entry{&tensor, file}).second)
        return invalidFile(p + ": tensor '" + tensor.name + "' stands in another file too");
  }
  return checkpoint;
}

std::optional<Checkpoint::Entry> Checkpoint::find(std::string_view name) const {
  auto known = index.find(std::string(name));
  return known == index.end() ? std::nullopt : std::optional(known->second);
}

Status Checkpoint::checkSize() const {
  for (const auto &file : files)
    HADAL_TRY(file->checkSize());
  return {};
}

std::vector<std::string> Checkpoint::names() const {
  std::vector<std::string> all;
  for (auto &[name, entry] : index)
    all.push_back(name);
  std::sort(all.begin(), all.end());
  return all;
}

//===----------------------------------------------------------------------===//
// Writing
//===----------------------------------------------------------------------===//

Result<SafetensorsWriter>
SafetensorsWriter::create(const std::string &path, std::span<const Planned> tensors,
                          const std::map<std::string, std::string> &metadata, Checksum *checksum) {
  json header = json::object();
  if (!metadata.empty())
    header["__metadata__"] = metadata;
  std::vector<uint64_t> sizes;
  uint64_t offset = 0;
  for (const Planned &tensor : tensors) {
    auto bytes = tensor.bytes();
    if (!bytes || header.contains(tensor.name))
      return invalidArgument(path + ": cannot write '" + tensor.name +
                             "': " + (bytes ? "the name is there twice" : "its shape overflows"));
    header[tensor.name] = {{"dtype", tensor.element == ElementType::Other
                                         ? tensor.dtype
                                         : std::string(elementTypeName(tensor.element))},
                           {"shape", tensor.shape},
                           {"data_offsets", {offset, offset + *bytes}}};
    sizes.push_back(*bytes);
    offset += *bytes;
  }
  std::string text = header.dump(-1, ' ', false, json::error_handler_t::replace);
  text.append((64 - (8 + text.size()) % 64) % 64, ' ');
  SafetensorsWriter writer(HADAL_TRY(AtomicFile::create(path)), checksum);
  writer.sizes = std::move(sizes);
  uint64_t length = text.size();
  HADAL_TRY(writer.append(&length, sizeof length));
  HADAL_TRY(writer.append(text.data(), text.size()));
  return writer;
}

Status SafetensorsWriter::write(const void *data) {
  assert(next < sizes.size());
  return append(data, sizes[next++]);
}

Status SafetensorsWriter::append(const void *data, uint64_t bytes) {
  std::span<const std::byte> piece(static_cast<const std::byte *>(data), bytes);
  if (checksum)
    checksum->add(piece);
  return file.write(piece);
}

Status SafetensorsWriter::commit() {
  assert(next == sizes.size());
  return file.commit();
}

Status writeSafetensors(const std::string &path, std::span<const NamedTensor> tensors,
                        const std::map<std::string, std::string> &metadata) {
  std::vector<SafetensorsWriter::Planned> plan;
  for (const NamedTensor &tensor : tensors)
    plan.push_back({tensor.name, tensor.tensor.element, tensor.tensor.shape, {}, 0});
  SafetensorsWriter writer = HADAL_TRY(SafetensorsWriter::create(path, plan, metadata));
  for (const NamedTensor &tensor : tensors)
    HADAL_TRY(writer.write(tensor.tensor.data));
  return writer.commit();
}

} // namespace hadal
