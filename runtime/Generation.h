//===- Generation.h - prompts in, tokens out ----------------------------===//
//
// Admits sequences, gives them pages of the latent cache, runs prefill for new ones and decode for
// all that are under way, and lets compiled programs choose the tokens. A sequence's tokens do not
// depend on what runs beside it.
//
//===--------------------------------------------------------------------===//

#ifndef HADAL_RUNTIME_GENERATION_H
#define HADAL_RUNTIME_GENERATION_H

#include "runtime/Executor.h"
#include "runtime/PackedBatch.h"
#include "runtime/PageAllocator.h"
#include "runtime/TokenChooser.h"
#include "runtime/parallel/RowShare.h"

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <vector>

namespace hadal {

/// A token as it comes. `logits` [V] are those it was chosen from, valid during the call.
struct GeneratedToken {
  int64_t sequence; ///< firstSequence and up, in the order of add()
  int64_t index;    ///< 0 for the first new token
  int32_t token;
  bool isEos;  ///< ends a text, though not here with ignoreEos
  bool isStop; ///< one of stopTokens
  std::span<const float> logits;
  float logProbability = 0;             ///< with GenerationOptions::logprobs, and so the rest
  std::span<const int32_t> topIds = {}; ///< the likeliest tokens, likeliest first
  std::span<const float> topLogProbabilities = {};
};

struct GenerationOptions {
  int64_t maxNewTokens = 128;
  bool ignoreEos = false;
  std::optional<std::vector<int64_t>>
      eosTokens;                   ///< the end-of-sequence tokens; empty: the module's
  std::vector<int64_t> stopTokens; ///< these end a row, too, with ignoreEos as well
  /// Asked after each token whether its sequence ends there all the same. Empty: no.
  std::function<bool(const GeneratedToken &)> endsAt;
  SamplingOptions sampling;
  uint64_t seed = 0; ///< sequence i draws with seed + i
  int64_t logprobs =
      0; ///< tell the log-probability of each token, and of so many likeliest ones; 0: none
  int64_t maxSequences = 64; ///< under way at the same time
  /// Batches that the sequences of a prefill and of a step are split into. Of two, one computes
  /// while the other waits for other ranks.
  int64_t microBatches = 1;
  int64_t firstSequence = 0; ///< the number of the first sequence that is added
  /// Over ranks: whether any rank has something to run, given whether this one has. All ranks ask
  /// at the same points, and those that have nothing run along on no sequences. Empty: one rank.
  std::function<Result<bool>(bool)> anyRank;
};

struct GenerationStatistics {
  int64_t prefillTokens = 0; ///< prompt tokens
  int64_t decodeTokens = 0;  ///< tokens that decode steps gave: all but each sequence's first
  int64_t decodeSteps = 0;
  int64_t prefillFlops = 0; ///< as the module's programs count them
  int64_t decodeFlops = 0;
  double prefillSeconds = 0;
  double decodeSeconds = 0;
  int64_t stoppedByPositions = 0; ///< sequences that ended because the model has no more positions
};

class Generation {
public:
  /// The executor must outlive this object, which takes over its register cache_slots.
  static Result<std::unique_ptr<Generation>> create(Executor &executor,
                                                    const GenerationOptions &options);

  /// Adds a sequence and returns its number. Errors as checkSequence.
  Result<int64_t> add(std::vector<int32_t> prompt);

  /// Runs until every sequence has ended: by an end-of-sequence or stop token, endsAt,
  /// maxNewTokens, or the model's last position.
  Status run(const std::function<void(const GeneratedToken &)> &take);

  const GenerationStatistics &statistics() const { return counts; }

private:
  struct Sequence {
    int64_t number;
    std::vector<int32_t> prompt;
    std::vector<int32_t> pages;
    int64_t positions = 0; ///< tokens in the cache
    int64_t generated = 0;
    int32_t lastToken = 0;
    bool ended = false;
    std::vector<int32_t> seen; ///< its tokens, each once, where the chooser asks for them; `isSeen`
                               ///< of the vocabulary
    std::vector<bool> isSeen;
  };

  /// A micro-batch: its runs, and their inputs, which these read where they are.
  struct Batch {
    ProgramRun prefill, decode;
    PackedBatch packed;
    std::vector<int32_t> tokenIds, positions, slots, pageTable;
  };

  Generation(const fb::Model &model, Executor &executor, const GenerationOptions &options,
             std::vector<Batch> batches, TokenChooser chooser);
  /// The part of `sequences` that micro-batch `batch` has.
  std::span<Sequence> partOf(std::span<Sequence> sequences, size_t batch) const;
  Status givePages(Sequence &sequence, int64_t positions);
  /// Notes that the sequence has this token.
  void see(Sequence &sequence, int32_t token);
  Result<bool> any(bool mine) const { return options.anyRank ? options.anyRank(mine) : mine; }
  Status bindStep(Batch &batch, std::span<Sequence> sequences);
  Status admit(const std::function<void(const GeneratedToken &)> &take);
  Status step(const std::function<void(const GeneratedToken &)> &take);
  Status choose(std::span<Sequence> rows, const ProgramRun &run,
                const std::function<void(const GeneratedToken &)> &take);
  void retire();

  const fb::Model &model;
  Executor &executor;
  GenerationOptions options;
  std::vector<int64_t> eosTokens;
  std::vector<Batch> batches;
  TokenChooser chooser;
  std::optional<LogProbabilities> logProbabilities;
  PageAllocator pages;
  std::vector<Sequence> waiting, active; ///< `waiting` from `nextWaiting` on
  size_t nextWaiting = 0;
  GenerationStatistics counts;
  std::vector<float> uniform;
  std::vector<std::span<const int32_t>> seen;
};

} // namespace hadal

#endif // HADAL_RUNTIME_GENERATION_H
