//===- TokenChooser.h - the next token of each row of logits ------------===//
//
// The choice itself is compiled: programs argmax and sample. Drawing the random numbers is the
// driver's part.
//
//===--------------------------------------------------------------------===//

#ifndef HADAL_RUNTIME_INFERENCE_TOKENCHOOSER_H
#define HADAL_RUNTIME_INFERENCE_TOKENCHOOSER_H

#include "runtime/Executor.h"

#include <optional>
#include <span>
#include <vector>

namespace hadal {

struct SamplingOptions {
  float temperature = 0; ///< 0: always the likeliest token
  int32_t topK = 0;      ///< of so many likeliest tokens; 0: of all
  float topP = 1;        ///< of the likeliest of these that together reach this probability
  float minP = 0;        ///< of those at least so many times as likely as the likeliest
  float repetitionPenalty =
      1; ///< above 1: tokens that a row has already are chosen less, also with temperature 0
};

/// A number in [0, 1), a multiple of 2^-24, that depends on the seed and the step only.
float drawUniform(uint64_t seed, uint64_t step);

/// Whether rows are chosen by what they have already.
inline bool penalizes(const SamplingOptions &options) { return options.repetitionPenalty != 1; }

/// What the next token of a row is chosen by.
struct RowChoice {
  const SamplingOptions *sampling;
  float uniform = 0;                  ///< in [0, 1), read where temperature > 0
  std::span<const int32_t> seen = {}; ///< the row's tokens, each once, read where penalizes()
};

/// Rows may have different settings; a row's token depends on its own alone. One thread at a time.
class TokenChooser {
public:
  /// The executor must outlive this object.
  explicit TokenChooser(Executor &executor) : executor(executor) {}

  /// InvalidArgument for settings out of range. Makes the programs ready that they need.
  Status accept(const SamplingOptions &options);

  /// One token for each row of `logits` [R, V]; settings of `rows` [R] were accepted. Valid until
  /// the next call.
  Result<std::span<const int32_t>> choose(const DeviceView &logits,
                                          std::span<const RowChoice> rows);

private:
  Result<DeviceView> penalized(const DeviceView &logits, std::span<const RowChoice> rows);
  Status draw(const DeviceView &logits, std::span<const RowChoice> rows);
  Status takeLikeliest(const DeviceView &logits, std::span<const RowChoice> rows);

  Executor &executor;
  std::optional<ProgramRun> argmax, sample, penalize;                ///< once they are needed
  std::vector<float> temperatures, topPs, minPs, uniform, penalties; ///< one per row, as topKs
  std::vector<int32_t> topKs, offsets, allSeen, chosen;
};

/// Logarithms of probabilities: log-softmax of the logits as the model gives them. One thread
/// at a time.
class LogProbabilities {
public:
  /// Of each row's token, and of its `top` likeliest ones. InvalidArgument where the model has
  /// fewer tokens.
  static Result<LogProbabilities> create(Executor &executor, int64_t vocabulary, int64_t top);

  /// Likeliest tokens of each row.
  int64_t top() const { return count; }

  struct Rows {
    std::span<const float> chosen;   ///< [R]
    std::span<const int32_t> topIds; ///< [R, top], likeliest first, lower ids first among equals
    std::span<const float> top;      ///< [R, top]
  };
  /// For `tokens` [R] of rows of `logits` [R, V]. Valid until the next call.
  Result<Rows> of(const DeviceView &logits, std::span<const int32_t> tokens);

private:
  LogProbabilities(ProgramRun run, int64_t top) : run(std::move(run)), count(top) {}

  ProgramRun run;
  int64_t count;
};

} // namespace hadal

#endif // HADAL_RUNTIME_INFERENCE_TOKENCHOOSER_H
