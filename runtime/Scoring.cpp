//===- Scoring.cpp - how likely a model finds a text --------------------===//

#include "runtime/Scoring.h"

#include "runtime/ModelLimits.h"
#include "runtime/PackedBatch.h"

#include <algorithm>

using namespace hadal;

/// Windows in one run: about runTokens tokens, and no more than 256 MiB of logits.
static int64_t windowsPerRun(const fb::Model &model) {
  int64_t logitBytes = scoreWindowTokens * model.vocab_size() * static_cast<int64_t>(sizeof(float));
  return std::max<int64_t>(1, std::min(runTokens / scoreWindowTokens, (int64_t(256) << 20) / logitBytes));
}

Result<Score> hadal::scoreTokens(Executor &executor, std::span<const int32_t> tokens,
                                 const std::function<void(int64_t, int64_t)> &progress) {
  const fb::Model &model = *HADAL_TRY(inferenceModelOf(executor.module()));
  Score score;
  score.windows = static_cast<int64_t>(tokens.size()) / scoreWindowTokens;
  if (score.windows == 0)
    return invalidArgument("the text has " + std::to_string(tokens.size()) + " tokens, a window has " +
                           std::to_string(scoreWindowTokens));
  auto window = [&](int64_t i) { return tokens.subspan(i * scoreWindowTokens, scoreWindowTokens); };
  for (int64_t i = 0; i < score.windows; ++i)
    HADAL_TRY(checkSequence(model, window(i), "window " + std::to_string(i)));

  ProgramRun prefill = HADAL_TRY(executor.prepare("prefill")), nll = HADAL_TRY(executor.prepare("nll"));
  int64_t perRun = std::min(score.windows, windowsPerRun(model));
  HADAL_TRY(executor.setStateRegister("cache_slots", perRun * scoreWindowTokens));
  PackedBatch packed;
  std::vector<int32_t> targets;
  double sum = 0; // of scalars that the module computed
  for (int64_t first = 0; first < score.windows; first += perRun) {
    packed.clear();
    targets.clear();
    for (int64_t i = first; i < std::min(score.windows, first + perRun); ++i) {
      packed.add(window(i), LogitRows::AllButLast);
      targets.insert(targets.end(), window(i).begin() + 1, window(i).end());
    }
    HADAL_TRY(packed.bind(prefill));
    HADAL_TRY(prefill.execute());
    HADAL_TRY(nll.setRegister("rows", packed.logitRows()));
    TensorView logits = HADAL_TRY(prefill.output("logits"));
    HADAL_TRY(nll.bind("logits", logits));
    HADAL_TRY(nll.bind("targets", TensorView::of(targets)));
    HADAL_TRY(nll.execute());
    TensorView values = HADAL_TRY(nll.output("nll"));
    for (float value : std::span(static_cast<const float *>(values.data), targets.size()))
      sum += value;
    score.tokens += static_cast<int64_t>(targets.size());
    if (progress)
      progress(std::min(score.windows, first + perRun), score.windows);
  }
  score.meanNll = sum / static_cast<double>(score.tokens);
  return score;
}
