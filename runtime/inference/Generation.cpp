//===- Generation.cpp - prompts in, tokens out --------------------------===//

#include "runtime/inference/Generation.h"

using namespace hadal;

Result<std::unique_ptr<Generation>> Generation::create(Executor &executor,
                                                       const GenerationOptions &options) {
  std::unique_ptr<Engine> engine = HADAL_TRY(Engine::create(executor, options));
  HADAL_TRY(engine->accept(options));
  return std::unique_ptr<Generation>(new Generation(std::move(engine), options));
}

Result<int64_t> Generation::add(std::vector<int32_t> prompt) {
  RequestSettings own = settings;
  own.seed += static_cast<uint64_t>(next);
  int64_t number = HADAL_TRY(engine->submit(std::move(prompt), own));
  next = number + 1;
  return number;
}

Status Generation::run(const TakeToken &take) {
  while (HADAL_TRY(engine->step(take))) {
  }
  return {};
}
