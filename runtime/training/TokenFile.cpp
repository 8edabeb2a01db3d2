//===- TokenFile.cpp - the tokens of a text corpus, mapped --------------===//

#include "runtime/training/TokenFile.h"

#include "runtime/Json.h"
#include "runtime/training/DataFiles.h"

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <unistd.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

using namespace hadal;
namespace fs = std::filesystem;

// Files of version 1 may hold tokens of bytes that are no text.
static constexpr char trailerMagic[8] = {'H', 'A', 'D', 'A', 'L', 'T', 'K', '2'};
static constexpr uint64_t trailerBytes = 48;

std::string hadal::defaultCacheFolder() {
  if (const char *cache = std::getenv("XDG_CACHE_HOME"); cache && *cache)
    return std::string(cache) + "/hadal";
  if (const char *home = std::getenv("HOME"); home && *home)
    return std::string(home) + "/.cache/hadal";
  std::error_code error;
  return (fs::temp_directory_path(error) / ("hadal-" + std::to_string(::getuid()))).string();
}

namespace {

std::string_view textOf(const MappedFile &file) {
  return {reinterpret_cast<const char *>(file.bytes().data()), file.bytes().size()};
}

struct Source {
  MappedFile file;
  DataFormat format;
};

/// The hash over everything that the tokens come from.
XXH128_hash_t hashOf(const std::vector<Source> &sources, const MappedFile &tokenizer) {
  XXH3_state_t *state = XXH3_createState();
  XXH3_128bits_reset(state);
  auto add = [&](const MappedFile &file, uint64_t kind) {
    uint64_t head[2] = {kind, file.bytes().size()};
    XXH3_128bits_update(state, head, sizeof head);
    XXH3_128bits_update(state, file.bytes().data(), file.bytes().size());
  };
  add(tokenizer, 0);
  for (const Source &source : sources)
    add(source.file, source.format == DataFormat::JsonLines ? 1 : 2);
  XXH128_hash_t hash = XXH3_128bits_digest(state);
  XXH3_freeState(state);
  return hash;
}

/// Tokens of documents as they come, into a cache file.
class Writer {
public:
  Writer(const Tokenizer &tokenizer, AtomicFile &file)
      : tokenizer(tokenizer), file(file), sum(XXH3_createState()) {
    XXH3_64bits_reset(sum);
  }
  ~Writer() { XXH3_freeState(sum); }
  Writer(const Writer &) = delete;
  Writer &operator=(const Writer &) = delete;

  Status addDocument(std::string_view text) {
    std::vector<int32_t> ids = HADAL_TRY(tokenizer.encode(text));
    if (ids.empty())
      return {};
    starts.push_back(starts.back() + ids.size());
    return add(ids.data(), ids.size() * sizeof(int32_t));
  }

  Status addFile(const Source &source, const std::function<void(uint64_t)> &doneBytes) {
    const MappedFile &file = source.file;
    std::string_view text = textOf(file);
    if (source.format == DataFormat::Text) {
      HADAL_TRY(checkText(file.path(), text));
      HADAL_TRY(addDocument(text));
      file.release(0, text.size());
      return {};
    }
    uint64_t line = 0;
    for (size_t begin = 0; begin < text.size();) {
      size_t end = std::min(text.find('\n', begin), text.size());
      HADAL_TRY(addLine(file.path(), text.substr(begin, end - begin), ++line));
      if (line % 256 == 0) {
        file.release(0, end);
        doneBytes(end);
      }
      begin = end + 1;
    }
    file.release(0, text.size());
    return {};
  }

  Status finish(const XXH128_hash_t &hash) {
    uint64_t counts[2] = {starts.size() - 1, starts.back()};
    if (starts.back() % 2)
      HADAL_TRY(add("\0\0\0", 4));
    HADAL_TRY(add(starts.data(), starts.size() * sizeof(uint64_t)));
    uint64_t checksum = XXH3_64bits_digest(sum);
    HADAL_TRY(file.write(&checksum, sizeof checksum));
    HADAL_TRY(file.write(counts, sizeof counts));
    HADAL_TRY(file.write(&hash, sizeof hash));
    HADAL_TRY(file.write(trailerMagic, sizeof trailerMagic));
    return file.commit();
  }

  uint64_t tokens() const { return starts.back(); }

private:
  /// A line of JSON.
  Status addLine(const std::string &path, std::string_view text, uint64_t number) {
    HADAL_TRY(checkText(path, text, number));
    if (text.find_first_not_of(" \t\r") == text.npos)
      return {};
    auto json = parseJson(text, "");
    if (!json.ok() || !json->is_object() || !json->contains("text") || !(*json)["text"].is_string())
      return invalidFile(path + ": line " + std::to_string(number) + ": " +
                         (json.ok() ? "" : "is no JSON; ") +
                         "wants an object with a string \"text\"");
    return addDocument((*json)["text"].get_ref<const std::string &>());
  }

  Status add(const void *data, uint64_t bytes) {
    XXH3_64bits_update(sum, data, bytes);
    return file.write(data, bytes);
  }

  const Tokenizer &tokenizer;
  AtomicFile &file;
  XXH3_state_t *sum;
  std::vector<uint64_t> starts = {0};
};

std::string hexadecimal(const XXH128_hash_t &hash) {
  char text[33];
  std::snprintf(text, sizeof text, "%016llx%016llx", static_cast<unsigned long long>(hash.high64),
                static_cast<unsigned long long>(hash.low64));
  return text;
}

} // namespace

Result<TokenFile> TokenFile::map(const std::string &path, const std::string &hash) {
  TokenFile result;
  result.file = HADAL_TRY(MappedFile::open(path));
  result.hash = hash;
  auto bytes = result.file.bytes();
  auto damaged = [&] { return invalidFile(path + ": is damaged; remove it"); };
  if (bytes.size() < trailerBytes + 8 || bytes.size() % 8)
    return damaged();
  const std::byte *trailer = bytes.data() + bytes.size() - trailerBytes;
  uint64_t checksum, counts[2];
  XXH128_hash_t stored;
  std::memcpy(&checksum, trailer, sizeof checksum);
  std::memcpy(counts, trailer + 8, sizeof counts);
  std::memcpy(&stored, trailer + 24, sizeof stored);
  uint64_t room = bytes.size();
  if (std::memcmp(trailer + 40, trailerMagic, 8) != 0 || hexadecimal(stored) != hash ||
      counts[0] > room / 8 || counts[1] > room / 4)
    return damaged();
  uint64_t tokenBytes = (counts[1] + counts[1] % 2) * 4;
  if (tokenBytes + (counts[0] + 1) * 8 + trailerBytes != bytes.size())
    return damaged();
  result.tokens = {reinterpret_cast<const int32_t *>(bytes.data()), counts[1]};
  result.starts = {reinterpret_cast<const uint64_t *>(bytes.data() + tokenBytes), counts[0] + 1};
  if (XXH3_64bits(bytes.data(), bytes.size() - trailerBytes) != checksum ||
      result.starts.front() != 0 || result.starts.back() != counts[1])
    return damaged();
  for (size_t i = 0; i + 1 < result.starts.size(); ++i)
    if (result.starts[i] > result.starts[i + 1])
      return damaged();
  return result;
}

Result<TokenFile> TokenFile::open(const std::vector<std::string> &paths,
                                  const std::string &tokenizerFolder,
                                  const std::string &cacheFolder, const Progress &progress) {
  std::vector<Source> sources;
  uint64_t total = 0, before = 0;
  for (const std::string &path : paths) {
    MappedFile file = HADAL_TRY(MappedFile::openInput(path));
    DataFormat format = HADAL_TRY(dataFormatOf(file));
    total += file.bytes().size();
    sources.push_back({std::move(file), format});
  }
  MappedFile tokenizerFile = HADAL_TRY(MappedFile::open(tokenizerFolder + "/tokenizer.json"));
  XXH128_hash_t hash = hashOf(sources, tokenizerFile);
  for (const Source &source : sources)
    source.file.release(0, source.file.bytes().size());
  std::string path = cacheFolder + "/" + hexadecimal(hash) + ".tokens";
  std::error_code code;
  if (fs::exists(path, code))
    if (auto known = map(path, hexadecimal(hash)); known.ok())
      return known;

  Tokenizer tokenizer = HADAL_TRY(Tokenizer::open(tokenizerFolder));
  fs::create_directories(cacheFolder, code);
  if (code)
    return ioError(cacheFolder + ": " + code.message() +
                   "; name a folder for tokens with --token-cache");
  AtomicFile out = HADAL_TRY(AtomicFile::create(path));
  Writer writer(tokenizer, out);
  for (const Source &source : sources) {
    uint64_t first = writer.tokens();
    HADAL_TRY(writer.addFile(source, [&](uint64_t done) {
      if (progress)
        progress(before + done, total);
    }));
    if (writer.tokens() == first)
      return invalidFile(source.file.path() + ": holds no text");
    before += source.file.bytes().size();
    if (progress)
      progress(before, total);
  }
  HADAL_TRY(writer.finish(hash));
  return map(path, hexadecimal(hash));
}
