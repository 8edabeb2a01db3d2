//===- GenerationConfig.h - which tokens end a text ---------------------===//

#ifndef HADAL_RUNTIME_GENERATIONCONFIG_H
#define HADAL_RUNTIME_GENERATIONCONFIG_H

#include "runtime/Result.h"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace hadal {

/// `eos_token_id` (a number or a list) of a checkpoint's generation_config.json, empty where there
/// is no such file or key. Errors: "ckpt/generation_config.json: eos_token_id: wants token ids
/// below vocab_size (2048), got 5000".
Result<std::optional<std::vector<int64_t>>> eosOfGenerationConfig(const std::string &folder,
                                                                  int64_t vocabulary);

/// The same as transformers takes it: generation_config.json's, else config.json's. Empty: the
/// folder says nothing.
Result<std::optional<std::vector<int64_t>>> eosOfFolder(const std::string &folder,
                                                        int64_t vocabulary);

} // namespace hadal

#endif // HADAL_RUNTIME_GENERATIONCONFIG_H
