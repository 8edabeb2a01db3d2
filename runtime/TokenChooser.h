//===- TokenChooser.h - the next token of each row of logits ------------===//
//
// The choice itself is compiled: programs argmax and sample. Drawing the random numbers is the driver's part.
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
};

/// A number in [0, 1), a multiple of 2^-24, that depends on the seed and the step only.
float drawUniform(uint64_t seed, uint64_t step);

class TokenChooser {
public:
  static Result<TokenChooser> create(Executor &executor, const SamplingOptions &options);

  /// Whether choose() uses random numbers.
  bool draws() const { return options.temperature > 0; }

  /// One token for each row of `logits` [R, V]; `uniform` has R numbers where draws(). Valid until the next call.
  Result<std::span<const int32_t>> choose(const TensorView &logits, std::span<const float> uniform);

private:
  TokenChooser(ProgramRun run, const SamplingOptions &options) : run(std::move(run)), options(options) {}

  ProgramRun run;
  SamplingOptions options;
  std::vector<float> temperatures, topPs, minPs; ///< one per row, as topKs
  std::vector<int32_t> topKs;
};

} // namespace hadal

#endif // HADAL_RUNTIME_TOKENCHOOSER_H
