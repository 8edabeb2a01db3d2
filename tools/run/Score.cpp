//===- Score.cpp - hadal-run score --------------------------------------===//

#include "runtime/DataDigest.h"
#include "runtime/Tokenizer.h"
#include "runtime/inference/Scoring.h"
#include "tools/CommandLine.h"
#include "tools/Progress.h"
#include "tools/run/Commands.h"
#include "tools/run/Infer.h"

#include <nlohmann/json.hpp>

#include <cmath>

using namespace hadal;
using namespace hadal::run;

namespace {
/// What the scored tokens of all ranks cost, at the first one.
Result<std::vector<float>> gather(Job &job, const std::vector<float> &mine) {
  std::string bytes(reinterpret_cast<const char *>(mine.data()), mine.size() * sizeof(float));
  std::string joined;
  for (const std::string &one : HADAL_TRY(job.gather(bytes, "collects what tokens cost")))
    joined += one;
  std::vector<float> all(joined.size() / sizeof(float));
  std::copy(joined.begin(), joined.end(), reinterpret_cast<char *>(all.data()));
  return all;
}
} // namespace

static void print(const ScoreOptions &options, const Score &score) {
  double perplexity = std::exp(score.meanNll);
  if (options.json) {
    nlohmann::ordered_json line = {
        {"nll", score.meanNll},
        {"perplexity", perplexity},
        {"tokens", score.tokens},
        {"windows", score.windows},
        {"rest", score.rest},
        {"window", options.scoring.window},
        {"stride", options.scoring.stride ? options.scoring.stride : options.scoring.window},
        {"bos", options.withBos}};
    std::fprintf(printed(), "%s\n", line.dump().c_str());
    return;
  }
  std::fprintf(printed(), "nll %.7f perplexity %.5f over %lld tokens in %lld %s", score.meanNll,
               perplexity, static_cast<long long>(score.tokens),
               static_cast<long long>(score.windows), score.windows == 1 ? "window" : "windows");
  if (score.rest)
    std::fprintf(printed(), ", a rest of %lld left out", static_cast<long long>(score.rest));
  std::fprintf(printed(), "\n");
}

Status run::score(const ScoreOptions &options, std::optional<Module> carried) {
  std::vector<int32_t> tokens;
  ScoringOptions scoring = options.scoring;
  auto prepare = [&](Job &, Session &session, std::vector<Fact> &facts) -> Status {
    Tokenizer tokenizer = HADAL_TRY(Tokenizer::open(weightsFolder(options.weights)));
    std::string name = nameOfInput(options.text), text = HADAL_TRY(readInputText(options.text));
    if (!isUtf8(text))
      return invalidFile(name + ": is not UTF-8");
    if (options.withBos && !(scoring.bos = tokenizer.bosToken()))
      return invalidArgument("--bos: tokenizer_config.json in " + weightsFolder(options.weights) +
                             " names no bos_token");
    tokens = HADAL_TRY(tokenizer.encode(text));
    if (Status checked = checkScoring(session.module(), tokens, scoring); !checked.ok())
      return Error{checked.error().code, name + ": " + checked.error().message};
    facts.push_back({"a text, or tokens of it,", dataDigestOf(tokens)});
    facts.push_back({"a BOS token", std::to_string(scoring.bos.value_or(-1)), true});
    return {};
  };
  auto compute = [&](Job &job, Session &session) -> Status {
    Score result;
    {
      Progress progress("scoring", job.isFirst());
      ScoringRanks ranks{job.share(), options.microBatches,
                         [&](std::vector<float> mine) { return gather(job, mine); }};
      result = HADAL_TRY(scoreTokens(
          session.executor(), tokens, scoring,
          [&](int64_t done, int64_t total) { progress.show(done, total); }, ranks));
    }
    HADAL_TRY(job.writeTrace(session.tracing(), options.trace));
    if (job.isFirst())
      print(options, result);
    return {};
  };
  return infer(options, options.job, std::move(carried), {prepare, {}, compute});
}
