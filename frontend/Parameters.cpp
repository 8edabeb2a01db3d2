//===- Parameters.cpp - the checkpoint tensors that a model needs -------===//

#include "frontend/Parameters.h"

#include "runtime/CheckpointFit.h"
#include "runtime/File.h"
#include "runtime/GenerationConfig.h"
#include "runtime/Safetensors.h"
#include "runtime/TensorNames.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/ADT/StringSet.h"
#include "llvm/ADT/Twine.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/MathExtras.h"
#include "llvm/Support/Path.h"

#include <set>

using namespace llvm;

namespace hadal::frontend {

namespace {

llvm::Error failure(const Twine &message) {
  return createStringError(inconvertibleErrorCode(), message);
}

/// What may be stored where.
enum class Role {
  Projection, ///< a weight that the release stores in FP8
  Plain,      ///< other matrices, norms and biases: never FP8
  Correction, ///< e_score_correction_bias: F32 even in a BF16 file
  Scale,      ///< of FP8 blocks: F32, BF16 or powers of two (F8_E8M0)
};

struct Wanted {
  std::string name;
  Shape shape;
  Role role;
  int64_t count = 1;
};

/// Every parameter of the graph but block scales, in the order of the model; `mtpDepth` layers of
/// multi-token prediction (0 for inference) stand where the checkpoint numbers them, after the
/// others.
class Enumeration {
public:
  explicit Enumeration(const ModelConfig &c, int64_t mtpDepth = 0) : c(c) {
    add("model.embed_tokens.weight", {c.vocabSize, c.hiddenSize}, Role::Plain);
    for (int64_t layer = 0; layer < c.layers; ++layer)
      block(layerPrefix(layer), c.isDense(layer));
    for (int64_t depth = 0; depth < mtpDepth; ++depth)
      mtp(c.layers + depth);
    add("model.norm.weight", {c.hiddenSize}, Role::Plain);
    if (!c.tieEmbeddings)
      add("lm_head.weight", {c.vocabSize, c.hiddenSize}, Role::Plain);
  }

  /// Only the layers of multi-token prediction.
  static std::vector<Wanted> ofMtp(const ModelConfig &c, int64_t mtpDepth) {
    Enumeration all(c, mtpDepth);
    llvm::erase_if(all.list, [&](const Wanted &wanted) {
      std::optional<int64_t> layer = layerNumberOf(wanted.name);
      return !layer || *layer < c.layers;
    });
    return std::move(all.list);
  }

  std::vector<Wanted> list;

private:
  void mtp(int64_t layer) {
    std::string prefix = layerPrefix(layer);
    for (const char *norm : {"enorm.weight", "hnorm.weight"})
      add(prefix + norm, {c.hiddenSize}, Role::Plain);
    add(prefix + "eh_proj.weight", {c.hiddenSize, 2 * c.hiddenSize}, Role::Plain);
    block(prefix, c.isDense(layer));
    add(prefix + "shared_head.norm.weight", {c.hiddenSize}, Role::Plain);
  }

  void add(std::string name, Shape shape, Role role, int64_t count = 1) {
    list.push_back({std::move(name), std::move(shape), role, count});
  }

  static std::string layerPrefix(int64_t layer) {
    return "model.layers." + std::to_string(layer) + ".";
  }

  void block(const std::string &prefix, bool dense) {
    add(prefix + "input_layernorm.weight", {c.hiddenSize}, Role::Plain);
    attention(prefix + "self_attn.");
    add(prefix + "post_attention_layernorm.weight", {c.hiddenSize}, Role::Plain);
    if (dense)
      mlp(prefix + "mlp.", c.denseWidth);
    else
      experts(prefix + "mlp.");
  }

  /// `attention_bias` adds a bias to these three only, and not to q_proj, q_b_proj or kv_b_proj.
  void bias(const std::string &name, int64_t size) {
    if (c.attentionBias)
      add(name + ".bias", {size}, Role::Plain);
  }

  void attention(const std::string &p) {
    int64_t queries = c.heads * c.queryDim();
    if (c.queryRank) {
      add(p + "q_a_proj.weight", {*c.queryRank, c.hiddenSize}, Role::Projection);
      bias(p + "q_a_proj", *c.queryRank);
      add(p + "q_a_layernorm.weight", {*c.queryRank}, Role::Plain);
      add(p + "q_b_proj.weight", {queries, *c.queryRank}, Role::Projection);
    } else {
      add(p + "q_proj.weight", {queries, c.hiddenSize}, Role::Projection);
    }
    int64_t compressed = c.latentRank + c.ropeDim;
    add(p + "kv_a_proj_with_mqa.weight", {compressed, c.hiddenSize}, Role::Projection);
    bias(p + "kv_a_proj_with_mqa", compressed);
    add(p + "kv_a_layernorm.weight", {c.latentRank}, Role::Plain);
    add(p + "kv_b_proj.weight", {c.heads * (c.nopeDim + c.valueDim), c.latentRank},
        Role::Projection);
    add(p + "o_proj.weight", {c.hiddenSize, c.heads * c.valueDim}, Role::Projection);
    bias(p + "o_proj", c.hiddenSize);
  }

  void mlp(const std::string &p, int64_t width, int64_t count = 1) {
    add(p + "gate_proj.weight", {width, c.hiddenSize}, Role::Projection, count);
    add(p + "up_proj.weight", {width, c.hiddenSize}, Role::Projection, count);
    add(p + "down_proj.weight", {c.hiddenSize, width}, Role::Projection, count);
  }

  void experts(const std::string &p) {
    add(p + "gate.weight", {c.experts, c.hiddenSize}, Role::Plain);
    if (c.hasCorrectionBias())
      add(p + "gate.e_score_correction_bias", {c.experts}, Role::Correction);
    mlp(p + "experts.{}.", c.expertWidth, c.experts);
    if (c.sharedExperts)
      mlp(p + "shared_experts.", c.expertWidth * c.sharedExperts);
  }

  const ModelConfig &c;
};

std::string nameInStack(StringRef pattern, int64_t index) {
  auto [before, after] = pattern.split("{}");
  if (before.size() == pattern.size())
    return pattern.str();
  return (before + Twine(index) + after).str();
}

Shape scaleShape(const Shape &weight, const WeightQuantization &q) {
  return {static_cast<int64_t>(divideCeil(weight[0], q.blockRows)),
          static_cast<int64_t>(divideCeil(weight[1], q.blockColumns))};
}

void append(ModelDescription &model, std::string name, ElementType element, Shape shape,
            int64_t count, bool isProjection = false) {
  model.index[name] = model.parameters.size();
  std::string stored = model.config.naming(name);
  model.parameters.push_back(
      {std::move(name), std::move(stored), element, std::move(shape), count, isProjection});
}

/// Looks every wanted tensor up, and then looks whether any tensor was not wanted.
class HeaderCheck {
public:
  HeaderCheck(const ModelConfig &config, const Checkpoint &checkpoint)
      : config(config), checkpoint(checkpoint),
        part(textPartOf(checkpoint, config.naming, config.isNested, config.layers)) {}

  /// The one element type of all tensors of `wanted`.
  Expected<ElementType> check(const Wanted &wanted) {
    std::optional<ElementType> element;
    std::string pattern = config.naming(wanted.name);
    for (int64_t i = 0; i < wanted.count; ++i) {
      std::string name = nameInStack(pattern, i);
      auto entry = checkpoint.find(name);
      if (!entry) {
        std::string other = recogniseOtherNaming(checkpoint, name);
        return fail(name, "wants shape " + toString(wanted.shape) + ", but is missing" +
                              (other.empty() ? "" : ": " + other));
      }
      if (entry->tensor->shape != wanted.shape)
        return fail(name, "wants shape " + toString(wanted.shape) + ", got " +
                              toString(entry->tensor->shape));
      if (llvm::Error error = accept(wanted.role, name, *entry->tensor))
        return error;
      if (element && *element != entry->tensor->element)
        return fail(name, "wants " + std::string(elementTypeName(*element)) + " as " +
                              nameInStack(pattern, 0) + ", got " + entry->tensor->dtype);
      element = entry->tensor->element;
      known.insert(name);
    }
    return *element;
  }

  llvm::Error checkNothingElse() {
    for (const std::string &name : checkpoint.names()) {
      if (known.contains(name) || ignored(name))
        continue;
      return fail(name, "is in the checkpoint, but not in the model that config.json describes");
    }
    return llvm::Error::success();
  }

private:
  llvm::Error fail(const Twine &tensor, const Twine &message) {
    return failure(checkpoint.path() + ": " + tensor + " " + message);
  }

  llvm::Error accept(Role role, const std::string &name, const StoredTensor &tensor) {
    ElementType element = tensor.element;
    bool isQuantized = element == ElementType::F8E4M3;
    if (element == ElementType::F32 || element == ElementType::BF16 ||
        (element == ElementType::F16 && role != Role::Scale) ||
        (element == ElementType::F8E8M0 && role == Role::Scale) ||
        (role == Role::Projection && isQuantized && config.quantization))
      return llvm::Error::success();
    if (role == Role::Projection && isQuantized)
      return fail(name, "wants quantization_config in config.json, as it is F8_E4M3");
    StringRef wanted = role == Role::Scale        ? "F32, BF16 or F8_E8M0"
                       : role == Role::Projection ? "F32, BF16, F16 or F8_E4M3"
                                                  : "F32, BF16 or F16";
    return fail(name, "wants " + wanted + ", got " + tensor.dtype);
  }

  bool ignored(const std::string &name) {
    return (name == config.naming.head + ".weight" && config.tieEmbeddings) ||
           changesNothing(*checkpoint.find(name)->tensor, part);
  }

  const ModelConfig &config;
  const Checkpoint &checkpoint;
  TextPart part;
  StringSet<> known;
};

bool holdsSafetensors(StringRef folder) {
  std::error_code error;
  for (sys::fs::directory_iterator it(folder, error), end; it != end && !error;
       it.increment(error)) {
    StringRef name = sys::path::filename(it->path());
    if (name.ends_with(".safetensors") || name.ends_with(".safetensors.index.json"))
      return true;
  }
  return false;
}

} // namespace

std::string ParameterDescription::nameOf(int64_t index) const { return nameInStack(stored, index); }

const ParameterDescription *ModelDescription::find(StringRef name) const {
  auto place = index.find(name);
  return place == index.end() ? nullptr : &parameters[place->second];
}

Expected<ModelDescription> describeModel(ModelConfig config) {
  ModelDescription model;
  model.config = std::move(config);
  const ModelConfig &c = model.config;
  for (Wanted &wanted : Enumeration(c).list) {
    if (wanted.role == Role::Projection && c.quantization) {
      append(model, wanted.name, ElementType::F8E4M3, wanted.shape, wanted.count, true);
      append(model, wanted.name + "_scale_inv", ElementType::F32,
             scaleShape(wanted.shape, *c.quantization), wanted.count);
      continue;
    }
    ElementType element = wanted.role == Role::Correction ? ElementType::F32 : c.dtype;
    append(model, std::move(wanted.name), element, std::move(wanted.shape), wanted.count,
           wanted.role == Role::Projection);
  }
  return model;
}

ModelDescription describeTraining(ModelConfig config, int64_t mtpDepth) {
  ModelDescription model;
  model.config = std::move(config);
  for (Wanted &wanted : Enumeration(model.config, mtpDepth).list)
    append(model, std::move(wanted.name), ElementType::F32, std::move(wanted.shape), wanted.count,
           wanted.role == Role::Projection);
  return model;
}

/// Appends `wanted` and, where it is FP8, its scales.
static llvm::Error appendStored(ModelDescription &model, HeaderCheck &headers,
                                const Wanted &wanted) {
  Expected<ElementType> element = headers.check(wanted);
  if (!element)
    return element.takeError();
  append(model, wanted.name, *element, wanted.shape, wanted.count, wanted.role == Role::Projection);
  if (*element != ElementType::F8E4M3)
    return llvm::Error::success();
  Wanted scale{wanted.name + "_scale_inv", scaleShape(wanted.shape, *model.config.quantization),
               Role::Scale, wanted.count};
  Expected<ElementType> scaleElement = headers.check(scale);
  if (!scaleElement)
    return scaleElement.takeError();
  model.config.quantization->scales = *scaleElement;
  append(model, std::move(scale.name), *scaleElement, std::move(scale.shape), scale.count);
  return llvm::Error::success();
}

Expected<ModelDescription> describeModel(ModelConfig config, const Checkpoint &checkpoint) {
  ModelDescription model;
  model.config = std::move(config);
  if (model.config.isNested) {
    model.config.naming = namingOf(checkpoint, model.config.naming);
    model.notes.push_back(
        checkpoint.path() + ": read as the text part of a larger model, tensors " +
        model.config.naming.body + "* and " + model.config.naming.head + ".weight");
  }
  if (model.config.tieEmbeddings && hasOwnHead(checkpoint, model.config.naming)) {
    model.config.tieEmbeddings = false;
    model.notes.push_back(checkpoint.path() + ": tie_word_embeddings is true, but " +
                          model.config.naming.head + ".weight is other than " +
                          model.config.naming("model.embed_tokens.weight") + ": using both");
  }
  HeaderCheck headers(model.config, checkpoint);
  for (Wanted &wanted : Enumeration(model.config).list)
    if (llvm::Error error = appendStored(model, headers, wanted))
      return error;
  if (llvm::Error error = headers.checkNothingElse())
    return error;
  return model;
}

llvm::Error checkMtpTensors(const ModelConfig &config, int64_t mtpDepth,
                            const Checkpoint &checkpoint) {
  std::vector<Wanted> wanted = Enumeration::ofMtp(config, mtpDepth);
  bool hasAny = any_of(wanted, [&](const Wanted &w) {
    return checkpoint.find(nameInStack(config.naming(w.name), 0));
  });
  if (!wanted.empty() && !hasAny)
    return failure(checkpoint.path() + ": config.json announces " + Twine(config.mtpLayers) +
                   " layer(s) of multi-token prediction (num_nextn_predict_layers), but the "
                   "checkpoint has none (no " +
                   config.naming(wanted.front().name) + "); --mtp-weight=0 trains without them");
  ModelDescription model;
  model.config = config;
  HeaderCheck headers(config, checkpoint);
  for (const Wanted &w : wanted)
    if (llvm::Error error = appendStored(model, headers, w))
      return error;
  return llvm::Error::success();
}

std::vector<std::string> projectionNames(const ModelConfig &config, int64_t mtpDepth) {
  std::vector<std::string> names;
  for (const Wanted &wanted : Enumeration(config, mtpDepth).list)
    for (int64_t i = 0; wanted.role == Role::Projection && i < wanted.count; ++i)
      names.push_back(nameInStack(config.naming(wanted.name), i));
  return names;
}

/// "DIR: pytorch_model.bin is in a format that hadal does not read", where a folder has no
/// safetensors but other weights.
static void noteOtherFormats(StringRef folder, ModelDescription &model) {
  std::set<std::string> others;
  std::error_code error;
  for (sys::fs::directory_iterator it(folder, error), end; it != end && !error; it.increment(error))
    if (StringRef name = sys::path::filename(it->path()); isOtherWeightFile(name))
      others.insert(name.str());
  if (!others.empty())
    model.notes.push_back((folder + ": " + *others.begin() +
                           (others.size() > 1 ? " and the like are" : " is") +
                           " in a format that hadal does not read; the module is made from "
                           "config.json alone, and wants "
                           "safetensors files when it runs")
                              .str());
}

Expected<ModelDescription> readModelDescription(StringRef folder, int64_t mtpDepth) {
  SmallString<256> path(folder);
  sys::path::append(path, "config.json");
  Result<std::string> text = readTextFile(std::string(path));
  if (!text.ok())
    return failure(text.error().message);
  Expected<ModelConfig> config = parseModelConfig(text.value(), path);
  if (!config)
    return config.takeError();
  Result<std::optional<std::vector<int64_t>>> eos =
      eosOfGenerationConfig(folder.str(), config->vocabSize);
  if (!eos.ok())
    return failure(eos.error().message);
  if (*eos)
    config->eosTokenIds.assign((*eos)->begin(), (*eos)->end());
  if (!holdsSafetensors(folder)) {
    Expected<ModelDescription> model = describeModel(std::move(*config));
    if (model)
      noteOtherFormats(folder, *model);
    return model;
  }
  Result<Checkpoint> checkpoint = Checkpoint::open(folder.str());
  if (!checkpoint.ok())
    return failure(checkpoint.error().message);
  Expected<ModelDescription> model = describeModel(std::move(*config), *checkpoint);
  if (model)
    if (llvm::Error error = checkMtpTensors(
            model->config, std::min(mtpDepth, model->config.mtpLayers), *checkpoint))
      return error;
  return model;
}

Expected<ModelDescription> parseModelDescription(StringRef text, StringRef name) {
  Expected<ModelConfig> config = parseModelConfig(text, name);
  if (!config)
    return config.takeError();
  return describeModel(std::move(*config));
}

} // namespace hadal::frontend
