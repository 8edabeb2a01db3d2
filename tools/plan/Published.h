//===- Published.h - the step that was measured ---------------------------===//

#ifndef HADAL_TOOLS_PLAN_PUBLISHED_H
#define HADAL_TOOLS_PLAN_PUBLISHED_H

#include "tools/plan/Plan.h"

namespace hadal::plan {

/// DeepSeek-V3's step on 2,048 H800 (ISCA, arXiv:2505.09343, Table 4, MPFT). Nothing here
/// calibrates the model.
struct PublishedStep {
  Rows rows{1.13, 2.06, 1.99, 0.48, 13.95, 0.29};
  double seconds = 19.926;
  double tokensPerDay = 272.80e9;
  double teraflopsFull = 432, teraflopsCausal = 385;
  double mfuFull = 0.4373, mfuCausal = 0.3894;
};

/// Where the plan is of that step: model, batch, GPUs and layout.
bool isPublishedStep(const Plan &plan);

/// What makes up the rows: parts found by simulating again without messages, imbalance, or unequal
/// stages.
struct Breakdown {
  double formulaBubble = 0; ///< (PP/2-1) (F&B + B - 3W) of a middle stage
  double messageBubble = 0; ///< of what waits for activations and gradients on their way
  double unevenBubble = 0;  ///< of stages that take longer than others
  double weightsInside =
      0; ///< of the 1B row: weight gradients of whole backward chunks, mean over ranks
  double pairSeconds = 0, balancedPairSeconds = 0; ///< one pair of a middle stage
};
Result<Breakdown> breakDown(const WorkSource &source, const Plan &plan);

} // namespace hadal::plan

#endif // HADAL_TOOLS_PLAN_PUBLISHED_H
