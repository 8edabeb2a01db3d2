//===- ModelLimits.cpp - what a driver asks of a module and its prompts -===//

#include "runtime/ModelLimits.h"

using namespace hadal;

Result<const fb::Model *> hadal::modelOf(const Module &module) {
  if (!module.model())
    return invalidArgument(module.path() +
                           ": holds functions and no model; compile a folder with --mode=generate");
  return module.model();
}

Result<const fb::Model *> hadal::inferenceModelOf(const Module &module) {
  if (module.tables().training())
    return invalidArgument(module.path() +
                           ": is a training module; compile the folder with --mode=generate");
  return modelOf(module);
}

Status hadal::checkSequence(const fb::Model &model, std::span<const int32_t> tokens,
                            const std::string &name) {
  if (tokens.empty())
    return invalidArgument(name + ": has no tokens");
  if (static_cast<int64_t>(tokens.size()) > model.max_positions())
    return invalidArgument(name + ": has " + std::to_string(tokens.size()) +
                           " tokens, the model has " + std::to_string(model.max_positions()) +
                           " positions");
  for (size_t i = 0; i < tokens.size(); ++i)
    if (tokens[i] < 0 || tokens[i] >= model.vocab_size())
      return invalidArgument(name + ": token id " + std::to_string(tokens[i]) + " at position " +
                             std::to_string(i) + " is not in the vocabulary (0 to " +
                             std::to_string(model.vocab_size() - 1) + ")");
  return {};
}
