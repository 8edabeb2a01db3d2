#include "tools/inspect/Ranks.h"

#include "runtime/module/CheckRanks.h"
#include "runtime/module/RankSizes.h"

#include <array>
#include <set>

using namespace hadal;
using namespace hadal::inspect;

static const fb::Ranks *ranksOf(const Module &module) {
  return module.tables().training() ? module.tables().training()->ranks() : nullptr;
}

namespace {

class RankFigures {
public:
  explicit RankFigures(const Module &module)
      : tables(module.tables()), training(*tables.training()), ranks(*training.ranks()) {}

  Result<Json> all() {
    for (const fb::Stage *stage : *ranks.stages())
      HADAL_TRY(countChunks(*stage));
    Json list = Json::array();
    for (uint32_t pp = 0; pp < ranks.pp(); ++pp)
      for (uint32_t dp = 0; dp < ranks.dp(); ++dp)
        for (uint32_t ep = 0; ep < ranks.ep(); ++ep) {
          int64_t experts = tables.model() ? tables.model()->experts() : 0;
          list.push_back({{"rank", (uint64_t(pp) * ranks.dp() + dp) * ranks.ep() + ep},
                          {"pp", pp},
                          {"ep", ep},
                          {"dp", dp},
                          {"experts_per_layer", experts / ranks.ep()},
                          {"parameter_bytes", parameterBytes(pp)},
                          {"sent_bytes_per_step", chunkBytes(pp) + reductionBytes(pp)}});
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
      switch (chunk->kind()) {
      case fb::ChunkKind_Forward:
        bytes += sent[0];
        break;
      case fb::ChunkKind_Backward:
        bytes += sent[1] + sent[2];
        break;
      case fb::ChunkKind_InputGrad:
        bytes += sent[1];
        break;
      case fb::ChunkKind_WeightGrad:
        bytes += sent[2];
        break;
      }
    }
    return bytes;
  }

  /// The trainable parameters of a stage: those it sums gradients of, and the routing biases of its layers, which have
  /// none.
  std::set<uint32_t> trainablesOf(const fb::Stage &stage) const {
    std::set<uint32_t> found;
    for (const fb::Accumulator *a : *stage.accumulators())
      if (a->trainable() >= 0)
        found.insert(a->trainable());
    for (uint32_t i = 0; i < training.trainables()->size(); ++i) {
      const fb::Trainable &trainable = *training.trainables()->Get(i);
      for (uint32_t layer = stage.first_layer(); trainable.correction() && layer < stage.first_layer() + stage.layers();
           ++layer)
        if (trainable.name()->str().find(".layers." + std::to_string(layer) + ".") != std::string::npos)
          found.insert(i);
    }
    return found;
  }

  uint64_t bytesOf(uint32_t trainable) const {
    const fb::Trainable &t = *training.trainables()->Get(trainable);
    return uint64_t(4) * t.packed_elements() * t.count();
  }

  /// Two directions of dualpipe are two copies; two stages of dualpipev are two halves.
  uint64_t parameterBytes(uint32_t pp) const {
    uint64_t bytes = 0;
    for (uint32_t direction = 0; direction < directionsOf(ranks); ++direction)
      for (uint32_t trainable : trainablesOf(*ranks.stages()->Get(stageOf(ranks, pp, direction))))
        bytes += bytesOf(trainable);
    return bytes;
  }

  /// Of n ranks that hold a tensor one updates it: the others send it their gradient and get the weight. As updating
  /// ranks are chosen evenly, each of the n sends (n-1)/n of both.
  uint64_t reductionBytes(uint32_t pp) const {
    uint64_t bytes = 0;
    for (uint32_t direction = 0; direction < directionsOf(ranks); ++direction)
      for (uint32_t trainable : trainablesOf(*ranks.stages()->Get(stageOf(ranks, pp, direction)))) {
        const fb::Trainable &t = *training.trainables()->Get(trainable);
        uint64_t copies = ownersOf(ranks) / (t.sharded() ? ranks.ep() : 1);
        if (!t.correction())
          bytes += 2 * bytesOf(trainable) * (copies - 1) / copies;
      }
    return bytes;
  }

  const fb::Module &tables;
  const fb::Training &training;
  const fb::Ranks &ranks;
  std::vector<std::array<uint64_t, 3>> chunks; ///< by stage
};

} // namespace

Result<Json> inspect::describeRanks(const Module &module) {
  return ranksOf(module) ? RankFigures(module).all() : Result<Json>(Json());
}
