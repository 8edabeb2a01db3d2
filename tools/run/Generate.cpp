//===- Generate.cpp - hadal-run generate --------------------------------===//

#include "runtime/ModelLimits.h"
#include "runtime/Tokenizer.h"
#include "tools/run/Commands.h"
#include "tools/run/TensorFiles.h"

#include <nlohmann/json.hpp>

#include <algorithm>

using namespace hadal;
using namespace hadal::run;

namespace {

/// Collects what -o writes: tokens and the logits they were chosen from.
class Recording {
public:
  /// Rows that end early keep the end-of-sequence token and zero logits.
  static Result<Recording> create(const fb::Model &model, int64_t rows, int64_t length) {
    Recording result;
    result.length = length;
    result.vocabulary = model.vocab_size();
    result.tokens = HADAL_TRY(Tensor::create(ElementType::I64, {rows, length}));
    result.logits = HADAL_TRY(Tensor::create(ElementType::F32, {rows, length, result.vocabulary}));
    auto *eos = model.eos_token_ids();
    auto tokens = result.tokens.as<int64_t>();
    std::fill(tokens.begin(), tokens.end(), eos && eos->size() ? eos->Get(0) : 0);
    return result;
  }

  void take(const GeneratedToken &token) {
    int64_t at = token.sequence * length + token.index;
    tokens.as<int64_t>()[at] = token.token;
    std::copy(token.logits.begin(), token.logits.end(), logits.as<float>().begin() + at * vocabulary);
  }

  Status write(const std::string &path) {
    NamedTensors named;
    named.emplace_back("tokens", std::move(tokens));
    named.emplace_back("logits", std::move(logits));
    return writeTensors(path, named);
  }

private:
  int64_t length = 0, vocabulary = 0;
  Tensor tokens, logits;
};

/// Shows new tokens on stdout: text as it comes, or for --input without -o the ids of each row.
class Display {
public:
  Display(const Tokenizer *tokenizer, bool showEos) : showEos(showEos) {
    if (tokenizer)
      decoder.emplace(*tokenizer, /*skipSpecial=*/true);
  }

  void take(const GeneratedToken &token) {
    if (decoder) {
      if (!token.isEos || showEos)
        show(decoder->push(token.token));
      return;
    }
    ids.resize(std::max<size_t>(ids.size(), token.sequence + 1));
    ids[token.sequence] += (ids[token.sequence].empty() ? "" : " ") + std::to_string(token.token);
  }

  void finish() {
    if (decoder)
      show(decoder->finish() + "\n");
    for (const std::string &row : ids)
      show(row + "\n");
  }

private:
  static void show(const std::string &text) {
    std::fwrite(text.data(), 1, text.size(), stdout);
    std::fflush(stdout);
  }

  std::optional<StreamingDecoder> decoder;
  bool showEos;
  std::vector<std::string> ids;
};

/// The figures of a run.
struct Figures {
  GenerationStatistics counts;
  int64_t sequences;
  unsigned threads;
  double loadSeconds;
  double firstTokenSeconds; ///< since the process began

  static double rate(int64_t tokens, double seconds) { return seconds > 0 ? static_cast<double>(tokens) / seconds : 0; }
  double prefillRate() const { return rate(counts.prefillTokens, counts.prefillSeconds); }
  double decodeRate() const { return rate(counts.decodeTokens, counts.decodeSeconds); }

  void print() const {
    std::fprintf(stderr,
                 "prefill %lld tokens in %.3f s (%.1f tokens/s), decode %lld tokens in %.3f s (%.1f tokens/s), "
                 "first token after %.3f s, %u threads\n",
                 static_cast<long long>(counts.prefillTokens), counts.prefillSeconds, prefillRate(),
                 static_cast<long long>(counts.decodeTokens), counts.decodeSeconds, decodeRate(), firstTokenSeconds,
                 threads);
    if (counts.stoppedByPositions)
      std::fprintf(stderr, "%lld of %lld sequences stopped at the model's last position\n",
                   static_cast<long long>(counts.stoppedByPositions), static_cast<long long>(sequences));
  }

  /// One line of JSON.
  std::string json() const {
    return nlohmann::ordered_json{{"sequences", sequences},
                                  {"threads", threads},
                                  {"prefill_tokens", counts.prefillTokens},
                                  {"prefill_seconds", counts.prefillSeconds},
                                  {"prefill_tokens_per_second", prefillRate()},
                                  {"prefill_flops", counts.prefillFlops},
                                  {"decode_tokens", counts.decodeTokens},
                                  {"decode_steps", counts.decodeSteps},
                                  {"decode_seconds", counts.decodeSeconds},
                                  {"decode_tokens_per_second", decodeRate()},
                                  {"decode_flops", counts.decodeFlops},
                                  {"load_seconds", loadSeconds},
                                  {"first_token_seconds", firstTokenSeconds}}
               .dump() +
           "\n";
  }

  Status write(const std::string &path) const {
    std::string text = json();
    if (path != "-")
      return writeFile(path, std::as_bytes(std::span(text)));
    std::fputs(text.c_str(), stderr);
    return {};
  }
};

} // namespace

Status run::generate(const GenerateOptions &options, std::optional<Module> carried) {
  if (options.stats != "-")
    HADAL_TRY(checkFolderOf(options.stats));
  auto session = HADAL_TRY(Session::open(options, std::move(carried)));
  const fb::Model &model = *HADAL_TRY(inferenceModelOf(session->module()));
  std::optional<Tokenizer> tokenizer;
  std::vector<std::vector<int32_t>> prompts;
  if (options.prompt) {
    tokenizer.emplace(HADAL_TRY(Tokenizer::open(weightsFolder(options))));
    prompts.push_back(HADAL_TRY(tokenizer->encodePrompt(*options.prompt)));
    HADAL_TRY(checkSequence(model, prompts[0], "the prompt"));
  } else {
    prompts = HADAL_TRY(readTokenRows(options.input, session->module()));
  }
  int64_t rows = static_cast<int64_t>(prompts.size());
  // A row ends at the model's last position at the latest; its last token is chosen there and never entered.
  int64_t shortest = model.max_positions();
  for (const std::vector<int32_t> &prompt : prompts)
    shortest = std::min(shortest, static_cast<int64_t>(prompt.size()));
  int64_t length = std::min(options.generation.maxNewTokens, model.max_positions() - shortest + 1);
  std::optional<Recording> recording;
  if (!options.output.empty())
    recording = HADAL_TRY(Recording::create(model, rows, length));

  HADAL_TRY(session->load());
  auto generation = HADAL_TRY(Generation::create(session->executor(), options.generation));
  for (std::vector<int32_t> &prompt : prompts)
    HADAL_TRY(generation->add(std::move(prompt)));
  std::optional<Display> display;
  if (tokenizer || !recording)
    display.emplace(tokenizer ? &*tokenizer : nullptr, options.generation.ignoreEos);
  double firstTokenSeconds = -1;
  HADAL_TRY(generation->run([&](const GeneratedToken &token) {
    if (firstTokenSeconds < 0)
      firstTokenSeconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - options.start).count();
    if (display)
      display->take(token);
    if (recording)
      recording->take(token);
  }));
  if (display)
    display->finish();
  Figures figures{generation->statistics(), rows, session->threads(), session->loadSeconds(), firstTokenSeconds};
  figures.print();
  if (!options.stats.empty())
    HADAL_TRY(figures.write(options.stats));
  HADAL_TRY(session->writeTrace());
  return recording ? recording->write(options.output) : Status();
}
