//===- ModelWork.h - the work of training a model, from its config.json ---===//

#ifndef HADAL_TOOLS_PLAN_MODELWORK_H
#define HADAL_TOOLS_PLAN_MODELWORK_H

#include "frontend/ModelConfig.h"
#include "runtime/Result.h"
#include "tools/plan/Cluster.h"
#include "tools/plan/Layout.h"

namespace hadal::plan {

/// The work of `stages` pipeline stages, with shapes from `config`. The embedding is in the first, head and MTP in the last; unless layout.evenSplit,
/// layers are split so that the slowest stage is as fast as can be: the report's model has 4 in each, but 5 in the first, whose dense layers
/// are shorter, and none beside the heads.
/// InvalidArgument where experts do not divide or there are fewer layers than stages want.
Result<StepWork> workOfModel(const frontend::ModelConfig &config, const Layout &layout, int64_t stages, const Cluster &cluster);

} // namespace hadal::plan

#endif // HADAL_TOOLS_PLAN_MODELWORK_H
