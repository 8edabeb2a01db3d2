//===- Verify.cpp - whether many ranks can run a module together ----------===//

#include "runtime/module/Verify.h"
#include "runtime/module/BufferSizes.h"
#include "runtime/module/CheckRanks.h"
#include "runtime/module/Dataflow.h"
#include "runtime/module/Names.h"
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
  std::vector<std::vector<bool>> done[stageProgramCount];
  for (auto &what : done)
    what.assign(directionsOf(ranks), std::vector<bool>(microBatches));
  std::vector<uint32_t> weights(directionsOf(ranks));
  auto broken = [&](uint32_t item, const std::string &what) {
    return invalidFile("pipeline rank " + std::to_string(rank) + ", item " + std::to_string(item) +
                       " (" + chunkName(*chunks.Get(item)) + "): " + what);
  };
  for (uint32_t i = 0; i < chunks.size(); ++i) {
    const fb::Chunk &chunk = *chunks.Get(i);
    for (StageProgram program : programsOf(ChunkKind(chunk.kind()))) {
      std::vector<bool>::reference was =
          done[size_t(program)][chunk.direction()][chunk.micro_batch()];
      if (was)
        return broken(i, "a chunk stands there twice");
      was = true;
      if (program == StageProgram::WeightGrad &&
          chunk.micro_batch() != weights[chunk.direction()]++)
        return broken(
            i, "weight gradients of a direction are summed in ascending order of micro-batches");
    }
    bool isWhole = chunk.kind() == fb::ChunkKind_Backward;
    bool fits = i + 1 < chunks.size() && !chunks.Get(i + 1)->paired() &&
                ((chunk.kind() == fb::ChunkKind_Forward &&
                  chunks.Get(i + 1)->kind() == fb::ChunkKind_Backward) ||
                 (isWhole && chunks.Get(i + 1)->kind() == fb::ChunkKind_Forward));
    if (chunk.paired() && !fits)
      return broken(i, "a pair is a forward and a whole backward chunk");
  }
  for (StageProgram program : stagePrograms)
    for (uint32_t direction = 0; direction < directionsOf(ranks); ++direction)
      for (uint32_t m = 0; m < microBatches; ++m)
        if (!done[size_t(program)][direction][m])
          return invalidFile("pipeline rank " + std::to_string(rank) + " never does the " +
                             toString(program) + " of micro-batch " + std::to_string(m) +
                             " in direction " + std::to_string(direction));
  return {};
}

/// Where the sum of a parameter's use lies.
static std::string sumOf(const fb::Trainable &trainable, uint32_t use) {
  return names::state::gradient + trainable.name()->str() +
         (use ? ".use" + std::to_string(use) : "");
}

/// Rule 7 for a stage.
static Status verifySums(const fb::Module &module, uint32_t number,
                         const std::vector<ProgramFlow> &flows,
                         std::vector<std::set<uint32_t>> &uses) {
  const fb::Training &training = *module.training();
  const fb::Stage &stage = *training.ranks()->stages()->Get(number);
  std::string where = "stage " + std::to_string(number);
  std::map<std::string, uint32_t> bound; // states, and how many of the stage's programs have them
  std::set<std::string> summed;
  for (uint32_t program : {stage.forward(), stage.input_grad(), stage.weight_grad()}) {
    for (uint32_t state : usedStates(module, *module.programs()->Get(program)))
      ++bound[module.states()->Get(state)->name()->str()];
    if (flows[program].isKnown)
      for (const auto &[state, use] : flows[program].states)
        if (use.writes)
          summed.insert(module.states()->Get(state)->name()->str());
  }
  std::set<std::string> own;
  for (const fb::Accumulator *a : *stage.accumulators()) {
    std::string of = where + ", accumulator " + a->state()->str();
    if (!own.insert(a->state()->str()).second)
      return invalidFile(of + " stands there twice");
    if (!bound.count(a->state()->str()))
      return invalidFile(of + " is of a state that no chunk of the stage has");
    if (bound[a->state()->str()] > 1)
      return invalidFile(
          of + " is of a state that chunks of more than one kind have, which keep no order");
    if (a->trainable() < 0)
      continue;
    const fb::Trainable &trainable = *training.trainables()->Get(a->trainable());
    if (a->state()->str() != sumOf(trainable, a->use()))
      return invalidFile(of + " is said to be that of use " + std::to_string(a->use()) + " of " +
                         trainable.name()->str());
    if (!uses[a->trainable()].insert(a->use()).second)
      return invalidFile(of + " is another's use " + std::to_string(a->use()) + " of " +
                         trainable.name()->str());
  }
  for (const std::string &state : summed)
    if (!own.count(state))
      return invalidFile(where + " adds to " + state + ", which is none of its sums");
  return {};
}

/// Rule 7.
static Status verifyAccumulators(const fb::Module &module) {
  const fb::Training &training = *module.training();
  std::vector<ProgramFlow> flows = HADAL_TRY(dataflowOf(module, TemporaryMemory::Slots));
  std::vector<std::set<uint32_t>> uses(training.trainables()->size());
  for (uint32_t i = 0; i < training.ranks()->stages()->size(); ++i)
    HADAL_TRY(verifySums(module, i, flows, uses));
  for (uint32_t i = 0; i < uses.size(); ++i) {
    const fb::Trainable &trainable = *training.trainables()->Get(i);
    if (!trainable.correction() && (uses[i].empty() || *uses[i].rbegin() + 1 != uses[i].size()))
      return invalidFile("gradients of " + trainable.name()->str() + " are summed in " +
                         std::to_string(uses[i].size()) + " uses" +
                         (uses[i].empty() ? ""
                                          : ", of which the last is numbered " +
                                                std::to_string(*uses[i].rbegin())));
  }
  return {};
}

static Status verifyTraining(const fb::Module &module) {
  const fb::Ranks &ranks = *module.training()->ranks();
  uint32_t microBatches = uint32_t(module.training()->micro_batches() / ownersOf(ranks));
  for (uint32_t rank = 0; rank < ranks.pp(); ++rank)
    HADAL_TRY(verifyOrder(ranks, rank, microBatches));
  std::vector<ChunkPrograms> stages;
  for (const fb::Stage *stage : *ranks.stages())
    stages.push_back(HADAL_TRY(readChunkPrograms(module, *stage)));
  HADAL_TRY(RankColumn(ranks, stages).run());
  return verifyAccumulators(module);
}

/// Rule 8.
static Status verifyShares(const fb::Module &module) {
  const fb::Inference &inference = *module.inference();
  int64_t experts = module.model() ? module.model()->experts() : 0;
  std::set<uint32_t> shared(inference.sharded()->begin(), inference.sharded()->end());
  for (uint32_t i = 0; experts > 0 && i < module.parameters()->size(); ++i) {
    const fb::Parameter &parameter = *module.parameters()->Get(i);
    int64_t ranks = shared.count(i) ? inference.ep() : 1, all = ranks * int64_t(parameter.count());
    if (parameter.name()->str().find("{}") != std::string::npos && all != experts)
      return invalidFile("parameter " + parameter.name()->str() + " holds " +
                         std::to_string(parameter.count()) + " tensors on each of " +
                         std::to_string(ranks) + " ranks, of " + std::to_string(experts) +
                         " experts");
  }
  return {};
}

static Status verifyInference(const fb::Module &module) {
  for (const fb::InferenceProgram *program : *module.inference()->programs()) {
    std::vector<ChunkPrograms> one = {
        HADAL_TRY(readInferenceProgram(module, *module.programs()->Get(program->program())))};
    HADAL_TRY(RankColumn(one).run());
  }
  return verifyShares(module);
}

static Status ofModule(const Module &module, const Status &status) {
  return status ? status : Status(invalidFile(module.path() + ": " + status.error().message));
}

Status verifyRanks(const Module &module) {
  if (module.tables().inference())
    return ofModule(module, verifyInference(module.tables()));
  if (!module.tables().training() || !module.tables().training()->ranks())
    return {};
  return ofModule(module, verifyTraining(module.tables()));
}

static Status verifyDataflow(const fb::Module &module, bool required) {
  if (!module.dataflow() || module.dataflow()->size() == 0)
    return required
               ? Status(invalidFile("does not say what its programs compute: compile it again"))
               : Status();
  std::vector<uint64_t> hashes = HADAL_TRY(dataflowHashes(module, TemporaryMemory::Slots));
  for (uint32_t i = 0; i < hashes.size(); ++i)
    if (hashes[i] != module.dataflow()->Get(i))
      return invalidFile(i + 1 == hashes.size()
                             ? std::string("the tables of sums and shares of parameters are not "
                                           "those that the compiler wrote")
                             : "program " + module.programs()->Get(i)->name()->str() +
                                   " does not compute what the compiler meant it to");
  return {};
}

Status verifyPrograms(const Module &module, bool required) {
  HADAL_TRY(ofModule(module, verifyBufferSizes(module.tables())));
  return ofModule(module, verifyDataflow(module.tables(), required));
}

Status verifyModule(const Module &module) {
  HADAL_TRY(verifyRanks(module));
  return verifyPrograms(module,
                        module.tables().inference() ||
                            (module.tables().training() && module.tables().training()->ranks()));
}

} // namespace hadal
