//===- OrderedSums.cpp - sums in a fixed order ----------------------------===//

#include "runtime/training/ranks/OrderedSums.h"

#include "runtime/module/UsedStates.h"
#include "runtime/ranks/Gather.h"
#include "runtime/ranks/Tags.h"

#include <algorithm>
#include <set>

using namespace hadal;

//===----------------------------------------------------------------------===//
// What this rank's chunks add up
//===----------------------------------------------------------------------===//

Result<std::unique_ptr<OrderedSums>> OrderedSums::create(const RankSumsContext &context) {
  std::unique_ptr<OrderedSums> result(new OrderedSums(context));
  std::map<std::string, unsigned> stagesOfState;
  for (unsigned stage = 0; stage < context.layout.stages(); ++stage)
    if (const StagePlan *plan = context.runner.planOf(stage))
      for (const fb::Accumulator *accumulator :
           *plan->table
                ->accumulators()) // a stage has each state once: checked when the module was opened
        ++stagesOfState[accumulator->state()->str()];
  for (unsigned stage = 0; stage < context.layout.stages(); ++stage)
    if (const StagePlan *plan = context.runner.planOf(stage))
      HADAL_TRY(result->addStage(*plan, stagesOfState));
  return result;
}

Status OrderedSums::addStage(const StagePlan &stage,
                             const std::map<std::string, unsigned> &stagesOfState) {
  Executor &executor = context.executor;
  const fb::Module &module = executor.module().tables();
  std::set<std::string> states[stageProgramCount];
  for (size_t i = 0; i < stageProgramCount; ++i)
    for (uint32_t state : usedStates(module, *stage.programs[i].program))
      states[i].insert(module.states()->Get(state)->name()->str());
  for (const fb::Accumulator *accumulator : *stage.table->accumulators()) {
    std::string name = accumulator->state()->str();
    // Losses and loads are summed in the forward program, which runs ahead of the others.
    StageProgram after = StageProgram::WeightGrad;
    for (size_t i = 0; i < stageProgramCount; ++i)
      if (states[i].count(name))
        after = StageProgram(i);
    DeviceView state = HADAL_TRY(sumState(executor, name));
    DeviceView view = state;
    DeviceBuffer own;
    if (stagesOfState.at(name) > 1) {
      own = HADAL_TRY(executor.device().allocate(view.bytes()));
      view.address = own.address();
    }
    GroupCounter counter(executor, view, context.layout.groups);
    sums[stage.stage].push_back(
        Sum{accumulator, after, std::move(state), std::move(own), std::move(counter)});
  }
  return {};
}

Status OrderedSums::begin(int64_t number, int64_t size) {
  step = number;
  groupSize = size;
  entered = -1;
  for (std::vector<Sum> &stage : sums)
    for (Sum &sum : stage) {
      sum.counter.restart();
      HADAL_TRY(context.executor.zero(sum.own.address(), sum.own.bytes()));
    }
  return {};
}

/// Lays a stage's part of the states that it shares with another stage of this rank into them; -1:
/// takes all back.
Status OrderedSums::lay(int stage) {
  if (stage == entered)
    return {};
  if (entered >= 0)
    for (Sum &sum : sums[entered])
      if (sum.own.address())
        HADAL_TRY(context.executor.copy(sum.own.address(), sum.state.address, sum.state.bytes()));
  if (stage >= 0)
    for (Sum &sum : sums[stage])
      if (sum.own.address())
        HADAL_TRY(context.executor.copy(sum.state.address, sum.own.address(), sum.state.bytes()));
  entered = stage;
  return {};
}

Status OrderedSums::endProgram(unsigned stage, unsigned microBatch, StageProgram program) {
  if (microBatch % context.layout.groupSize() + 1 != groupSize)
    return {};
  HADAL_TRY(lay(-1));
  for (Sum &sum : sums[stage])
    if (sum.after == program)
      HADAL_TRY(sum.counter.endGroup(context.adder));
  return {};
}

//===----------------------------------------------------------------------===//
// Sums over ranks
//===----------------------------------------------------------------------===//

/// All ranks go through all units in the same order, so that none waits for one that waits for it.
Status OrderedSums::join(Joined joined) {
  HADAL_TRY(lay(-1));
  auto isWanted = [&](const SumUnit &unit) { return joined == Joined::All || unit.trainable < 0; };
  for (const SumUnit &unit : context.plan.units)
    if (isWanted(unit))
      HADAL_TRY(beginUnit(unit));
  for (const SumUnit &unit : context.plan.units)
    if (isWanted(unit))
      HADAL_TRY(joinUnit(unit));
  return sends.finish(at("sends sums")); // clears what was sent: before the totals of losses and
                                         // loads take the same places
}

/// This rank's leaf of the tree; none where it has no part in the use.
std::optional<unsigned> OrderedSums::leafOf(const SumUse &use) const {
  auto mine = std::find(use.ranks.begin(), use.ranks.end(), context.layout.rank);
  return mine == use.ranks.end() ? std::nullopt : std::optional<unsigned>(mine - use.ranks.begin());
}

int64_t OrderedSums::elementsOfSegment(const Sum &sum) {
  const auto *owners = sum.table->segment_owners();
  return *elementCount(sum.state.shape) / (owners && owners->size() ? int64_t(owners->size()) : 1);
}

/// The sums of the source ranks of a sharded parameter, in a halving tree over those; the total
/// comes to lie in front, and zeros after it.
Status OrderedSums::joinSegments(Sum &sum) {
  const auto *owners = sum.table->segment_owners();
  unsigned count = owners ? owners->size() : 0;
  if (count < 2)
    return {};
  int64_t elements = elementsOfSegment(sum);
  DeviceAddress base = sum.counter.view().address;
  uint64_t bytes = uint64_t(elements) * byteSize(sum.state.element);
  std::vector<DeviceAddress> ofOwner(count);
  for (unsigned i = 0; i < count; ++i)
    ofOwner[owners->Get(i)] = base + i * bytes;
  // Addition commutes, bit for bit: of two that join, the one in front's way takes the other.
  unsigned front = owners->Get(0);
  for (unsigned size = 1; size < count; size *= 2)
    for (unsigned owner = 0; owner < count; ++owner)
      if (((owner ^ front) & (2 * size - 1)) == 0)
        HADAL_TRY(
            context.adder.add(sum.state.element, ofOwner[owner ^ size], ofOwner[owner], elements));
  return context.executor.zero(base + bytes, bytes * (count - 1));
}

/// What of one use needs no other rank: segments join, and of each two neighbouring leaves one says
/// its sum. All units do this before the first waits, so that their messages are under way
/// together.
Status OrderedSums::beginUnit(const SumUnit &unit) {
  for (const SumUse &use : unit.uses) {
    std::optional<unsigned> leaf = leafOf(use);
    if (!leaf)
      continue;
    HADAL_TRY(joinSegments(sumOf(use)));
    if (use.ranks.size() > 1 && (*leaf ^ unit.leaf) & 1)
      HADAL_TRY(sendSum(sumOf(use), use.ranks[*leaf ^ 1], 1));
  }
  return {};
}

Status OrderedSums::sendSum(const Sum &sum, unsigned to, unsigned size) {
  const DeviceView &view = sum.counter.view();
  return sends.addAndClear(to, sumTag(size), view.address,
                           uint64_t(elementsOfSegment(sum)) * byteSize(view.element));
}

Status OrderedSums::receiveAndAdd(unsigned from, uint32_t tag, ElementType element,
                                  DeviceAddress sum, int64_t elements) {
  uint64_t bytes = uint64_t(elements) * byteSize(element);
  std::shared_ptr<std::byte> memory = HADAL_TRY(pool.take(bytes));
  HADAL_TRY(receiveNow(context.streamComm, from, tag, memory.get(), bytes, context.timeout,
                       at("receives sums")));
  return context.adder.add(element, memory.get(), sum, elements);
}

/// The owners' sums of one use in a halving tree; the total comes to lie at the unit's leaf.
Status OrderedSums::joinLeaves(const SumUnit &unit, const SumUse &use, Sum &sum, unsigned leaf) {
  const DeviceView &view = sum.counter.view();
  for (unsigned size = 1; size < use.ranks.size(); size *= 2) {
    // Of the sums of `size` leaves each, one lies where the last bits of the leaf are those of the
    // unit's.
    if ((leaf ^ unit.leaf) & (size - 1))
      return {};
    unsigned partner = leaf ^ size;
    if ((leaf ^ unit.leaf) & size)
      return size == 1 ? Status() /* in beginUnit */ : sendSum(sum, use.ranks[partner], size);
    HADAL_TRY(receiveAndAdd(use.ranks[partner], sumTag(size), view.element, view.address,
                            elementsOfSegment(sum)));
  }
  return {};
}

Status OrderedSums::joinUnit(const SumUnit &unit) {
  unsigned rank = context.layout.rank;
  for (size_t number = 0; number < unit.uses.size(); ++number) {
    const SumUse &use = unit.uses[number];
    std::optional<unsigned> leaf = leafOf(use);
    if (leaf)
      HADAL_TRY(joinLeaves(unit, use, sumOf(use), *leaf));
    if (unit.trainable < 0)
      continue;
    // To the rank that updates the parameter, after the uses before.
    unsigned holder = use.ranks[unit.leaf];
    int64_t elements = elementsOf(*context.executor.module().tables().training(), unit);
    uint64_t bytes = uint64_t(elements) * sizeof(float);
    DeviceAddress gradient = context.trainables.data(Values::Gradient, uint32_t(unit.trainable));
    DeviceAddress total = holder == rank ? sumOf(use).counter.view().address : nullptr;
    if (holder == rank && holder == unit.root) {
      if (total == gradient)
        continue;
      if (number == 0)
        HADAL_TRY(context.executor.copy(gradient, total, bytes));
      else
        HADAL_TRY(context.adder.add(ElementType::F32, total, gradient, elements));
      HADAL_TRY(context.executor.zero(total, bytes));
    } else if (holder == rank) {
      HADAL_TRY(sends.addAndClear(unit.root, stepTag(StepTag::Use), total, bytes));
    } else if (unit.root == rank) {
      HADAL_TRY(receiveAndAdd(holder, stepTag(StepTag::Use), ElementType::F32, gradient, elements));
    }
  }
  return {};
}

/// One of each use. Each layer's losses and loads are one stage's; the others' are zeros.
std::vector<RankSums::Piece> OrderedSums::piecesOf(const SumUnit &unit) const {
  std::vector<Piece> pieces;
  for (const SumUse &use : unit.uses) {
    unsigned holder = use.ranks[unit.leaf];
    pieces.push_back({holder, holder == context.layout.rank
                                  ? sums[use.stage][use.accumulator].counter.view()
                                  : DeviceView()});
  }
  return pieces;
}
