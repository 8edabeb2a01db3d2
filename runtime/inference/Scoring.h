//===- Scoring.h - how likely a model finds a text ----------------------===//

#ifndef HADAL_RUNTIME_INFERENCE_SCORING_H
#define HADAL_RUNTIME_INFERENCE_SCORING_H

#include "runtime/Executor.h"
#include "runtime/ranks/RowShare.h"

#include <functional>
#include <optional>
#include <span>
#include <vector>

namespace hadal {

struct ScoringOptions {
  int64_t window = 129; ///< tokens of the text in a window, which sees nothing before them
  /// Tokens from one window's first to the next one's. A window scores what those before it have
  /// not, and the last one ends with the text. 0: windows do not overlap, and a shorter rest after
  /// the last is left out, unless it is all there is.
  int64_t stride = 0;
  std::optional<int32_t>
      bos; ///< stands in front of each window, which then scores its first token, too
};

struct Score {
  double meanNll = 0; ///< mean negative log-likelihood of a scored token, in nats
  int64_t tokens = 0; ///< scored
  int64_t windows = 0;
  int64_t rest = 0; ///< tokens after the last window, left out
};

/// Tokens [begin, end) of a text, of which [scored, end) are scored, given those before them and
/// BOS.
struct ScoreWindow {
  int64_t begin, end, scored;
};

/// The windows of a text of `tokens` tokens, each with something to score.
std::vector<ScoreWindow> scoreWindows(int64_t tokens, const ScoringOptions &options);

/// Windows over ranks.
struct ScoringRanks {
  RowShare share;           ///< the windows that this rank scores
  int64_t microBatches = 1; ///< 1 or more: batches of windows that run at the same time
  /// Given what this rank's scored tokens cost, gives what those of all ranks cost, in the order of
  /// the text (on the first rank; the score of others is of no use). Empty: one rank.
  std::function<Result<std::vector<float>>(std::vector<float>)> gather;
};

/// The errors of scoreTokens that its input alone may have.
Status checkScoring(const Module &module, std::span<const int32_t> tokens,
                    const ScoringOptions &options = {});

/// Cuts `tokens` into windows and scores them with the programs prefill and nll. InvalidArgument
/// where there is nothing to score. `progress` is called with windows done and in all.
Result<Score> scoreTokens(Executor &executor, std::span<const int32_t> tokens,
                          const ScoringOptions &options = {},
                          const std::function<void(int64_t, int64_t)> &progress = {},
                          const ScoringRanks &ranks = {});

} // namespace hadal

#endif // HADAL_RUNTIME_INFERENCE_SCORING_H
