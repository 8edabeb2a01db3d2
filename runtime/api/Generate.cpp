//===- Generate.cpp - the C API's generation and text -------------------===//

#include "runtime/ModelLimits.h"
#include "runtime/api/Handles.h"
#include "runtime/inference/Generation.h"

#include <algorithm>

using namespace hadal;
using namespace hadal::api;

static Result<GenerationOptions> generationOf(const hadal_module::Opened &opened,
                                              const hadal_generate_options *given) {
  hadal_generate_options options = HADAL_TRY(
      optionsOf("hadal_generate", given, hadal_generate_options(HADAL_GENERATE_OPTIONS_INIT)));
  auto refuse = [](const char *name, const char *wanted) {
    return invalidArgument(std::string("hadal_generate: ") + name + " wants " + wanted);
  };
  auto isWithin = [](double value, double least, double most) {
    return value >= least && value <= most; // NaN is not
  };
  if (!isWithin(double(options.max_new_tokens), 1, 2147483648.0))
    return refuse("max_new_tokens", "1 to 2147483648");
  if (!isWithin(options.temperature, 0, 1e6))
    return refuse("temperature", "0 to 1e6");
  if (options.top_k < 0)
    return refuse("top_k", "0 or more");
  if (!isWithin(options.top_p, 1e-6f, 1))
    return refuse("top_p", "1e-6 to 1");
  if (!isWithin(options.min_p, 0, 1))
    return refuse("min_p", "0 to 1");
  if (!isWithin(options.repetition_penalty, 1e-6f, 1e6))
    return refuse("repetition_penalty", "1e-6 to 1e6");
  if (options.stop_token_count && !options.stop_tokens)
    return isNull("hadal_generate", "stop_tokens");
  GenerationOptions generation;
  generation.maxNewTokens = options.max_new_tokens;
  generation.ignoreEos = options.ignore_eos != 0;
  generation.seed = options.seed;
  generation.sampling = {options.temperature, options.top_k, options.top_p, options.min_p,
                         options.repetition_penalty};
  generation.stopTokens.assign(options.stop_tokens, options.stop_tokens + options.stop_token_count);
  const Module &module = opened.session->module();
  const fb::Model &model = *HADAL_TRY(inferenceModelOf(module));
  for (int64_t id : generation.stopTokens)
    if (id < 0 || id >= model.vocab_size())
      return refuse("stop_tokens", ("ids below " + std::to_string(model.vocab_size())).c_str());
  generation.eosTokens = HADAL_TRY(eosTokensOf(opened.checkpoint, model));
  return generation;
}

hadal_status hadal_generate(hadal_module *module, const hadal_prompt *prompts, size_t prompt_count,
                            const hadal_generate_options *options, hadal_token_callback take,
                            void *context) {
  return guarded([&]() -> Status {
    if (!module || !take || (prompt_count && !prompts))
      return isNull("hadal_generate", !module ? "a module" : !take ? "a callback" : "prompts");
    hadal_module::Opened &opened = *module->opened;
    const fb::Model &model = *HADAL_TRY(inferenceModelOf(opened.session->module()));
    HADAL_TRY(makeReady(opened));
    GenerationOptions generation = HADAL_TRY(generationOf(opened, options));
    std::vector<bool> hasEnded(prompt_count);
    generation.endsAt = [&](const GeneratedToken &token) {
      return bool(hasEnded[static_cast<size_t>(token.sequence)]);
    };
    auto driver = HADAL_TRY(Generation::create(opened.session->executor(), generation));
    for (size_t i = 0; i < prompt_count; ++i) {
      if (prompts[i].count && !prompts[i].tokens)
        return isNull("hadal_generate", "the tokens of a prompt");
      std::span tokens(prompts[i].tokens, prompts[i].count);
      HADAL_TRY(checkSequence(model, tokens, "prompt " + std::to_string(i)));
      HADAL_TRY(driver->add({tokens.begin(), tokens.end()}));
    }
    return driver->run([&](const GeneratedToken &token) {
      hadal_token one{
          static_cast<size_t>(token.sequence), token.index,         token.token,
          token.isEos || token.isStop,         token.logits.data(), token.logits.size()};
      hasEnded[one.sequence] = take(context, &one) != 0;
    });
  });
}

hadal_status hadal_open_tokenizer(const char *folder, hadal_tokenizer **tokenizer) {
  return guarded([&]() -> Status {
    if (!folder || !tokenizer)
      return isNull("hadal_open_tokenizer", folder ? "where to write the tokenizer" : "a folder");
    *tokenizer = new hadal_tokenizer{HADAL_TRY(Tokenizer::open(folder))};
    return {};
  });
}

void hadal_free_tokenizer(hadal_tokenizer *tokenizer) { delete tokenizer; }

hadal_status hadal_encode(const hadal_tokenizer *tokenizer, const char *text, int32_t *ids,
                          size_t capacity, size_t *count) {
  return guarded([&]() -> Status {
    if (!tokenizer || !text || !count || (capacity && !ids))
      return isNull("hadal_encode", !tokenizer ? "a tokenizer"
                                    : !text    ? "a text"
                                    : !count   ? "where to write the count"
                                               : "where to write the ids");
    std::lock_guard lock(tokenizer->mutex);
    std::vector<int32_t> all = HADAL_TRY(tokenizer->tokenizer.encodePrompt(text));
    std::copy_n(all.begin(), std::min(capacity, all.size()), ids);
    *count = all.size();
    return {};
  });
}

hadal_status hadal_decode(const hadal_tokenizer *tokenizer, const int32_t *ids, size_t count,
                          char *text, size_t capacity, size_t *length) {
  return guarded([&]() -> Status {
    if (!tokenizer || (count && !ids) || !length || (capacity && !text))
      return isNull("hadal_decode", !tokenizer      ? "a tokenizer"
                                    : count && !ids ? "ids"
                                    : !length       ? "where to write the length"
                                                    : "where to write the text");
    std::lock_guard lock(tokenizer->mutex);
    std::string whole = tokenizer->tokenizer.decode({ids, count}, /*skipSpecial=*/true);
    if (capacity) {
      size_t bytes = std::min(capacity - 1, whole.size());
      std::copy_n(whole.begin(), bytes, text);
      text[bytes] = 0;
    }
    *length = whole.size();
    return {};
  });
}
