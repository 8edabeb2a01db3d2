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

static std::span<const int32_t> window(std::span<const int32_t> tokens, int64_t i) {
  return tokens.subspan(i * scoreWindowTokens, scoreWindowTokens);
}

Status hadal::checkScoring(const Module &module, std::span<const int32_t> tokens) {
  const fb::Model &model = *HADAL_TRY(inferenceModelOf(module));
  int64_t windows = static_cast<int64_t>(tokens.size()) / scoreWindowTokens;
  if (windows == 0)
    return invalidArgument("the text has " + std::to_string(tokens.size()) + " tokens, a window has " +
                           std::to_string(scoreWindowTokens));
  for (int64_t i = 0; i < windows; ++i)
    HADAL_TRY(checkSequence(model, window(tokens, i), "window " + std::to_string(i)));
  return {};
}

Result<Score> hadal::scoreTokens(Executor &executor, std::span<const int32_t> tokens,
                                 const std::function<void(int64_t, int64_t)> &progress, const ScoringRanks &ranks) {
  HADAL_TRY(checkScoring(executor.module(), tokens));
  const fb::Model &model = *executor.module().model();
  Score score;
  score.windows = static_cast<int64_t>(tokens.size()) / scoreWindowTokens;

  ProgramRun prefill = HADAL_TRY(executor.prepare("prefill")), nll = HADAL_TRY(executor.prepare("nll"));
  int64_t begin = ranks.share.first(score.windows), end = begin + ranks.share.count(score.windows), most = ranks.share.most(score.windows);
  int64_t perRun = std::min(most, windowsPerRun(model));
  HADAL_TRY(executor.setStateRegister("cache_slots", perRun * scoreWindowTokens));
  PackedBatch packed;
  std::vector<int32_t> targets;
  std::vector<float> costs;
  // All ranks run as often as the one with most windows, if on none.
  for (int64_t first = begin; first < begin + most; first += perRun) {
    packed.clear();
    targets.clear();
    for (int64_t i = first; i < std::min(end, first + perRun); ++i) {
      packed.add(window(tokens, i), LogitRows::AllButLast);
      targets.insert(targets.end(), window(tokens, i).begin() + 1, window(tokens, i).end());
    }
    HADAL_TRY(packed.bind(prefill));
    HADAL_TRY(prefill.execute());
    if (targets.empty())
      continue;
    HADAL_TRY(nll.setRegister("rows", packed.logitRows()));
    TensorView logits = HADAL_TRY(prefill.output("logits"));
    HADAL_TRY(nll.bind("logits", logits));
    HADAL_TRY(nll.bind("targets", TensorView::of(targets)));
    HADAL_TRY(nll.execute());
    TensorView values = HADAL_TRY(nll.output("nll"));
    std::span<const float> now(static_cast<const float *>(values.data), targets.size());
    costs.insert(costs.end(), now.begin(), now.end());
    if (progress)
      progress(std::min(end, first + perRun) - begin, end - begin);
  }
  if (ranks.gather)
    costs = HADAL_TRY(ranks.gather(std::move(costs)));
  double sum = 0; // of scalars that the module computed
  for (float value : costs)
    sum += value;
  score.tokens = static_cast<int64_t>(costs.size());
  score.meanNll = sum / static_cast<double>(score.tokens);
  return score;
}
