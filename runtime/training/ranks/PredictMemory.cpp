//===- PredictMemory.cpp - what a rank of a training job will take --------===//

#include "runtime/training/ranks/PredictMemory.h"

#include "runtime/Tensor.h"
#include "runtime/device/Memory.h"
#include "runtime/module/Expr.h"
#include "runtime/module/Names.h"
#include "runtime/module/RankSizes.h"
#include "runtime/module/UsedStates.h"
#include "runtime/training/ranks/ChunkSizes.h"
#include "runtime/training/ranks/SumPlan.h"

#include <algorithm>
#include <set>
#include <utility>

using namespace hadal;

std::vector<std::pair<std::string_view, uint64_t>> RankMemory::parts() const {
  return {{"weights", weights},          {"gradients", gradients}, {"moments", moments},
          {"partial_sums", partialSums}, {"values", values},       {"messages", messages},
          {"temporaries", temporaries},  {"other", other}};
}

namespace {

class Predictor {
public:
  Predictor(const fb::Module &module, const RankLayout &layout)
      : module(module), training(*module.training()), ranks(*training.ranks()), layout(layout),
        plan(SumPlan::of(module, layout)) {}
  Result<std::vector<RankMemory>> run(RowsOfExperts rows);
  Result<std::vector<RankPeak>> peaks();

private:
  Status readStates();
  Status readStages(RowsOfExperts rows);
  Result<RankMemory> ofPipelineRank(unsigned pp);
  void addSums(std::vector<RankMemory> &all);
  void addStates(std::vector<RankMemory> &all);
  void addCheckpoints(std::vector<RankMemory> &all);
  uint64_t inputBytes() const;
  uint64_t bytesOfState(const std::string &name) const {
    auto found = numbers.find(name);
    return found == numbers.end() ? 0 : bytes[found->second];
  }
  int64_t elementsOf(const SumUnit &unit) const {
    const fb::Trainable *trainable = training.trainables()->Get(unit.trainable);
    return trainable->packed_elements() * trainable->count();
  }

  const fb::Module &module;
  const fb::Training &training;
  const fb::Ranks &ranks;
  const RankLayout &layout;
  SumPlan plan;
  std::map<std::string, uint32_t> numbers; ///< of states
  std::vector<uint64_t> bytes;             ///< of states
  std::vector<SizedStage> stages;
  std::vector<std::set<uint32_t>> bound; ///< states that a stage binds
};

Status Predictor::readStates() {
  std::vector<int64_t> registers(module.state_registers()->size());
  for (const fb::State *state : *module.states()) {
    Shape shape;
    for (const fb::Expr *e : *state->shape())
      shape.push_back(HADAL_TRY(evaluate({e->code()->data(), e->code()->size()}, registers)));
    auto size = byteCount(static_cast<ElementType>(state->element()), shape);
    if (!size)
      return invalidFile("state " + state->name()->str() + " has an impossible size");
    numbers.emplace(state->name()->str(), uint32_t(bytes.size()));
    bytes.push_back(*size);
  }
  return {};
}

Status Predictor::readStages(RowsOfExperts rows) {
  for (unsigned number = 0; number < layout.stages(); ++number) {
    const fb::Stage &table = *ranks.stages()->Get(number);
    NamedRegisters named = rows == RowsOfExperts::Worst ? worstRegisters(module, table)
                                                        : balancedRegisters(module, table);
    SizedStage stage{StagePlan::of(module, table), {}, {}};
    stage.bytes.resize(stage.plan.valueNames.size());
    std::set<uint32_t> states;
    for (size_t which = 0; which < stageProgramCount; ++which) {
      const fb::Program &program = *stage.plan.programs[which].program;
      for (const auto *name : *program.registers()) {
        auto known = named.find(name->string_view());
        stage.registers[which].push_back(known == named.end() ? 0 : known->second);
      }
      for (uint32_t i = 0; i < program.arguments()->size(); ++i)
        stage.bytes[stage.plan.programs[which].values[i]] =
            HADAL_TRY(argumentBytes(program, i, named));
      states.merge(usedStates(module, program));
    }
    stages.push_back(std::move(stage));
    bound.push_back(std::move(states));
  }
  return {};
}

/// What has the same size on all ranks of a pipeline rank: values, temporaries, and what its stages
/// add up.
Result<RankMemory> Predictor::ofPipelineRank(unsigned pp) {
  RankMemory memory;
  ChunkSizes chunks(module, layout, stages, pp);
  HADAL_TRY(chunks.run());
  memory.values = chunks.valueBytes();
  int64_t largest = 0;
  for (const fb::Trainable *trainable : *training.trainables())
    largest = std::max(largest, trainable->packed_elements() * trainable->count());
  std::vector<std::string> beside = {names::program::zero,       names::program::squareSum,
                                     names::program::globalNorm, names::program::schedule,
                                     names::program::adamw,      names::program::balance,
                                     names::program::add,        names::program::addI32};
  for (unsigned direction = 0; direction < layout.directions(); ++direction)
    beside.push_back(names::program::quantizeWeightsOf(layout.stageOf(pp, direction)));
  for (const std::string &name : beside)
    for (const fb::Program *program : *module.programs())
      if (program->name()->string_view() == name)
        HADAL_TRY(chunks.arenas.add(
            *program, std::vector<int64_t>(program->registers()->size(), largest), 0));
  uint64_t scratch = 0;
  for (const fb::Kernel *kernel : *module.kernels())
    if (const fb::CpuTasks *tasks = kernel->shape_as_CpuTasks())
      scratch = std::max<uint64_t>(scratch, tasks->scratch_bytes());
  memory.temporaries = chunks.arenas.bytes() + scratch;

  int64_t levels = 0;
  while (int64_t(1) << levels < layout.groups)
    ++levels;
  std::map<std::string, std::set<unsigned>> stagesOf; // that add to a state
  std::vector<std::pair<std::string, unsigned>> sums;
  for (unsigned direction = 0; direction < layout.directions(); ++direction) {
    unsigned stage = layout.stageOf(pp, direction);
    for (const fb::Accumulator *accumulator : *ranks.stages()->Get(stage)->accumulators()) {
      stagesOf[accumulator->state()->str()].insert(stage);
      sums.emplace_back(accumulator->state()->str(), stage);
    }
  }
  for (const auto &[state, stage] : sums)
    if (!ranks.fast_reduction()) // which has one chain a rank
      memory.partialSums += bytesOfState(state) * uint64_t(levels + (stagesOf[state].size() > 1));
  memory.other = inputBytes();
  return memory;
}

/// A step's rows of all ranks, and what programs take of them: a list each of ids, positions and
/// targets, and after the first depth of rows.
uint64_t Predictor::inputBytes() const {
  int64_t lists = 0;
  for (int64_t depth = 0; depth <= training.mtp_depth(); ++depth)
    lists += (depth ? 4 : 3) * std::max<int64_t>(training.sequence() - depth, 0);
  return uint64_t(training.micro_batches() * training.micro_batch() *
                  (lists + training.sequence())) *
         sizeof(int32_t);
}

/// Sums of other ranks, as they come: one after the other, each into a buffer of the pool.
void Predictor::addSums(std::vector<RankMemory> &all) {
  if (ranks.fast_reduction()) // the engine's
    return;
  std::vector<PoolSizes> pools(layout.ranks());
  auto receive = [&](unsigned rank, uint64_t bytes) {
    pools[rank].giveBack(pools[rank].take(bytes).size);
  };
  for (const SumUnit &unit : plan.units)
    for (size_t number = 0; number < unit.uses.size(); ++number) {
      const SumUse &use = unit.uses[number];
      uint64_t bytes = unit.trainable < 0 ? bytesOfState(unit.state)
                                          : uint64_t(elementsOf(unit)) * sizeof(float);
      for (unsigned leaf = 0; leaf < use.ranks.size(); ++leaf)
        for (unsigned size = 1;
             size < use.ranks.size() && ((leaf ^ unit.leaf) & (2 * size - 1)) == 0; size *= 2)
          receive(use.ranks[leaf], bytes);
      if (unit.trainable >= 0 && use.ranks[unit.leaf] != unit.root)
        receive(unit.root, bytes);
    }
  for (const SumUnit &unit : plan.units)
    for (unsigned rank = 0; unit.trainable < 0 && rank < layout.ranks(); ++rank)
      receive(rank, bytesOfState(unit.state));
  for (unsigned rank = 0; rank < layout.ranks(); ++rank)
    all[rank].messages = pools[rank].peakBytes();
}

/// States whose pages a rank never touches cost it nothing.
void Predictor::addStates(std::vector<RankMemory> &all) {
  auto placeOf = [](RankMemory &memory, std::string_view name) -> uint64_t & {
    std::string_view kind = name.substr(0, name.find('.'));
    if (kind == "weight" || kind == "rounded" || kind == "codes" || kind == "scales")
      return memory.weights;
    if (kind == "gradient")
      return memory.gradients;
    return kind == "first_moment" || kind == "second_moment" || kind == "average" ? memory.moments
                                                                                  : memory.other;
  };
  // What every rank touches: small states, and what the programs beside the chunks write. `zero`
  // only reads weights.
  std::vector<bool> everywhere;
  for (uint64_t size : bytes)
    everywhere.push_back(size < Buffer::smallestMapping);
  for (const fb::Program *program : *module.programs())
    if (program->name()->string_view() == names::program::zero ||
        program->name()->string_view() == names::program::balance)
      for (uint32_t state : usedStates(module, *program))
        if (program->name()->string_view() == names::program::balance ||
            !module.states()->Get(state)->name()->string_view().starts_with(names::state::weight))
          everywhere[state] = true;
  std::vector<std::vector<bool>> ofPp;
  for (unsigned pp = 0; pp < layout.pp; ++pp) {
    std::vector<bool> &touched = ofPp.emplace_back(everywhere);
    for (unsigned direction = 0; direction < layout.directions(); ++direction)
      for (uint32_t state : bound[layout.stageOf(pp, direction)])
        touched[state] = true;
    RankMemory sum;
    for (uint32_t state = 0; state < bytes.size(); ++state)
      if (touched[state])
        placeOf(sum, module.states()->Get(state)->name()->string_view()) += bytes[state];
    for (unsigned rank = 0; rank < layout.ranks(); ++rank)
      if (layout.ppOf(rank) == pp) {
        all[rank].weights += sum.weights, all[rank].gradients += sum.gradients;
        all[rank].moments += sum.moments, all[rank].other += sum.other;
      }
  }
  // What lies where a parameter is updated.
  for (const SumUnit &unit : plan.units) {
    if (unit.trainable < 0)
      continue;
    std::string name = training.trainables()->Get(unit.trainable)->name()->str();
    for (const char *kind :
         {names::state::gradient, names::state::firstMoment, names::state::secondMoment,
          names::state::average, names::state::weight}) {
      auto state = numbers.find(kind + name);
      if (state == numbers.end() || ofPp[layout.ppOf(unit.root)][state->second])
        continue;
      // Of the gradient the total alone, which is one segment of the sums over source ranks.
      uint64_t size = bytes[state->second];
      placeOf(all[unit.root], kind) +=
          kind[0] == 'g' ? std::min(size, uint64_t(elementsOf(unit)) * sizeof(float)) : size;
    }
  }
}

/// A checkpoint is written tensor by tensor: each comes from the rank that updates it to the first
/// one.
void Predictor::addCheckpoints(std::vector<RankMemory> &all) {
  std::vector<uint64_t> largest(layout.ranks()), widest(layout.ranks());
  for (const SumUnit &unit : plan.units) {
    if (unit.trainable < 0)
      continue;
    const fb::Trainable &trainable = *training.trainables()->Get(unit.trainable);
    const auto *dims = trainable.shape();
    // BF16 moments pass through f32.
    if (auto moment = numbers.find(names::state::firstMoment + trainable.name()->str());
        moment != numbers.end() &&
        module.states()->Get(moment->second)->element() == fb::ElementType_BF16)
      widest[unit.root] =
          std::max(widest[unit.root], uint64_t(trainable.packed_elements()) * sizeof(float));
    uint64_t size = byteCount(ElementType::F32, Shape(dims->begin(), dims->end())).value_or(0);
    for (unsigned rank : {0u, unit.root})
      largest[rank] = std::max(largest[rank], size);
  }
  for (unsigned rank = 0; rank < layout.ranks(); ++rank)
    all[rank].other += largest[rank] + widest[rank];
}

Result<std::vector<RankMemory>> Predictor::run(RowsOfExperts rows) {
  HADAL_TRY(readStates());
  HADAL_TRY(readStages(rows));
  std::vector<RankMemory> all(layout.ranks());
  for (unsigned pp = 0; pp < layout.pp; ++pp) {
    RankMemory memory = HADAL_TRY(ofPipelineRank(pp));
    for (unsigned rank = 0; rank < layout.ranks(); ++rank)
      if (layout.ppOf(rank) == pp)
        all[rank] = memory;
  }
  addSums(all);
  addStates(all);
  addCheckpoints(all);
  return all;
}

Result<std::vector<RankPeak>> Predictor::peaks() {
  HADAL_TRY(readStages(RowsOfExperts::Balanced));
  std::vector<RankPeak> all;
  for (unsigned pp = 0; pp < layout.pp; ++pp)
    all.push_back(ChunkSizes(module, layout, stages, pp).most());
  return all;
}

} // namespace

/// What `predict` says of a module with a table of ranks.
template <typename Predict>
static auto ofRanks(const Module &module, const Predict &predict)
    -> decltype(predict(std::declval<Predictor &>())) {
  const fb::Training *training = module.tables().training();
  if (!training || !training->ranks())
    return invalidArgument(module.path() + ": is not for training on many ranks");
  RankLayout layout = HADAL_TRY(RankLayout::of(*training, 0));
  Predictor predictor(module.tables(), layout);
  auto all = predict(predictor);
  return all.ok() ? std::move(all) : invalidFile(module.path() + ": " + all.error().message);
}

Result<std::vector<RankMemory>> hadal::predictMemory(const Module &module, RowsOfExperts rows) {
  return ofRanks(module, [&](Predictor &predictor) { return predictor.run(rows); });
}

Result<std::vector<RankPeak>> hadal::predictPeaks(const Module &module) {
  return ofRanks(module, [](Predictor &predictor) { return predictor.peaks(); });
}
