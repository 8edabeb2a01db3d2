//===- Plan.cpp - a step of a job on a cluster --------------------===//

#include "tools/plan/Plan.h"

#include <algorithm>

using namespace hadal;
using namespace hadal::plan;

double Plan::flops(bool causal) const {
  return (causal ? work.tokenFlopsCausal : work.tokenFlopsFull) * work.tokens / result.seconds() /
         double(layout.world());
}

double Plan::largestMemory() const {
  double most = 0;
  for (const RankResult &rank : result.ranks)
    most = std::max(most, rank.memory.sum());
  return most;
}

static Status checkLayout(const Layout &l, const Cluster &cluster) {
  std::string sizes = "pp * ep * dp (" + std::to_string(l.pp) + " * " + std::to_string(l.ep) +
                      " * " + std::to_string(l.dp) + ")";
  if (l.world() > cluster.gpus)
    return invalidArgument(sizes + " wants at most the " + std::to_string(cluster.gpus) +
                           " GPUs of " + cluster.name);
  if (l.ep % l.nodes)
    return invalidArgument("--nodes=" + std::to_string(l.nodes) +
                           " wants to divide --ep=" + std::to_string(l.ep));
  if (l.ep / l.nodes > cluster.gpusPerNode)
    return invalidArgument("--nodes=" + std::to_string(l.nodes) + " puts " +
                           std::to_string(l.ep / l.nodes) + " ranks on a node of " +
                           std::to_string(cluster.gpusPerNode) + " GPUs");
  if (!l.microBatches())
    return invalidArgument("a step of " + std::to_string(l.sequences) +
                           " sequences does not split into micro-batches of " +
                           std::to_string(l.microBatch) +
                           " on ep * dp = " + std::to_string(l.ep * l.dp) + " ranks");
  return {};
}

Result<std::unique_ptr<Plan>> plan::makePlan(const WorkSource &source, const Layout &layout,
                                             const Cluster &cluster) {
  HADAL_TRY(checkLayout(layout, cluster));
  auto plan = std::make_unique<Plan>();
  plan->cluster = cluster;
  plan->layout = layout;
  bool own =
      source.orders && source.orders->name == layout.schedule && source.orders->ranks == layout.pp;
  if (own)
    plan->schedule = *source.orders;
  else
    plan->schedule = HADAL_TRY(schedule::makeSchedule(layout.schedule, uint32_t(layout.pp),
                                                      uint32_t(layout.microBatches())));
  plan->work = HADAL_TRY(source.work(layout, stages(plan->schedule)));
  if (own)
    plan->work.activationPeaks = source.activationPeaks;
  plan->result = simulate(plan->schedule, plan->work, plan->layout, plan->cluster);
  return plan;
}
