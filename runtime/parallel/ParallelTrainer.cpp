#include "runtime/parallel/ParallelTrainer.h"

#include "runtime/comm/Activity.h"
#include "runtime/module/Verify.h"
#include "runtime/parallel/Gather.h"
#include "runtime/parallel/Tags.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <set>

using namespace hadal;

//===----------------------------------------------------------------------===//
// What this rank's chunks add up
//===----------------------------------------------------------------------===//

/// States that a program's launches bind, those of called programs included.
static void collectStates(const fb::Module &module, const flatbuffers::Vector<flatbuffers::Offset<fb::Command>> &commands, std::set<uint32_t> &states,
                          std::set<uint32_t> &programs) {
  auto see = [&](const auto &bindings) {
    for (const fb::Binding *binding : bindings)
      if (binding->space() == fb::Space_State)
        states.insert(binding->index());
  };
  for (const fb::Command *command : commands) {
    if (auto *launch = command->action_as_Launch())
      see(*launch->bindings());
    if (auto *copy = command->action_as_Copy())
      for (const fb::Binding *binding : {copy->destination(), copy->source()})
        if (binding->space() == fb::Space_State)
          states.insert(binding->index());
    if (auto *call = command->action_as_Call()) {
      see(*call->arguments());
      if (programs.insert(call->program()).second)
        collectStates(module, *module.programs()->Get(call->program())->commands(), states, programs);
    }
    if (auto *repeat = command->action_as_Repeat())
      collectStates(module, *repeat->body(), states, programs);
    if (auto *skip = command->action_as_SkipIfZero())
      collectStates(module, *skip->body(), states, programs);
  }
}

Result<std::unique_ptr<ParallelTrainer>> ParallelTrainer::create(Executor &executor, Trainables &trainables, const SumPlan &plan,
                                                                 const RankLayout &layout, Comm &comm, Trace *trace,
                                                                 const ParallelOptions &options) {
  HADAL_TRY(verifyRanks(executor.module()));
  const fb::Training &table = *HADAL_TRY(trainingOf(executor.module()));
  std::unique_ptr<ParallelTrainer> trainer(
      new ParallelTrainer(table, trainables, executor, plan, layout, comm, trace, options, HADAL_TRY(Adder::create(executor))));
  HADAL_TRY(trainer->prepare());
  return trainer;
}

Status ParallelTrainer::prepare() {
  const fb::Module &module = executor.module().tables();
  for (const char *name : {"zero", "square_sum", "global_norm", "schedule", "adamw"})
    programs[name] = std::make_unique<ProgramRun>(HADAL_TRY(executor.prepare(name)));
  if (executor.module().findProgram("balance")) // without experts there is nothing to balance
    programs["balance"] = std::make_unique<ProgramRun>(HADAL_TRY(executor.prepare("balance")));

  std::map<std::string, unsigned> stagesOfState;
  for (unsigned stage = 0; stage < layout.stages(); ++stage)
    if (runner.planOf(stage)) {
      std::set<std::string> names;
      for (const fb::Accumulator *accumulator : *runner.planOf(stage)->table->accumulators())
        names.insert(accumulator->state()->str());
      for (const std::string &name : names)
        ++stagesOfState[name];
    }
  for (unsigned stage = 0; stage < layout.stages(); ++stage) {
    const StagePlan *stagePlan = runner.planOf(stage);
    if (!stagePlan)
      continue;
    std::set<uint32_t> states[partCount];
    for (size_t part = 0; part < partCount; ++part) {
      std::set<uint32_t> seen;
      collectStates(module, *stagePlan->programs[part].program->commands(), states[part], seen);
    }
    for (const fb::Accumulator *accumulator : *stagePlan->table->accumulators()) {
      std::string name = accumulator->state()->str();
      uint32_t number = 0;
      while (module.states()->Get(number)->name()->string_view() != name)
        ++number; // there is one: checked when the module was opened
      // Losses and loads are summed in the forward part, which runs ahead of the others.
      Part part = Part::WeightGrad;
      for (size_t i = 0; i < partCount; ++i)
        if (states[i].count(number))
          part = Part(i);
      TensorView state = HADAL_TRY(executor.state(name)), view = state;
      if (!view.data || (view.element != ElementType::F32 && view.element != ElementType::I32))
        return invalidFile(executor.module().path() + ": state " + name + " is no sum");
      Buffer own;
      if (stagesOfState[name] > 1) {
        own = HADAL_TRY(executor.device().allocate(view.bytes()));
        view.data = own.data();
      }
      GroupCounter counter(executor.device(), view, layout.groups);
      sums.push_back(std::make_unique<Sum>(Sum{stage, accumulator, part, std::move(state), std::move(own), std::move(counter)}));
    }
  }
  return {};
}

/// Lays a stage's part of the states that it shares with another stage of this rank into them; -1: takes all back.
void ParallelTrainer::enter(int stage) {
  if (stage == entered)
    return;
  for (auto &sum : sums)
    if (sum->own.data() && int(sum->stage) == entered)
      std::memcpy(sum->own.data(), sum->state.data, sum->state.bytes());
  for (auto &sum : sums)
    if (sum->own.data() && int(sum->stage) == stage)
      std::memcpy(sum->state.data, sum->own.data(), sum->state.bytes());
  entered = stage;
}

Status ParallelTrainer::endPart(unsigned stage, unsigned microBatch, Part part) {
  if ((microBatch + 1) % layout.groupSize())
    return {};
  enter(-1);
  for (auto &sum : sums)
    if (sum->stage == stage && sum->part == part)
      HADAL_TRY(sum->counter.endGroup(adder));
  return {};
}

ParallelTrainer::Sum *ParallelTrainer::sumOf(unsigned stage, uint32_t accumulator) {
  const StagePlan *stagePlan = runner.planOf(stage);
  if (!stagePlan)
    return nullptr;
  const fb::Accumulator *table = stagePlan->table->accumulators()->Get(accumulator);
  for (auto &sum : sums)
    if (sum->table == table)
      return sum.get();
  return nullptr;
}

//===----------------------------------------------------------------------===//
// Sums over ranks
//===----------------------------------------------------------------------===//

std::string ParallelTrainer::at(const char *doing) const { return "step " + std::to_string(current) + ", " + doing; }

Status ParallelTrainer::send(unsigned to, uint32_t tag, const void *data, uint64_t bytes, bool clears) {
  sendings.push_back({to, HADAL_TRY(comm.send(to, tag, data, bytes)), clears ? const_cast<void *>(data) : nullptr, bytes});
  return {};
}

Status ParallelTrainer::finishSends() {
  for (Sending &sending : sendings) {
    HADAL_TRY(comm.wait(sending.message, options.timeout, sending.to, [&] { return at("sends sums or weights"); }));
    if (sending.clears)
      std::memset(sending.clears, 0, sending.bytes);
  }
  sendings.clear();
  return {};
}

Status ParallelTrainer::receiveAndAdd(unsigned from, uint32_t tag, ElementType element, void *sum, int64_t elements) {
  uint64_t bytes = uint64_t(elements) * byteSize(element);
  std::shared_ptr<std::byte> memory = HADAL_TRY(pool.take(bytes));
  HADAL_TRY(receiveNow(comm, from, tag, memory.get(), bytes, options.timeout, at("receives sums")));
  return adder.add(element, memory.get(), sum, elements);
}

int64_t ParallelTrainer::elementsOfSegment(const Sum &sum) {
  const auto *owners = sum.table->segment_owners();
  return *elementCount(sum.state.shape) / (owners && owners->size() ? int64_t(owners->size()) : 1);
}

/// The sums of the source ranks of a sharded parameter, in a halving tree over those; the total comes to lie in front, and zeros behind it.
Status ParallelTrainer::joinSegments(Sum &sum) {
  const auto *owners = sum.table->segment_owners();
  unsigned count = owners ? owners->size() : 0;
  if (count < 2)
    return {};
  int64_t elements = elementsOfSegment(sum);
  auto *base = static_cast<std::byte *>(sum.counter.view().data);
  uint64_t bytes = uint64_t(elements) * byteSize(sum.state.element);
  std::vector<std::byte *> ofOwner(count);
  for (unsigned i = 0; i < count; ++i)
    ofOwner[owners->Get(i)] = base + i * bytes;
  // Addition commutes, bit for bit: of two that join, the one in front's way takes the other.
  unsigned front = owners->Get(0);
  for (unsigned size = 1; size < count; size *= 2)
    for (unsigned owner = 0; owner < count; ++owner)
      if (((owner ^ front) & (2 * size - 1)) == 0)
        HADAL_TRY(adder.add(sum.state.element, ofOwner[owner ^ size], ofOwner[owner], elements));
  std::memset(base + bytes, 0, bytes * (count - 1));
  return {};
}

/// What of one use needs no other rank: segments join, and of each two neighbouring leaves one says its sum. All units do this before the first waits,
/// so that their messages are under way together.
Status ParallelTrainer::beginSum(const SumUnit &unit) {
  for (const SumUse &use : unit.uses) {
    auto mine = std::find(use.ranks.begin(), use.ranks.end(), layout.rank);
    Sum *sum = mine == use.ranks.end() ? nullptr : sumOf(use.stage, use.accumulator);
    if (!sum)
      continue;
    HADAL_TRY(joinSegments(*sum));
    auto leaf = unsigned(mine - use.ranks.begin());
    if (use.ranks.size() > 1 && (leaf ^ unit.leaf) & 1)
      HADAL_TRY(sendSum(*sum, use.ranks[leaf ^ 1], 1));
  }
  return {};
}

Status ParallelTrainer::sendSum(const Sum &sum, unsigned to, unsigned size) {
  const TensorView &view = sum.counter.view();
  return send(to, sumTag(size), view.data, uint64_t(elementsOfSegment(sum)) * byteSize(view.element), /*clears=*/true);
}

/// The owners' sums of one use in a halving tree; the total comes to lie at the unit's leaf.
Status ParallelTrainer::joinLeaves(const SumUnit &unit, const SumUse &use, Sum &sum, unsigned leaf) {
  const TensorView &view = sum.counter.view();
  int64_t elements = elementsOfSegment(sum);
  for (unsigned size = 1; size < use.ranks.size(); size *= 2) {
    // Of the sums of `size` leaves each, one lies where the last bits of the leaf are those of the unit's.
    if ((leaf ^ unit.leaf) & (size - 1))
      return {};
    unsigned partner = leaf ^ size;
    if ((leaf ^ unit.leaf) & size)
      return size == 1 ? Status() /* in beginSum */ : sendSum(sum, use.ranks[partner], size);
    HADAL_TRY(receiveAndAdd(use.ranks[partner], sumTag(size), view.element, view.data, elements));
  }
  return {};
}

int64_t ParallelTrainer::elementsOf(const SumUnit &unit) const {
  const fb::Trainable *trainable = table.trainables()->Get(unit.trainable);
  return trainable->packed_elements() * trainable->count();
}

/// All ranks go through all units in the same order, so that none waits for one that waits for it.
Status ParallelTrainer::sumUp(const SumUnit &unit) {
  for (size_t number = 0; number < unit.uses.size(); ++number) {
    const SumUse &use = unit.uses[number];
    auto mine = std::find(use.ranks.begin(), use.ranks.end(), layout.rank);
    Sum *sum = mine == use.ranks.end() ? nullptr : sumOf(use.stage, use.accumulator);
    if (sum)
      HADAL_TRY(joinLeaves(unit, use, *sum, unsigned(mine - use.ranks.begin())));
    if (unit.trainable < 0)
      continue;
    // To the rank that updates the parameter, behind the uses before.
    unsigned holder = use.ranks[unit.leaf];
    int64_t elements = elementsOf(unit);
    uint64_t bytes = uint64_t(elements) * sizeof(float);
    void *gradient = trainables.data(Values::Gradient, uint32_t(unit.trainable));
    if (holder == layout.rank && holder == unit.root) {
      void *total = sum->counter.view().data;
      if (total == gradient)
        continue;
      if (number == 0)
        std::memcpy(gradient, total, bytes);
      else
        HADAL_TRY(adder.add(ElementType::F32, total, gradient, elements));
      std::memset(total, 0, bytes);
    } else if (holder == layout.rank) {
      HADAL_TRY(send(unit.root, stepTag(StepTag::Use), sum->counter.view().data, bytes, /*clears=*/true));
    } else if (unit.root == layout.rank) {
      HADAL_TRY(receiveAndAdd(holder, stepTag(StepTag::Use), ElementType::F32, gradient, elements));
    }
  }
  return {};
}

/// Squares of the gradients' elements, losses and loads, from the ranks that have them to all.
Status ParallelTrainer::tellAll() {
  // What each rank says, in an order that all know.
  std::string mine;
  auto say = [&](const void *data, uint64_t bytes) { mine.append(static_cast<const char *>(data), bytes); };
  ProgramRun &squareSum = *programs["square_sum"];
  for (const TrainedTensor &tensor : trainables.tensors())
    if (!tensor.correction && trainables.isUpdatedHere(tensor)) {
      int64_t elements = table.trainables()->Get(tensor.trainable)->packed_elements();
      auto *gradient = static_cast<float *>(trainables.data(Values::Gradient, tensor.trainable)) + tensor.element * elements;
      HADAL_TRY(squareSum.setRegister("elements", elements));
      HADAL_TRY(squareSum.bind("gradient", {ElementType::F32, {elements}, gradient}));
      HADAL_TRY(squareSum.execute());
      say(HADAL_TRY(squareSum.output("sum")).data, sizeof(double));
    }
  for (const SumUnit &unit : plan.units)
    for (const SumUse &use : unit.uses)
      if (unit.trainable < 0 && use.ranks[unit.leaf] == layout.rank) {
        const TensorView &view = sumOf(use.stage, use.accumulator)->counter.view();
        say(view.data, view.bytes());
      }
  std::vector<std::string> all = HADAL_TRY(gatherAll(comm, mine, options.timeout, at("joins norms, losses and loads")));

  std::vector<uint64_t> heard(all.size(), 0);
  auto hear = [&](unsigned rank, void *to, uint64_t bytes) -> Status {
    if (heard[rank] + bytes > all[rank].size())
      return ioError("rank " + std::to_string(rank) + " says less than it should: are all ranks running the same module?");
    std::memcpy(to, all[rank].data() + heard[rank], bytes);
    heard[rank] += bytes;
    return {};
  };
  squares.clear();
  for (const TrainedTensor &tensor : trainables.tensors())
    if (!tensor.correction) {
      squares.push_back(0);
      HADAL_TRY(hear(trainables.updatedBy(tensor), &squares.back(), sizeof(double)));
    }
  for (const SumUnit &unit : plan.units) {
    if (unit.trainable >= 0)
      continue;
    // Each layer's losses and loads are one stage's; the others' are zeros.
    TensorView state = HADAL_TRY(executor.state(unit.state));
    std::shared_ptr<std::byte> part = HADAL_TRY(pool.take(state.bytes()));
    for (size_t number = 0; number < unit.uses.size(); ++number) {
      HADAL_TRY(hear(unit.uses[number].ranks[unit.leaf], number ? static_cast<void *>(part.get()) : state.data, state.bytes()));
      if (number)
        HADAL_TRY(adder.add(state.element, part.get(), state.data, *elementCount(state.shape)));
    }
  }
  ProgramRun &globalNorm = *programs["global_norm"];
  int64_t count = static_cast<int64_t>(squares.size());
  HADAL_TRY(globalNorm.setRegister("tensors", count));
  HADAL_TRY(globalNorm.bind("sums", {ElementType::F64, {count}, squares.data()}));
  HADAL_TRY(globalNorm.execute());
  norm = *static_cast<const float *>(HADAL_TRY(globalNorm.output("grad_norm")).data);
  return {};
}

//===----------------------------------------------------------------------===//
// Steps
//===----------------------------------------------------------------------===//

Result<StepResult> ParallelTrainer::gradients(int64_t step, std::span<const TrainingRow> rows) {
  isCommon = true; // what rows have wrong with them is wrong on all ranks
  Input input = HADAL_TRY(inputOf(step, rows));
  isCommon = false;
  current = step;
  StepResult result;
  result.step = step;
  result.tokens = input.tokens;
  entered = -1;
  for (auto &sum : sums) {
    sum->counter.restart();
    if (sum->own.data())
      std::memset(sum->own.data(), 0, sum->own.size());
  }
  HADAL_TRY(programs["zero"]->execute());
  ChunkRunner::Hooks hooks;
  hooks.enter = [&](unsigned stage) { enter(int(stage)); };
  hooks.done = [&](unsigned stage, unsigned microBatch, Part part) { return endPart(stage, microBatch, part); };
  HADAL_TRY(runner.run(step, input.batches, input.counts, hooks));
  enter(-1);
  for (const SumUnit &unit : plan.units)
    HADAL_TRY(beginSum(unit));
  for (const SumUnit &unit : plan.units)
    HADAL_TRY(sumUp(unit));
  HADAL_TRY(finishSends()); // clears what was sent: before the totals of losses and loads take the same places
  HADAL_TRY(tellAll());

  TensorView losses = HADAL_TRY(executor.state("losses"));
  auto *first = static_cast<const float *>(losses.data);
  int64_t count = *elementCount(losses.shape), depths = table.mtp_depth();
  result.loss = first[0];
  result.mtpLosses.assign(first + 1, first + 1 + depths);
  for (int64_t i = 1 + depths; i < count; ++i) // of each layer that routes
    result.balanceLoss += first[i];
  result.gradientNorm = norm;
  HADAL_TRY(checkFinite(result));
  return result;
}

/// Every rank sees the same figures; which tensor is to blame they find together.
Status ParallelTrainer::checkFinite(const StepResult &result) {
  std::string message = notFinite(result);
  if (message.empty())
    return {};
  struct Findings {
    uint64_t weight = UINT64_MAX, gradient = UINT64_MAX; ///< first tensor that is not finite
    uint64_t largestWeight = 0, largestGradient = 0;
    uint32_t weightBits = 0, gradientBits = 0;
  } mine;
  const TrainedTensor *first = trainables.tensors().data();
  auto number = [&](const TrainedTensor *tensor) { return tensor ? uint64_t(tensor - first) : UINT64_MAX; };
  mine.weight = number(trainables.findNotFinite(Values::Weight));
  mine.gradient = number(trainables.findNotFinite(Values::Gradient));
  mine.largestWeight = number(trainables.findLargest(Values::Weight, &mine.weightBits));
  mine.largestGradient = number(trainables.findLargest(Values::Gradient, &mine.gradientBits));
  std::string said(reinterpret_cast<const char *>(&mine), sizeof mine);
  Findings all;
  for (const std::string &text : HADAL_TRY(gatherAll(comm, said, options.timeout, at("looks for what is not finite")))) {
    Findings theirs;
    std::memcpy(&theirs, text.data(), sizeof theirs);
    all.weight = std::min(all.weight, theirs.weight);
    all.gradient = std::min(all.gradient, theirs.gradient);
    if (theirs.weightBits > all.weightBits)
      all.weightBits = theirs.weightBits, all.largestWeight = theirs.largestWeight;
    if (theirs.gradientBits > all.gradientBits)
      all.gradientBits = theirs.gradientBits, all.largestGradient = theirs.largestGradient;
  }
  isCommon = true;
  if (all.weight != UINT64_MAX)
    return invalidArgument(message + named(first[all.weight]) + " is not finite");
  if (all.gradient != UINT64_MAX)
    return invalidArgument(message + "the gradient of " + named(first[all.gradient]) + " is not finite");
  return invalidArgument(message + "the largest gradient is that of " + named(first[all.largestGradient]) + ", the largest weight in " +
                         named(first[all.largestWeight]));
}

/// AdamW where the totals are, weights to the others.
Status ParallelTrainer::update(const OptimizerSettings &settings, StepResult &result) {
  std::array<double, 16> list = settings.at(current);
  ProgramRun &schedule = *programs["schedule"], &adamw = *programs["adamw"];
  HADAL_TRY(schedule.bind("settings", TensorView::of(std::span<const double>(list))));
  HADAL_TRY(schedule.execute());
  result.rate = *static_cast<const float *>(HADAL_TRY(schedule.output("lr")).data);

  std::vector<std::pair<unsigned, Message>> arriving;
  for (const SumUnit &unit : plan.units)
    if (unit.trainable >= 0 && unit.root != layout.rank && std::binary_search(unit.replicas.begin(), unit.replicas.end(), layout.rank))
      arriving.push_back({unit.root, HADAL_TRY(comm.receive(unit.root, stepTag(StepTag::Weight), trainables.data(Values::Weight, unit.trainable),
                                                            uint64_t(elementsOf(unit)) * sizeof(float)))});
  for (const SumUnit &unit : plan.units) {
    if (unit.trainable < 0 || unit.root != layout.rank)
      continue;
    int64_t elements = elementsOf(unit);
    HADAL_TRY(adamw.setRegister("elements", elements));
    for (size_t i = 0; i < valuesCount; ++i) {
      std::string name(valuesName(Values(i)));
      void *data = trainables.data(Values(i), unit.trainable);
      if (adamw.hasArgument(name) && data)
        HADAL_TRY(adamw.bind(name, {trainables.elementOf(Values(i), unit.trainable), {elements}, data}));
    }
    HADAL_TRY(adamw.execute());
    for (unsigned replica : unit.replicas)
      if (replica != layout.rank)
        HADAL_TRY(send(replica, stepTag(StepTag::Weight), trainables.data(Values::Weight, unit.trainable), uint64_t(elements) * sizeof(float),
                       /*clears=*/false));
  }
  if (auto balance = programs.find("balance"); balance != programs.end()) {
    HADAL_TRY(balance->second->execute());
    TensorView violation = HADAL_TRY(balance->second->output("violation"));
    auto *first = static_cast<const float *>(violation.data);
    result.violation.assign(first, first + violation.shape[0]);
  }
  for (auto [from, message] : arriving)
    HADAL_TRY(comm.wait(message, options.timeout, from, [&] { return at("receives weights"); }));
  return finishSends();
}

Result<StepResult> ParallelTrainer::step(int64_t step, std::span<const TrainingRow> rows, const OptimizerSettings &settings) {
  auto begin = std::chrono::steady_clock::now();
  StepResult result = HADAL_TRY(gradients(step, rows));
  HADAL_TRY(update(settings, result));
  result.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  return result;
}
