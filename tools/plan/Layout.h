//===- Layout.h - how a training job lies on its ranks --------------------===//

#ifndef HADAL_TOOLS_PLAN_LAYOUT_H
#define HADAL_TOOLS_PLAN_LAYOUT_H

#include "runtime/Result.h"
#include "tools/plan/Work.h"

#include <string>

namespace hadal::plan {

/// World = pp * ep * dp; rank = (pp * DP + dp) * EP + ep, so an expert-parallel group fills nodes.
struct Layout {
  std::string schedule = "dualpipe";
  int64_t pp = 1, ep = 1, dp = 1;
  int64_t nodes = 1;         ///< that one expert-parallel group spans
  int64_t sequences = 15360; ///< of a step
  int64_t sequence = 4096;   ///< tokens of one
  int64_t microBatch = 1;    ///< sequences
  Precision precision = Precision::Fp8;
  std::string products;   ///< how products are computed, in words; empty: as `precision` says
  bool evenSplit = false; ///< stages of as many layers each, whatever they take

  int64_t world() const { return pp * ep * dp; }
  /// Of one (ep, dp) rank; 0 where the step does not split evenly.
  int64_t microBatches() const {
    return sequences % (microBatch * ep * dp) ? 0 : sequences / (microBatch * ep * dp);
  }
};

} // namespace hadal::plan

#endif // HADAL_TOOLS_PLAN_LAYOUT_H
