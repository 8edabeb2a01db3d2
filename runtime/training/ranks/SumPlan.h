//===- SumPlan.h - who adds up what, and who updates it -----------------===//
//
// Follows from the module alone, so that all ranks have the same plan: what a step sums up over
// ranks, in the order in which all of them go through it.
//
//===--------------------------------------------------------------------===//

#ifndef HADAL_RUNTIME_TRAINING_RANKS_SUMPLAN_H
#define HADAL_RUNTIME_TRAINING_RANKS_SUMPLAN_H

#include "runtime/ranks/RankLayout.h"
#include "runtime/training/Trainables.h"

#include <string>
#include <vector>

namespace hadal {

/// The sums of one stage that make up a total: each owner has one, at the rank that works for it.
struct SumUse {
  unsigned stage;
  uint32_t accumulator;        ///< of the stage
  std::vector<unsigned> ranks; ///< leaves of the halving tree
};

/// A total over the step: the gradient of a parameter or of a rank's share of a sharded one, or
/// losses or loads.
struct SumUnit {
  int32_t trainable = -1; ///< -1: losses or loads, which all ranks get
  uint32_t shard = 0;
  std::string state;        ///< of losses or loads
  std::vector<SumUse> uses; ///< in the order in which they are added
  unsigned leaf = 0;        ///< of each use, where its total comes to lie
  unsigned root = 0;        ///< rank that has the total, and updates the parameter
  std::vector<unsigned>
      replicas; ///< ranks that have the parameter, or a part of losses or loads, ascending
};

/// The elements of a parameter's gradient, or of a rank's share of it.
int64_t elementsOf(const fb::Training &training, const SumUnit &unit);

struct SumPlan {
  std::vector<SumUnit> units;

  /// Parameters are spread over the ranks that have them, each to the one that has least so far:
  /// their moments lie there alone (ZeRO, stage 1).
  static SumPlan of(const fb::Module &module, const RankLayout &layout);

  TensorShares sharesOf(const fb::Training &training, const RankLayout &layout) const;
};

} // namespace hadal

#endif // HADAL_RUNTIME_TRAINING_RANKS_SUMPLAN_H
