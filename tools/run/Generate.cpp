//===- Generate.cpp - hadal-run generate --------------------------------===//

#include "runtime/DataDigest.h"
#include "runtime/ModelLimits.h"
#include "runtime/Tokenizer.h"
#include "runtime/inference/StopText.h"
#include "tools/CommandLine.h"
#include "tools/Progress.h"
#include "tools/run/Commands.h"
#include "tools/run/DeviceFigures.h"
#include "tools/run/Infer.h"
#include "tools/run/TensorFiles.h"
#include "tools/run/TokenRows.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstring>

using namespace hadal;
using namespace hadal::run;

namespace {

/// Collects what -o writes: tokens and the logits they were chosen from.
class Recording {
public:
  /// Of the rows from `first` on. Rows that end early keep token `rest`, and zeros. `top`:
  /// likeliest tokens to write with each; 0: none, and no log-probabilities.
  static Result<Recording> create(const fb::Model &model, int64_t first, int64_t rows,
                                  int64_t length, int64_t rest, int64_t top) {
    Recording result;
    result.first = first;
    result.length = length;
    result.vocabulary = model.vocab_size();
    result.tokens = HADAL_TRY(Tensor::create(ElementType::I64, {rows, length}));
    result.logits = HADAL_TRY(Tensor::create(ElementType::F32, {rows, length, result.vocabulary}));
    result.top = top;
    if (top) {
      result.logprobs = HADAL_TRY(Tensor::create(ElementType::F32, {rows, length}));
      result.topIds = HADAL_TRY(Tensor::create(ElementType::I32, {rows, length, top}));
      result.topLogprobs = HADAL_TRY(Tensor::create(ElementType::F32, {rows, length, top}));
    }
    auto tokens = result.tokens.as<int64_t>();
    std::fill(tokens.begin(), tokens.end(), rest);
    return result;
  }

  void take(const GeneratedToken &token) {
    int64_t at = (token.sequence - first) * length + token.index;
    tokens.as<int64_t>()[at] = token.token;
    std::copy(token.logits.begin(), token.logits.end(),
              logits.as<float>().begin() + at * vocabulary);
    if (!top)
      return;
    logprobs.as<float>()[at] = token.logProbability;
    std::copy(token.topIds.begin(), token.topIds.end(), topIds.as<int32_t>().begin() + at * top);
    std::copy(token.topLogProbabilities.begin(), token.topLogProbabilities.end(),
              topLogprobs.as<float>().begin() + at * top);
  }

  NamedTensors take() {
    NamedTensors named;
    named.emplace_back("tokens", std::move(tokens));
    named.emplace_back("logits", std::move(logits));
    if (top) {
      named.emplace_back("logprobs", std::move(logprobs));
      named.emplace_back("top_ids", std::move(topIds));
      named.emplace_back("top_logprobs", std::move(topLogprobs));
    }
    return named;
  }

private:
  int64_t first = 0, length = 0, vocabulary = 0, top = 0;
  Tensor tokens, logits, logprobs, topIds, topLogprobs;
};

/// What becomes of new tokens where the command prints (printed()).
enum class Show { Nothing, Stream, Lines, Ids };

/// The new tokens of the rows as text, which ends at a stop text, or as ids.
class Display {
public:
  /// `tokenizer` is null where there is no text.
  Display(Show what, const Tokenizer *tokenizer, const std::vector<std::string> &stops,
          bool showEos, int64_t first, int64_t rows)
      : what(what), tokenizer(tokenizer), showEos(showEos), first(first), lines(rows) {
    for (int64_t row = 0; tokenizer && row < rows; ++row)
      texts.emplace_back(*tokenizer, stops);
  }

  void take(const GeneratedToken &token) {
    std::string &line = lines[token.sequence - first];
    if (what == Show::Ids)
      line += (line.empty() ? "" : " ") + std::to_string(token.token);
    if (!tokenizer)
      return;
    Text &text = texts[token.sequence - first];
    bool isVisible =
        !tokenizer->isSpecial(token.token) && !token.isStop && (!token.isEos || showEos);
    give(line, text.stop.push(text.decoder.push(token.token), isVisible));
  }

  /// Whether the row's text has come to a stop text.
  bool hasStopped(int64_t sequence) const {
    return tokenizer && texts[sequence - first].stop.found();
  }

  /// What is left to be shown when all rows have ended.
  std::string rest() {
    std::string all;
    for (size_t row = 0; row < lines.size(); ++row) {
      if (tokenizer)
        give(lines[row],
             texts[row].stop.push(texts[row].decoder.finish()) + texts[row].stop.finish());
      if (what != Show::Nothing)
        all += (what == Show::Lines ? onOneLine(lines[row]) : lines[row]) + "\n";
    }
    return all;
  }

  static void show(const std::string &text) {
    std::fwrite(text.data(), 1, text.size(), printed());
    std::fflush(printed());
  }

private:
  struct Text {
    StreamingDecoder decoder;
    StopText stop;
    Text(const Tokenizer &tokenizer, std::vector<std::string> stops)
        : decoder(tokenizer, /*skipSpecial=*/false), stop(std::move(stops)) {}
  };

  void give(std::string &line, const std::string &text) {
    if (what == Show::Stream)
      show(text);
    else if (what == Show::Lines)
      line += text;
  }

  static std::string onOneLine(const std::string &text) {
    std::string line;
    for (char c : text)
      line += c == '\n' ? "\\n" : c == '\r' ? "\\r" : c == '\\' ? "\\\\" : std::string(1, c);
    return line;
  }

  Show what;
  const Tokenizer *tokenizer;
  bool showEos;
  int64_t first;
  std::vector<std::string> lines; ///< of each row, to be shown in the end
  std::vector<Text> texts;        ///< with a tokenizer
};

/// The figures of a run.
struct Figures {
  GenerationStatistics counts;
  int64_t sequences;
  const Session &session;
  double firstTokenSeconds; ///< since the process began

  static double rate(int64_t tokens, double seconds) {
    return seconds > 0 ? static_cast<double>(tokens) / seconds : 0;
  }
  double prefillRate() const { return rate(counts.prefillTokens, counts.prefillSeconds); }
  double decodeRate() const { return rate(counts.decodeTokens, counts.decodeSeconds); }

  void print() const {
    char text[256];
    std::snprintf(text, sizeof text,
                  "prefill %lld tokens in %.3f s (%.1f tokens/s), decode %lld tokens in %.3f s "
                  "(%.1f tokens/s), first token after %.3f s, %s",
                  static_cast<long long>(counts.prefillTokens), counts.prefillSeconds,
                  prefillRate(), static_cast<long long>(counts.decodeTokens), counts.decodeSeconds,
                  decodeRate(), firstTokenSeconds, placeOf(session).c_str());
    sayOnStderr(text);
    if (counts.stoppedByPositions)
      std::fprintf(stderr, "%lld of %lld sequences stopped at the model's last position\n",
                   static_cast<long long>(counts.stoppedByPositions),
                   static_cast<long long>(sequences));
  }

  /// One line of JSON.
  std::string json() const {
    nlohmann::ordered_json figures = {{"sequences", sequences},
                                      {"prefill_tokens", counts.prefillTokens},
                                      {"prefill_seconds", counts.prefillSeconds},
                                      {"prefill_tokens_per_second", prefillRate()},
                                      {"prefill_flops", counts.prefillFlops},
                                      {"decode_tokens", counts.decodeTokens},
                                      {"decode_steps", counts.decodeSteps},
                                      {"decode_seconds", counts.decodeSeconds},
                                      {"decode_tokens_per_second", decodeRate()},
                                      {"decode_flops", counts.decodeFlops},
                                      {"load_seconds", session.loadSeconds()},
                                      {"first_token_seconds", firstTokenSeconds}};
    addDevice(session, figures);
    return figures.dump() + "\n";
  }

  Status write(const std::string &path) const {
    std::string text = json();
    return writeFile(path, std::as_bytes(std::span(text)));
  }
};

struct Parts {
  std::optional<Tokenizer> tokenizer;
  std::optional<Display> display;
  std::unique_ptr<Generation> generation;
  std::optional<Recording> recording;
  std::vector<std::vector<int32_t>> prompts; ///< of this rank
  GenerationOptions options;
  int64_t rows = 0; ///< of all ranks
};

/// The prompts as token ids.
Result<std::vector<std::vector<int32_t>>> readPrompts(const GenerateOptions &options,
                                                      const Module &module,
                                                      const std::optional<Tokenizer> &tokenizer) {
  if (!options.input.empty())
    return HADAL_TRY(readTokenRows(options.input, module)).rows;
  std::vector<std::string> texts;
  if (options.prompt)
    texts.push_back(*options.prompt);
  else
    texts = HADAL_TRY(readPromptLines(options.promptFile));
  std::vector<std::vector<int32_t>> prompts;
  for (const std::string &text : texts) {
    prompts.push_back(HADAL_TRY(tokenizer->encodePrompt(text)));
    HADAL_TRY(checkSequence(*module.model(), prompts.back(),
                            options.prompt ? "the prompt"
                                           : nameOfInput(options.promptFile) + ": line " +
                                                 std::to_string(prompts.size())));
  }
  return prompts;
}

Status prepare(const GenerateOptions &options, Job &job, Session &session, Parts &parts,
               std::vector<Fact> &facts) {
  HADAL_TRY(checkFolderOf(options.stats));
  if (options.generation.logprobs && options.output.empty())
    return invalidArgument("--logprobs: wants -o, which they are written to");
  const fb::Model &model = *HADAL_TRY(inferenceModelOf(session.module()));
  GenerationOptions generation = options.generation;
  for (int64_t id : generation.stopTokens)
    if (id >= model.vocab_size())
      return invalidArgument("--stop-token: " + std::to_string(id) +
                             " is not in the vocabulary (0 to " +
                             std::to_string(model.vocab_size() - 1) + ")");
  generation.eosTokens = HADAL_TRY(eosTokensOf(options.weights, model));
  if (options.input.empty() || !options.stopTexts.empty())
    parts.tokenizer.emplace(HADAL_TRY(Tokenizer::open(weightsFolder(options.weights))));
  auto prompts = HADAL_TRY(readPrompts(options, session.module(), parts.tokenizer));
  parts.rows = static_cast<int64_t>(prompts.size());
  // A row ends at the model's last position at the latest; its last token is chosen there and never
  // entered.
  int64_t shortest = model.max_positions();
  for (const std::vector<int32_t> &prompt : prompts)
    shortest = std::min(shortest, static_cast<int64_t>(prompt.size()));
  int64_t length = std::min(options.generation.maxNewTokens, model.max_positions() - shortest + 1);
  int64_t first = job.share().first(parts.rows), count = job.share().count(parts.rows);
  if (!options.output.empty())
    parts.recording = HADAL_TRY(Recording::create(
        model, first, count, length,
        generation.eosTokens->empty() ? 0 : generation.eosTokens->front(), generation.logprobs));

  // The text of one prompt is the first rank's, and shown as it comes; other rows are shown in the
  // end.
  Show show = options.prompt                ? Show::Stream
              : !options.promptFile.empty() ? Show::Lines
              : parts.recording             ? Show::Nothing
                                            : Show::Ids;
  parts.display.emplace(show, parts.tokenizer ? &*parts.tokenizer : nullptr, options.stopTexts,
                        generation.ignoreEos, first, count);

  DataDigest digest;
  for (const std::vector<int32_t> &prompt : prompts)
    digest.add(prompt);
  facts.push_back(
      {options.input.empty() ? "a prompt, or tokens of it," : "rows of --input", digest.text()});
  facts.push_back({"end-of-sequence tokens", dataDigestOf(*generation.eosTokens)});
  parts.prompts = {prompts.begin() + first, prompts.begin() + first + count};
  generation.firstSequence = first;
  parts.options = std::move(generation);
  return {};
}

/// With the weights loaded.
Status begin(Job &job, Session &session, Parts &parts) {
  GenerationOptions &generation = parts.options;
  if (!job.isOne())
    generation.anyRank = [&job](bool mine) { return job.any(mine); };
  generation.endsAt = [&parts](const GeneratedToken &token) {
    return parts.display->hasStopped(token.sequence);
  };
  parts.generation = HADAL_TRY(Generation::create(session.executor(), generation));
  for (std::vector<int32_t> &prompt : parts.prompts)
    HADAL_TRY(parts.generation->add(std::move(prompt)));
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
  double firstTokenSeconds = -1;
  HADAL_TRY(parts.generation->run([&](const GeneratedToken &token) {
    if (firstTokenSeconds < 0)
      firstTokenSeconds =
          std::chrono::duration<double>(std::chrono::steady_clock::now() - options.start).count();
    parts.display->take(token);
    if (parts.recording)
      parts.recording->take(token);
  }));
  for (const std::string &text :
       HADAL_TRY(job.gather(parts.display->rest(), "collects the tokens")))
    if (job.isFirst())
      Display::show(text);
  HADAL_TRY(flushOutput());
  Figures figures{HADAL_TRY(countsOfAll(job, parts.generation->statistics())), parts.rows, session,
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
  return infer(
      options, options.job, std::move(carried),
      {[&](Job &job, Session &session, std::vector<Fact> &facts) {
         return prepare(options, job, session, parts, facts);
       },
       [&](Job &job, Session &session) { return begin(job, session, parts); },
       [&](Job &job, Session &session) { return generateRows(options, job, session, parts); }});
}
