//===- RankLayout.h - which rank does what ------------------------------===//
//
// The rules of table Ranks (module/Module.fbs): coordinates of ranks, where stages are, who owns which micro-batches.
//
//===--------------------------------------------------------------------===//

#ifndef HADAL_RUNTIME_PARALLEL_RANKLAYOUT_H
#define HADAL_RUNTIME_PARALLEL_RANKLAYOUT_H

#include "runtime/module/Module.h"

#include <optional>
#include <vector>

namespace hadal {

class RankLayout {
public:
  /// The layout of a training module, seen by `rank`; one stage and one rank where it has no table of ranks. InvalidArgument when `rank`
  /// is none of its ranks.
  static Result<RankLayout> of(const fb::Training &training, unsigned rank);

  unsigned ranks() const { return pp * ep * dp; }
  unsigned rankOf(unsigned p, unsigned e, unsigned d) const { return (p * dp + d) * ep + e; }
  unsigned ppOf(unsigned rank) const { return rank / ep / dp; }
  unsigned dpOf(unsigned rank) const { return rank / ep % dp; }
  unsigned epOf(unsigned rank) const { return rank % ep; }

  /// Directions that a rank works in: 2 for dualpipe and dualpipev.
  unsigned directions() const { return isDual || isV ? 2 : 1; }
  unsigned stages() const { return isV ? 2 * pp : pp; }

  /// The pipeline rank that holds a stage for micro-batches of direction `direction` (which a stage of dualpipev has one of).
  unsigned holderOf(unsigned stage, unsigned direction) const {
    if (isV)
      return stage < pp ? stage : 2 * pp - 1 - stage;
    return isDual && direction ? pp - 1 - stage : stage;
  }
  unsigned stageOf(unsigned p, unsigned direction) const {
    if (direction == 0)
      return p;
    return isV ? 2 * pp - 1 - p : pp - 1 - p;
  }
  /// The direction in which pipeline rank `p` holds `stage`; none where it does not.
  std::optional<unsigned> directionOf(unsigned p, unsigned stage) const {
    for (unsigned direction = 0; direction < directions(); ++direction)
      if (stageOf(p, direction) == stage)
        return direction;
    return std::nullopt;
  }

  /// Owners of micro-batches: (direction, dp, ep), where directions are independent.
  unsigned ownerDirections() const { return isDual ? 2 : 1; }
  unsigned owners() const { return ownerDirections() * dp * ep; }
  unsigned ownerOf(unsigned direction, unsigned d, unsigned e) const { return ((isDual ? direction : 0) * dp + d) * ep + e; }
  unsigned directionOfOwner(unsigned owner) const { return owner / ep / dp; }
  /// The rank that works on `stage` for an owner.
  unsigned rankOf(unsigned stage, unsigned owner) const {
    return rankOf(holderOf(stage, directionOfOwner(owner)), owner % ep, owner / ep % dp);
  }

  unsigned pp = 1, ep = 1, dp = 1;
  unsigned rank = 0;
  bool isDual = false, isV = false;
  int64_t microBatches = 1;   ///< of an owner
  int64_t groups = 1;         ///< of an owner: the groups of its micro-batches whose sums join in a tree
  int64_t groupSize() const { return microBatches / groups; }
};

} // namespace hadal

#endif // HADAL_RUNTIME_PARALLEL_RANKLAYOUT_H
