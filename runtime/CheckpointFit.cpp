//===- CheckpointFit.cpp - whether a checkpoint is the module's ---------===//

#include "runtime/CheckpointFit.h"

#include "runtime/TensorNames.h"

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <vector>

using namespace hadal;

/// "eh_proj.weight" of "model.layers.61.eh_proj.weight", a layer of this part; else nothing.
static std::string_view nameInLayer(std::string_view name, const TensorNaming &naming) {
  constexpr std::string_view layers = "layers.";
  if (!name.starts_with(naming.body) || !layerNumberOf(name))
    return {};
  name.remove_prefix(naming.body.size());
  size_t dot = name.starts_with(layers) ? name.find('.', layers.size()) : name.npos;
  return dot == name.npos ? std::string_view() : name.substr(dot + 1);
}

TextPart hadal::textPartOf(const Checkpoint &checkpoint, const TensorNaming &naming, bool isNested,
                           int64_t layers) {
  TextPart part{naming, isNested, layers, {}};
  for (const std::string &name : checkpoint.names())
    for (std::string_view own : {"enorm.", "hnorm.", "eh_proj.", "shared_head."})
      if (nameInLayer(name, naming).starts_with(own) && *layerNumberOf(name) >= layers)
        part.mtpLayers.insert(*layerNumberOf(name));
  return part;
}

bool hadal::changesNothing(const StoredTensor &tensor, const TextPart &part) {
  std::string_view name = tensor.name;
  bool isBody = name.starts_with(part.naming.body);
  if (part.isNested && !isBody && !name.starts_with(part.naming.head))
    return true;
  if (!nameInLayer(name, part.naming).empty() && part.mtpLayers.count(*layerNumberOf(name)))
    return true;
  return name.ends_with(".rotary_emb.inv_freq") ||
         std::find(tensor.shape.begin(), tensor.shape.end(), 0) != tensor.shape.end();
}

static constexpr std::string_view bodyEnd = "model.", table = "embed_tokens.weight",
                                  head = "lm_head";

/// "language_model." of "language_model.model."; nothing of "model.".
static std::string outerOf(const std::string &body) {
  return body.ends_with(bodyEnd) ? body.substr(0, body.size() - bodyEnd.size()) : "";
}

TensorNaming hadal::namingOf(const Checkpoint &checkpoint, const TensorNaming &guess) {
  std::vector<std::string> bodies, heads;
  for (const std::string &name : checkpoint.names()) {
    std::string body = name.ends_with(table) ? name.substr(0, name.size() - table.size()) : "";
    if (body.ends_with(bodyEnd) && !layerNumberOf(name))
      bodies.push_back(body);
    else if (name.ends_with(std::string(head) + ".weight"))
      heads.push_back(name.substr(0, name.rfind('.')));
  }
  if (bodies.size() != 1)
    return guess;
  std::string outer = outerOf(bodies[0]);
  return {bodies[0],
          heads.size() == 1 ? heads[0] : (outer.ends_with('.') ? outer : "") + std::string(head)};
}

bool hadal::hasOwnHead(const Checkpoint &checkpoint, const TensorNaming &naming) {
  auto own = checkpoint.find(naming.head + ".weight"),
       embedding = checkpoint.find(naming("model.embed_tokens.weight"));
  if (!own || !embedding)
    return own.has_value();
  if (own->tensor->element != embedding->tensor->element ||
      own->tensor->shape != embedding->tensor->shape)
    return true;
  bool isOther = std::memcmp(own->data(), embedding->data(), own->tensor->bytes) != 0;
  own->file->release(*own->tensor);
  return isOther;
}

/// The naming that a module has its tensors by.
static TensorNaming namingIn(const Module &module, const Checkpoint &checkpoint) {
  auto bodyOf = [](std::string_view name) {
    return std::string(name.ends_with(table) ? name.substr(0, name.size() - table.size()) : "");
  };
  TensorNaming naming;
  auto take = [&](const auto *list) {
    for (const auto *entry : *list)
      if (std::string body = bodyOf(entry->name()->string_view());
          body.ends_with(bodyEnd) && !layerNumberOf(body + std::string(table)))
        naming = {body, outerOf(body) + std::string(head)};
  };
  take(module.tables().parameters());
  if (const fb::Training *training = module.tables().training())
    take(training->trainables());
  return naming.body == bodyEnd ? naming : hadal::namingOf(checkpoint, naming);
}

static std::string configPath(const Checkpoint &checkpoint) {
  std::error_code code;
  std::filesystem::path path = checkpoint.path();
  return ((std::filesystem::is_directory(path, code) ? path : path.parent_path()) / "config.json")
      .string();
}

Result<std::optional<ModelConfig>> hadal::configOf(const Checkpoint &checkpoint) {
  std::string path = configPath(checkpoint);
  std::error_code code;
  if (!std::filesystem::exists(path, code))
    return std::optional<ModelConfig>();
  ModelConfig config = HADAL_TRY(readModelConfig(path));
  if (config.isNested)
    config.naming = namingOf(checkpoint, config.naming);
  if (config.tieEmbeddings && hasOwnHead(checkpoint, config.naming))
    config.tieEmbeddings = false;
  return std::optional(std::move(config));
}

/// The values that a module was compiled with.
static std::vector<ConfigValue> configurationOf(const Module &module) {
  std::vector<ConfigValue> values;
  if (const auto *table = module.model() ? module.model()->configuration() : nullptr)
    for (const fb::Setting *setting : *table)
      values.push_back({setting->name()->str(), setting->value()->str()});
  return values;
}

Status hadal::checkSameModel(const Module &mine, const Module &theirs) {
  auto difference = firstDifference(configurationOf(mine), configurationOf(theirs));
  return difference ? Status(invalidArgument(mine.path() + ": " + difference->name + " is " +
                                             difference->mine + ", " + theirs.path() +
                                             " was compiled with " + difference->theirs))
                    : Status();
}

Result<std::optional<ConfigDifference>> hadal::configDifference(const Module &module,
                                                                const Checkpoint &checkpoint) {
  const auto *table = module.model() ? module.model()->configuration() : nullptr;
  if (!table)
    return std::optional<ConfigDifference>();
  std::optional<ModelConfig> config = HADAL_TRY(configOf(checkpoint));
  if (!config)
    return std::optional<ConfigDifference>();
  return firstDifference(configurationOf(module), valuesThatChangeNumbers(*config));
}

Error hadal::otherConfig(const Module &module, const Checkpoint &checkpoint,
                         const ConfigDifference &difference) {
  return invalidFile(configPath(checkpoint) + ": " + difference.name + " is " + difference.theirs +
                     ", module " + module.path() + " was compiled with " + difference.mine +
                     "; compile that folder");
}

Status hadal::checkHead(const Module &module, const Checkpoint &checkpoint) {
  const auto *table = module.model() ? module.model()->configuration() : nullptr;
  bool isTied = table && std::any_of(table->begin(), table->end(), [](const fb::Setting *setting) {
                  return setting->name()->string_view() == "tie_word_embeddings" &&
                         setting->value()->string_view() == "true";
                });
  TensorNaming naming = namingIn(module, checkpoint);
  if (!isTied || !hasOwnHead(checkpoint, naming))
    return {};
  return invalidFile(
      checkpoint.path() + ": " + naming.head + ".weight is other than " +
      naming("model.embed_tokens.weight") + ", " + module.path() +
      " was compiled with tie_word_embeddings true, one matrix for both; compile that folder");
}

Status hadal::checkConfig(const Module &module, const Checkpoint &checkpoint) {
  HADAL_TRY(checkHead(module, checkpoint));
  auto difference = HADAL_TRY(configDifference(module, checkpoint));
  return difference ? Status(otherConfig(module, checkpoint, *difference)) : Status();
}

Status hadal::checkNothingElse(const Module &module, const Checkpoint &checkpoint,
                               const std::function<bool(const std::string &)> &isKnown) {
  if (!module.model())
    return {};
  TensorNaming naming = namingIn(module, checkpoint);
  bool isNested = naming.body != bodyEnd;
  if (auto config = configOf(checkpoint); config.ok() && *config)
    isNested = (*config)->isNested;
  TextPart part = textPartOf(checkpoint, naming, isNested, module.model()->layers());
  for (const std::string &name : checkpoint.names()) {
    if (isKnown(name) || changesNothing(*checkpoint.find(name)->tensor, part))
      continue;
    if (name == part.naming.head + ".weight" &&
        !hasOwnHead(checkpoint, part.naming)) // a tied model's copy of its table
      continue;
    std::string wanted = part.naming("model.embed_tokens.weight"),
                other = recogniseOtherNaming(checkpoint, checkpoint.find(wanted) ? name : wanted);
    return invalidFile(checkpoint.path() + ": " + name +
                       " is in the checkpoint, but not in the model that " + module.path() +
                       " was compiled from" + (other.empty() ? "" : ": " + other));
  }
  return {};
}
