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
    return invalidArgument("temperature: wants a number from 0 on, got " +
                           std::to_string(options.temperature));
  if (!(options.topP > 0 && options.topP <= 1))
    return invalidArgument("top-p: wants a number above 0 and up to 1, got " +
                           std::to_string(options.topP));
  if (options.topK < 0)
    return invalidArgument("top-k: wants a number from 0 on, got " + std::to_string(options.topK));
  if (!(options.minP >= 0 && options.minP <= 1))
    return invalidArgument("min-p: wants a number from 0 to 1, got " +
                           std::to_string(options.minP));
  if (!(options.repetitionPenalty > 0) || options.repetitionPenalty > 1e6f)
    return invalidArgument("repetition-penalty: wants a number above 0, got " +
                           std::to_string(options.repetitionPenalty));
  std::optional<ProgramRun> penalty;
  if (options.repetitionPenalty != 1)
    penalty.emplace(HADAL_TRY(executor.prepare("penalize")));
  return TokenChooser(HADAL_TRY(executor.prepare(options.temperature > 0 ? "sample" : "argmax")),
                      std::move(penalty), options);
}

Result<DeviceView> TokenChooser::penalized(const DeviceView &logits,
                                           std::span<const std::span<const int32_t>> seen) {
  penalties.assign(seen.size(), options.repetitionPenalty);
  offsets.assign(1, 0);
  allSeen.clear();
  for (std::span<const int32_t> row : seen) {
    allSeen.insert(allSeen.end(), row.begin(), row.end());
    offsets.push_back(static_cast<int32_t>(allSeen.size()));
  }
  HADAL_TRY(penalty->setRegister("rows", logits.shape[0]));
  HADAL_TRY(penalty->setRegister("seen_tokens", static_cast<int64_t>(allSeen.size())));
  HADAL_TRY(penalty->bind("logits", logits));
  HADAL_TRY(penalty->bind("penalty", TensorView::of(penalties)));
  HADAL_TRY(penalty->bind("offsets", TensorView::of(offsets)));
  HADAL_TRY(penalty->bind("seen", TensorView::of(allSeen)));
  HADAL_TRY(penalty->execute());
  return penalty->outputOnDevice("penalized");
}

Result<std::span<const int32_t>>
TokenChooser::choose(const DeviceView &logits, std::span<const float> uniform,
                     std::span<const std::span<const int32_t>> seen) {
  int64_t rows = logits.shape[0];
  HADAL_TRY(run.setRegister("rows", rows));
  HADAL_TRY(run.bind("logits", penalty ? HADAL_TRY(penalized(logits, seen)) : logits));
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

Result<LogProbabilities> LogProbabilities::create(Executor &executor, int64_t vocabulary,
                                                  int64_t top) {
  if (top < 1 || top > vocabulary)
    return invalidArgument("logprobs: wants 1 to " + std::to_string(vocabulary) + " tokens, got " +
                           std::to_string(top));
  return LogProbabilities(HADAL_TRY(executor.prepare("log_probabilities")), top);
}

Result<LogProbabilities::Rows> LogProbabilities::of(const DeviceView &logits,
                                                    std::span<const int32_t> tokens) {
  HADAL_TRY(run.setRegister("rows", logits.shape[0]));
  HADAL_TRY(run.setRegister("top", top));
  HADAL_TRY(run.bind("logits", logits));
  HADAL_TRY(run.bind("token_ids", TensorView::of(tokens)));
  HADAL_TRY(run.execute());
  size_t rows = tokens.size(), all = rows * static_cast<size_t>(top);
  auto floats = [&](const char *name, size_t count) -> Result<std::span<const float>> {
    return std::span(static_cast<const float *>(HADAL_TRY(run.output(name)).data), count);
  };
  auto *ids = static_cast<const int32_t *>(HADAL_TRY(run.output("top_ids")).data);
  return Rows{HADAL_TRY(floats("log_probability", rows)), std::span(ids, all),
              HADAL_TRY(floats("top_log_probabilities", all))};
}
