//===- ModelConfig.h - a Hugging Face config.json, read and checked -----===//
//
// `model_type` deepseek_v3 and the families that differ from it in a few choices: kimi_k2,
// glm4_moe_lite, youtu and deepseek_v2. A model of pictures and text whose `text_config` is one of
// these is read as that text model. Both spellings are read: `rope_theta` + `rope_scaling` and
// `torch_dtype` of the published release, and `rope_parameters` and `dtype` of transformers 5.
// Source: transformers 5.24, configuration_*.py and modeling_*.py of each family.
//
// The compiler builds its graph from it (what is computed from these values:
// frontend/ModelConfig.h), and the runtime compares a checkpoint's with the one that its module was
// compiled from.
//
//===--------------------------------------------------------------------===//

#ifndef HADAL_RUNTIME_MODELCONFIG_H
#define HADAL_RUNTIME_MODELCONFIG_H

#include "runtime/Tensor.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace hadal {

/// YaRN as transformers computes it: low frequencies are divided by `factor`, high ones stay, a
/// ramp lies between. Source: arXiv:2309.00071 and transformers, modeling_rope_utils.py,
/// _compute_yarn_parameters.
struct YarnScaling {
  double factor = 1;
  double originalMaxPositions = 0;
  double betaFast = 32;
  double betaSlow = 1;
  double mscale = 0;       ///< 0: not given
  double mscaleAllDim = 0; ///< 0: not given
  std::optional<double> attentionFactor;
  bool truncate = true;
};

/// FP8 weights: one scale for each block of rows x columns.
struct WeightQuantization {
  int64_t blockRows = 128;
  int64_t blockColumns = 128;
  ElementType scales = ElementType::F32; ///< in the checkpoint: F32, BF16 or F8E8M0
};

/// How a router scores experts, and what goes with that.
enum class Affinity {
  Sigmoid, ///< with a correction bias; a group is as good as its two best experts together
           ///< (DeepSeek-V3)
  Softmax, ///< no bias; a group is as good as its best expert (DeepSeek-V2)
};

/// How a checkpoint begins the names of the text model's tensors.
struct TensorNaming {
  std::string body = "model.";  ///< before "embed_tokens.weight", "layers.0. ..." and "norm.weight"
  std::string head = "lm_head"; ///< before ".weight"

  /// `name` in the words of deepseek_v3 ("model.layers.0. ...", "lm_head.weight") as the checkpoint
  /// has it.
  std::string operator()(std::string_view name) const;
};

/// A checked configuration. Sizes are positive unless said otherwise, and no tensor's byte count
/// overflows.
struct ModelConfig {
  std::string modelType;
  int64_t vocabSize = 0;
  int64_t hiddenSize = 0;
  int64_t layers = 0;
  std::vector<bool> dense; ///< whether a layer has a dense MLP, or experts: first_k_dense_replace
                           ///< or mlp_layer_types
  int64_t heads = 0;
  std::optional<int64_t> queryRank; ///< q_lora_rank; none: one projection makes the queries
  int64_t latentRank = 0;           ///< kv_lora_rank
  int64_t nopeDim = 0;              ///< qk_nope_head_dim
  int64_t ropeDim = 0;              ///< qk_rope_head_dim, even
  int64_t valueDim = 0;             ///< v_head_dim
  int64_t denseWidth = 0; ///< intermediate_size; 0 where no layer is dense and the key is missing

  // Zero where no layer routes and the key is missing.
  int64_t expertWidth = 0;   ///< moe_intermediate_size
  int64_t experts = 0;       ///< n_routed_experts
  int64_t sharedExperts = 0; ///< n_shared_experts; 0: none
  int64_t expertsPerToken = 0;
  Affinity affinity = Affinity::Sigmoid;
  int64_t groups = 0;     ///< n_group; divides experts into groups, with Sigmoid of at least two; 1
                          ///< where none matter
  int64_t groupLimit = 0; ///< topk_group
  bool normalizeWeights = true;
  double routedScale = 1;

  double normEpsilon = 1e-6;
  double ropeTheta = 10000;
  std::optional<YarnScaling> yarn;
  bool ropeInterleave = true;
  bool attentionBias = false;
  bool tieEmbeddings = false;
  int64_t mtpLayers = 0; ///< num_nextn_predict_layers
  int64_t maxPositions = 0;
  std::optional<int64_t> bosTokenId;
  std::vector<int64_t> eosTokenIds;

  ElementType dtype = ElementType::F32; ///< F32, BF16 or F16
  std::optional<WeightQuantization> quantization;

  bool isNested = false; ///< the text part of a larger model, whose other tensors are not read
  TensorNaming naming; ///< of the text part: "language_model." stands before it, until a checkpoint
                       ///< says otherwise

  /// Also of the layers of multi-token prediction, which have experts where the model has any.
  bool isDense(int64_t layer) const { return layer < layers ? dense[layer] : !experts; }
  int64_t denseLayers() const;
  int64_t moeLayers() const { return layers - denseLayers(); }
  /// Numbers of the main model's layers that route, ascending.
  std::vector<int64_t> routedLayers() const;
  bool hasCorrectionBias() const { return affinity == Affinity::Sigmoid; }
  int64_t queryDim() const { return nopeDim + ropeDim; }

  /// Elements of the main model's checkpoint tensors (MTP layers, block scales and tied copies not
  /// counted).
  int64_t parameterCount() const;

  /// Those that one token meets: K of the routed experts of a layer, one row of the embedding
  /// table.
  int64_t activeParameterCount() const;

  /// The latent and the shared rope key of every layer.
  int64_t cacheElementsPerToken() const { return layers * (latentRank + ropeDim); }
};

/// A value under its name in config.json; equal texts mean equal numbers.
struct ConfigValue {
  std::string name, text;
};

/// All values that results depend on, so that other words for the same configuration give the same
/// list: defaults are written out, what changes nothing here (a limit of groups that lets all pass,
/// experts of a model without any) has one spelling, and what only says how much there is
/// (max_position_embeddings), where answers stop, or how weights are stored is left out.
std::vector<ConfigValue> valuesThatChangeNumbers(const ModelConfig &config);

/// Where `theirs` first differs from `mine`. A value that one of them lacks is "none" there.
struct ConfigDifference {
  std::string name, mine, theirs;
};

/// None when nothing differs; in the order of `mine`.
std::optional<ConfigDifference> firstDifference(const std::vector<ConfigValue> &mine,
                                                const std::vector<ConfigValue> &theirs);

/// Reads and checks the text of a config.json. `name` stands before each message. An error is one
/// line that names the key, what was wanted and what came: "config.json: hidden_size wants a
/// positive integer, got 0".
Result<ModelConfig> parseModelConfig(std::string_view text,
                                     const std::string &name = "config.json");

/// The same of a file, whose path stands before each message.
Result<ModelConfig> readModelConfig(const std::string &path);

} // namespace hadal

#endif // HADAL_RUNTIME_MODELCONFIG_H
