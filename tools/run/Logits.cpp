//===- Logits.cpp - hadal-run logits ------------------------------------===//

#include "runtime/inference/Logits.h"
#include "runtime/DataDigest.h"
#include "tools/run/Commands.h"
#include "tools/run/Infer.h"
#include "tools/run/TensorFiles.h"
#include "tools/run/TokenRows.h"

using namespace hadal;
using namespace hadal::run;

Status run::logits(const LogitsCommandOptions &options, std::optional<Module> carried) {
  TokenRows input;
  std::optional<Safetensors> routes;
  auto wanted = [&](RowShare share) {
    return LogitsOptions{options.dump, routes ? &*routes : nullptr,
                         share,        options.microBatches,
                         input.width,  input.begins};
  };
  auto prepare = [&](Job &job, Session &session, std::vector<Fact> &facts) -> Status {
    input = HADAL_TRY(readTokenRows(options.input, session.module()));
    if (!options.routes.empty())
      routes.emplace(
          HADAL_TRY(Safetensors::open(HADAL_TRY(MappedFile::openInput(options.routes)))));
    HADAL_TRY(checkLogits(session.module(), input.rows, wanted({})));
    DataDigest digest;
    for (const std::vector<int32_t> &row : input.rows)
      digest.add(row);
    digest.add(input.begins);
    facts.push_back({"rows of --input", digest.text()});
    if (!options.routes.empty() && !job.isOne()) // a stream, which one rank may have, is read once
      digest.add(HADAL_TRY(Checkpoint::open(options.routes)));
    facts.push_back({"choices in --routes", digest.text()});
    return {};
  };
  auto compute = [&](Job &job, Session &session) -> Status {
    NamedTensors results =
        HADAL_TRY(computeLogits(session.executor(), input.rows, wanted(job.share())));
    // Choices of experts have a row for each column.
    HADAL_TRY(job.gatherRows(results, int64_t(input.rows.size()), [&](const std::string &name) {
      return name.starts_with("router.") ? input.width : 1;
    }));
    HADAL_TRY(job.writeTrace(session.tracing(), options.trace));
    return job.isFirst() ? writeTensors(options.output, results) : Status();
  };
  return infer(options, options.job, std::move(carried), {prepare, {}, compute});
}
