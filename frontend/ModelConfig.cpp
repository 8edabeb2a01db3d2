//===- ModelConfig.cpp - what the graph takes from a configuration ------===//

#include "frontend/ModelConfig.h"

#include <algorithm>
#include <cmath>
#include <numbers>

using namespace llvm;

namespace hadal::frontend {

/// 0.1 m ln(s) + 1, the temperature that goes with stretching positions by s.
static double yarnMagnitude(double factor, double mscale) {
  return factor <= 1 ? 1.0 : 0.1 * mscale * std::log(factor) + 1.0;
}

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
    return yarnMagnitude(yarn->factor, yarn->mscale) /
           yarnMagnitude(yarn->factor, yarn->mscaleAllDim);
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

Expected<ModelConfig> parseModelConfig(StringRef text, StringRef name) {
  Result<hadal::ModelConfig> parsed =
      hadal::parseModelConfig({text.data(), text.size()}, name.str());
  if (!parsed.ok())
    return createStringError(inconvertibleErrorCode(), parsed.error().message);
  ModelConfig config{std::move(*parsed)};
  bool finite = all_of(config.ropeFrequencies(), [](float f) { return std::isfinite(f); });
  if (!finite || !std::isfinite(float(config.ropeMagnitude())) ||
      !std::isfinite(float(config.softmaxScale())))
    return createStringError(inconvertibleErrorCode(),
                             name + ": rope_scaling wants finite frequencies");
  return config;
}

} // namespace hadal::frontend
