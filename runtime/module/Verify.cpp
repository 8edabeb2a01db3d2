#include "runtime/module/Verify.h"
#include "runtime/module/CheckRanks.h"
#include "runtime/module/RankColumn.h"
#include "runtime/module/UsedStates.h"

#include <algorithm>
#include <map>
#include <set>

namespace hadal {

using namespace verify;

/// Rule 2.
static Status verifyOrder(const fb::Ranks &ranks, uint32_t rank, uint32_t microBatches) {
  const auto &chunks = *ranks.orders()->Get(rank)->chunks();
  std::vector<std::vector<bool>> done[3];
  for (auto &what : done)
    what.assign(directionsOf(ranks), std::vector<bool>(microBatches));
  std::vector<uint32_t> weights(directionsOf(ranks));
  auto broken = [&](uint32_t item, const std::string &what) {
    return invalidFile("pipeline rank " + std::to_string(rank) + ", item " + std::to_string(item) + " (" +
                       chunkName(*chunks.Get(item)) + "): " + what);
  };
  for (uint32_t i = 0; i < chunks.size(); ++i) {
    const fb::Chunk &chunk = *chunks.Get(i);
    auto once = [&](uint32_t what) {
      std::vector<bool>::reference was = done[what][chunk.direction()][chunk.micro_batch()];
      bool first = !was;
      was = true;
      return first;
    };
    bool isWhole = chunk.kind() == fb::ChunkKind_Backward;
    if (chunk.kind() == fb::ChunkKind_Forward && !once(0))
      return broken(i, "a chunk stands there twice");
    if ((chunk.kind() == fb::ChunkKind_InputGrad || isWhole) && !once(1))
      return broken(i, "a chunk stands there twice");
    if (chunk.kind() == fb::ChunkKind_WeightGrad || isWhole) {
      if (!once(2))
        return broken(i, "a chunk stands there twice");
      if (chunk.micro_batch() != weights[chunk.direction()]++)
        return broken(i, "weight gradients of a direction are summed in ascending order of micro-batches");
    }
    bool fits = i + 1 < chunks.size() && !chunks.Get(i + 1)->paired() &&
                ((chunk.kind() == fb::ChunkKind_Forward && chunks.Get(i + 1)->kind() == fb::ChunkKind_Backward) ||
                 (isWhole && chunks.Get(i + 1)->kind() == fb::ChunkKind_Forward));
    if (chunk.paired() && !fits)
      return broken(i, "a pair is a forward and a whole backward chunk");
  }
  static const char *const names[] = {"forward", "input gradient", "weight gradient"};
  for (uint32_t what = 0; what < 3; ++what)
    for (uint32_t direction = 0; direction < directionsOf(ranks); ++direction)
      for (uint32_t m = 0; m < microBatches; ++m)
        if (!done[what][direction][m])
          return invalidFile("pipeline rank " + std::to_string(rank) + " never does the " + names[what] +
                             " of micro-batch " + std::to_string(m) + " in direction " + std::to_string(direction));
  return {};
}

/// Rule 7.
static Status verifyAccumulators(const fb::Module &module) {
  const fb::Training &training = *module.training();
  std::vector<std::set<uint32_t>> uses(training.trainables()->size());
  for (uint32_t i = 0; i < training.ranks()->stages()->size(); ++i) {
    const fb::Stage &stage = *training.ranks()->stages()->Get(i);
    std::map<std::string, uint32_t> bound; // states, and how many of the stage's programs have them
    for (uint32_t program : {stage.forward(), stage.input_grad(), stage.weight_grad()})
      for (uint32_t state : usedStates(module, *module.programs()->Get(program)))
        ++bound[module.states()->Get(state)->name()->str()];
    std::set<std::string> own;
    for (const fb::Accumulator *a : *stage.accumulators()) {
      std::string of = "stage " + std::to_string(i) + ", accumulator " + a->state()->str();
      if (!own.insert(a->state()->str()).second)
        return invalidFile(of + " stands there twice");
      if (!bound.count(a->state()->str()))
        return invalidFile(of + " is of a state that no chunk of the stage has");
      if (bound[a->state()->str()] > 1)
        return invalidFile(of + " is of a state that chunks of more than one kind have, which keep no order");
      if (a->trainable() >= 0 && !uses[a->trainable()].insert(a->use()).second)
        return invalidFile(of + " is another's use " + std::to_string(a->use()) + " of " +
                           training.trainables()->Get(a->trainable())->name()->str());
    }
  }
  for (uint32_t i = 0; i < uses.size(); ++i) {
    const fb::Trainable &trainable = *training.trainables()->Get(i);
    if (!trainable.correction() && (uses[i].empty() || *uses[i].rbegin() + 1 != uses[i].size()))
      return invalidFile(
          "gradients of " + trainable.name()->str() + " are summed in " + std::to_string(uses[i].size()) + " uses" +
          (uses[i].empty() ? "" : ", of which the last is numbered " + std::to_string(*uses[i].rbegin())));
  }
  return {};
}

static Status verifyAll(const fb::Module &module, std::vector<RankPeak> &peaks) {
  const fb::Ranks &ranks = *module.training()->ranks();
  uint32_t microBatches = uint32_t(module.training()->micro_batches() / ownersOf(ranks));
  for (uint32_t rank = 0; rank < ranks.pp(); ++rank)
    HADAL_TRY(verifyOrder(ranks, rank, microBatches));
  std::vector<ChunkPrograms> stages;
  for (const fb::Stage *stage : *ranks.stages())
    stages.push_back(HADAL_TRY(readChunkPrograms(module, *stage)));
  HADAL_TRY(RankColumn(ranks, stages).run(peaks));
  return verifyAccumulators(module);
}

Status verifyRanks(const Module &module, std::vector<RankPeak> *peaks) {
  std::vector<RankPeak> found;
  if (!module.tables().training() || !module.tables().training()->ranks())
    return {};
  Status status = verifyAll(module.tables(), peaks ? *peaks : found);
  return status ? status : invalidFile(module.path() + ": " + status.error().message);
}

} // namespace hadal
