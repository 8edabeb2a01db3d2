//===- ModelConfig.h - what the graph takes from a configuration --------===//
//
// The configuration itself is read by runtime/ModelConfig.h; here is what the compiler computes
// from it.
//
//===--------------------------------------------------------------------===//

#ifndef HADAL_FRONTEND_MODELCONFIG_H
#define HADAL_FRONTEND_MODELCONFIG_H

#include "runtime/ModelConfig.h"

#include "llvm/ADT/StringRef.h"
#include "llvm/Support/Error.h"

#include <vector>

namespace hadal::frontend {

/// A checked configuration whose frequencies and scales are finite.
struct ModelConfig : hadal::ModelConfig {
  /// q_a_layernorm and kv_a_layernorm take this epsilon whatever rms_norm_eps says (transformers'
  /// modeling_deepseek_v3.py).
  static constexpr double latentNormEpsilon = 1e-6;

  /// Radians per position for each of the ropeDim / 2 pairs, rounded to f32 where transformers
  /// rounds.
  std::vector<float> ropeFrequencies() const;

  /// What cosine and sine are multiplied by.
  double ropeMagnitude() const;

  /// What scores are multiplied by before the softmax.
  double softmaxScale() const;
};

/// hadal::parseModelConfig, and that all which is computed from the values is finite.
llvm::Expected<ModelConfig> parseModelConfig(llvm::StringRef text,
                                             llvm::StringRef name = "config.json");

} // namespace hadal::frontend

#endif // HADAL_FRONTEND_MODELCONFIG_H
