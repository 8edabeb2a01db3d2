//===- TokenChooser.h - the next token of each row of logits ------------===//
//
// The choice itself is compiled: programs argmax and sample. Drawing the random numbers is the
// driver's part.
//
//===--------------------------------------------------------------------===//

#ifndef HADAL_RUNTIME_TOKENCHOOSER_H
#define HADAL_RUNTIME_TOKENCHOOSER_H

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

class TokenChooser {
public:
  static Result<TokenChooser> create(Executor &executor, const SamplingOptions &options);

  /// Whether choose() uses random numbers.
  bool draws() const { return options.temperature > 0; }

  /// Whether choose() asks for the tokens that rows have already.
  bool penalizes() const { return options.repetitionPenalty != 1; }

  /// One token for each row of `logits` [R, V]; `uniform` has R numbers where draws(), `seen` where
  /// penalizes() each row's tokens, each of them once. Valid until the next call.
  Result<std::span<const int32_t>> choose(const DeviceView &logits, std::span<const float> uniform,
                                          std::span<const std::span<const int32_t>> seen = {});

private:
  TokenChooser(ProgramRun run, std::optional<ProgramRun> penalty, const SamplingOptions &options)
      : run(std::move(run)), penalty(std::move(penalty)), options(options) {}
  Result<DeviceView> penalized(const DeviceView &logits,
                               std::span<const std::span<const int32_t>> seen);

  ProgramRun run;
  std::optional<ProgramRun> penalty;
  SamplingOptions options;
  std::vector<float> temperatures, topPs, minPs, penalties; ///< one per row, as topKs
  std::vector<int32_t> topKs, offsets, allSeen;
};

/// Logarithms of probabilities: log-softmax of the logits as the model gives them.
class LogProbabilities {
public:
  /// Of each row's token, and of its `top` likeliest ones. InvalidArgument where the model has
  /// fewer tokens.
  static Result<LogProbabilities> create(Executor &executor, int64_t vocabulary, int64_t top);

  struct Rows {
    std::span<const float> chosen;   ///< [R]
    std::span<const int32_t> topIds; ///< [R, top], likeliest first, lower ids first among equals
    std::span<const float> top;      ///< [R, top]
  };
  /// For `tokens` [R] of rows of `logits` [R, V]. Valid until the next call.
  Result<Rows> of(const DeviceView &logits, std::span<const int32_t> tokens);

private:
  LogProbabilities(ProgramRun run, int64_t top) : run(std::move(run)), top(top) {}

  ProgramRun run;
  int64_t top;
};

} // namespace hadal

#endif // HADAL_RUNTIME_TOKENCHOOSER_H
