//===- Score.cpp - hadal-run score --------------------------------------===//

#include "runtime/Scoring.h"
#include "runtime/Tokenizer.h"
#include "tools/Progress.h"
#include "tools/run/Commands.h"

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

Status run::score(const ScoreOptions &options, std::optional<Module> carried) {
  std::vector<int32_t> tokens;
  auto prepare = [&](Job &job, Session &session) -> Status {
    Tokenizer tokenizer = HADAL_TRY(Tokenizer::open(weightsFolder(options)));
    std::string text = HADAL_TRY(readTextFile(options.text));
    tokens = HADAL_TRY(tokenizer.encode(text));
    HADAL_TRY(checkScoring(session.module(), tokens));
    return session.load(job.rank());
  };
  auto compute = [&](Job &job, Session &session) -> Status {
    Score result;
    {
      Progress progress("scoring", job.isFirst());
      ScoringRanks ranks{job.share(), options.microBatches, [&](std::vector<float> mine) { return gather(job, mine); }};
      result = HADAL_TRY(scoreTokens(
          session.executor(), tokens, [&](int64_t done, int64_t total) { progress.show(done, total); }, ranks));
    }
    HADAL_TRY(job.writeTrace(session.tracing(), options.trace));
    if (job.isFirst())
      std::printf("nll %.7f perplexity %.5f\n", result.meanNll, std::exp(result.meanNll));
    return {};
  };
  return Job::infer(options, options.job, std::move(carried), prepare, compute);
}
