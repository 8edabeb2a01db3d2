//===- Scoring.cpp - how likely a model finds a text --------------------===//

#include "runtime/Scoring.h"

#include "runtime/ModelLimits.h"
#include "runtime/PackedBatch.h"

#include <algorithm>
#include <optional>

using namespace hadal;

/// Windows in one run: about runTokens tokens, and no more than 256 MiB of logits.
static int64_t windowsPerRun(const fb::Model &model) {
  int64_t logitBytes = scoreWindowTokens * model.vocab_size() * static_cast<int64_t>(sizeof(float));
  return std::max<int64_t>(1, std::min(runTokens / scoreWindowTokens, (int64_t(256) << 20) / logitBytes));
}

static std::span<const int32_t> window(std::span<const int32_t> tokens, int64_t i) {
  return tokens.subspan(i * scoreWindowTokens, scoreWindowTokens);
}

namespace {
/// Some of a run's windows.
struct MicroBatch {
  PackedBatch packed;
  std::vector<int32_t> targets;
  std::optional<ProgramRun> prefill;
};
} // namespace

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

  std::vector<MicroBatch> batches(std::max<int64_t>(ranks.microBatches, 1));
  for (MicroBatch &batch : batches)
    batch.prefill.emplace(HADAL_TRY(executor.prepare("prefill")));
  ProgramRun nll = HADAL_TRY(executor.prepare("nll"));
  int64_t begin = ranks.share.first(score.windows), end = begin + ranks.share.count(score.windows), most = ranks.share.most(score.windows);
  int64_t perRun = std::min(most, windowsPerRun(model));
  HADAL_TRY(executor.setStateRegister("cache_slots", perRun * scoreWindowTokens));
  std::vector<float> costs;
  // All ranks run as often as the one with most windows, if on none.
  for (int64_t at = begin; at < begin + most; at += perRun) {
    int64_t firstWindow = std::min(at, end), here = std::min(end, firstWindow + perRun) - firstWindow;
    std::vector<ProgramRun *> runs;
    for (unsigned i = 0; i < batches.size(); ++i) {
      auto &[packed, targets, prefill] = batches[i];
      RowShare part{i, unsigned(batches.size())};
      int64_t first = firstWindow + part.first(here);
      packed.clear(part.first(here) * scoreWindowTokens);
      targets.clear();
      for (int64_t number = first; number < first + part.count(here); ++number) {
        packed.add(window(tokens, number), LogitRows::AllButLast);
        targets.insert(targets.end(), window(tokens, number).begin() + 1, window(tokens, number).end());
      }
      HADAL_TRY(packed.bind(*prefill));
      runs.push_back(&*prefill);
    }
    HADAL_TRY(executor.execute(runs));
    for (const auto &[packed, targets, prefill] : batches) {
      if (targets.empty())
        continue;
      HADAL_TRY(nll.setRegister("rows", packed.logitRows()));
      TensorView logits = HADAL_TRY(prefill->output("logits"));
      HADAL_TRY(nll.bind("logits", logits));
      HADAL_TRY(nll.bind("targets", TensorView::of(targets)));
      HADAL_TRY(nll.execute());
      TensorView values = HADAL_TRY(nll.output("nll"));
      std::span<const float> now(static_cast<const float *>(values.data), targets.size());
      costs.insert(costs.end(), now.begin(), now.end());
    }
    if (progress && here)
      progress(firstWindow + here - begin, end - begin);
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
