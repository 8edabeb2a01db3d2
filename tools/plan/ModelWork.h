//===- ModelWork.h - the work of training a model, from its config.json ---===//

#ifndef HADAL_TOOLS_PLAN_MODELWORK_H
#define HADAL_TOOLS_PLAN_MODELWORK_H

#include "frontend/ModelConfig.h"
#include "runtime/Result.h"
#include "tools/plan/Layout.h"

namespace hadal::plan {

/// The work of `stages` pipeline stages, with shapes from `config`: the embedding in the first,
/// head and MTP in the last, layers split as hadal-compile splits them (frontend/StageSplit.h)
/// unless layout.evenSplit. InvalidArgument where experts do not divide or there are fewer layers
/// than stages want.
Result<StepWork> workOfModel(const frontend::ModelConfig &config, const Layout &layout,
                             int64_t stages);

} // namespace hadal::plan

#endif // HADAL_TOOLS_PLAN_MODELWORK_H
