//===- ModelConfig.h - a Hugging Face config.json, read and checked -----===//
//
// Only `model_type` deepseek_v3. Both spellings are read: `rope_theta` + `rope_scaling` and `torch_dtype` of the
// published release, and `rope_parameters` and `dtype` of transformers 5.
//
//===--------------------------------------------------------------------===//

#ifndef HADAL_FRONTEND_MODELCONFIG_H
#define HADAL_FRONTEND_MODELCONFIG_H

#include "runtime/Tensor.h"

#include "llvm/ADT/StringRef.h"
#include "llvm/Support/Error.h"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace hadal::frontend {

/// YaRN as transformers computes it: low frequencies are divided by `factor`, high ones stay, a ramp lies between.
/// Source: arXiv:2309.00071 and transformers, modeling_rope_utils.py, _compute_yarn_parameters.
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

/// FP8 weights: one f32 scale for each block of rows x columns.
struct WeightQuantization {
  int64_t blockRows = 128;
  int64_t blockColumns = 128;
};

/// A checked configuration. Sizes are positive unless said otherwise, and no tensor's byte count overflows.
struct ModelConfig {
  std::string modelType;
  int64_t vocabSize = 0;
  int64_t hiddenSize = 0;
  int64_t layers = 0;
  int64_t denseLayers = 0; ///< first_k_dense_replace: the layers before this one have a dense MLP (0 .. layers)
  int64_t heads = 0;
  std::optional<int64_t> queryRank; ///< q_lora_rank; none: one projection makes the queries
  int64_t latentRank = 0;           ///< kv_lora_rank
  int64_t nopeDim = 0;              ///< qk_nope_head_dim
  int64_t ropeDim = 0;              ///< qk_rope_head_dim, even
  int64_t valueDim = 0;             ///< v_head_dim
  int64_t denseWidth = 0;           ///< intermediate_size; 0 where no layer is dense and the key is missing

  // Zero where no layer routes and the key is missing.
  int64_t expertWidth = 0;   ///< moe_intermediate_size
  int64_t experts = 0;       ///< n_routed_experts
  int64_t sharedExperts = 0; ///< n_shared_experts; 0: none
  int64_t expertsPerToken = 0;
  int64_t groups = 0;     ///< n_group; divides experts into groups of at least two
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

  bool isDense(int64_t layer) const { return layer < denseLayers; }
  int64_t moeLayers() const { return layers - denseLayers; }
  int64_t queryDim() const { return nopeDim + ropeDim; }

  /// q_a_layernorm and kv_a_layernorm take this epsilon whatever rms_norm_eps says (transformers, ORACLE_NOTES §2).
  static constexpr double latentNormEpsilon = 1e-6;

  /// Radians per position for each of the ropeDim / 2 pairs, rounded to f32 where transformers rounds.
  std::vector<float> ropeFrequencies() const;

  /// What cosine and sine are multiplied by.
  double ropeMagnitude() const;

  /// What scores are multiplied by before the softmax.
  double softmaxScale() const;

  /// Elements of the main model's checkpoint tensors (MTP layers, block scales and tied copies not counted).
  int64_t parameterCount() const;

  /// Those that one token meets: K of the routed experts of a layer, one row of the embedding table.
  int64_t activeParameterCount() const;

  /// The latent and the shared rope key of every layer.
  int64_t cacheElementsPerToken() const { return layers * (latentRank + ropeDim); }
};

/// Reads and checks the text of a config.json. `name` stands before each message. An error is one line that names the
/// key, what was wanted and what came: "config.json: hidden_size wants a positive integer, got 0".
llvm::Expected<ModelConfig> parseModelConfig(llvm::StringRef text, llvm::StringRef name = "config.json");

} // namespace hadal::frontend

#endif // HADAL_FRONTEND_MODELCONFIG_H
