//===- SumPlan.cpp - who adds up what, and who updates it -----------------===//

#include "runtime/training/ranks/SumPlan.h"

#include <algorithm>
#include <map>
#include <set>

using namespace hadal;

int64_t hadal::elementsOf(const fb::Training &training, const SumUnit &unit) {
  const fb::Trainable *trainable = training.trainables()->Get(unit.trainable);
  return trainable->packed_elements() * trainable->count();
}

SumPlan SumPlan::of(const fb::Module &module, const RankLayout &layout) {
  const fb::Training &training = *module.training();
  const auto &stages = *training.ranks()->stages();
  SumPlan plan;

  // The uses of each parameter, and of what has none, in the order of the uses, then of the stages.
  struct Found {
    unsigned use, stage;
    uint32_t accumulator;
  };
  std::vector<std::vector<Found>> ofTrainable(training.trainables()->size());
  std::map<std::string, std::vector<Found>> ofState;
  for (unsigned stage = 0; stage < layout.stages(); ++stage) {
    const auto &accumulators = *stages.Get(stage)->accumulators();
    for (uint32_t i = 0; i < accumulators.size(); ++i) {
      const fb::Accumulator *accumulator = accumulators.Get(i);
      auto &list = accumulator->trainable() < 0 ? ofState[accumulator->state()->str()]
                                                : ofTrainable[accumulator->trainable()];
      list.push_back({accumulator->use(), stage, i});
    }
  }
  auto usesOf = [&](std::vector<Found> list, bool isSharded, unsigned shard) {
    std::stable_sort(list.begin(), list.end(),
                     [](const Found &a, const Found &b) { return a.use < b.use; });
    std::vector<SumUse> uses;
    for (const Found &found : list) {
      SumUse use{found.stage, found.accumulator, {}};
      for (unsigned owner = 0; owner < layout.owners(); ++owner)
        if (!isSharded || owner % layout.ep == shard)
          use.ranks.push_back(layout.rankOf(found.stage, owner));
      uses.push_back(std::move(use));
    }
    return uses;
  };
  auto ranksOf = [](const std::vector<SumUse> &uses) {
    std::set<unsigned> ranks;
    for (const SumUse &use : uses)
      ranks.insert(use.ranks.begin(), use.ranks.end());
    return std::vector<unsigned>(ranks.begin(), ranks.end());
  };

  std::vector<int64_t> load(layout.ranks(), 0);
  for (uint32_t t = 0; t < training.trainables()->size(); ++t) {
    const fb::Trainable *trainable = training.trainables()->Get(t);
    if (trainable->correction())
      continue;
    for (unsigned shard = 0; shard < (trainable->sharded() ? layout.ep : 1); ++shard) {
      SumUnit unit;
      unit.trainable = int32_t(t);
      unit.shard = shard;
      unit.uses = usesOf(ofTrainable[t], trainable->sharded(), shard);
      unit.replicas = ranksOf(unit.uses);
      if (unit.uses.empty()) { // no stage uses it; it decays all the same
        unit.replicas = {unit.root = trainable->sharded() ? shard : 0};
      } else {
        const auto &leaves = unit.uses.front().ranks;
        auto best = std::min_element(leaves.begin(), leaves.end(),
                                     [&](unsigned a, unsigned b) { return load[a] < load[b]; });
        unit.leaf = unsigned(best - leaves.begin());
        unit.root = *best;
      }
      load[unit.root] += elementsOf(training, unit);
      plan.units.push_back(std::move(unit));
    }
  }
  for (const auto &[state, list] : ofState) {
    SumUnit unit;
    unit.state = state;
    unit.uses = usesOf(list, /*isSharded=*/false, 0);
    unit.replicas = ranksOf(unit.uses);
    unit.root = unit.replicas.front();
    plan.units.push_back(std::move(unit));
  }
  return plan;
}

TensorShares SumPlan::sharesOf(const fb::Training &training, const RankLayout &layout) const {
  TensorShares shares;
  shares.rank = layout.rank;
  shares.shards = layout.ep;
  shares.shard = layout.epOf(layout.rank);
  for (const fb::Trainable *trainable : *training.trainables()) {
    shares.held.push_back(trainable->correction()); // a few numbers, which every rank moves alike
    shares.updatedBy.emplace_back(trainable->sharded() ? layout.ep : 1, 0);
  }
  for (const SumUnit &unit : units)
    if (unit.trainable >= 0) {
      shares.updatedBy[unit.trainable][unit.shard] = unit.root;
      if (std::binary_search(unit.replicas.begin(), unit.replicas.end(), layout.rank))
        shares.held[unit.trainable] = true;
    }
  return shares;
}
