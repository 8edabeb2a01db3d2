//===- Logits.cpp - hadal-run logits ------------------------------------===//

#include "runtime/Logits.h"
#include "tools/run/Commands.h"
#include "tools/run/TensorFiles.h"

using namespace hadal;
using namespace hadal::run;

Status run::logits(const LogitsCommandOptions &options, std::optional<Module> carried) {
  auto session = HADAL_TRY(Session::open(options, std::move(carried)));
  auto rows = HADAL_TRY(readTokenRows(options.input, session->module()));
  std::optional<Safetensors> routes;
  if (!options.routes.empty())
    routes.emplace(HADAL_TRY(Safetensors::open(options.routes)));
  HADAL_TRY(session->load());
  NamedTensors results =
      HADAL_TRY(computeLogits(session->executor(), rows, {options.dump, routes ? &*routes : nullptr}));
  HADAL_TRY(session->writeTrace());
  return writeTensors(options.output, results);
}
