//===- ModelConfig.cpp - a Hugging Face config.json, read and checked ---===//

#include "frontend/ModelConfig.h"

#include "llvm/ADT/StringExtras.h"
#include "llvm/ADT/Twine.h"
#include "llvm/Support/JSON.h"
#include "llvm/Support/raw_ostream.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <numbers>

using namespace llvm;

namespace hadal::frontend {

namespace {

// Bounds that no DeepSeek-V3 comes near, and that keep every product of sizes far from overflow.
constexpr int64_t maximumSize = int64_t(1) << 24;
constexpr int64_t maximumExperts = int64_t(1) << 16;
constexpr int64_t maximumLayers = int64_t(1) << 12;
constexpr int64_t maximumPositions = std::numeric_limits<int32_t>::max();
constexpr int64_t maximumParameters = int64_t(1) << 56;
constexpr unsigned maximumNesting = 64;

llvm::Error failure(const Twine &message) { return createStringError(inconvertibleErrorCode(), message); }

/// A JSON value for an error message: compact, on one line, at most 60 characters.
std::string show(const json::Value *value) {
  if (!value)
    return "nothing";
  std::string text;
  raw_string_ostream(text) << *value;
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
std::string showWord(const json::Value *value) {
  if (value)
    if (std::optional<StringRef> word = value->getAsString())
      if (!word->empty() && word->size() <= 60 && all_of(*word, [](char c) { return isPrint(c) && c != '"'; }))
        return word->str();
  return show(value);
}

/// json::parse descends recursively, so the depth is bounded before.
unsigned nestingDepth(StringRef text) {
  unsigned depth = 0, deepest = 0;
  bool inString = false;
  for (size_t i = 0; i < text.size(); ++i) {
    char c = text[i];
    if (inString) {
      if (c == '\\')
        ++i;
      else if (c == '"')
        inString = false;
    } else if (c == '"') {
      inString = true;
    } else if (c == '[' || c == '{') {
      deepest = std::max(deepest, ++depth);
    } else if ((c == ']' || c == '}') && depth) {
      --depth;
    }
  }
  return deepest;
}

/// "[1:16, byte=15]: Expected JSON value" -> "line 1, column 16: Expected JSON value".
std::string readableParseError(llvm::Error error) {
  std::string text = llvm::toString(std::move(error));
  StringRef rest = text;
  unsigned line, column;
  if (rest.consume_front("[") && !rest.consumeInteger(10, line) && rest.consume_front(":") &&
      !rest.consumeInteger(10, column)) {
    rest = rest.substr(rest.find("]: ") + 3);
    return ("line " + Twine(line) + ", column " + Twine(column) + ": " + rest).str();
  }
  return text;
}

/// Reads the keys of one JSON object and keeps the first complaint. After a complaint the values returned are
/// placeholders, so a caller checks `ok()` before it relies on several keys at once.
class Reader {
public:
  Reader(const json::Object &object, std::string prefix, std::string &complaint)
      : object(object), prefix(std::move(prefix)), complaint(complaint) {}

  bool ok() const { return complaint.empty(); }
  void complain(StringRef key, const Twine &wanted, const std::string &got) {
    if (ok())
      complaint = (prefix + key + " wants " + wanted + ", got " + got).str();
  }

  const json::Value *find(StringRef key) const { return object.get(key); }
  /// Neither missing nor null.
  bool has(StringRef key) const {
    const json::Value *value = find(key);
    return value && value->kind() != json::Value::Null;
  }

  /// A positive integer. Where it is not `needed` a missing key or null gives 0.
  int64_t positive(StringRef key, int64_t maximum = maximumSize, bool needed = true) {
    if (!needed && !has(key))
      return 0;
    return integer(key, 1, maximum, "a positive integer");
  }
  int64_t count(StringRef key, int64_t maximum, bool needed = true) {
    if (!needed && !has(key))
      return 0;
    return integer(key, 0, maximum, "an integer of at least 0");
  }

  bool boolean(StringRef key, std::optional<bool> otherwise) {
    if (!has(key) && otherwise)
      return *otherwise;
    const json::Value *value = find(key);
    if (std::optional<bool> flag = value ? value->getAsBoolean() : std::nullopt)
      return *flag;
    complain(key, "true or false", show(value));
    return false;
  }

  /// A finite number that `accepts` lets pass.
  double number(StringRef key, const Twine &wanted, function_ref<bool(double)> accepts,
                std::optional<double> otherwise) {
    if (!has(key) && otherwise)
      return *otherwise;
    const json::Value *value = find(key);
    std::optional<double> number = value ? value->getAsNumber() : std::nullopt;
    if (number && std::isfinite(*number) && accepts(*number))
      return *number;
    complain(key, wanted, show(value));
    return 1;
  }

  /// One of `words`; an empty result for a missing key or null.
  StringRef word(StringRef key, ArrayRef<StringRef> words, const Twine &wanted, bool needed = false) {
    if (!needed && !has(key))
      return "";
    const json::Value *value = find(key);
    if (value)
      if (std::optional<StringRef> got = value->getAsString(); got && is_contained(words, *got))
        return *got;
    complain(key, wanted, showWord(value));
    return "";
  }

  /// Null for a missing key or null.
  const json::Object *child(StringRef key) {
    if (!has(key))
      return nullptr;
    const json::Object *result = find(key)->getAsObject();
    if (!result)
      complain(key, "an object or null", show(find(key)));
    return result;
  }

  /// A token id below `vocab`.
  std::optional<int64_t> tokenId(StringRef key, const json::Value &value, int64_t vocab) {
    std::optional<int64_t> id = exactInteger(value);
    if (id && *id >= 0 && *id < vocab)
      return id;
    complain(key, "token ids below vocab_size (" + Twine(vocab) + ")", show(&value));
    return std::nullopt;
  }

private:
  static std::optional<int64_t> exactInteger(const json::Value &value) {
    std::optional<double> number = value.getAsNumber();
    if (!number || !(std::abs(*number) <= 9007199254740992.0)) // 2^53; also turns away what is not a number
      return std::nullopt;
    return value.getAsInteger();
  }

  int64_t integer(StringRef key, int64_t minimum, int64_t maximum, StringRef wanted) {
    const json::Value *value = find(key);
    std::optional<double> number = value ? value->getAsNumber() : std::nullopt;
    if (number && *number > static_cast<double>(maximum)) {
      complain(key, wanted + Twine(minimum ? " of at most " : " and at most ") + Twine(maximum), show(value));
      return minimum;
    }
    std::optional<int64_t> result = value ? exactInteger(*value) : std::nullopt;
    if (result && *result >= minimum)
      return *result;
    complain(key, wanted, show(value));
    return minimum;
  }

  const json::Object &object;
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
                "num_attention_heads (" + Twine(config.heads) + "), latent attention shares no heads",
                show(in.find("num_key_value_heads")));
  config.mtpLayers = in.count("num_nextn_predict_layers", maximumLayers, /*needed=*/false);
}

void readMlp(Reader &in, ModelConfig &config) {
  config.denseLayers = in.count("first_k_dense_replace", maximumLayers);
  if (in.ok() && config.denseLayers > config.layers)
    in.complain("first_k_dense_replace", "at most num_hidden_layers (" + Twine(config.layers) + ")",
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
    return in.complain("topk_group", "at most n_group (" + Twine(config.groups) + ")", show(in.find("topk_group")));
  int64_t eligible = config.groupLimit * groupSize;
  if (config.expertsPerToken > eligible)
    in.complain("num_experts_per_tok",
                "at most topk_group * n_routed_experts / n_group (" + Twine(eligible) + ")",
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

void readRope(Reader &in, ModelConfig &config, StringRef name, std::string &complaint) {
  auto aboveOne = [](double x) { return x > 1; };
  config.ropeInterleave = in.boolean("rope_interleave", true);
  config.ropeTheta = in.number("rope_theta", "a number above 1", aboveOne, 10000);

  if (in.has("rope_scaling") && in.has("rope_parameters") && *in.find("rope_scaling") != *in.find("rope_parameters"))
    in.complain("rope_scaling", "to be null or equal to rope_parameters where both are given",
                show(in.find("rope_scaling")));
  StringRef key = in.has("rope_parameters") ? "rope_parameters" : "rope_scaling";
  const json::Object *object = in.child(key);
  if (!object)
    return;
  Reader rope(*object, (name + ": " + key + ".").str(), complaint);
  config.ropeTheta = rope.number("rope_theta", "a number above 1", aboveOne, config.ropeTheta);
  for (Reader *from : {&in, &rope})
    from->number("partial_rotary_factor", "1", [](double x) { return x == 1; }, 1);

  // `rope_type` goes before the older `type`.
  StringRef typeKey = rope.has("rope_type") ? "rope_type" : "type";
  // A factor without a type would be ignored silently.
  bool needed = rope.has("factor");
  if (rope.word(typeKey, {"yarn", "default"}, "yarn or default", needed) == "yarn")
    readYarn(rope, config);
  if (!in.ok())
    return;
  double magnitude = config.ropeMagnitude(), scale = config.softmaxScale();
  bool finite = all_of(config.ropeFrequencies(), [](float f) { return std::isfinite(f); });
  if (!finite || !std::isfinite(float(magnitude)) || !std::isfinite(float(scale)))
    in.complain(key, "finite frequencies", show(in.find(key)));
}

void readTokens(Reader &in, ModelConfig &config) {
  if (in.has("bos_token_id"))
    config.bosTokenId = in.tokenId("bos_token_id", *in.find("bos_token_id"), config.vocabSize);
  if (!in.has("eos_token_id"))
    return;
  const json::Value &value = *in.find("eos_token_id");
  auto add = [&](const json::Value &item) {
    if (std::optional<int64_t> id = in.tokenId("eos_token_id", item, config.vocabSize))
      config.eosTokenIds.push_back(*id);
  };
  if (const json::Array *list = value.getAsArray())
    for_each(*list, add);
  else
    add(value);
}

void readElementTypes(Reader &in, ModelConfig &config, StringRef name, std::string &complaint) {
  StringRef key = in.has("dtype") ? "dtype" : "torch_dtype";
  StringRef dtype = in.word(key, {"float32", "bfloat16", "float16"}, "float32, bfloat16 or float16");
  config.dtype = dtype == "bfloat16"  ? ElementType::BF16
                 : dtype == "float16" ? ElementType::F16
                                      : ElementType::F32;

  const json::Object *object = in.child("quantization_config");
  if (!object)
    return;
  Reader quantization(*object, (name + ": quantization_config.").str(), complaint);
  quantization.word("quant_method", {"fp8"}, "fp8", /*needed=*/true);
  quantization.word("fmt", {"e4m3"}, "e4m3");
  quantization.word("activation_scheme", {"dynamic"}, "dynamic");
  const json::Value *block = quantization.find("weight_block_size");
  const json::Array *sides = block ? block->getAsArray() : nullptr;
  WeightQuantization wanted;
  auto is = [](const json::Value &value, int64_t side) { return value.getAsInteger() == side; };
  if (!sides || sides->size() != 2 || !is((*sides)[0], wanted.blockRows) || !is((*sides)[1], wanted.blockColumns))
    quantization.complain("weight_block_size", "[128, 128]", show(block));
  config.quantization = wanted;
}

/// 0.1 m ln(s) + 1, the temperature that goes with stretching positions by s.
double yarnMagnitude(double factor, double mscale) {
  return factor <= 1 ? 1.0 : 0.1 * mscale * std::log(factor) + 1.0;
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

std::vector<float> ModelConfig::ropeFrequencies() const {
  int64_t half = ropeDim / 2;
  std::vector<float> frequencies(half);
  auto dim = static_cast<float>(ropeDim);
  auto base = static_cast<float>(ropeTheta);
  // theta^(2j/dr), the exponent and the result rounded to f32.
  auto power = [&](int64_t j) {
    double exponent = static_cast<float>(2 * j) / dim;
    return static_cast<float>(std::pow(static_cast<double>(base), exponent));
  };
  if (!yarn) {
    for (int64_t j = 0; j < half; ++j)
      frequencies[j] = 1.0f / power(j);
    return frequencies;
  }

  // The pair that turns `rotations` times within the original length.
  auto correctionDim = [&](double rotations) {
    return (static_cast<double>(ropeDim) *
            std::log(yarn->originalMaxPositions / (rotations * 2 * std::numbers::pi))) /
           (2 * std::log(ropeTheta));
  };
  double low = correctionDim(yarn->betaFast), high = correctionDim(yarn->betaSlow);
  if (yarn->truncate) {
    low = std::floor(low);
    high = std::ceil(high);
  }
  low = std::max(low, 0.0);
  high = std::min(high, static_cast<double>(ropeDim - 1));
  if (low == high)
    high += 0.001; // as transformers: no division by zero
  for (int64_t j = 0; j < half; ++j) {
    float positions = power(j);
    float extrapolated = 1.0f / positions;
    float interpolated = 1.0f / (static_cast<float>(yarn->factor) * positions);
    float ramp = (static_cast<float>(j) - static_cast<float>(low)) / static_cast<float>(high - low);
    float keep = 1.0f - std::clamp(ramp, 0.0f, 1.0f);
    // Two roundings before the sum, never a fused multiply-add.
    volatile float slow = interpolated * (1.0f - keep), fast = extrapolated * keep;
    frequencies[j] = slow + fast;
  }
  return frequencies;
}

double ModelConfig::ropeMagnitude() const {
  if (!yarn)
    return 1.0;
  if (yarn->attentionFactor)
    return *yarn->attentionFactor;
  if (yarn->mscale != 0 && yarn->mscaleAllDim != 0)
    return yarnMagnitude(yarn->factor, yarn->mscale) / yarnMagnitude(yarn->factor, yarn->mscaleAllDim);
  return yarnMagnitude(yarn->factor, 1);
}

double ModelConfig::softmaxScale() const {
  double scale = std::pow(static_cast<double>(queryDim()), -0.5);
  if (yarn && yarn->mscaleAllDim != 0) {
    double magnitude = yarnMagnitude(yarn->factor, yarn->mscaleAllDim);
    scale = scale * magnitude * magnitude;
  }
  return scale;
}

int64_t ModelConfig::parameterCount() const { return static_cast<int64_t>(countParameters(*this).all); }

int64_t ModelConfig::activeParameterCount() const { return static_cast<int64_t>(countParameters(*this).active); }

Expected<ModelConfig> parseModelConfig(StringRef text, StringRef name) {
  if (nestingDepth(text) > maximumNesting)
    return failure(name + ": nests deeper than " + Twine(maximumNesting) + " levels");
  Expected<json::Value> root = json::parse(text);
  if (!root)
    return failure(name + ": " + readableParseError(root.takeError()));
  const json::Object *object = root->getAsObject();
  if (!object)
    return failure(name + ": wants an object, got " + show(&*root));

  std::string complaint;
  ModelConfig config;
  Reader in(*object, (name + ": ").str(), complaint);
  config.modelType = in.word("model_type", {"deepseek_v3"}, "deepseek_v3", /*needed=*/true).str();
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
    return failure(complaint);
  return config;
}

} // namespace hadal::frontend
