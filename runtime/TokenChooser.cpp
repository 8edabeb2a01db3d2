//===- TokenChooser.cpp - the next token of each row of logits ----------===//

#include "runtime/TokenChooser.h"

using namespace hadal;

float hadal::drawUniform(uint64_t seed, uint64_t step) {
  // Source: Steele et al., 2014, SplitMix64, twice: once to spread the seed, once for the step.
  auto mix = [](uint64_t x) {
    x += 0x9E3779B97F4A7C15u;
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
    x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
    return x ^ (x >> 31);
  };
  return static_cast<float>(mix(mix(seed) ^ step) >> 40) * 0x1p-24f;
}

Result<TokenChooser> TokenChooser::create(Executor &executor, const SamplingOptions &options) {
  if (!(options.temperature >= 0) || options.temperature > 1e6f)
    return invalidArgument("temperature: wants a number from 0 on, got " + std::to_string(options.temperature));
  if (!(options.topP > 0 && options.topP <= 1))
    return invalidArgument("top-p: wants a number above 0 and up to 1, got " + std::to_string(options.topP));
  if (options.topK < 0)
    return invalidArgument("top-k: wants a number from 0 on, got " + std::to_string(options.topK));
  if (!(options.minP >= 0 && options.minP <= 1))
    return invalidArgument("min-p: wants a number from 0 to 1, got " + std::to_string(options.minP));
  return TokenChooser(HADAL_TRY(executor.prepare(options.temperature > 0 ? "sample" : "argmax")), options);
}

Result<std::span<const int32_t>> TokenChooser::choose(const TensorView &logits, std::span<const float> uniform) {
  int64_t rows = logits.shape[0];
  HADAL_TRY(run.setRegister("rows", rows));
  HADAL_TRY(run.bind("logits", logits));
  if (draws()) {
    temperatures.assign(rows, options.temperature);
    topKs.assign(rows, options.topK ? options.topK : INT32_MAX);
    topPs.assign(rows, options.topP);
    minPs.assign(rows, options.minP);
    HADAL_TRY(run.bind("temperature", TensorView::of(temperatures)));
    HADAL_TRY(run.bind("top_k", TensorView::of(topKs)));
    HADAL_TRY(run.bind("top_p", TensorView::of(topPs)));
    HADAL_TRY(run.bind("min_p", TensorView::of(minPs)));
    HADAL_TRY(run.bind("uniform", TensorView::of(uniform)));
  }
  HADAL_TRY(run.execute());
  TensorView chosen = HADAL_TRY(run.output("token_ids"));
  return std::span<const int32_t>(static_cast<const int32_t *>(chosen.data), rows);
}
