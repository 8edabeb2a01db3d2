//===- Scoring.h - how likely a model finds a text ----------------------===//

#ifndef HADAL_RUNTIME_SCORING_H
#define HADAL_RUNTIME_SCORING_H

#include "runtime/Executor.h"
#include "runtime/parallel/RowShare.h"

#include <functional>
#include <span>

namespace hadal {

/// Windows do not overlap; in each the tokens from the second on are scored given those before them.
inline constexpr int64_t scoreWindowTokens = 129;

struct Score {
  double meanNll = 0; ///< mean negative log-likelihood of a scored token, in nats
  int64_t tokens = 0; ///< scored
  int64_t windows = 0;
};

/// Windows over ranks.
struct ScoringRanks {
  RowShare share; ///< the windows that this rank scores
  int64_t microBatches = 1; ///< 1 or more: batches of windows that run at the same time
  /// Given what this rank's scored tokens cost, gives what those of all ranks cost, in the order of the text (on the first rank; the score of
  /// others is of no use). Empty: one rank.
  std::function<Result<std::vector<float>>(std::vector<float>)> gather;
};

/// The errors of scoreTokens that its input alone may have.
Status checkScoring(const Module &module, std::span<const int32_t> tokens);

/// Cuts `tokens` into windows, drops a shorter rest, and scores them with the programs prefill and nll. InvalidArgument
/// where there is not one whole window. `progress` is called with windows done and in all.
Result<Score> scoreTokens(Executor &executor, std::span<const int32_t> tokens,
                          const std::function<void(int64_t, int64_t)> &progress = {}, const ScoringRanks &ranks = {});

} // namespace hadal

#endif // HADAL_RUNTIME_SCORING_H
