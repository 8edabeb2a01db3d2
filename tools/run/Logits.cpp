//===- Logits.cpp - hadal-run logits ------------------------------------===//

#include "runtime/Logits.h"
#include "runtime/ModelLimits.h"
#include "tools/run/Commands.h"
#include "tools/run/TensorFiles.h"

using namespace hadal;
using namespace hadal::run;

namespace {
struct Parts {
  std::unique_ptr<Session> session;
  std::vector<std::vector<int32_t>> rows;
  std::optional<Safetensors> routes;
};

Status prepare(const LogitsCommandOptions &options, std::optional<Module> carried, Job &job, Parts &parts) {
  parts.session = HADAL_TRY(Session::open(options, std::move(carried)));
  HADAL_TRY(inferenceModelOf(parts.session->module()));
  HADAL_TRY(job.take(parts.session->module()));
  parts.rows = HADAL_TRY(readTokenRows(options.input, parts.session->module()));
  if (!options.routes.empty())
    parts.routes.emplace(HADAL_TRY(Safetensors::open(options.routes)));
  HADAL_TRY(checkLogits(parts.session->module(), parts.rows, {options.dump, parts.routes ? &*parts.routes : nullptr, {}}));
  return parts.session->load(job.rank());
}
} // namespace

Status run::logits(const LogitsCommandOptions &options, std::optional<Module> carried) {
  Parts parts; // outlives what the job lets it do
  auto job = HADAL_TRY(Job::open(options.job, "hadal-run"));
  HADAL_TRY(job->agree(prepare(options, std::move(carried), *job, parts), "prepares"));
  job->runWith(parts.session->executor(), parts.session->traceWanted());
  auto compute = [&]() -> Status {
    int64_t rows = int64_t(parts.rows.size()), length = int64_t(parts.rows[0].size());
    NamedTensors results = HADAL_TRY(
        computeLogits(parts.session->executor(), parts.rows, {options.dump, parts.routes ? &*parts.routes : nullptr, job->share()}));
    // Choices of experts have a row for each token.
    HADAL_TRY(job->gatherRows(results, rows, [&](const std::string &name) { return name.starts_with("router.") ? length : 1; }));
    HADAL_TRY(job->writeTrace(parts.session->tracing(), options.trace));
    return job->isFirst() ? writeTensors(options.output, results) : Status();
  };
  Status status = compute();
  return status ? status : Status(job->stop(status.error()));
}
