//===- Plan.h - a training step on a cluster ------------------------------===//

#ifndef HADAL_TOOLS_PLAN_PLAN_H
#define HADAL_TOOLS_PLAN_PLAN_H

#include "tools/plan/Simulate.h"

#include <functional>
#include <memory>
#include <optional>

namespace hadal::plan {

/// Where work comes from: a config.json gives it for any layout, a module for its own stages only.
struct WorkSource {
  std::function<Result<StepWork>(const Layout &layout, int64_t stages)> work;
  std::optional<schedule::Schedule> orders; ///< a module's own, and
  std::vector<double> activationPeaks; ///< what its ranks hold of activations in them, in bytes
};

/// A simulated step and what it was made from. Not copied: `result` points into `work`.
struct Plan {
  Cluster cluster;
  Layout layout;
  schedule::Schedule schedule;
  StepWork work;
  StepResult result;

  double tokensPerDay() const { return work.tokens / result.seconds() * 86400; }
  /// Operations per second of one GPU.
  double flops(bool causal) const;
  /// Of the BF16 peak, as the published figure.
  double mfu(bool causal) const { return flops(causal) / cluster.peak[int(Precision::Bf16)]; }
  double gpuHours(double tokens) const {
    return tokens / work.tokens * result.seconds() / 3600 * double(layout.world());
  }
  double largestMemory() const;
};

/// InvalidArgument where the layout does not fit the cluster, the step does not split, or no
/// schedule has its size.
Result<std::unique_ptr<Plan>> makePlan(const WorkSource &source, const Layout &layout,
                                       const Cluster &cluster);

} // namespace hadal::plan

#endif // HADAL_TOOLS_PLAN_PLAN_H
