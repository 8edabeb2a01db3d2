#include "runtime/parallel/PredictMemory.h"

#include "runtime/Tensor.h"
#include "runtime/device/Memory.h"
#include "runtime/module/CheckRanks.h"
#include "runtime/module/Expr.h"
#include "runtime/module/RankSizes.h"
#include "runtime/module/UsedStates.h"
#include "runtime/parallel/ChunkPlan.h"
#include "runtime/parallel/SumPlan.h"

#include <algorithm>
#include <deque>
#include <set>

using namespace hadal;

std::vector<std::pair<std::string_view, uint64_t>> RankMemory::parts() const {
  return {{"weights", weights}, {"gradients", gradients}, {"moments", moments},         {"partial_sums", partialSums},
          {"values", values},   {"messages", messages},   {"temporaries", temporaries}, {"other", other}};
}

namespace {

//===----------------------------------------------------------------------===//
// What comes and goes
//===----------------------------------------------------------------------===//

/// Temporaries: Executor's memory for each depth of calls.
class Arenas {
public:
  explicit Arenas(const fb::Module &module) : module(module) {}

  /// A run of a program, and of what it calls.
  Status add(const fb::Program &program, const std::vector<int64_t> &registers, size_t depth) {
    std::map<uint32_t, uint64_t> slots;
    for (const fb::Temporary *temporary : *program.temporaries()) {
      int64_t bytes = HADAL_TRY(evaluate({temporary->bytes()->code()->data(), temporary->bytes()->code()->size()}, registers));
      slots[temporary->slot()] = std::max(slots[temporary->slot()], uint64_t(std::max<int64_t>(bytes, 0)));
    }
    uint64_t total = 0;
    for (auto [slot, bytes] : slots)
      total += bytes;
    if (depths.size() <= depth)
      depths.resize(depth + 1);
    depths[depth] = std::max(depths[depth], total);
    return addCalls(*program.commands(), registers, depth);
  }

  /// A call out of a program with these registers.
  Status call(const fb::Call &call, const std::vector<int64_t> &registers, size_t depth) {
    std::vector<int64_t> inner;
    for (const fb::Expr *e : *call.registers())
      inner.push_back(HADAL_TRY(evaluate({e->code()->data(), e->code()->size()}, registers)));
    return add(*module.programs()->Get(call.program()), inner, depth + 1);
  }

  uint64_t bytes() const {
    uint64_t sum = 0;
    for (uint64_t bytes : depths)
      sum += bytes;
    return sum;
  }

private:
  Status addCalls(const flatbuffers::Vector<flatbuffers::Offset<fb::Command>> &commands, const std::vector<int64_t> &registers, size_t depth) {
    for (const fb::Command *command : commands) {
      if (auto *inner = command->action_as_Call())
        HADAL_TRY(call(*inner, registers, depth));
      if (auto *repeat = command->action_as_Repeat())
        HADAL_TRY(addCalls(*repeat->body(), registers, depth));
      if (auto *skip = command->action_as_SkipIfZero())
        HADAL_TRY(addCalls(*skip->body(), registers, depth));
    }
    return {};
  }

  const fb::Module &module;
  std::vector<uint64_t> depths;
};

/// A stage's programs with the sizes of their values.
struct SizedStage {
  StagePlan plan;
  std::vector<int64_t> registers[partCount]; ///< of each program
  std::vector<uint64_t> bytes;               ///< of each value
};

/// The order of chunks of a pipeline rank: which values there are, one behind the other. Time is a tick a call; messages take one tick, so
/// that chunks of the window run side by side as they do over a link (ChunkRunner).
class ChunkSizes {
public:
  ChunkSizes(const fb::Module &module, const RankLayout &layout, const std::vector<SizedStage> &stages, unsigned pp)
      : arenas(module), module(module), ranks(*module.training()->ranks()), layout(layout), stages(stages), pp(pp) {}

  Status run();
  uint64_t valueBytes() const { return pool.peakBytes(); }
  Arenas arenas;

private:
  struct MicroBatchSizes {
    std::vector<uint64_t> values; ///< of buffers by number of the value, 0: not there
    size_t ended = 0;             ///< parts
  };
  struct Half {
    const SizedStage *stage;
    MicroBatchSizes *sizes;
    std::vector<Part> parts; ///< last first: the one that runs, and those behind it
    bool isFiller;
    bool hasBegun = false;
    uint32_t at = 0;                         ///< command
    uint64_t arrival = 0;                    ///< of what stream 1 has issued
    std::map<uint32_t, uint64_t> events = {}; ///< when they are recorded
  };
  struct Item {
    uint32_t first;
    std::vector<Half> halves;
    size_t turn = 0;
  };
  enum class Progress { None, Call, Part };

  Item prepare(uint32_t first);
  const ChunkProgram &programOf(const Half &half) const { return half.stage->plan.programs[size_t(half.parts.back())]; }
  void take(Half &half, uint32_t argument);
  void beginWhatMay();
  bool isSameProgramBefore(const Half &half) const;
  Result<bool> moveOn();
  Result<Progress> advance(Half &half);
  Progress endPart(Half &half);

  const fb::Module &module;
  const fb::Ranks &ranks;
  const RankLayout &layout;
  const std::vector<SizedStage> &stages;
  unsigned pp;
  PoolSizes pool;
  std::map<std::pair<unsigned, unsigned>, MicroBatchSizes> microBatches; ///< by stage and number
  std::deque<Item> items;                                                ///< the window
  uint64_t now = 0;
};

/// What an item receives first is posted before it begins.
ChunkSizes::Item ChunkSizes::prepare(uint32_t first) {
  const fb::Order &order = *ranks.orders()->Get(pp);
  Item item{first, {}};
  for (uint32_t at = first, end = endOfItem(order, first); at < end; ++at) {
    const fb::Chunk *chunk = order.chunks()->Get(at);
    unsigned number = layout.stageOf(pp, chunk->direction());
    MicroBatchSizes &sizes = microBatches[{number, chunk->micro_batch()}];
    sizes.values.resize(stages[number].plan.valueNames.size());
    item.halves.push_back({&stages[number], &sizes, partsOf(chunk->kind()), chunk->kind() == fb::ChunkKind_WeightGrad});
    Half &half = item.halves.back();
    for (uint32_t command : programOf(half).streams[1]) {
      auto *receive = programOf(half).program->commands()->Get(command)->action_as_Receive();
      if (!receive)
        break;
      take(half, receive->argument());
    }
  }
  return item;
}

void ChunkSizes::take(Half &half, uint32_t argument) {
  uint32_t value = programOf(half).values[argument];
  if (!half.sizes->values[value])
    half.sizes->values[value] = pool.take(half.stage->bytes[value]).size;
}

void ChunkSizes::beginWhatMay() {
  for (Item &item : items)
    for (Half &half : item.halves) {
      if (!half.parts.empty() && half.sizes->ended == size_t(half.parts.back()))
        half.hasBegun = true;
      if (!half.parts.empty() && !(ranks.overlap() && (half.hasBegun || half.isFiller)))
        return;
    }
}

/// Whether a half before this one has the same program still to end.
bool ChunkSizes::isSameProgramBefore(const Half &half) const {
  for (const Item &item : items)
    for (const Half &before : item.halves) {
      if (&before == &half)
        return false;
      if (before.stage == half.stage && std::find(before.parts.begin(), before.parts.end(), half.parts.back()) != before.parts.end())
        return true;
    }
  return false;
}

Result<bool> ChunkSizes::moveOn() {
  for (bool fillers : {false, true})
    for (Item &item : items)
      for (size_t i = 0; i < item.halves.size(); ++i) {
        size_t at = (item.turn + i) % item.halves.size();
        Half &half = item.halves[at];
        if (half.parts.empty() || !half.hasBegun || half.isFiller != fillers)
          continue;
        Progress progress = HADAL_TRY(advance(half));
        if (progress == Progress::None)
          continue;
        item.turn = progress == Progress::Call ? at + 1 : at;
        return true;
      }
  return false;
}

/// Up to its next call, or to the end of a part, unless it waits for messages.
Result<ChunkSizes::Progress> ChunkSizes::advance(Half &half) {
  const ChunkProgram &chunk = programOf(half);
  const auto &commands = *chunk.program->commands();
  for (; half.at < commands.size(); ++half.at) {
    const fb::Command *command = commands.Get(half.at);
    bool communicates = std::binary_search(chunk.streams[1].begin(), chunk.streams[1].end(), half.at);
    if (auto *wait = command->action_as_Wait()) {
      uint64_t recorded = half.events[wait->event()];
      if (communicates)
        half.arrival = std::max(half.arrival, recorded);
      else if (recorded > now)
        return Progress::None;
    }
    if (auto *record = command->action_as_Record())
      half.events[record->event()] = communicates ? half.arrival : now;
    if (auto *receive = command->action_as_Receive()) {
      take(half, receive->argument());
      half.arrival = std::max(half.arrival, now + 1);
    }
    if (auto *counts = command->action_as_ExchangeCounts()) {
      take(half, counts->receive());
      half.arrival = std::max(half.arrival, now + 1);
    }
    if (auto *exchange = command->action_as_Exchange()) { // whose counts have come
      take(half, exchange->destination());
      half.arrival = std::max(half.arrival, now) + 1;
    }
    if (auto *call = command->action_as_Call()) {
      const fb::Program &callee = *module.programs()->Get(call->program());
      for (uint32_t i = 0; i < call->arguments()->size(); ++i)
        if (callee.arguments()->Get(i)->output() && call->arguments()->Get(i)->space() == fb::Space_Argument)
          take(half, call->arguments()->Get(i)->index());
      ++half.at;
      ++now;
      HADAL_TRY(arenas.call(*call, half.stage->registers[size_t(chunk.part)], 0));
      return Progress::Call;
    }
  }
  return half.arrival > now || isSameProgramBefore(half) ? Progress::None : endPart(half);
}

ChunkSizes::Progress ChunkSizes::endPart(Half &half) {
  Part part = half.parts.back();
  for (size_t value = 0; value < half.sizes->values.size(); ++value)
    if (uint64_t &bytes = half.sizes->values[value]; bytes && half.stage->plan.lastPart[value] <= part) {
      pool.giveBack(bytes);
      bytes = 0;
    }
  half.sizes->ended = size_t(part) + 1;
  half.parts.pop_back();
  half.at = 0;
  half.events.clear();
  return Progress::Part;
}

Status ChunkSizes::run() {
  const fb::Order &order = *ranks.orders()->Get(pp);
  uint32_t count = order.chunks()->size(), next = 0;
  for (uint64_t idle = 0;;) {
    auto isDone = [](const Item &item) { return std::all_of(item.halves.begin(), item.halves.end(), [](const Half &half) { return half.parts.empty(); }); };
    while (!items.empty() && isDone(items.front()))
      items.pop_front();
    uint32_t first = items.empty() ? next : items.front().first;
    if (first == count)
      return {};
    for (uint32_t end = ranks.overlap() ? endOfWindow(order, first) : endOfItem(order, first); next < end; next += uint32_t(items.back().halves.size()))
      items.push_back(prepare(next));
    beginWhatMay();
    bool moved = HADAL_TRY(moveOn());
    idle = moved ? 0 : idle + 1;
    now += !moved;
    if (idle > 2 * uint64_t(module.programs()->size() + 1000)) // longer than any row of messages
      return invalidFile("chunks of pipeline rank " + std::to_string(pp) + " wait for each other");
  }
}

//===----------------------------------------------------------------------===//
// What stays
//===----------------------------------------------------------------------===//

class Predictor {
public:
  Predictor(const fb::Module &module, const RankLayout &layout)
      : module(module), training(*module.training()), ranks(*training.ranks()), layout(layout), plan(SumPlan::of(module, layout)) {}
  Result<std::vector<RankMemory>> run(RowsOfExperts rows);

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
    NamedRegisters named = rows == RowsOfExperts::Worst ? worstRegisters(module, table) : balancedRegisters(module, table);
    SizedStage stage{StagePlan::of(module, number), {}, {}};
    stage.bytes.resize(stage.plan.valueNames.size());
    std::set<uint32_t> states;
    for (size_t part = 0; part < partCount; ++part) {
      const fb::Program &program = *stage.plan.programs[part].program;
      for (const auto *name : *program.registers()) {
        auto known = named.find(name->string_view());
        stage.registers[part].push_back(known == named.end() ? 0 : known->second);
      }
      for (uint32_t i = 0; i < program.arguments()->size(); ++i)
        stage.bytes[stage.plan.programs[part].values[i]] = HADAL_TRY(argumentBytes(program, i, named));
      states.merge(usedStates(module, program));
    }
    stages.push_back(std::move(stage));
    bound.push_back(std::move(states));
  }
  return {};
}

/// What has the same size on all ranks of a pipeline rank: values, temporaries, and what its stages add up.
Result<RankMemory> Predictor::ofPipelineRank(unsigned pp) {
  RankMemory memory;
  ChunkSizes chunks(module, layout, stages, pp);
  HADAL_TRY(chunks.run());
  memory.values = chunks.valueBytes();
  int64_t largest = 0;
  for (const fb::Trainable *trainable : *training.trainables())
    largest = std::max(largest, trainable->packed_elements() * trainable->count());
  for (const char *name : {"zero", "square_sum", "global_norm", "schedule", "adamw", "balance", "add", "add.i32"})
    for (const fb::Program *program : *module.programs())
      if (program->name()->string_view() == name)
        HADAL_TRY(chunks.arenas.add(*program, std::vector<int64_t>(program->registers()->size(), largest), 0));
  uint64_t scratch = 0;
  for (const fb::Kernel *kernel : *module.kernels())
    scratch = std::max(scratch, uint64_t(kernel->scratch_bytes()));
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

/// A step's rows of all ranks, and what programs take of them: a list each of ids, positions and targets, and behind the first depth of rows.
uint64_t Predictor::inputBytes() const {
  int64_t lists = 0;
  for (int64_t depth = 0; depth <= training.mtp_depth(); ++depth)
    lists += (depth ? 4 : 3) * std::max<int64_t>(training.sequence() - depth, 0);
  return uint64_t(training.micro_batches() * training.micro_batch() * (lists + training.sequence())) * sizeof(int32_t);
}

/// Sums of other ranks, as they come: one after the other, each into a buffer of the pool.
void Predictor::addSums(std::vector<RankMemory> &all) {
  if (ranks.fast_reduction()) // the engine's
    return;
  std::vector<PoolSizes> pools(layout.ranks());
  auto receive = [&](unsigned rank, uint64_t bytes) { pools[rank].giveBack(pools[rank].take(bytes).size); };
  for (const SumUnit &unit : plan.units)
    for (size_t number = 0; number < unit.uses.size(); ++number) {
      const SumUse &use = unit.uses[number];
      uint64_t bytes = unit.trainable < 0 ? bytesOfState(unit.state) : uint64_t(elementsOf(unit)) * sizeof(float);
      for (unsigned leaf = 0; leaf < use.ranks.size(); ++leaf)
        for (unsigned size = 1; size < use.ranks.size() && ((leaf ^ unit.leaf) & (2 * size - 1)) == 0; size *= 2)
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
    if (kind == "weight" || kind == "rounded")
      return memory.weights;
    if (kind == "gradient")
      return memory.gradients;
    return kind == "first_moment" || kind == "second_moment" || kind == "average" ? memory.moments : memory.other;
  };
  // What every rank touches: small states, and what the programs beside the chunks write. `zero` only reads weights.
  std::vector<bool> everywhere;
  for (uint64_t size : bytes)
    everywhere.push_back(size < Buffer::smallestMapping);
  for (const fb::Program *program : *module.programs())
    if (program->name()->string_view() == "zero" || program->name()->string_view() == "balance")
      for (uint32_t state : usedStates(module, *program))
        if (program->name()->string_view() == "balance" || !module.states()->Get(state)->name()->string_view().starts_with("weight."))
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
    for (const char *kind : {"gradient.", "first_moment.", "second_moment.", "average.", "weight."}) {
      auto state = numbers.find(kind + name);
      if (state == numbers.end() || ofPp[layout.ppOf(unit.root)][state->second])
        continue;
      // Of the gradient the total alone, which is one segment of the sums over source ranks.
      uint64_t size = bytes[state->second];
      placeOf(all[unit.root], kind) += kind[0] == 'g' ? std::min(size, uint64_t(elementsOf(unit)) * sizeof(float)) : size;
    }
  }
}

/// A checkpoint is written tensor by tensor: each comes from the rank that updates it to the first one.
void Predictor::addCheckpoints(std::vector<RankMemory> &all) {
  std::vector<uint64_t> largest(layout.ranks());
  for (const SumUnit &unit : plan.units) {
    if (unit.trainable < 0)
      continue;
    const auto *dims = training.trainables()->Get(unit.trainable)->shape();
    uint64_t size = byteCount(ElementType::F32, Shape(dims->begin(), dims->end())).value_or(0);
    for (unsigned rank : {0u, unit.root})
      largest[rank] = std::max(largest[rank], size);
  }
  for (unsigned rank = 0; rank < layout.ranks(); ++rank)
    all[rank].other += largest[rank];
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

} // namespace

Result<std::vector<RankMemory>> hadal::predictMemory(const Module &module, RowsOfExperts rows) {
  const fb::Training *training = module.tables().training();
  if (!training || !training->ranks())
    return invalidArgument(module.path() + ": is not for training on many ranks");
  RankLayout layout = HADAL_TRY(RankLayout::of(*training, 0));
  auto all = Predictor(module.tables(), layout).run(rows);
  return all.ok() ? std::move(all) : invalidFile(module.path() + ": " + all.error().message);
}
