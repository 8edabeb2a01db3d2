//===- Engine.h - requests in, tokens out, a step at a time -------------===//
//
// Takes requests, each with settings of its own, gives them pages of the latent cache, and in each
// step runs prefill for new ones and decode for all that are under way; compiled programs choose
// the tokens. A request's tokens do not depend on what runs beside it, nor on when it came.
//
// One thread at a time.
//
//===--------------------------------------------------------------------===//

#ifndef HADAL_RUNTIME_INFERENCE_ENGINE_H
#define HADAL_RUNTIME_INFERENCE_ENGINE_H

#include "runtime/Executor.h"
#include "runtime/inference/PackedBatch.h"
#include "runtime/inference/PageAllocator.h"
#include "runtime/inference/TokenChooser.h"

#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <vector>

namespace hadal {

/// A token as it comes. `logits` [V] are those it was chosen from, valid during the call.
struct GeneratedToken {
  int64_t sequence; ///< the number that submit() gave
  int64_t index;    ///< 0 for the first new token
  int32_t token;
  bool isEos;  ///< ends a text, though not here with ignoreEos
  bool isStop; ///< one of stopTokens
  std::span<const float> logits;
  float logProbability = 0;             ///< with RequestSettings::logprobs, and so the rest
  std::span<const int32_t> topIds = {}; ///< the likeliest tokens, likeliest first
  std::span<const float> topLogProbabilities = {};
};
using TakeToken = std::function<void(const GeneratedToken &)>;

/// How a request is continued, and where it ends.
struct RequestSettings {
  int64_t maxNewTokens = 128;
  bool ignoreEos = false;
  /// The end-of-sequence tokens; none given: the module's.
  std::optional<std::vector<int64_t>> eosTokens;
  std::vector<int64_t> stopTokens; ///< these end it, too, with ignoreEos as well
  /// Asked after each token whether it ends there all the same. Empty: no.
  std::function<bool(const GeneratedToken &)> endsAt;
  SamplingOptions sampling;
  uint64_t seed = 0;
  /// Tell the log-probability of each token, and of so many likeliest ones; 0: none.
  int64_t logprobs = 0;
};

struct EngineOptions {
  int64_t maxSequences = 64; ///< under way at the same time
  /// Batches that the sequences of a prefill and of a decode are split into. Of two, one computes
  /// while the other waits for other ranks.
  int64_t microBatches = 1;
  int64_t firstSequence = 0; ///< the number of the first request
  /// Over ranks: whether any rank has something to run, given whether this one has. All ranks ask
  /// at the same points, and those that have nothing run along on no sequences. Empty: one rank.
  std::function<Result<bool>(bool)> anyRank;
};

struct GenerationStatistics {
  int64_t prefillTokens = 0; ///< prompt tokens
  int64_t decodeTokens = 0;  ///< tokens that decode gave: all but each sequence's first
  int64_t decodeSteps = 0;
  int64_t prefillFlops = 0; ///< as the module's programs count them
  int64_t decodeFlops = 0;
  double prefillSeconds = 0;
  double decodeSeconds = 0;
  int64_t stoppedByPositions = 0; ///< sequences that ended because the model has no more positions
};

class Engine {
public:
  /// The executor must outlive this object, which takes over its register cache_slots.
  static Result<std::unique_ptr<Engine>> create(Executor &executor, const EngineOptions &options);

  /// Holds settings to what there is, and makes the programs ready that they need: what submit()
  /// would say of them. InvalidArgument; NotFound where the module lacks a program.
  Status accept(const RequestSettings &settings);

  /// Adds a request and returns its number: as many as came before. Errors as accept() and
  /// checkSequence.
  Result<int64_t> submit(std::vector<int32_t> prompt, const RequestSettings &settings);

  /// Runs prefill for requests that wait, as far as there is room, then one decode of all that are
  /// under way, and hands out the tokens that these gave. False, and nothing done, where nothing
  /// was left (on no rank). A request ends by an end-of-sequence or stop token, endsAt,
  /// maxNewTokens, or at the model's last position.
  Result<bool> step(const TakeToken &take);

  const GenerationStatistics &statistics() const { return counts; }

private:
  struct Sequence {
    int64_t number;
    std::vector<int32_t> prompt;
    RequestSettings settings;
    std::vector<int32_t> pages;
    int64_t positions = 0; ///< tokens in the cache
    int64_t generated = 0;
    int32_t lastToken = 0;
    bool ended = false;
    /// Its tokens, each once, where repetitions are penalized; `isSeen` of the vocabulary.
    std::vector<int32_t> seen;
    std::vector<bool> isSeen;
  };

  /// A micro-batch: its runs, and their inputs, which these read where they are.
  struct Batch {
    ProgramRun prefill, decode;
    PackedBatch packed;
    std::vector<int32_t> tokenIds, positions, slots, pageTable;
  };

  Engine(const fb::Model &model, Executor &executor, const EngineOptions &options,
         std::vector<Batch> batches);
  /// The part of `sequences` that micro-batch `batch` has.
  std::span<Sequence> partOf(std::span<Sequence> sequences, size_t batch) const;
  Status givePages(Sequence &sequence, int64_t positions);
  /// Notes that the sequence has this token.
  void see(Sequence &sequence, int32_t token);
  Result<bool> any(bool mine) const { return options.anyRank ? options.anyRank(mine) : mine; }
  Status bindDecode(Batch &batch, std::span<Sequence> sequences);
  Status admit(const TakeToken &take);
  Status decode(const TakeToken &take);
  Status choose(std::span<Sequence> rows, const ProgramRun &run, const TakeToken &take);
  Result<LogProbabilities::Rows> logarithmsOf(std::span<const Sequence> rows,
                                              const DeviceView &logits,
                                              std::span<const int32_t> chosen);
  /// Hands out a token, and says whether the sequence ends with it.
  void give(Sequence &sequence, const GeneratedToken &token, const TakeToken &take);
  void retire();

  const fb::Model &model;
  Executor &executor;
  EngineOptions options;
  std::vector<int64_t> eosTokens; ///< the module's
  std::vector<Batch> batches;
  TokenChooser chooser;
  std::optional<LogProbabilities> logProbabilities;
  PageAllocator pages;
  std::deque<Sequence> waiting;
  std::vector<Sequence> active;
  int64_t nextNumber;
  GenerationStatistics counts;
  std::vector<RowChoice> choices;
};

} // namespace hadal

#endif // HADAL_RUNTIME_INFERENCE_ENGINE_H
