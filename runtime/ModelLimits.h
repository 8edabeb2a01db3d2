//===- ModelLimits.h - what a driver asks of a module and its prompts ---===//

#ifndef HADAL_RUNTIME_MODELLIMITS_H
#define HADAL_RUNTIME_MODELLIMITS_H

#include "runtime/module/Module.h"

#include <span>

namespace hadal {

/// The model table of a module, or an error where it has none:
/// "f.hadal: holds functions and no model; compile a folder with --mode=generate".
Result<const fb::Model *> modelOf(const Module &module);

/// As modelOf, for drivers of inference: a training module is an error too.
Result<const fb::Model *> inferenceModelOf(const Module &module);

/// Errors for an empty sequence, one longer than the model's positions, and ids outside its
/// vocabulary: "row 2: token id 1000000 at position 3 is not below the vocabulary's 2048". `name`
/// stands before the message.
Status checkSequence(const fb::Model &model, std::span<const int32_t> tokens,
                     const std::string &name);

/// How many tokens a driver puts into one run: enough to fill the machine, few enough to bound the
/// memory of a run's activations. A single longer sequence is still one run.
inline constexpr int64_t runTokens = 2048;

} // namespace hadal

#endif // HADAL_RUNTIME_MODELLIMITS_H
