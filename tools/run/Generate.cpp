//===- Generate.cpp - hadal-run generate --------------------------------===//

#include "runtime/ModelLimits.h"
#include "runtime/Tokenizer.h"
#include "tools/run/Commands.h"
#include "tools/run/TensorFiles.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstring>

using namespace hadal;
using namespace hadal::run;

namespace {

/// Collects what -o writes: tokens and the logits they were chosen from.
class Recording {
public:
  /// Of the rows from `first` on. Rows that end early keep the end-of-sequence token and zero logits.
  static Result<Recording> create(const fb::Model &model, int64_t first, int64_t rows, int64_t length) {
    Recording result;
    result.first = first;
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
    int64_t at = (token.sequence - first) * length + token.index;
    tokens.as<int64_t>()[at] = token.token;
    std::copy(token.logits.begin(), token.logits.end(), logits.as<float>().begin() + at * vocabulary);
  }

  NamedTensors take() {
    NamedTensors named;
    named.emplace_back("tokens", std::move(tokens));
    named.emplace_back("logits", std::move(logits));
    return named;
  }

private:
  int64_t first = 0, length = 0, vocabulary = 0;
  Tensor tokens, logits;
};

/// Shows new tokens on stdout: text as it comes, or for --input without -o the ids of each row.
class Display {
public:
  Display(const Tokenizer *tokenizer, bool showEos, int64_t first) : showEos(showEos), first(first) {
    if (tokenizer)
      decoder.emplace(*tokenizer, /*skipSpecial=*/true);
  }

  void take(const GeneratedToken &token) {
    if (decoder) {
      if (!token.isEos || showEos)
        show(decoder->push(token.token));
      return;
    }
    size_t row = token.sequence - first;
    ids.resize(std::max<size_t>(ids.size(), row + 1));
    ids[row] += (ids[row].empty() ? "" : " ") + std::to_string(token.token);
  }

  /// What is left to be shown.
  std::string rest() const {
    std::string text;
    for (const std::string &row : ids)
      text += row + "\n";
    return text;
  }
  void endText() {
    if (decoder)
      show(decoder->finish() + "\n");
  }

  static void show(const std::string &text) {
    std::fwrite(text.data(), 1, text.size(), stdout);
    std::fflush(stdout);
  }

private:
  std::optional<StreamingDecoder> decoder;
  bool showEos;
  int64_t first;
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

struct Parts {
  std::optional<Tokenizer> tokenizer;
  std::unique_ptr<Generation> generation;
  std::optional<Recording> recording;
  int64_t rows = 0;
};

Status prepare(const GenerateOptions &options, Job &job, Session &session, Parts &parts) {
  if (options.stats != "-")
    HADAL_TRY(checkFolderOf(options.stats));
  const fb::Model &model = *HADAL_TRY(inferenceModelOf(session.module()));
  std::vector<std::vector<int32_t>> prompts;
  if (options.prompt) {
    parts.tokenizer.emplace(HADAL_TRY(Tokenizer::open(weightsFolder(options))));
    prompts.push_back(HADAL_TRY(parts.tokenizer->encodePrompt(*options.prompt)));
    HADAL_TRY(checkSequence(model, prompts[0], "the prompt"));
  } else {
    prompts = HADAL_TRY(readTokenRows(options.input, session.module()));
  }
  parts.rows = static_cast<int64_t>(prompts.size());
  // A row ends at the model's last position at the latest; its last token is chosen there and never entered.
  int64_t shortest = model.max_positions();
  for (const std::vector<int32_t> &prompt : prompts)
    shortest = std::min(shortest, static_cast<int64_t>(prompt.size()));
  int64_t length = std::min(options.generation.maxNewTokens, model.max_positions() - shortest + 1);
  int64_t first = job.share().first(parts.rows), count = job.share().count(parts.rows);
  if (!options.output.empty())
    parts.recording = HADAL_TRY(Recording::create(model, first, count, length));

  HADAL_TRY(session.load(job.rank()));
  GenerationOptions generation = options.generation;
  generation.firstSequence = first;
  if (!job.isOne())
    generation.anyRank = [&job](bool mine) { return job.any(mine); };
  parts.generation = HADAL_TRY(Generation::create(session.executor(), generation));
  for (int64_t row = first; row < first + count; ++row)
    HADAL_TRY(parts.generation->add(std::move(prompts[row])));
  return {};
}

/// The counts of all ranks, and the times of the first one, where the command ends.
Result<GenerationStatistics> countsOfAll(Job &job, const GenerationStatistics &mine) {
  std::string bytes(reinterpret_cast<const char *>(&mine), sizeof mine);
  GenerationStatistics all = mine;
  std::vector<std::string> told = HADAL_TRY(job.gather(bytes, "collects the figures"));
  for (size_t rank = 1; job.isFirst() && rank < told.size(); ++rank) {
    GenerationStatistics one;
    std::memcpy(&one, told[rank].data(), sizeof one);
    all.prefillTokens += one.prefillTokens;
    all.decodeTokens += one.decodeTokens;
    all.prefillFlops += one.prefillFlops;
    all.decodeFlops += one.decodeFlops;
    all.stoppedByPositions += one.stoppedByPositions;
  }
  return all;
}

Status generateRows(const GenerateOptions &options, Job &job, Session &session, Parts &parts) {
  // The text of a prompt is the first rank's, and shown as it comes; ids of rows are shown in the end.
  std::optional<Display> display;
  if (parts.tokenizer || !parts.recording)
    display.emplace(parts.tokenizer ? &*parts.tokenizer : nullptr, options.generation.ignoreEos, job.share().first(parts.rows));
  double firstTokenSeconds = -1;
  HADAL_TRY(parts.generation->run([&](const GeneratedToken &token) {
    if (firstTokenSeconds < 0)
      firstTokenSeconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - options.start).count();
    if (display)
      display->take(token);
    if (parts.recording)
      parts.recording->take(token);
  }));
  if (display && job.isFirst())
    display->endText();
  if (display)
    for (const std::string &text : HADAL_TRY(job.gather(display->rest(), "collects the tokens")))
      if (job.isFirst())
        Display::show(text);
  Figures figures{HADAL_TRY(countsOfAll(job, parts.generation->statistics())), parts.rows, session.threads(), session.loadSeconds(),
                  firstTokenSeconds};
  if (job.isFirst()) {
    figures.print();
    if (!options.stats.empty())
      HADAL_TRY(figures.write(options.stats));
  }
  HADAL_TRY(job.writeTrace(session.tracing(), options.trace));
  if (!parts.recording)
    return {};
  NamedTensors tensors = parts.recording->take();
  HADAL_TRY(job.gatherRows(tensors, parts.rows));
  return job.isFirst() ? writeTensors(options.output, tensors) : Status();
}

} // namespace

Status run::generate(const GenerateOptions &options, std::optional<Module> carried) {
  Parts parts;
  return Job::infer(
      options, options.job, std::move(carried), [&](Job &job, Session &session) { return prepare(options, job, session, parts); },
      [&](Job &job, Session &session) { return generateRows(options, job, session, parts); });
}
