//===- FastSums.cpp - sums in the engine's order --------------------------===//

#include "runtime/training/ranks/FastSums.h"

#include "runtime/comm/Activity.h"
#include "runtime/ranks/Gather.h"

#include <algorithm>
#include <set>

using namespace hadal;

Result<std::unique_ptr<FastSums>> FastSums::create(const RankSumsContext &context) {
  std::unique_ptr<FastSums> result(new FastSums(context));
  for (const SumUnit &unit : context.plan.units)
    HADAL_TRY(result->addUnit(unit));
  return result;
}

Status FastSums::addUnit(const SumUnit &unit) {
  const fb::Training &training = *context.executor.module().tables().training();
  unsigned rank = context.layout.rank;
  Own own{&unit, {}, {}, {}};
  std::set<std::string> states; // stages of a rank may add to the same one
  for (const SumUse &use : unit.uses) {
    const fb::Accumulator *accumulator =
        training.ranks()->stages()->Get(use.stage)->accumulators()->Get(use.accumulator);
    if (std::find(use.ranks.begin(), use.ranks.end(), rank) == use.ranks.end() ||
        !states.insert(accumulator->state()->str()).second)
      continue;
    DeviceView state = HADAL_TRY(sumState(context.executor, accumulator->state()->str()));
    const auto *owners = accumulator->segment_owners();
    int64_t segments = owners && owners->size() ? owners->size() : 1,
            elements = *elementCount(state.shape) / segments;
    if (!own.sum.address)
      own.sum = {state.element,
                 {elements},
                 unit.trainable >= 0 && unit.root == rank
                     ? context.trainables.data(Values::Gradient, unit.trainable)
                     : state.address};
    for (int64_t i = 0; i < segments; ++i)
      if (DeviceAddress part = state.address + i * own.sum.bytes(); part != own.sum.address)
        own.parts.push_back(part);
  }
  if (states.empty())
    return {};
  std::copy_if(unit.replicas.begin(), unit.replicas.end(), std::back_inserter(own.others),
               [&](unsigned other) { return other != rank; });
  mine.push_back(std::move(own));
  return {};
}

std::string FastSums::nameOf(const SumUnit &unit) const {
  return unit.trainable < 0 ? unit.state
                            : "the gradient of " + context.executor.module()
                                                       .tables()
                                                       .training()
                                                       ->trainables()
                                                       ->Get(unit.trainable)
                                                       ->name()
                                                       ->str();
}

Result<Message> FastSums::reduce(const Own &own, int64_t elements) {
  HADAL_TRY(context.executor.synchronize());
  return context.streamComm.reduce(
      own.unit->replicas, own.unit->root, own.sum.element, own.sum.address, elements,
      [&adder = context.adder](ElementType element, const void *from, void *to, int64_t elements) {
        return adder.addOnHost(element, from, to, elements);
      });
}

/// The engine may hold up the first reduction over a set of ranks until all of them have come,
/// without a limit: so these are empty ones, when all ranks are known to be there.
Status FastSums::meet() {
  HADAL_TRY(gatherAll(context.comm, "", context.timeout, at("meets the other ranks")));
  std::set<std::vector<unsigned>> known;
  for (const Own &own : mine)
    if (!own.others.empty() && known.insert(own.unit->replicas).second)
      HADAL_TRY(
          context.streamComm.wait(HADAL_TRY(reduce(own, 0)), context.timeout, own.others,
                                  [&] { return at("meets the ranks that it adds up with"); }));
  haveMet = true;
  return {};
}

Status FastSums::begin(int64_t number, int64_t) {
  step = number;
  return haveMet ? Status() : meet();
}

/// All ranks begin with the units in the same order, as an engine wants it.
Status FastSums::join(Joined joined) {
  Activity::set("%s", at("adds up with other ranks").c_str());
  std::list<Reduction> open;
  for (const Own &own : mine) {
    if (joined == Joined::Figures && own.unit->trainable >= 0)
      continue;
    for (std::byte *part : own.parts) {
      HADAL_TRY(context.adder.add(own.sum.element, part, own.sum.address, own.sum.shape[0]));
      HADAL_TRY(context.executor.zero(part, own.sum.bytes()));
    }
    if (own.others.empty())
      continue;
    open.push_back({&own, HADAL_TRY(reduce(own, own.sum.shape[0]))});
    ++count;
  }
  return finish(open);
}

/// Reductions end in any order, and an engine moves all of them on when it is asked for one: this
/// asks for all before it gives way to other processes. What is one reduction here are many small
/// messages there (Open MPI between two ranks: pieces of 8 KiB), so sleeping comes late.
Status FastSums::finish(std::list<Reduction> &open) {
  auto moved = Comm::Clock::now();
  Pause pause(/*yields=*/4096);
  while (!open.empty()) {
    size_t before = open.size();
    for (auto one = open.begin(); one != open.end();) {
      if (!HADAL_TRY(context.streamComm.test(one->message))) {
        ++one;
        continue;
      }
      if (one->own->unit->root != context.layout.rank)
        HADAL_TRY(context.executor.zero(one->own->sum.address, one->own->sum.bytes()));
      one = open.erase(one);
    }
    auto now = Comm::Clock::now();
    if (open.size() < before) {
      moved = now;
      pause.restart();
    } else if (now - moved > context.timeout) {
      return context.comm.timedOut(context.timeout, open.front().own->others,
                                   at("adds up " + nameOf(*open.front().own->unit)));
    } else {
      pause();
    }
  }
  return {};
}

std::vector<RankSums::Piece> FastSums::piecesOf(const SumUnit &unit) const {
  return {{unit.root,
           unit.root == context.layout.rank ? *context.executor.state(unit.state) : DeviceView()}};
}
