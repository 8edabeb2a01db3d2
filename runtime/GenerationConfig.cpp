//===- GenerationConfig.cpp - which tokens end a text -------------------===//

#include "runtime/GenerationConfig.h"

#include "runtime/Json.h"

#include <filesystem>

using namespace hadal;

using Ids = std::optional<std::vector<int64_t>>;

static Result<Ids> eosOf(const nlohmann::json &config, const std::string &path,
                         int64_t vocabulary) {
  auto found = config.find("eos_token_id");
  if (found == config.end() || found->is_null())
    return Ids();
  std::vector<int64_t> ids;
  for (const nlohmann::json &id : found->is_array() ? *found : nlohmann::json::array({*found})) {
    if (!id.is_number_unsigned() || id.get<uint64_t>() >= static_cast<uint64_t>(vocabulary))
      return invalidFile(path + ": eos_token_id: wants token ids below vocab_size (" +
                         std::to_string(vocabulary) + "), got " +
                         id.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
    ids.push_back(id.get<int64_t>());
  }
  return Ids(std::move(ids));
}

static Result<Ids> eosOfFile(const std::string &path, int64_t vocabulary) {
  std::error_code ignored;
  if (!std::filesystem::exists(path, ignored))
    return Ids();
  nlohmann::json config = HADAL_TRY(readJsonObject(path));
  Ids ids = HADAL_TRY(eosOf(config, path, vocabulary));
  // A model of text and images has the text's configuration inside.
  if (auto inner = config.find("text_config"); !ids && inner != config.end() && inner->is_object())
    return eosOf(*inner, path, vocabulary);
  return ids;
}

Result<Ids> hadal::eosOfGenerationConfig(const std::string &folder, int64_t vocabulary) {
  return eosOfFile(folder + "/generation_config.json", vocabulary);
}

Result<Ids> hadal::eosOfFolder(const std::string &folder, int64_t vocabulary) {
  Ids ids = HADAL_TRY(eosOfGenerationConfig(folder, vocabulary));
  return ids ? ids : eosOfFile(folder + "/config.json", vocabulary);
}
