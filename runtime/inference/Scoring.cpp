//===- Scoring.cpp - how likely a model finds a text --------------------===//

#include "runtime/inference/Scoring.h"

#include "runtime/Finite.h"
#include "runtime/ModelLimits.h"
#include "runtime/inference/PackedBatch.h"
#include "runtime/module/Names.h"

#include <algorithm>
#include <optional>

using namespace hadal;

std::vector<ScoreWindow> hadal::scoreWindows(int64_t tokens, const ScoringOptions &options) {
  std::vector<ScoreWindow> windows;
  int64_t unscored = options.bos ? 0 : 1; // at a window's front: nothing stands before it
  auto add = [&](int64_t begin, int64_t end, int64_t scoredBefore) {
    int64_t scored = std::max(begin + unscored, scoredBefore);
    if (scored < end)
      windows.push_back({begin, end, scored});
  };
  if (options.stride) {
    for (int64_t begin = 0, before = 0; before < tokens; begin += options.stride) {
      int64_t end = std::min(begin + options.window, tokens);
      add(begin, end, before);
      before = end;
    }
    return windows;
  }
  for (int64_t begin = 0; begin + options.window <= tokens; begin += options.window)
    add(begin, begin + options.window, 0);
  if (windows.empty())
    add(0, tokens, 0);
  return windows;
}

/// Windows in one run: about runTokens tokens, and no more than 256 MiB of logits.
static int64_t windowsPerRun(const fb::Model &model, int64_t longest) {
  int64_t logitBytes = longest * model.vocab_size() * static_cast<int64_t>(sizeof(float));
  return std::max<int64_t>(1, std::min(runTokens / longest, (int64_t(256) << 20) / logitBytes));
}

namespace {
/// Some of a run's windows.
struct WindowBatch {
  PackedBatch packed;
  std::vector<int32_t> targets;
  std::optional<ProgramRun> prefill;
};
} // namespace

/// Adds a window to a run.
static void addWindow(WindowBatch &batch, std::span<const int32_t> tokens,
                      const ScoreWindow &window, const std::optional<int32_t> &bos) {
  std::vector<int32_t> sequence;
  if (bos)
    sequence.push_back(*bos);
  sequence.insert(sequence.end(), tokens.begin() + window.begin, tokens.begin() + window.end);
  // The row before a token's own has its likelihood.
  int32_t length = static_cast<int32_t>(sequence.size()),
          scored = static_cast<int32_t>(window.end - window.scored);
  batch.packed.add(sequence, length - 1 - scored, length - 1);
  batch.targets.insert(batch.targets.end(), tokens.begin() + window.scored,
                       tokens.begin() + window.end);
}

Status hadal::checkScoring(const Module &module, std::span<const int32_t> tokens,
                           const ScoringOptions &options) {
  const fb::Model &model = *HADAL_TRY(inferenceModelOf(module));
  if (options.stride > options.window)
    return invalidArgument("a stride of " + std::to_string(options.stride) +
                           " tokens passes over some, where a window has " +
                           std::to_string(options.window));
  if (options.bos)
    HADAL_TRY(checkSequence(model, {&*options.bos, 1}, "BOS"));
  std::vector<ScoreWindow> windows = scoreWindows(static_cast<int64_t>(tokens.size()), options);
  if (windows.empty())
    return invalidArgument("the text has " + std::to_string(tokens.size()) +
                           (tokens.size() == 1 ? " token" : " tokens") + ", nothing to score");
  for (size_t i = 0; i < windows.size(); ++i) {
    int64_t length = windows[i].end - windows[i].begin;
    if (length + (options.bos ? 1 : 0) > model.max_positions())
      return invalidArgument("a window has " + std::to_string(length) + " tokens" +
                             (options.bos ? " and BOS" : "") + ", the model has " +
                             std::to_string(model.max_positions()) + " positions");
    HADAL_TRY(checkSequence(model, tokens.subspan(windows[i].begin, length),
                            "window " + std::to_string(i)));
  }
  return {};
}

Result<Score> hadal::scoreTokens(Executor &executor, std::span<const int32_t> tokens,
                                 const ScoringOptions &options,
                                 const std::function<void(int64_t, int64_t)> &progress,
                                 const ScoringRanks &ranks) {
  HADAL_TRY(checkScoring(executor.module(), tokens, options));
  const fb::Model &model = *executor.module().model();
  std::vector<ScoreWindow> windows = scoreWindows(static_cast<int64_t>(tokens.size()), options);
  int64_t longest = 0;
  for (const ScoreWindow &window : windows)
    longest = std::max(longest, window.end - window.begin + (options.bos ? 1 : 0));
  Score score;
  score.windows = static_cast<int64_t>(windows.size());
  score.rest = static_cast<int64_t>(tokens.size()) - windows.back().end;

  std::vector<WindowBatch> batches(std::max<int64_t>(ranks.microBatches, 1));
  for (WindowBatch &batch : batches)
    batch.prefill.emplace(HADAL_TRY(executor.prepare(names::program::prefill)));
  ProgramRun nll = HADAL_TRY(executor.prepare(names::program::nll));
  int64_t begin = ranks.share.first(score.windows), end = begin + ranks.share.count(score.windows),
          most = ranks.share.most(score.windows);
  int64_t perRun = std::min(most, windowsPerRun(model, longest));
  HADAL_TRY(executor.setStateRegister(names::reg::cacheSlots, perRun * longest));
  std::vector<float> costs;
  // All ranks run as often as the one with most windows, if on none.
  for (int64_t at = begin; at < begin + most; at += perRun) {
    int64_t firstWindow = std::min(at, end),
            here = std::min(end, firstWindow + perRun) - firstWindow;
    std::vector<ProgramRun *> runs;
    for (unsigned i = 0; i < batches.size(); ++i) {
      WindowBatch &batch = batches[i];
      RowShare part{i, unsigned(batches.size())};
      int64_t first = firstWindow + part.first(here);
      batch.packed.clear(part.first(here) * longest);
      batch.targets.clear();
      for (int64_t number = first; number < first + part.count(here); ++number)
        addWindow(batch, tokens, windows[number], options.bos);
      HADAL_TRY(batch.packed.bind(*batch.prefill));
      runs.push_back(&*batch.prefill);
    }
    HADAL_TRY(executor.execute(runs));
    for (const auto &[packed, targets, prefill] : batches) {
      if (targets.empty())
        continue;
      HADAL_TRY(nll.setRegister(names::reg::rows, packed.logitRows()));
      DeviceView logits = HADAL_TRY(prefill->outputOnDevice(names::argument::logits));
      HADAL_TRY(nll.bind(names::argument::logits, logits));
      HADAL_TRY(nll.bind(names::argument::targets, TensorView::of(targets)));
      HADAL_TRY(nll.execute());
      TensorView values = HADAL_TRY(nll.output(names::argument::nll));
      std::span<const float> now(static_cast<const float *>(values.data), targets.size());
      if (!allFinite(now))
        return invalidArgument(
            "what a token costs is not finite: its logits have no finite maximum, or not itself");
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
