//===- Optimizer.cpp - the optimizer's part of a step -------------===//

#include "tools/plan/Optimizer.h"

#include <algorithm>

using namespace hadal;
using namespace hadal::plan;

/// A reduce-scatter, or the all-gather that undoes it, of `bytes` among `members` ranks of which
/// `perNode` share each node: first over NVLink inside the node, then each of them its part over
/// InfiniBand.
static double collectiveSeconds(double bytes, double members, double perNode,
                                const Cluster &cluster) {
  perNode = std::min(perNode, members);
  double nodes = members / perNode;
  double inside = perNode > 1 ? bytes * (perNode - 1) / perNode / cluster.nvlink.rate +
                                    (perNode - 1) * cluster.nvlink.latency
                              : 0;
  double between = nodes > 1 ? bytes / perNode * (nodes - 1) / nodes / cluster.ib.rate +
                                   (nodes - 1) * cluster.ib.latency
                             : 0;
  return inside + between;
}

std::vector<double> plan::optimizerSeconds(const schedule::Schedule &s, const StepWork &work,
                                           const Layout &layout, const Cluster &cluster) {
  // Both directions of dualpipe hold a stage; experts lie on as many ranks as there are replicas of
  // their expert-parallel rank.
  double copies = double(layout.dp) * (s.name == "dualpipe" ? 2 : 1),
         all = copies * double(layout.ep);
  double expertsPerNode = std::max(1.0, double(cluster.gpusPerNode) / double(layout.ep));
  double memory = cluster.memoryRate * cluster.kernels[int(KernelKind::Elementwise)][0].efficiency;
  std::vector<double> seconds;
  for (uint32_t rank = 0; rank < s.orders.size(); ++rank) {
    double replicated = 0, experts = 0;
    for (uint32_t d = 0; d < directions(s); ++d) {
      const StageWork &stage = work.stages[stageOf(s, rank, d)];
      replicated += stage.replicatedParameters;
      experts += stage.expertParameters;
    }
    double time = 0;
    for (double bytes : {work.gradientBytes, work.weightBytes}) {
      time += collectiveSeconds(replicated * bytes, all, double(cluster.gpusPerNode), cluster);
      time += collectiveSeconds(experts * bytes, copies, expertsPerNode, cluster);
    }
    // The norm reads the share's gradient; AdamW reads it again, reads and writes master weights
    // and moments, writes the new weight.
    double share = replicated / all + experts / copies;
    double touched = share * (2 * work.gradientBytes + 2 * (work.masterBytes + work.momentBytes) +
                              work.weightBytes);
    // All local gradients are set to zero for the next step.
    touched += (replicated + experts) * work.gradientBytes;
    seconds.push_back(time + touched / memory);
  }
  return seconds;
}
