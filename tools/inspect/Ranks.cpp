//===- Ranks.cpp - what each rank has and sends -------------------===//

#include "tools/inspect/Ranks.h"

#include "runtime/module/CheckRanks.h"
#include "runtime/module/ChunkKind.h"
#include "runtime/module/RankSizes.h"
#include "runtime/training/ranks/PredictMemory.h"
#include "runtime/training/ranks/SumPlan.h"

#include <algorithm>
#include <array>

using namespace hadal;
using namespace hadal::inspect;

static const fb::Ranks *ranksTable(const Module &module) {
  return module.tables().training() ? module.tables().training()->ranks() : nullptr;
}

namespace {

class RankFigures {
public:
  explicit RankFigures(const Module &module)
      : module(module), tables(module.tables()), training(*tables.training()),
        ranks(*training.ranks()) {}

  Result<Json> all() {
    for (const fb::Stage *stage : *ranks.stages())
      HADAL_TRY(countChunks(*stage));
    RankLayout layout = HADAL_TRY(RankLayout::of(training, 0));
    SumPlan plan = SumPlan::of(tables, layout);
    std::vector<RankMemory> balanced = HADAL_TRY(predictMemory(module, RowsOfExperts::Balanced));
    std::vector<RankMemory> worst = HADAL_TRY(predictMemory(module, RowsOfExperts::Worst));
    std::vector<uint64_t> reductions = reductionBytes(plan, layout.ranks());
    Json list = Json::array();
    for (uint32_t pp = 0; pp < ranks.pp(); ++pp)
      for (uint32_t dp = 0; dp < ranks.dp(); ++dp)
        for (uint32_t ep = 0; ep < ranks.ep(); ++ep) {
          int64_t experts = tables.model() ? tables.model()->experts() : 0;
          unsigned rank = layout.rankOf(pp, ep, dp);
          Json memory;
          for (const auto &[name, bytes] : balanced[rank].parts())
            memory[std::string(name)] = bytes;
          list.push_back(
              {{"rank", rank},
               {"pp", pp},
               {"ep", ep},
               {"dp", dp},
               {"experts_per_layer", experts / ranks.ep()},
               {"parameter_bytes", parameterBytes(plan, rank, pp)},
               {"sent_bytes_per_step", chunkBytes(pp) + reductions[rank]},
               {"memory_bytes", balanced[rank].total()},
               {"memory", memory},
               {"worst_memory_bytes", std::max(balanced[rank].total(), worst[rank].total())}});
        }
    return list;
  }

private:
  /// What the three chunk programs of a stage send.
  Status countChunks(const fb::Stage &stage) {
    NamedRegisters registers = balancedRegisters(tables, stage);
    std::array<uint64_t, 3> &sent = chunks.emplace_back();
    uint32_t programs[] = {stage.forward(), stage.input_grad(), stage.weight_grad()};
    for (int i = 0; i < 3; ++i)
      sent[i] = HADAL_TRY(sentBytes(*tables.programs()->Get(programs[i]), registers));
    return {};
  }

  uint64_t chunkBytes(uint32_t pp) const {
    uint64_t bytes = 0;
    for (const fb::Chunk *chunk : *ranks.orders()->Get(pp)->chunks()) {
      const std::array<uint64_t, 3> &sent = chunks[stageOf(ranks, pp, chunk->direction())];
      for (StageProgram program : programsOf(ChunkKind(chunk->kind())))
        bytes += sent[size_t(program)];
    }
    return bytes;
  }

  uint64_t bytesOf(uint32_t trainable) const {
    const fb::Trainable &t = *training.trainables()->Get(trainable);
    return uint64_t(4) * t.packed_elements() * t.count();
  }

  /// What the rank's stages read, each parameter once, and the routing biases of their layers.
  uint64_t parameterBytes(const SumPlan &plan, unsigned rank, uint32_t pp) const {
    uint64_t bytes = 0;
    for (const SumUnit &unit : plan.units)
      if (unit.trainable >= 0 &&
          std::binary_search(unit.replicas.begin(), unit.replicas.end(), rank))
        bytes += bytesOf(uint32_t(unit.trainable));
    for (uint32_t i = 0; i < training.trainables()->size(); ++i)
      if (training.trainables()->Get(i)->correction() &&
          hasLayerOf(*training.trainables()->Get(i), pp))
        bytes += bytesOf(i);
    return bytes;
  }

  bool hasLayerOf(const fb::Trainable &trainable, uint32_t pp) const {
    for (uint32_t direction = 0; direction < directionsOf(ranks); ++direction) {
      const fb::Stage &stage = *ranks.stages()->Get(stageOf(ranks, pp, direction));
      for (uint32_t layer = stage.first_layer(); layer < stage.first_layer() + stage.layers();
           ++layer)
        if (trainable.name()->str().find(".layers." + std::to_string(layer) + ".") !=
            std::string::npos)
          return true;
    }
    return false;
  }

  /// Gradients join in a tree of the ranks that have them, go to the one that updates the
  /// parameter, and the weights from there to the others. In the engine's order a rank's part of
  /// all uses goes into one reduction.
  std::vector<uint64_t> reductionBytes(const SumPlan &plan, unsigned world) const {
    std::vector<uint64_t> sent(world);
    for (const SumUnit &unit : plan.units) {
      if (unit.trainable < 0)
        continue;
      uint64_t bytes = bytesOf(uint32_t(unit.trainable));
      sent[unit.root] += bytes * (unit.replicas.size() - 1);
      if (ranks.fast_reduction()) {
        for (unsigned rank :
             unit.replicas) // whatever the engine's tree, each but the root says its sum once
          if (rank != unit.root)
            sent[rank] += bytes;
        continue;
      }
      for (const SumUse &use : unit.uses) {
        for (unsigned leaf = 0; leaf < use.ranks.size(); ++leaf)
          if (leaf != unit.leaf)
            sent[use.ranks[leaf]] += bytes;
        if (use.ranks[unit.leaf] != unit.root)
          sent[use.ranks[unit.leaf]] += bytes;
      }
    }
    return sent;
  }

  const Module &module;
  const fb::Module &tables;
  const fb::Training &training;
  const fb::Ranks &ranks;
  std::vector<std::array<uint64_t, 3>> chunks; ///< by stage
};

} // namespace

Result<Json> inspect::describeRanks(const Module &module) {
  return ranksTable(module) ? RankFigures(module).all() : Result<Json>(Json());
}
