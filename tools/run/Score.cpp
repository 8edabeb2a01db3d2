//===- Score.cpp - hadal-run score --------------------------------------===//

#include "runtime/ModelLimits.h"
#include "runtime/Scoring.h"
#include "runtime/Tokenizer.h"
#include "tools/run/Commands.h"
#include "tools/run/Progress.h"

#include <cmath>

using namespace hadal;
using namespace hadal::run;

Status run::score(const ScoreOptions &options, std::optional<Module> carried) {
  auto session = HADAL_TRY(Session::open(options, std::move(carried)));
  HADAL_TRY(inferenceModelOf(session->module()));
  Tokenizer tokenizer = HADAL_TRY(Tokenizer::open(weightsFolder(options)));
  std::string text = HADAL_TRY(readTextFile(options.text));
  std::vector<int32_t> tokens = HADAL_TRY(tokenizer.encode(text));
  HADAL_TRY(session->load());
  Score result;
  {
    Progress progress("scoring");
    result = HADAL_TRY(
        scoreTokens(session->executor(), tokens, [&](int64_t done, int64_t total) { progress.show(done, total); }));
  }
  HADAL_TRY(session->writeTrace());
  std::printf("nll %.7f perplexity %.5f\n", result.meanNll, std::exp(result.meanNll));
  return {};
}
