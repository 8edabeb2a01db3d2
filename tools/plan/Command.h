//===- Command.h - hadal-plan INPUT ---------------------------------------===//
//
// What a step of a model or a module costs on a cluster.
//
//===--------------------------------------------------------------------===//

#ifndef HADAL_TOOLS_PLAN_COMMAND_H
#define HADAL_TOOLS_PLAN_COMMAND_H

#include "tools/plan/Layout.h"

#include <string>

namespace hadal::plan {

/// Zeros are defaults: the report's pp and ep as far as the model goes, dp that fills the cluster,
/// as many nodes as ep ranks want.
struct PlanRequest {
  std::string input;                      ///< a folder with config.json, or a module with ranks
  std::string cluster = "h800x2048.json"; ///< a file, or the name of one of examples/clusters
  Layout layout;
  bool layoutGiven = false; ///< some of it, which a module does not take
  std::string compare;      ///< "schedules", "layouts", or nothing
  bool json = false;
  std::string html, trace; ///< files to write
};

Status showPlan(PlanRequest request);

} // namespace hadal::plan

#endif // HADAL_TOOLS_PLAN_COMMAND_H
