//===- RankLayout.cpp - which rank does what ------------------------------===//

#include "runtime/ranks/RankLayout.h"

using namespace hadal;

Result<RankLayout> RankLayout::of(const fb::Training &training, unsigned rank) {
  RankLayout layout;
  layout.rank = rank;
  if (const fb::Ranks *ranks = training.ranks()) {
    static_cast<StagePlaces &>(layout) =
        StagePlaces::of(ranks->schedule()->string_view(), ranks->pp());
    layout.ep = ranks->ep();
    layout.dp = ranks->dp();
  }
  // Divided without a rest: checked when the module was opened.
  layout.microBatches = training.micro_batches() / layout.owners();
  layout.groups = training.sum_groups() / layout.owners();
  if (rank >= layout.ranks())
    return invalidArgument("there is no rank " + std::to_string(rank) + " of " +
                           std::to_string(layout.ranks()));
  return layout;
}

Result<unsigned> hadal::ranksOf(const Module &module) {
  if (const fb::Inference *inference = module.tables().inference())
    return inference->ep();
  const fb::Training *training = module.tables().training();
  return training ? HADAL_TRY(RankLayout::of(*training, 0)).ranks() : 1;
}
