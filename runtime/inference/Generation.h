//===- Generation.h - prompts in, tokens out ----------------------------===//
//
// All prompts of a command, continued with the same settings: a loop over the engine's steps.
//
//===--------------------------------------------------------------------===//

#ifndef HADAL_RUNTIME_INFERENCE_GENERATION_H
#define HADAL_RUNTIME_INFERENCE_GENERATION_H

#include "runtime/inference/Engine.h"

#include <memory>
#include <vector>

namespace hadal {

/// `seed`: sequence i draws with seed + i.
struct GenerationOptions : RequestSettings, EngineOptions {};

/// One thread at a time.
class Generation {
public:
  /// The executor must outlive this object, which takes over its register cache_slots. Errors as
  /// Engine::create and Engine::accept.
  static Result<std::unique_ptr<Generation>> create(Executor &executor,
                                                    const GenerationOptions &options);

  /// Adds a sequence and returns its number, firstSequence and up. Errors as checkSequence.
  Result<int64_t> add(std::vector<int32_t> prompt);

  /// Runs until every sequence has ended.
  Status run(const TakeToken &take);

  const GenerationStatistics &statistics() const { return engine->statistics(); }

private:
  Generation(std::unique_ptr<Engine> engine, const GenerationOptions &options)
      : engine(std::move(engine)), settings(options), next(options.firstSequence) {}

  std::unique_ptr<Engine> engine;
  RequestSettings settings;
  int64_t next; ///< the number of the next sequence
};

} // namespace hadal

#endif // HADAL_RUNTIME_INFERENCE_GENERATION_H
