//===- Parameters.cpp - the checkpoint tensors that a model needs -------===//

#include "frontend/Parameters.h"

#include "runtime/File.h"
#include "runtime/Safetensors.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/ADT/StringSet.h"
#include "llvm/ADT/Twine.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/MathExtras.h"
#include "llvm/Support/Path.h"

using namespace llvm;

namespace hadal::frontend {

namespace {

llvm::Error failure(const Twine &message) { return createStringError(inconvertibleErrorCode(), message); }

/// What may be stored where.
enum class Role {
  Projection, ///< a weight that the release stores in FP8
  Plain,      ///< other matrices, norms and biases: never FP8
  Correction, ///< e_score_correction_bias: F32 even in a BF16 file
};

struct Wanted {
  std::string name;
  Shape shape;
  Role role;
  int64_t count = 1;
};

/// Every parameter of the graph but block scales, in the order of the model; `mtpDepth` layers of multi-token prediction
/// (0 for inference) stand where the checkpoint numbers them, behind the others.
class Enumeration {
public:
  explicit Enumeration(const ModelConfig &c, int64_t mtpDepth = 0) : c(c) {
    add("model.embed_tokens.weight", {c.vocabSize, c.hiddenSize}, Role::Plain);
    for (int64_t layer = 0; layer < c.layers; ++layer)
      block(layerPrefix(layer), c.isDense(layer));
    for (int64_t depth = 0; depth < mtpDepth; ++depth) {
      std::string prefix = layerPrefix(c.layers + depth);
      for (const char *norm : {"enorm.weight", "hnorm.weight"})
        add(prefix + norm, {c.hiddenSize}, Role::Plain);
      add(prefix + "eh_proj.weight", {c.hiddenSize, 2 * c.hiddenSize}, Role::Plain);
      block(prefix, !c.experts);
      add(prefix + "shared_head.norm.weight", {c.hiddenSize}, Role::Plain);
    }
    add("model.norm.weight", {c.hiddenSize}, Role::Plain);
    if (!c.tieEmbeddings)
      add("lm_head.weight", {c.vocabSize, c.hiddenSize}, Role::Plain);
  }

  std::vector<Wanted> list;

private:
  void add(std::string name, Shape shape, Role role, int64_t count = 1) {
    list.push_back({std::move(name), std::move(shape), role, count});
  }

  static std::string layerPrefix(int64_t layer) { return "model.layers." + std::to_string(layer) + "."; }

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
    add(p + "kv_b_proj.weight", {c.heads * (c.nopeDim + c.valueDim), c.latentRank}, Role::Projection);
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

void append(ModelDescription &model, std::string name, ElementType element, Shape shape, int64_t count) {
  model.index[name] = model.parameters.size();
  model.parameters.push_back({std::move(name), element, std::move(shape), count});
}

/// Looks every wanted tensor up, and then looks whether any tensor was not wanted.
class HeaderCheck {
public:
  HeaderCheck(const ModelConfig &config, const Checkpoint &checkpoint) : config(config), checkpoint(checkpoint) {}

  /// The one element type of all tensors of `wanted`.
  Expected<ElementType> check(const Wanted &wanted) {
    std::optional<ElementType> element;
    for (int64_t i = 0; i < wanted.count; ++i) {
      std::string name = nameInStack(wanted.name, i);
      auto entry = checkpoint.find(name);
      if (!entry)
        return fail(name, "wants shape " + toString(wanted.shape) + ", but is missing");
      if (entry->tensor->shape != wanted.shape)
        return fail(name, "wants shape " + toString(wanted.shape) + ", got " + toString(entry->tensor->shape));
      if (llvm::Error error = accept(wanted.role, name, entry->tensor->element))
        return error;
      if (element && *element != entry->tensor->element)
        return fail(name, "wants " + typeName(*element) + " as " + nameInStack(wanted.name, 0) + ", got " +
                              typeName(entry->tensor->element));
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
  static std::string typeName(ElementType element) { return std::string(elementTypeName(element)); }

  llvm::Error accept(Role role, const std::string &name, ElementType element) {
    if (element == ElementType::F32 || element == ElementType::BF16)
      return llvm::Error::success();
    if (role == Role::Projection && element == ElementType::F8E4M3) {
      if (config.quantization)
        return llvm::Error::success();
      return fail(name, "wants quantization_config in config.json, as it is F8_E4M3");
    }
    return fail(name, Twine("wants F32") + (role == Role::Projection ? ", BF16 or F8_E4M3" : " or BF16") + ", got " +
                          typeName(element));
  }

  /// Tensors that inference has no use for.
  bool ignored(StringRef name) {
    StringRef rest = name;
    int64_t layer;
    if (rest.consume_front("model.layers.") && !rest.consumeInteger(10, layer) && rest.starts_with(".") &&
        layer >= config.layers)
      return true; // a multi-token prediction layer
    if (name == "lm_head.weight")
      return config.tieEmbeddings;
    if (name.ends_with(".rotary_emb.inv_freq"))
      return true; // written by old versions of transformers; derived from the configuration
    auto entry = checkpoint.find(name);
    return entry && is_contained(entry->tensor->shape, 0); // a shared expert of width 0
  }

  const ModelConfig &config;
  const Checkpoint &checkpoint;
  StringSet<> known;
};

bool holdsSafetensors(StringRef folder) {
  std::error_code error;
  for (sys::fs::directory_iterator it(folder, error), end; it != end && !error; it.increment(error)) {
    StringRef name = sys::path::filename(it->path());
    if (name.ends_with(".safetensors") || name.ends_with(".safetensors.index.json"))
      return true;
  }
  return false;
}

} // namespace

std::string ParameterDescription::nameOf(int64_t index) const { return nameInStack(name, index); }

const ParameterDescription *ModelDescription::find(StringRef name) const {
  auto place = index.find(name);
  return place == index.end() ? nullptr : &parameters[place->second];
}

Expected<ModelDescription> describeModel(ModelConfig config) {
  if (config.dtype == ElementType::F16)
    return failure("config.json: torch_dtype wants float32 or bfloat16, got float16");
  ModelDescription model;
  for (Wanted &wanted : Enumeration(config).list) {
    if (wanted.role == Role::Projection && config.quantization) {
      append(model, wanted.name, ElementType::F8E4M3, wanted.shape, wanted.count);
      append(model, wanted.name + "_scale_inv", ElementType::F32, scaleShape(wanted.shape, *config.quantization),
             wanted.count);
      continue;
    }
    ElementType element = wanted.role == Role::Correction ? ElementType::F32 : config.dtype;
    append(model, std::move(wanted.name), element, std::move(wanted.shape), wanted.count);
  }
  model.config = std::move(config);
  return model;
}

ModelDescription describeTraining(ModelConfig config, int64_t mtpDepth) {
  ModelDescription model;
  for (Wanted &wanted : Enumeration(config, mtpDepth).list)
    append(model, std::move(wanted.name), ElementType::F32, std::move(wanted.shape), wanted.count);
  model.config = std::move(config);
  return model;
}

Expected<ModelDescription> describeModel(ModelConfig config, const Checkpoint &checkpoint) {
  ModelDescription model;
  HeaderCheck headers(config, checkpoint);
  for (Wanted &wanted : Enumeration(config).list) {
    Expected<ElementType> element = headers.check(wanted);
    if (!element)
      return element.takeError();
    append(model, wanted.name, *element, wanted.shape, wanted.count);
    if (*element != ElementType::F8E4M3)
      continue;
    Wanted scale{wanted.name + "_scale_inv", scaleShape(wanted.shape, *config.quantization), Role::Plain, wanted.count};
    Expected<ElementType> scaleElement = headers.check(scale);
    if (!scaleElement)
      return scaleElement.takeError();
    if (*scaleElement != ElementType::F32)
      return failure(checkpoint.path() + ": " + nameInStack(scale.name, 0) + " wants F32, got " +
                     std::string(elementTypeName(*scaleElement)));
    append(model, std::move(scale.name), *scaleElement, std::move(scale.shape), scale.count);
  }
  if (llvm::Error error = headers.checkNothingElse())
    return error;
  model.config = std::move(config);
  return model;
}

Expected<ModelDescription> readModelDescription(StringRef folder) {
  SmallString<256> path(folder);
  sys::path::append(path, "config.json");
  Result<std::string> text = readTextFile(std::string(path));
  if (!text.ok())
    return failure(text.error().message);
  Expected<ModelConfig> config = parseModelConfig(text.value(), path);
  if (!config)
    return config.takeError();
  if (!holdsSafetensors(folder))
    return describeModel(std::move(*config));
  Result<Checkpoint> checkpoint = Checkpoint::open(folder.str());
  if (!checkpoint.ok())
    return failure(checkpoint.error().message);
  return describeModel(std::move(*config), *checkpoint);
}

} // namespace hadal::frontend
