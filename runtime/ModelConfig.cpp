//===- ModelConfig.cpp - a Hugging Face config.json, read and checked ---===//

#include "runtime/ModelConfig.h"

#include "runtime/Json.h"

#include <algorithm>
#include <functional>
#include <limits>
#include <span>

using nlohmann::json;

namespace hadal {

namespace {

// Bounds that no DeepSeek-V3 comes near, and that keep every product of sizes far from overflow.
constexpr int64_t maximumSize = int64_t(1) << 24;
constexpr int64_t maximumExperts = int64_t(1) << 16;
constexpr int64_t maximumLayers = int64_t(1) << 12;
constexpr int64_t maximumPositions = std::numeric_limits<int32_t>::max();
constexpr int64_t maximumParameters = int64_t(1) << 56;

/// A JSON value for an error message: compact, on one line, at most 60 characters.
std::string show(const json *value) {
  if (!value)
    return "nothing";
  std::string text = value->dump(-1, ' ', false, json::error_handler_t::replace);
  if (text.size() > 60) {
    // Cut between characters, never inside one.
    size_t end = 57;
    while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80)
      --end;
    text = text.substr(0, end) + "...";
  }
  return text;
}

/// As show, but a plain word stands without quotes: "wants deepseek_v3, got llama".
std::string showWord(const json *value) {
  if (value && value->is_string()) {
    const auto &word = value->get_ref<const std::string &>();
    auto isPlain = [](char c) { return c >= ' ' && c <= '~' && c != '"'; };
    if (!word.empty() && word.size() <= 60 && std::all_of(word.begin(), word.end(), isPlain))
      return word;
  }
  return show(value);
}

std::optional<double> numberOf(const json *value) {
  if (!value || !value->is_number())
    return std::nullopt;
  return value->get<double>();
}

/// A whole number, also one written as 16.0.
std::optional<int64_t> exactInteger(const json *value) {
  std::optional<double> number = numberOf(value);
  constexpr double limit = 9007199254740992.0; // 2^53
  if (!number || !(*number >= -limit && *number <= limit)) // also turns away what is not a number
    return std::nullopt;
  auto whole = static_cast<int64_t>(*number);
  return static_cast<double>(whole) == *number ? std::optional(whole) : std::nullopt;
}

/// Reads the keys of one JSON object and keeps the first complaint. After a complaint the values returned are
/// placeholders, so a caller checks `ok()` before it relies on several keys at once.
class Reader {
public:
  Reader(const json &object, std::string prefix, std::string &complaint)
      : object(object), prefix(std::move(prefix)), complaint(complaint) {}

  bool ok() const { return complaint.empty(); }
  void complain(const std::string &key, const std::string &wanted, const std::string &got) {
    if (ok())
      complaint = prefix + key + " wants " + wanted + ", got " + got;
  }

  const json *find(const std::string &key) const {
    auto at = object.find(key);
    return at == object.end() ? nullptr : &*at;
  }
  /// Neither missing nor null.
  bool has(const std::string &key) const {
    const json *value = find(key);
    return value && !value->is_null();
  }

  /// A positive integer. Where it is not `needed` a missing key or null gives 0.
  int64_t positive(const std::string &key, int64_t maximum = maximumSize, bool needed = true) {
    if (!needed && !has(key))
      return 0;
    return integer(key, 1, maximum, "a positive integer");
  }
  int64_t count(const std::string &key, int64_t maximum, bool needed = true) {
    if (!needed && !has(key))
      return 0;
    return integer(key, 0, maximum, "an integer of at least 0");
  }

  bool boolean(const std::string &key, std::optional<bool> otherwise) {
    if (!has(key) && otherwise)
      return *otherwise;
    const json *value = find(key);
    if (value && value->is_boolean())
      return value->get<bool>();
    complain(key, "true or false", show(value));
    return false;
  }

  /// A finite number that `accepts` lets pass.
  double number(const std::string &key, const std::string &wanted, const std::function<bool(double)> &accepts,
                std::optional<double> otherwise) {
    if (!has(key) && otherwise)
      return *otherwise;
    const json *value = find(key);
    std::optional<double> number = numberOf(value);
    constexpr double largest = std::numeric_limits<double>::max();
    if (number && *number >= -largest && *number <= largest && accepts(*number))
      return *number;
    complain(key, wanted, show(value));
    return 1;
  }

  /// One of `words`; an empty result for a missing key or null.
  std::string word(const std::string &key, std::initializer_list<std::string_view> words, const std::string &wanted,
                   bool needed = false) {
    if (!needed && !has(key))
      return "";
    const json *value = find(key);
    if (value && value->is_string())
      for (std::string_view known : words)
        if (value->get_ref<const std::string &>() == known)
          return std::string(known);
    complain(key, wanted, showWord(value));
    return "";
  }

  /// Null for a missing key or null.
  const json *child(const std::string &key) {
    if (!has(key))
      return nullptr;
    const json *result = find(key);
    if (result->is_object())
      return result;
    complain(key, "an object or null", show(result));
    return nullptr;
  }

  /// A token id below `vocab`.
  std::optional<int64_t> tokenId(const std::string &key, const json &value, int64_t vocab) {
    std::optional<int64_t> id = exactInteger(&value);
    if (id && *id >= 0 && *id < vocab)
      return id;
    complain(key, "token ids below vocab_size (" + std::to_string(vocab) + ")", show(&value));
    return std::nullopt;
  }

private:
  int64_t integer(const std::string &key, int64_t minimum, int64_t maximum, const std::string &wanted) {
    const json *value = find(key);
    std::optional<double> number = numberOf(value);
    if (number && *number > static_cast<double>(maximum)) {
      complain(key, wanted + (minimum ? " of at most " : " and at most ") + std::to_string(maximum), show(value));
      return minimum;
    }
    std::optional<int64_t> result = exactInteger(value);
    if (result && *result >= minimum)
      return *result;
    complain(key, wanted, show(value));
    return minimum;
  }

  const json &object;
  std::string prefix;
  std::string &complaint;
};

bool isPositive(double x) { return x > 0; }

void readSizes(Reader &in, ModelConfig &config) {
  config.vocabSize = in.positive("vocab_size");
  config.hiddenSize = in.positive("hidden_size");
  config.layers = in.positive("num_hidden_layers", maximumLayers);
  config.heads = in.positive("num_attention_heads");
  if (!in.find("q_lora_rank"))
    in.complain("q_lora_rank", "a positive integer or null", "nothing");
  if (in.has("q_lora_rank"))
    config.queryRank = in.positive("q_lora_rank");
  config.latentRank = in.positive("kv_lora_rank");
  config.nopeDim = in.positive("qk_nope_head_dim");
  config.ropeDim = in.positive("qk_rope_head_dim");
  if (in.ok() && config.ropeDim % 2)
    in.complain("qk_rope_head_dim", "an even number", show(in.find("qk_rope_head_dim")));
  config.valueDim = in.positive("v_head_dim");
  config.maxPositions = in.positive("max_position_embeddings", maximumPositions);
  if (in.has("num_key_value_heads") && in.positive("num_key_value_heads") != config.heads)
    in.complain("num_key_value_heads",
                "num_attention_heads (" + std::to_string(config.heads) + "), latent attention shares no heads",
                show(in.find("num_key_value_heads")));
  config.mtpLayers = in.count("num_nextn_predict_layers", maximumLayers, /*needed=*/false);
}

void readMlp(Reader &in, ModelConfig &config) {
  config.denseLayers = in.count("first_k_dense_replace", maximumLayers);
  if (in.ok() && config.denseLayers > config.layers)
    in.complain("first_k_dense_replace", "at most num_hidden_layers (" + std::to_string(config.layers) + ")",
                show(in.find("first_k_dense_replace")));
  bool routes = config.denseLayers < config.layers;
  config.denseWidth = in.positive("intermediate_size", maximumSize, /*needed=*/config.denseLayers > 0);
  config.expertWidth = in.positive("moe_intermediate_size", maximumSize, routes);
  config.experts = in.positive("n_routed_experts", maximumExperts, routes);
  // null says "no shared expert", but a missing key does not: libraries disagree about its default.
  if (routes && !in.find("n_shared_experts"))
    in.complain("n_shared_experts", "an integer of at least 0 or null", "nothing");
  config.sharedExperts = in.count("n_shared_experts", maximumExperts, /*needed=*/false);
  config.groups = in.positive("n_group", maximumSize, routes);
  config.groupLimit = in.positive("topk_group", maximumSize, routes);
  config.expertsPerToken = in.positive("num_experts_per_tok", maximumSize, routes);
  config.normalizeWeights = in.boolean("norm_topk_prob", routes ? std::nullopt : std::optional(true));
  config.routedScale = in.number("routed_scaling_factor", "a positive number", isPositive,
                                 routes ? std::nullopt : std::optional(1.0));
  if (!in.ok() || !routes)
    return;

  std::string experts = std::to_string(config.experts);
  if (config.experts % config.groups)
    return in.complain("n_group", "to divide n_routed_experts (" + experts + ")", show(in.find("n_group")));
  int64_t groupSize = config.experts / config.groups;
  if (groupSize < 2) // A group's score is the sum of its two best.
    return in.complain("n_group", "groups of at least 2 of the n_routed_experts (" + experts + ")",
                       show(in.find("n_group")));
  if (config.groupLimit > config.groups)
    return in.complain("topk_group", "at most n_group (" + std::to_string(config.groups) + ")", show(in.find("topk_group")));
  int64_t eligible = config.groupLimit * groupSize;
  if (config.expertsPerToken > eligible)
    in.complain("num_experts_per_tok",
                "at most topk_group * n_routed_experts / n_group (" + std::to_string(eligible) + ")",
                show(in.find("num_experts_per_tok")));
}

/// What this compiler knows one answer to. transformers ignores some of these keys; the release's own code does not.
void readFixedChoices(Reader &in) {
  in.word("hidden_act", {"silu"}, "silu");
  in.word("scoring_func", {"sigmoid"}, "sigmoid");
  in.word("topk_method", {"noaux_tc"}, "noaux_tc");
  if (in.has("moe_layer_freq") && in.positive("moe_layer_freq") != 1)
    in.complain("moe_layer_freq", "1", show(in.find("moe_layer_freq")));
}

void readYarn(Reader &in, ModelConfig &config) {
  YarnScaling yarn;
  auto atLeastOne = [](double x) { return x >= 1; };
  // transformers reads null and 0 as "not given".
  auto orZero = [](double x) { return x >= 0; };
  yarn.factor = in.number("factor", "a number of at least 1", atLeastOne, std::nullopt);
  yarn.originalMaxPositions =
      in.number("original_max_position_embeddings", "a positive number", isPositive, config.maxPositions);
  if (double beta = in.number("beta_fast", "a number of at least 0", orZero, 0))
    yarn.betaFast = beta;
  if (double beta = in.number("beta_slow", "a number of at least 0", orZero, 0))
    yarn.betaSlow = beta;
  yarn.mscale = in.number("mscale", "a number of at least 0", orZero, 0);
  yarn.mscaleAllDim = in.number("mscale_all_dim", "a number of at least 0", orZero, 0);
  if (in.has("attention_factor"))
    yarn.attentionFactor = in.number("attention_factor", "a positive number", isPositive, std::nullopt);
  yarn.truncate = in.boolean("truncate", true);
  config.yarn = yarn;
}

void readRope(Reader &in, ModelConfig &config, const std::string &name, std::string &complaint) {
  auto aboveOne = [](double x) { return x > 1; };
  config.ropeInterleave = in.boolean("rope_interleave", true);
  config.ropeTheta = in.number("rope_theta", "a number above 1", aboveOne, 10000);

  if (in.has("rope_scaling") && in.has("rope_parameters") && *in.find("rope_scaling") != *in.find("rope_parameters"))
    in.complain("rope_scaling", "to be null or equal to rope_parameters where both are given",
                show(in.find("rope_scaling")));
  std::string key = in.has("rope_parameters") ? "rope_parameters" : "rope_scaling";
  const json *object = in.child(key);
  if (!object)
    return;
  Reader rope(*object, name + ": " + key + ".", complaint);
  config.ropeTheta = rope.number("rope_theta", "a number above 1", aboveOne, config.ropeTheta);
  for (Reader *from : {&in, &rope})
    from->number("partial_rotary_factor", "1", [](double x) { return x == 1; }, 1);

  // `rope_type` goes before the older `type`.
  std::string typeKey = rope.has("rope_type") ? "rope_type" : "type";
  // A factor without a type would be ignored silently.
  bool needed = rope.has("factor");
  if (rope.word(typeKey, {"yarn", "default"}, "yarn or default", needed) == "yarn")
    readYarn(rope, config);
}

void readTokens(Reader &in, ModelConfig &config) {
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

void readElementTypes(Reader &in, ModelConfig &config, const std::string &name, std::string &complaint) {
  std::string key = in.has("dtype") ? "dtype" : "torch_dtype";
  std::string dtype = in.word(key, {"float32", "bfloat16", "float16"}, "float32, bfloat16 or float16");
  config.dtype = dtype == "bfloat16"  ? ElementType::BF16
                 : dtype == "float16" ? ElementType::F16
                                      : ElementType::F32;

  const json *object = in.child("quantization_config");
  if (!object)
    return;
  Reader quantization(*object, name + ": quantization_config.", complaint);
  quantization.word("quant_method", {"fp8"}, "fp8", /*needed=*/true);
  quantization.word("fmt", {"e4m3"}, "e4m3");
  quantization.word("activation_scheme", {"dynamic"}, "dynamic");
  const json *block = quantization.find("weight_block_size");
  WeightQuantization wanted;
  auto is = [&](size_t side, int64_t size) { return exactInteger(&(*block)[side]) == size; };
  if (!block || !block->is_array() || block->size() != 2 || !is(0, wanted.blockRows) || !is(1, wanted.blockColumns))
    quantization.complain("weight_block_size", "[128, 128]", show(block));
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
                   Wide(c.heads) * (c.nopeDim + c.valueDim) * c.latentRank + h * c.heads * c.valueDim;
  attention += c.queryRank ? *c.queryRank * h + *c.queryRank + queries * *c.queryRank : queries * h;
  if (c.attentionBias)
    attention += (c.latentRank + c.ropeDim) + h + c.queryRank.value_or(0);
  Wide norms = 2 * h, expert = 3 * h * c.expertWidth;
  Wide everyToken = c.layers * (attention + norms) + c.denseLayers * 3 * h * c.denseWidth +
                    c.moeLayers() * (c.experts * h + c.experts + expert * c.sharedExperts) + h;
  Wide table = c.vocabSize * h;
  Counts counts;
  counts.all = everyToken + c.moeLayers() * c.experts * expert + table * (c.tieEmbeddings ? 1 : 2);
  counts.active = everyToken + c.moeLayers() * c.expertsPerToken * expert + table + (c.tieEmbeddings ? Wide(0) : h);
  return counts;
}

} // namespace

int64_t ModelConfig::parameterCount() const { return static_cast<int64_t>(countParameters(*this).all); }

int64_t ModelConfig::activeParameterCount() const { return static_cast<int64_t>(countParameters(*this).active); }

Result<ModelConfig> parseModelConfig(std::string_view text, const std::string &name) {
  json root = HADAL_TRY(parseJsonObject(text, name));
  std::string complaint;
  ModelConfig config;
  Reader in(root, name + ": ", complaint);
  config.modelType = in.word("model_type", {"deepseek_v3"}, "deepseek_v3", /*needed=*/true);
  readSizes(in, config);
  readMlp(in, config);
  readFixedChoices(in);
  config.normEpsilon = in.number("rms_norm_eps", "a positive number", isPositive, 1e-6);
  config.attentionBias = in.boolean("attention_bias", false);
  config.tieEmbeddings = in.boolean("tie_word_embeddings", false);
  if (in.ok())
    readRope(in, config, name, complaint);
  readTokens(in, config);
  readElementTypes(in, config, name, complaint);
  if (in.ok() && countParameters(config).all > maximumParameters)
    in.complain("hidden_size", "sizes that give at most 2^56 parameters together", show(in.find("hidden_size")));
  if (!in.ok())
    return invalidFile(complaint);
  return config;
}

} // namespace hadal
