//===- RankLayout.h - which rank does what ------------------------------===//
//
// The rules of table Ranks (module/Module.fbs): coordinates of ranks, where stages are
// (module/StagePlaces.h), who owns which micro-batches.
//
//===--------------------------------------------------------------------===//

#ifndef HADAL_RUNTIME_RANKS_RANKLAYOUT_H
#define HADAL_RUNTIME_RANKS_RANKLAYOUT_H

#include "runtime/module/Module.h"
#include "runtime/module/StagePlaces.h"

#include <optional>
#include <vector>

namespace hadal {

struct RankLayout : StagePlaces {
  /// The layout of a training module, seen by `rank`; one stage and one rank where it has no table
  /// of ranks. InvalidArgument when `rank` is none of its ranks.
  static Result<RankLayout> of(const fb::Training &training, unsigned rank);

  unsigned ranks() const { return pp * ep * dp; }
  unsigned rankOf(unsigned p, unsigned e, unsigned d) const { return (p * dp + d) * ep + e; }
  unsigned ppOf(unsigned rank) const { return rank / ep / dp; }
  unsigned dpOf(unsigned rank) const { return rank / ep % dp; }
  unsigned epOf(unsigned rank) const { return rank % ep; }

  /// Owners of micro-batches: (direction, dp, ep), where directions are independent.
  unsigned owners() const { return ownerDirections() * dp * ep; }
  unsigned ownerOf(unsigned direction, unsigned d, unsigned e) const {
    return ((isDual ? direction : 0) * dp + d) * ep + e;
  }
  unsigned directionOfOwner(unsigned owner) const { return owner / ep / dp; }
  /// The rank that works on `stage` for an owner.
  unsigned rankOf(unsigned stage, unsigned owner) const {
    return rankOf(holderOf(stage, directionOfOwner(owner)), owner % ep, owner / ep % dp);
  }

  unsigned ep = 1, dp = 1;
  unsigned rank = 0;
  int64_t microBatches = 1; ///< of an owner
  int64_t groups = 1; ///< of an owner: the groups of its micro-batches whose sums join in a tree
  int64_t groupSize() const { return microBatches / groups; }
};

/// How many ranks a module is for.
Result<unsigned> ranksOf(const Module &module);

} // namespace hadal

#endif // HADAL_RUNTIME_RANKS_RANKLAYOUT_H
