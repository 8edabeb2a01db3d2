//===- ModelConfig.cpp - a Hugging Face config.json, read and checked ---===//

#include "runtime/ModelConfig.h"

#include "runtime/ConfigReader.h"
#include "runtime/File.h"
#include "runtime/FileKind.h"
#include "runtime/Json.h"

#include <algorithm>
#include <charconv>
#include <limits>
#include <span>
#include <utility>

using nlohmann::json;

namespace hadal {

namespace {

// Bounds that no DeepSeek-V3 comes near, and that keep every product of sizes far from overflow.
constexpr int64_t maximumSize = int64_t(1) << 24;
constexpr int64_t maximumExperts = int64_t(1) << 16;
constexpr int64_t maximumLayers = int64_t(1) << 12;
constexpr int64_t maximumPositions = std::numeric_limits<int32_t>::max();
constexpr int64_t maximumBlock = int64_t(1) << 20, blockMultiple = 32;
constexpr int64_t maximumParameters = int64_t(1) << 56;

bool isPositive(double x) { return x > 0; }

/// Also after it is rounded to f32, in which kernels have it.
bool isPositiveInF32(double x) {
  return x <= std::numeric_limits<float>::max() && static_cast<float>(x) > 0;
}

void readSizes(ConfigReader &in, ModelConfig &config) {
  config.vocabSize = in.positive("vocab_size", maximumSize);
  config.hiddenSize = in.positive("hidden_size", maximumSize);
  config.layers = in.positive("num_hidden_layers", maximumLayers);
  config.heads = in.positive("num_attention_heads", maximumSize);
  if (!in.find("q_lora_rank"))
    in.complain("q_lora_rank", "a positive integer or null", "nothing");
  if (in.has("q_lora_rank"))
    config.queryRank = in.positive("q_lora_rank", maximumSize);
  config.latentRank = in.positive("kv_lora_rank", maximumSize);
  config.nopeDim = in.positive("qk_nope_head_dim", maximumSize);
  config.ropeDim = in.positive("qk_rope_head_dim", maximumSize);
  if (in.ok() && config.ropeDim % 2)
    in.complain("qk_rope_head_dim", "an even number", show(in.find("qk_rope_head_dim")));
  config.valueDim = in.positive("v_head_dim", maximumSize);
  config.maxPositions = in.positive("max_position_embeddings", maximumPositions);
  if (in.has("num_key_value_heads") &&
      in.positive("num_key_value_heads", maximumSize) != config.heads)
    in.complain("num_key_value_heads",
                "num_attention_heads (" + std::to_string(config.heads) +
                    "), latent attention shares no heads",
                show(in.find("num_key_value_heads")));
  // transformers 5 knows the first by the second name, too.
  std::string mtpKey =
      in.has("num_nextn_predict_layers") ? "num_nextn_predict_layers" : "num_mtp_layers";
  config.mtpLayers = in.count(mtpKey, maximumLayers, /*needed=*/false);
}

/// What a family leaves to its own code, where deepseek_v3 has a key.
struct Family {
  std::string_view modelType;
  bool routes = true;           ///< youtu has no experts at all
  bool namesLayerTypes = false; ///< mlp_layer_types instead of first_k_dense_replace
  Affinity affinity = Affinity::Sigmoid;
  bool tiesEmbeddings = false;  ///< where tie_word_embeddings is missing
  double normEpsilon = 1e-6;    ///< where rms_norm_eps is missing
  bool choosesRopeOrder = true; ///< by rope_interleave; else pairs are always neighbours
};

/// transformers reads kimi_k2 as deepseek_v3.
constexpr Family families[] = {
    {.modelType = "deepseek_v3"},
    {.modelType = "kimi_k2"},
    {.modelType = "glm4_moe_lite", .namesLayerTypes = true, .normEpsilon = 1e-5},
    {.modelType = "youtu", .routes = false, .tiesEmbeddings = true},
    {.modelType = "deepseek_v2", .affinity = Affinity::Softmax, .choosesRopeOrder = false},
};

const Family *familyOf(std::string_view modelType) {
  for (const Family &family : families)
    if (family.modelType == modelType)
      return &family;
  return nullptr;
}

const Family &readFamily(ConfigReader &in) {
  std::vector<std::string> names;
  std::string wanted;
  for (const Family &family : families) {
    names.emplace_back(family.modelType);
    wanted += (names.size() == 1                     ? ""
               : names.size() == std::size(families) ? " or "
                                                     : ", ") +
              names.back();
  }
  const Family *family = familyOf(in.word("model_type", names, wanted, /*needed=*/true));
  return family ? *family : families[0];
}

/// first_k_dense_replace: the layers before this one are dense.
void readDenseCount(ConfigReader &in, ModelConfig &config) {
  int64_t count = in.count("first_k_dense_replace", maximumLayers);
  if (in.ok() && count > config.layers)
    in.complain("first_k_dense_replace",
                "at most num_hidden_layers (" + std::to_string(config.layers) + ")",
                show(in.find("first_k_dense_replace")));
  for (int64_t layer = 0; layer < config.layers; ++layer)
    config.dense.push_back(layer < count);
}

/// mlp_layer_types: "dense" or "sparse" for each layer.
void readLayerTypes(ConfigReader &in, ModelConfig &config) {
  const json &types = *in.find("mlp_layer_types");
  if (!types.is_array() || static_cast<int64_t>(types.size()) != config.layers)
    return in.complain("mlp_layer_types",
                       "a list of num_hidden_layers (" + std::to_string(config.layers) + ") words",
                       show(&types));
  for (const json &type : types) {
    if (type != "dense" && type != "sparse")
      return in.complain("mlp_layer_types", "dense or sparse for each layer", showWord(&type));
    config.dense.push_back(type == "dense");
  }
}

/// Which layers are dense. A family reads one of the two keys; where the other is there too, it
/// says the same.
void readDenseLayers(ConfigReader &in, ModelConfig &config, const Family &family) {
  if (!in.ok())
    return;
  if (!family.routes) {
    config.dense.assign(config.layers, true);
    return;
  }
  bool hasTypes = in.has("mlp_layer_types");
  if (hasTypes) {
    readLayerTypes(in, config);
  } else if (family.namesLayerTypes) { // its default
    config.dense.assign(config.layers, false);
    config.dense[0] = true;
  }
  if (!in.ok() || (family.namesLayerTypes && !in.has("first_k_dense_replace")))
    return;
  std::vector<bool> byTypes = std::exchange(config.dense, {});
  readDenseCount(in, config);
  if (in.ok() && !byTypes.empty() && byTypes != config.dense)
    in.complain("first_k_dense_replace",
                hasTypes ? "the dense layers of mlp_layer_types"
                         : "1 where there is no mlp_layer_types",
                show(in.find("first_k_dense_replace")));
}

/// groups and groupLimit, and whether there are enough experts in them. Without a router keys may
/// be missing.
void readGroups(ConfigReader &in, ModelConfig &config, bool routes) {
  bool isGreedy = false;
  if (config.affinity == Affinity::Softmax) {
    in.word("scoring_func", {"softmax"}, "softmax");
    // transformers' default is greedy, which looks at no groups.
    isGreedy = in.word("topk_method", {"greedy", "group_limited_greedy"},
                       "greedy or group_limited_greedy") != "group_limited_greedy";
  } else {
    in.word("scoring_func", {"sigmoid"}, "sigmoid");
    in.word("topk_method", {"noaux_tc"}, "noaux_tc");
  }
  config.groups = isGreedy ? 1 : in.positive("n_group", maximumSize, routes);
  config.groupLimit = isGreedy ? 1 : in.positive("topk_group", maximumSize, routes);
  if (!in.ok() || !routes)
    return;
  std::string experts = std::to_string(config.experts);
  if (config.experts % config.groups)
    return in.complain("n_group", "to divide n_routed_experts (" + experts + ")",
                       show(in.find("n_group")));
  int64_t groupSize = config.experts / config.groups;
  if (groupSize < 2 &&
      config.affinity == Affinity::Sigmoid) // A group's score is the sum of its two best.
    return in.complain("n_group", "groups of at least 2 of the n_routed_experts (" + experts + ")",
                       show(in.find("n_group")));
  if (config.groupLimit > config.groups)
    return in.complain("topk_group", "at most n_group (" + std::to_string(config.groups) + ")",
                       show(in.find("topk_group")));
  int64_t eligible = config.groupLimit * groupSize;
  if (config.expertsPerToken <= eligible)
    return;
  std::string most = isGreedy ? "n_routed_experts (" : "topk_group * n_routed_experts / n_group (";
  in.complain("num_experts_per_tok", "at most " + most + std::to_string(eligible) + ")",
              show(in.find("num_experts_per_tok")));
}

void readMlp(ConfigReader &in, ModelConfig &config, const Family &family) {
  config.affinity = family.affinity;
  readDenseLayers(in, config, family);
  bool hasDense = in.ok() && config.denseLayers() > 0;
  config.denseWidth = in.positive("intermediate_size", maximumSize, /*needed=*/hasDense);
  if (!family.routes)
    return;
  // Layers of multi-token prediction route where there are experts, also after dense layers only.
  bool routes =
      in.ok() && (config.moeLayers() > 0 || (config.mtpLayers > 0 && in.has("n_routed_experts")));
  config.expertWidth = in.positive("moe_intermediate_size", maximumSize, routes);
  config.experts = in.positive("n_routed_experts", maximumExperts, routes);
  // null says "no shared expert", but a missing key does not: libraries disagree about its default.
  if (routes && !in.find("n_shared_experts"))
    in.complain("n_shared_experts", "an integer of at least 0 or null", "nothing");
  config.sharedExperts = in.count("n_shared_experts", maximumExperts, /*needed=*/false);
  config.expertsPerToken = in.positive("num_experts_per_tok", maximumSize, routes);
  if (config.affinity == Affinity::Sigmoid) {
    config.normalizeWeights =
        in.boolean("norm_topk_prob", routes ? std::nullopt : std::optional(true));
  } else {
    // DeepSeek-V2's own code divides by the sum and leaves the factor out; transformers ignores the
    // key.
    config.normalizeWeights = in.boolean("norm_topk_prob", false);
    if (config.normalizeWeights)
      in.complain("norm_topk_prob", "false (libraries disagree about true in deepseek_v2)", "true");
  }
  config.routedScale = in.number("routed_scaling_factor", "a positive number", isPositiveInF32,
                                 routes ? std::nullopt : std::optional(1.0));
  readGroups(in, config, routes);
}

/// What this compiler knows one answer to. transformers ignores some of these keys; the release's
/// own code does not.
void readFixedChoices(ConfigReader &in) {
  in.word("hidden_act", {"silu"}, "silu");
  if (in.has("moe_layer_freq") && in.positive("moe_layer_freq", maximumSize) != 1)
    in.complain("moe_layer_freq", "1", show(in.find("moe_layer_freq")));
  if (in.boolean("mlp_bias", false))
    in.complain("mlp_bias", "false", "true");
  // DeepSeek-V3.2: dense attention gives other numbers from index_topk tokens on.
  if (std::string key = in.firstWith("index_"); !key.empty())
    in.complain(key, "to be absent (sparse attention, as DeepSeek-V3.2 has it, is not compiled)",
                show(in.find(key)));
}

/// `top` is the whole configuration, `in` its rope_scaling or rope_parameters.
void readYarn(ConfigReader &top, ConfigReader &in, ModelConfig &config) {
  YarnScaling yarn;
  auto atLeastOne = [](double x) { return x >= 1; };
  // transformers reads null and 0 as "not given".
  auto orZero = [](double x) { return x >= 0; };
  // As in transformers the key beside rope_scaling goes before the one in it.
  double inner = in.number("original_max_position_embeddings", "a positive number", isPositive,
                           config.maxPositions);
  yarn.originalMaxPositions =
      top.number("original_max_position_embeddings", "a positive number", isPositive, inner);
  // null is the ratio of the two lengths; a missing key is an error there, too.
  std::optional<double> ratio;
  if (in.find("factor"))
    ratio = std::max(1.0, static_cast<double>(config.maxPositions) / yarn.originalMaxPositions);
  yarn.factor = in.number("factor", "a number of at least 1", atLeastOne, ratio);
  if (double beta = in.number("beta_fast", "a number of at least 0", orZero, 0))
    yarn.betaFast = beta;
  if (double beta = in.number("beta_slow", "a number of at least 0", orZero, 0))
    yarn.betaSlow = beta;
  yarn.mscale = in.number("mscale", "a number of at least 0", orZero, 0);
  yarn.mscaleAllDim = in.number("mscale_all_dim", "a number of at least 0", orZero, 0);
  if (in.has("attention_factor"))
    yarn.attentionFactor =
        in.number("attention_factor", "a positive number", isPositive, std::nullopt);
  yarn.truncate = in.boolean("truncate", true);
  config.yarn = yarn;
}

/// null is false where the key has a meaning: transformers asks whether it is true.
bool readRopeOrder(ConfigReader &in, const Family &family) {
  bool isNull = in.find("rope_interleave") && !in.has("rope_interleave");
  bool interleave = in.boolean("rope_interleave", !isNull || !family.choosesRopeOrder);
  if (!family.choosesRopeOrder && !interleave)
    in.complain("rope_interleave",
                "true, as " + std::string(family.modelType) + " always rotates neighbours",
                "false");
  return interleave;
}

void readRope(ConfigReader &in, ModelConfig &config, const Family &family, std::string &complaint) {
  auto aboveOne = [](double x) { return x > 1; };
  config.ropeInterleave = readRopeOrder(in, family);
  config.ropeTheta = in.number("rope_theta", "a number above 1", aboveOne, 10000);

  if (in.has("rope_scaling") && in.has("rope_parameters") &&
      *in.find("rope_scaling") != *in.find("rope_parameters"))
    in.complain("rope_scaling", "to be null or equal to rope_parameters where both are given",
                show(in.find("rope_scaling")));
  auto rotatesAll = [](ConfigReader &from) {
    from.number(
        "partial_rotary_factor", "1", [](double x) { return x == 1; }, 1);
  };
  rotatesAll(in);
  std::string key = in.has("rope_parameters") ? "rope_parameters" : "rope_scaling";
  const json *object = in.child(key);
  if (!object)
    return;
  ConfigReader rope(*object, in.prefixOf(key), complaint);
  rotatesAll(rope);
  config.ropeTheta = rope.number("rope_theta", "a number above 1", aboveOne, config.ropeTheta);

  // `rope_type` goes before the older `type`.
  std::string typeKey = rope.has("rope_type") ? "rope_type" : "type";
  // A factor without a type would be ignored silently.
  bool needed = rope.has("factor");
  if (rope.word(typeKey, {"yarn", "default"}, "yarn or default", needed) == "yarn")
    readYarn(in, rope, config);
}

void readTokens(ConfigReader &in, ModelConfig &config) {
  if (in.has("bos_token_id"))
    config.bosTokenId = in.tokenId("bos_token_id", *in.find("bos_token_id"), config.vocabSize);
  if (!in.has("eos_token_id"))
    return;
  const json &value = *in.find("eos_token_id");
  auto add = [&](const json &item) {
    if (std::optional<int64_t> id = in.tokenId("eos_token_id", item, config.vocabSize))
      config.eosTokenIds.push_back(*id);
  };
  if (value.is_array())
    std::for_each(value.begin(), value.end(), add);
  else
    add(value);
}

void readElementTypes(ConfigReader &in, ModelConfig &config, std::string &complaint) {
  std::string key = in.has("dtype") ? "dtype" : "torch_dtype";
  std::string dtype =
      in.word(key, {"float32", "bfloat16", "float16"}, "float32, bfloat16 or float16");
  config.dtype = dtype == "bfloat16"  ? ElementType::BF16
                 : dtype == "float16" ? ElementType::F16
                                      : ElementType::F32;

  const json *object = in.child("quantization_config");
  if (!object)
    return;
  ConfigReader quantization(*object, in.prefixOf("quantization_config"), complaint);
  quantization.word("quant_method", {"fp8"}, "fp8", /*needed=*/true);
  quantization.word("fmt", {"e4m3"}, "e4m3");
  quantization.word("activation_scheme", {"dynamic"}, "dynamic");
  const json *block = quantization.find("weight_block_size");
  WeightQuantization wanted;
  // Kernels read weights in panels of up to 32 outputs, each with one scale.
  auto read = [&](size_t side, int64_t &size) {
    std::optional<int64_t> given = exactInteger(&(*block)[side]);
    size = given.value_or(0);
    return size > 0 && size <= maximumBlock && size % blockMultiple == 0;
  };
  if (!block || !block->is_array() || block->size() != 2 || !read(0, wanted.blockRows) ||
      !read(1, wanted.blockColumns))
    quantization.complain("weight_block_size",
                          "two multiples of " + std::to_string(blockMultiple) + ", as [128, 128]",
                          show(block));
  config.quantization = wanted;
}

/// Wide enough for any sizes below the bounds above.
struct Counts {
  __int128 all = 0, active = 0;
};

Counts countParameters(const ModelConfig &c) {
  using Wide = __int128;
  Wide h = c.hiddenSize, queries = Wide(c.heads) * c.queryDim();
  Wide attention = (c.latentRank + c.ropeDim) * h + c.latentRank +
                   Wide(c.heads) * (c.nopeDim + c.valueDim) * c.latentRank +
                   h * c.heads * c.valueDim;
  attention += c.queryRank ? *c.queryRank * h + *c.queryRank + queries * *c.queryRank : queries * h;
  if (c.attentionBias)
    attention += (c.latentRank + c.ropeDim) + h + c.queryRank.value_or(0);
  Wide norms = 2 * h, expert = 3 * h * c.expertWidth;
  Wide router = c.experts * h + (c.hasCorrectionBias() ? c.experts : 0);
  Wide everyToken = c.layers * (attention + norms) + c.denseLayers() * 3 * h * c.denseWidth +
                    c.moeLayers() * (router + expert * c.sharedExperts) + h;
  Wide table = c.vocabSize * h;
  Counts counts;
  counts.all = everyToken + c.moeLayers() * c.experts * expert + table * (c.tieEmbeddings ? 1 : 2);
  counts.active = everyToken + c.moeLayers() * c.expertsPerToken * expert + table +
                  (c.tieEmbeddings ? Wide(0) : h);
  return counts;
}

bool isGiven(const json &object, const char *key) {
  auto at = object.find(key);
  return at != object.end() && !at->is_null();
}

/// The text part of a model of pictures and text, with what only the whole says; none where `root`
/// is a text model itself.
std::optional<json> textPart(const json &root) {
  auto typeOf = [](const json &object) {
    auto at = object.find("model_type");
    return at != object.end() && at->is_string() ? at->get<std::string>() : std::string();
  };
  auto text = root.find("text_config");
  if (familyOf(typeOf(root)) || text == root.end() || !text->is_object() ||
      !familyOf(typeOf(*text)))
    return std::nullopt;
  json part = *text;
  for (const char *key :
       {"dtype", "torch_dtype", "bos_token_id", "eos_token_id", "quantization_config"})
    if (!isGiven(part, key) && isGiven(root, key))
      part[key] = root[key];
  if (isGiven(root, "tie_word_embeddings")) // the whole has the head
    part["tie_word_embeddings"] = root["tie_word_embeddings"];
  return part;
}

void readModel(ConfigReader &in, ModelConfig &config, std::string &complaint) {
  const Family &family = readFamily(in);
  config.modelType = family.modelType;
  readSizes(in, config);
  readMlp(in, config, family);
  readFixedChoices(in);
  config.normEpsilon =
      in.number("rms_norm_eps", "a positive number", isPositiveInF32, family.normEpsilon);
  config.attentionBias = in.boolean("attention_bias", false);
  config.tieEmbeddings = in.boolean("tie_word_embeddings", family.tiesEmbeddings);
  if (in.ok())
    readRope(in, config, family, complaint);
  readTokens(in, config);
  readElementTypes(in, config, complaint);
  if (in.ok() && countParameters(config).all > maximumParameters)
    in.complain("hidden_size", "sizes that give at most 2^56 parameters together",
                show(in.find("hidden_size")));
}

} // namespace

std::string TensorNaming::operator()(std::string_view name) const {
  constexpr std::string_view bodyName = "model.", headName = "lm_head.";
  if (name.starts_with(bodyName))
    return body + std::string(name.substr(bodyName.size()));
  if (name.starts_with(headName))
    return head + "." + std::string(name.substr(headName.size()));
  return std::string(name);
}

int64_t ModelConfig::denseLayers() const { return std::count(dense.begin(), dense.end(), true); }

std::vector<int64_t> ModelConfig::routedLayers() const {
  std::vector<int64_t> routed;
  for (int64_t layer = 0; layer < layers; ++layer)
    if (!dense[layer])
      routed.push_back(layer);
  return routed;
}

int64_t ModelConfig::parameterCount() const {
  return static_cast<int64_t>(countParameters(*this).all);
}

int64_t ModelConfig::activeParameterCount() const {
  return static_cast<int64_t>(countParameters(*this).active);
}

Result<ModelConfig> parseModelConfig(std::string_view text, const std::string &name) {
  HADAL_TRY(refuseForeignFile(name, std::as_bytes(std::span(text)), "JSON", FileKind::Json));
  json root = HADAL_TRY(parseJsonObject(text, name));
  std::optional<json> part = textPart(root);
  std::string complaint;
  ModelConfig config;
  ConfigReader in(part ? *part : root, name + (part ? ": text_config." : ": "), complaint);
  readModel(in, config, complaint);
  if (part) {
    config.isNested = true;
    config.naming = {"language_model.model.", "language_model.lm_head"};
  }
  if (!in.ok())
    return invalidFile(complaint);
  return config;
}

Result<ModelConfig> readModelConfig(const std::string &path) {
  return parseModelConfig(HADAL_TRY(readTextFile(path)), path);
}

namespace {

class ValueList {
public:
  void word(std::string name, std::string text) {
    list.push_back({std::move(name), std::move(text)});
  }
  void flag(std::string name, bool value) { word(std::move(name), value ? "true" : "false"); }
  void size(std::string name, int64_t value) { word(std::move(name), std::to_string(value)); }
  /// The shortest text that reads back as this number.
  void number(std::string name, double value) {
    char text[32];
    constexpr double limit = 1e15; // whole numbers below it stand without an exponent
    bool isWhole = value > -limit && value < limit &&
                   static_cast<double>(static_cast<int64_t>(value)) == value;
    auto end = isWhole ? std::to_chars(text, text + sizeof text, static_cast<int64_t>(value))
                       : std::to_chars(text, text + sizeof text, value);
    word(std::move(name), std::string(text, end.ptr));
  }

  std::vector<ConfigValue> list;
};

/// By their number where they come first, else layer by layer. Either key may have said it.
void listDenseLayers(ValueList &out, const ModelConfig &c) {
  const char *name = "first_k_dense_replace (or mlp_layer_types)";
  if (std::is_sorted(c.dense.rbegin(), c.dense.rend()))
    return out.size(name, c.denseLayers());
  std::string types;
  for (bool isDense : c.dense)
    types += isDense ? "d" : "s";
  out.word(name, types);
}

void listExperts(ValueList &out, const ModelConfig &c) {
  out.size("moe_intermediate_size", c.expertWidth);
  out.size("n_routed_experts", c.experts);
  out.size("n_shared_experts", c.sharedExperts);
  out.size("num_experts_per_tok", c.expertsPerToken);
  // One value: with either key a limit may come or go.
  out.word("topk_group of n_group", c.groupLimit < c.groups ? std::to_string(c.groupLimit) +
                                                                  " of " + std::to_string(c.groups)
                                                            : "all");
  out.word("scoring_func", c.affinity == Affinity::Sigmoid ? "sigmoid" : "softmax");
  out.flag("norm_topk_prob", c.normalizeWeights);
  out.number("routed_scaling_factor", c.routedScale);
}

void listYarn(ValueList &out, const YarnScaling &yarn) {
  out.number("rope_scaling.factor", yarn.factor);
  out.number("rope_scaling.original_max_position_embeddings", yarn.originalMaxPositions);
  out.number("rope_scaling.beta_fast", yarn.betaFast);
  out.number("rope_scaling.beta_slow", yarn.betaSlow);
  if (yarn.attentionFactor)
    out.number("rope_scaling.attention_factor", *yarn.attentionFactor);
  else
    out.word("rope_scaling.attention_factor", "none");
  // mscale counts only beside mscale_all_dim, and where no attention_factor takes its place.
  out.number("rope_scaling.mscale",
             yarn.mscaleAllDim != 0 && !yarn.attentionFactor ? yarn.mscale : 0);
  out.number("rope_scaling.mscale_all_dim", yarn.mscaleAllDim);
  out.flag("rope_scaling.truncate", yarn.truncate);
}

} // namespace

std::vector<ConfigValue> valuesThatChangeNumbers(const ModelConfig &c) {
  ValueList out;
  out.size("vocab_size", c.vocabSize);
  out.size("hidden_size", c.hiddenSize);
  out.size("num_hidden_layers", c.layers);
  listDenseLayers(out, c);
  out.size("num_attention_heads", c.heads);
  out.word("q_lora_rank", c.queryRank ? std::to_string(*c.queryRank) : "none");
  out.size("kv_lora_rank", c.latentRank);
  out.size("qk_nope_head_dim", c.nopeDim);
  out.size("qk_rope_head_dim", c.ropeDim);
  out.size("v_head_dim", c.valueDim);
  if (c.denseLayers())
    out.size("intermediate_size", c.denseWidth);
  out.word("hidden_act", "silu");
  out.number("rms_norm_eps", c.normEpsilon);
  out.number("rope_theta", c.ropeTheta);
  out.flag("rope_interleave", c.ropeInterleave);
  out.word("rope_scaling", c.yarn ? "yarn" : "none");
  if (c.yarn)
    listYarn(out, *c.yarn);
  out.flag("attention_bias", c.attentionBias);
  out.flag("tie_word_embeddings", c.tieEmbeddings);
  if (c.moeLayers())
    listExperts(out, c);
  return std::move(out.list);
}

std::optional<ConfigDifference> firstDifference(const std::vector<ConfigValue> &mine,
                                                const std::vector<ConfigValue> &theirs) {
  auto valueIn = [](const std::vector<ConfigValue> &list, const std::string &name) {
    for (const ConfigValue &value : list)
      if (value.name == name)
        return value.text;
    return std::string("none");
  };
  for (const auto *list : {&mine, &theirs})
    for (const ConfigValue &value : *list)
      if (std::string here = valueIn(mine, value.name), there = valueIn(theirs, value.name);
          here != there)
        return ConfigDifference{value.name, here, there};
  return std::nullopt;
}

} // namespace hadal
