//===- Infer.cpp - what generate, logits and score have alike -----------===//

#include "tools/run/Infer.h"

#include "runtime/ModelLimits.h"
#include "tools/Progress.h"

using namespace hadal;
using namespace hadal::run;

Status run::infer(const SessionOptions &options, const JobOptions &jobOptions,
                  std::optional<Module> carried, const Inference &command) {
  std::unique_ptr<Session> session; // outlives what the job lets it do
  auto job = HADAL_TRY(Job::open(jobOptions, "hadal-run"));
  std::vector<Fact> facts;
  auto prepare = [&]() -> Status {
    session = HADAL_TRY(Session::open(options, std::move(carried)));
    HADAL_TRY(inferenceModelOf(session->module()));
    HADAL_TRY(job->take(session->module()));
    HADAL_TRY(session->openWeights());
    HADAL_TRY(command.prepare(*job, *session, facts));
    if (!job->isOne())
      session->addFacts(facts);
    return {};
  };
  HADAL_TRY(job->agree(prepare(), "prepares", facts));
  auto begin = [&]() -> Status {
    {
      Progress progress("packing weights");
      HADAL_TRY(session->load(job->shard(),
                              [&](uint64_t done, uint64_t total) { progress.show(done, total); }));
    }
    return command.begin ? command.begin(*job, *session) : Status();
  };
  HADAL_TRY(job->agree(begin(), "loads"));
  job->runWith(session->executor(), session->traceWanted());
  Status status = command.work(*job, *session);
  return status ? status : Status(job->stop(status.error()));
}
