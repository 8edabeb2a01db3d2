//===- StepPrograms.h - names of programs that a training step runs -----===//
//
// The compiler writes them, the trainers run them.
//
//===--------------------------------------------------------------------===//

#ifndef HADAL_RUNTIME_MODULE_STEPPROGRAMS_H
#define HADAL_RUNTIME_MODULE_STEPPROGRAMS_H

#include <string>

namespace hadal {

/// Makes the codes of weights, as training in FP8 reads them: once the weights of a step stand,
/// before its first micro-batch. Without arguments; absent where no product reads codes.
inline constexpr const char *quantizeWeightsProgram = "quantize_weights";

/// The same for what one pipeline stage reads, in a job on many ranks.
inline std::string quantizeWeightsOf(unsigned stage) {
  return std::string(quantizeWeightsProgram) + ".stage." + std::to_string(stage);
}

} // namespace hadal

#endif // HADAL_RUNTIME_MODULE_STEPPROGRAMS_H
