//===- Tokenizer.cpp - text to token ids and back -----------------------===//

#include "runtime/Tokenizer.h"

#include "runtime/File.h"
#include "runtime/FileKind.h"
#include "runtime/tokenizer/AddedTokens.h"
#include "runtime/tokenizer/Bpe.h"
#include "runtime/tokenizer/ByteLevel.h"
#include "runtime/tokenizer/PostProcessor.h"
#include "runtime/tokenizer/PreTokenizer.h"

#include <algorithm>
#include <sys/stat.h>
#include <unordered_map>

using namespace hadal;

struct Tokenizer::Implementation {
  AddedTokens added;
  PreTokenizer preTokenizer;
  Bpe bpe;
  PostProcessor postProcessor;
  std::unordered_map<int32_t, std::string> bytesOfId;
  std::unordered_map<int32_t, bool> special; ///< ids of added tokens
  std::optional<int32_t> bos, eos;
  bool addBos = false;
  int32_t idCount = 0;

  Implementation(AddedTokens added, PreTokenizer preTokenizer, Bpe bpe)
      : added(std::move(added)), preTokenizer(std::move(preTokenizer)), bpe(std::move(bpe)) {}
  Status indexTokens();
  Status readConfig(std::string_view config);
  std::optional<int32_t> find(std::string_view token) const;
};

Tokenizer::Tokenizer(std::unique_ptr<Implementation> self) : self(std::move(self)) {}
Tokenizer::Tokenizer(Tokenizer &&) noexcept = default;
Tokenizer &Tokenizer::operator=(Tokenizer &&) noexcept = default;
Tokenizer::~Tokenizer() = default;

/// Normalizers rewrite the text; only those that leave it as it is are supported.
static Status checkNormalizer(const JsonView &json) {
  if (json.absent())
    return {};
  JsonView list = json["normalizers"];
  if (json["type"].json() == "Sequence" && list.json().is_array() && list.json().empty())
    return {};
  return json.wants("null or an empty Sequence");
}

static Status checkDecoder(const JsonView &json) {
  if (json["type"].json() == "ByteLevel")
    return {};
  return json["type"].wants("\"ByteLevel\"");
}

Status Tokenizer::Implementation::indexTokens() {
  auto add = [&](int32_t id, std::string_view token) {
    // A token with a character that stands for no byte is spelled in UTF-8 itself.
    bytesOfId[id] = bytesOfCharacters(token).value_or(std::string(token));
    idCount = std::max(idCount, id == std::numeric_limits<int32_t>::max() ? id : id + 1);
  };
  bytesOfId.reserve(bpe.vocabulary().size() + added.tokens().size());
  for (const auto &[token, id] : bpe.vocabulary())
    add(id, token);
  for (const AddedToken &token : added.tokens()) {
    auto known = bpe.id(token.content);
    if (known && *known != token.id)
      return invalidFile("added_tokens: '" + token.content + "' has id " +
                         std::to_string(token.id) + ", in model.vocab it has " +
                         std::to_string(*known));
    add(token.id, token.content);
    special[token.id] = token.special;
  }
  return {};
}

std::optional<int32_t> Tokenizer::Implementation::find(std::string_view token) const {
  for (const AddedToken &candidate : added.tokens())
    if (candidate.content == token)
      return candidate.id;
  return bpe.id(token);
}

Status Tokenizer::Implementation::readConfig(std::string_view config) {
  JsonView::Json document = HADAL_TRY(parseJsonObject(config, ""));
  JsonView json(document);
  addBos = HADAL_TRY(json["add_bos_token"].boolean(false));
  // A token is spelled as a string, or as an object with its content.
  auto read = [&](const char *key) -> Result<std::optional<int32_t>> {
    JsonView token = json[key].json().is_object() ? json[key]["content"] : json[key];
    if (token.absent())
      return std::optional<int32_t>();
    return find(HADAL_TRY(token.string()));
  };
  bos = HADAL_TRY(read("bos_token"));
  eos = HADAL_TRY(read("eos_token"));
  if (addBos && !bos)
    return json["bos_token"].wants("a token of tokenizer.json, since add_bos_token is true");
  return {};
}

Result<Tokenizer> Tokenizer::parse(std::string_view text, std::string_view config) {
  JsonView::Json document = HADAL_TRY(parseJsonObject(text, ""));
  JsonView json(document);
  HADAL_TRY(checkNormalizer(json["normalizer"]));
  HADAL_TRY(checkDecoder(json["decoder"]));
  auto self =
      std::make_unique<Implementation>(HADAL_TRY(AddedTokens::create(json["added_tokens"])),
                                       HADAL_TRY(PreTokenizer::create(json["pre_tokenizer"])),
                                       HADAL_TRY(Bpe::create(json["model"])));
  self->postProcessor = HADAL_TRY(PostProcessor::create(json["post_processor"]));
  HADAL_TRY(self->indexTokens());
  if (!config.empty()) {
    Status read = self->readConfig(config);
    if (!read.ok())
      return invalidFile("tokenizer_config.json: " + read.error().message);
  }
  return Tokenizer(std::move(self));
}

Result<Tokenizer> Tokenizer::open(const std::string &folder) {
  std::string path = folder + "/tokenizer.json", configPath = folder + "/tokenizer_config.json";
  auto read = [](const std::string &file) -> Result<std::string> {
    std::string text = HADAL_TRY(readTextFile(file));
    HADAL_TRY(refuseForeignFile(file, std::as_bytes(std::span(text)), "JSON", FileKind::Json));
    return text;
  };
  std::string json = HADAL_TRY(read(path)), config;
  struct stat status;
  if (::stat(configPath.c_str(), &status) == 0)
    config = HADAL_TRY(read(configPath));
  Result<Tokenizer> tokenizer = parse(json, config);
  if (!tokenizer.ok())
    return Error{tokenizer.error().code,
                 (tokenizer.error().message.starts_with("tokenizer_config.json") ? folder + "/"
                                                                                 : path + ": ") +
                     tokenizer.error().message};
  return tokenizer;
}

Result<std::vector<int32_t>> Tokenizer::encode(std::string_view text) const {
  std::string repaired;
  if (!isUtf8(text)) {
    repaired = repairUtf8(text);
    text = repaired;
  }
  std::vector<int32_t> ids;
  std::vector<std::string_view> words;
  std::deque<std::string> storage;
  // Where in `ids` a word that was met before has its ids.
  std::unordered_map<std::string_view, std::pair<size_t, size_t>> known;
  for (const SplitPart &part : HADAL_TRY(self->added.split(text))) {
    if (part.id) {
      ids.push_back(*part.id);
      continue;
    }
    words.clear();
    HADAL_TRY(self->preTokenizer.split(part.text, words, storage));
    for (std::string_view word : words) {
      auto [entry, isNew] = known.try_emplace(word, ids.size(), 0);
      if (isNew) {
        self->bpe.encode(word, ids);
        entry->second.second = ids.size();
        continue;
      }
      auto [begin, end] = entry->second;
      for (size_t i = begin; i < end; ++i)
        ids.push_back(ids[i]);
    }
  }
  return ids;
}

Result<std::vector<int32_t>> Tokenizer::encodePrompt(std::string_view text) const {
  std::vector<int32_t> ids = HADAL_TRY(encode(text));
  self->postProcessor.apply(ids);
  if (self->addBos && (ids.empty() || ids[0] != *self->bos))
    ids.insert(ids.begin(), *self->bos);
  return ids;
}

std::string Tokenizer::decode(std::span<const int32_t> ids, bool skipSpecial) const {
  StreamingDecoder decoder(*this, skipSpecial);
  std::string text;
  for (int32_t id : ids)
    text += decoder.push(id);
  return text += decoder.finish();
}

std::string_view Tokenizer::bytes(int32_t id) const {
  auto found = self->bytesOfId.find(id);
  return found == self->bytesOfId.end() ? std::string_view() : found->second;
}

bool Tokenizer::isSpecial(int32_t id) const {
  auto found = self->special.find(id);
  return found != self->special.end() && found->second;
}

std::optional<int32_t> Tokenizer::bosToken() const { return self->bos; }
std::optional<int32_t> Tokenizer::eosToken() const { return self->eos; }
int32_t Tokenizer::idCount() const { return self->idCount; }
