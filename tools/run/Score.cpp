//===- Score.cpp - hadal-run score --------------------------------------===//

#include "runtime/ModelLimits.h"
#include "runtime/Scoring.h"
#include "runtime/Tokenizer.h"
#include "tools/run/Commands.h"
#include "tools/run/Progress.h"

#include <cmath>

using namespace hadal;
using namespace hadal::run;

namespace {
struct Parts {
  std::unique_ptr<Session> session;
  std::vector<int32_t> tokens;
};

Status prepare(const ScoreOptions &options, std::optional<Module> carried, Job &job, Parts &parts) {
  parts.session = HADAL_TRY(Session::open(options, std::move(carried)));
  HADAL_TRY(inferenceModelOf(parts.session->module()));
  HADAL_TRY(job.take(parts.session->module()));
  Tokenizer tokenizer = HADAL_TRY(Tokenizer::open(weightsFolder(options)));
  std::string text = HADAL_TRY(readTextFile(options.text));
  parts.tokens = HADAL_TRY(tokenizer.encode(text));
  HADAL_TRY(checkScoring(parts.session->module(), parts.tokens));
  return parts.session->load(job.rank());
}

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
  Parts parts; // outlives what the job lets it do
  auto job = HADAL_TRY(Job::open(options.job, "hadal-run"));
  HADAL_TRY(job->agree(prepare(options, std::move(carried), *job, parts), "prepares"));
  job->runWith(parts.session->executor(), parts.session->traceWanted());
  auto compute = [&]() -> Status {
    Score result;
    {
      Progress progress("scoring", job->isFirst());
      ScoringRanks ranks{job->share(), [&](std::vector<float> mine) { return gather(*job, mine); }};
      result = HADAL_TRY(scoreTokens(
          parts.session->executor(), parts.tokens, [&](int64_t done, int64_t total) { progress.show(done, total); }, ranks));
    }
    HADAL_TRY(job->writeTrace(parts.session->tracing(), options.trace));
    if (job->isFirst())
      std::printf("nll %.7f perplexity %.5f\n", result.meanNll, std::exp(result.meanNll));
    return {};
  };
  Status status = compute();
  return status ? status : Status(job->stop(status.error()));
}
