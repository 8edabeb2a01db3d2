//===- Report.h - a plan as text and as a JSON line -----------------------===//

#ifndef HADAL_TOOLS_PLAN_REPORT_H
#define HADAL_TOOLS_PLAN_REPORT_H

#include "tools/plan/Plan.h"

#include <nlohmann/json_fwd.hpp>

namespace hadal::plan {

/// Rows of Table 4, beside the published ones where the plan is of that step; memory of each
/// pipeline rank; cost.
Result<std::string> toText(const WorkSource &source, const Plan &plan);

/// step_seconds, tokens_per_day, mfu_causal, rows (1F, bubble, 1B, 1W, 1F1B, optimizer) ...
nlohmann::ordered_json toJson(const Plan &plan);

/// "deepseek_v3 671B on 2,048 H800, 1024 GPUs of them".
std::string title(const Plan &plan);

/// "pp 16 x ep 64 x dp 2 on 8 nodes a group, dualpipe, 120 micro-batches of 1 x 4096 tokens, fp8".
std::string toString(const Layout &layout);

/// As printf would.
std::string format(const char *pattern, ...) __attribute__((format(printf, 1, 2)));

} // namespace hadal::plan

#endif // HADAL_TOOLS_PLAN_REPORT_H
