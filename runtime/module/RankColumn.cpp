//===- RankColumn.cpp - a column of ranks, symbolically -------------------===//

#include "runtime/module/RankColumn.h"
#include "runtime/module/CheckRanks.h"

#include <algorithm>

namespace hadal::verify {

RankColumn::RankColumn(const fb::Ranks &ranks, const std::vector<ChunkPrograms> &stages)
    : ranks(&ranks), stages(stages), all(ranks.pp()) {
  for (uint32_t rank = 0; rank < ranks.pp(); ++rank)
    plan(rank);
}

RankColumn::RankColumn(const std::vector<ChunkPrograms> &one)
    : ranks(nullptr), stages(one), all(1) {
  all[0].items.push_back({0, 1, {}, {}, {}});
  addRun(all[0].items[0], {0, 0, 0, StageProgram::Forward, nullptr, {}}, 0, 0);
}

/// Lays the commands of a rank's order out: items, and in each item a queue for every lane.
void RankColumn::plan(uint32_t rank) {
  const auto &chunks = *ranks->orders()->Get(rank)->chunks();
  for (size_t i = 0; i < chunks.size();) {
    Item item{i, size_t(chunks.Get(i)->paired() && i + 1 < chunks.size() ? 2 : 1), {}, {}, {}};
    for (size_t c = 0; c < item.count; ++c)
      addRuns(item, *chunks.Get(i + c), rank, c);
    i += item.count;
    all[rank].items.push_back(std::move(item));
  }
}

void RankColumn::addRun(Item &item, Run run, uint32_t rank, uint32_t slot) {
  const ChunkProgram &what = programOf(run);
  uint32_t number = item.runs.size();
  std::vector<Value> &values = all[rank].values[{run.direction, run.microBatch}];
  values.resize(stages[run.stage].values.size());
  run.values = &values;
  run.left = what.steps.size();
  item.runs.push_back(std::move(run));
  for (const ChunkStep &step : what.steps)
    item.queues[2 * slot + step.stream].steps.emplace_back(number, &step);
  for (uint32_t argument : what.arguments)
    ++values[argument].users;
}

void RankColumn::addRuns(Item &item, const fb::Chunk &chunk, uint32_t rank, uint32_t slot) {
  uint32_t stage = stageOf(*ranks, rank, chunk.direction());
  for (StageProgram program : programsOf(ChunkKind(chunk.kind())))
    addRun(item, {stage, chunk.direction(), chunk.micro_batch(), program, nullptr, {}}, rank, slot);
}

std::string RankColumn::place(uint32_t rank, const Item &item, const Run &run,
                              const ChunkStep &step) const {
  if (!ranks)
    return "program " + programOf(run).name + ", command " + std::to_string(step.command) + ": ";
  return "pipeline rank " + std::to_string(rank) + ", item " + std::to_string(item.first) + " (" +
         itemName(*ranks->orders()->Get(rank), uint32_t(item.first)) + "), program " +
         programOf(run).name + ", command " + std::to_string(step.command) + ": ";
}

/// The second direction of dualpipev is the way back of the same micro-batches.
uint32_t RankColumn::way(const Run &run) const {
  return ranks && ranks->schedule()->string_view() == "dualpipe" ? run.direction : 0;
}

Status RankColumn::run() {
  for (bool moved = true; moved;) {
    moved = false;
    for (uint32_t rank = 0; rank < all.size(); ++rank)
      for (uint32_t stream : {0u, 1u})
        while (HADAL_TRY(advance(rank, stream)))
          moved = true;
  }
  HADAL_TRY(findDeadlock());
  return findLeftovers();
}

/// Moves a stream by a command, in either slot, or to the next item.
Result<bool> RankColumn::advance(uint32_t number, uint32_t stream) {
  Rank &rank = all[number];
  if (rank.at[stream] == rank.items.size())
    return false;
  Item &item = rank.items[rank.at[stream]];
  for (uint32_t lane : {stream, stream + 2})
    if (!item.queues[lane].ended() && HADAL_TRY(step(number, item, lane)))
      return true;
  if (!item.queues[stream].ended() || !item.queues[stream + 2].ended())
    return false;
  // On its stream the next item comes after all of this one, in both slots.
  Clock joined;
  for (size_t i = 0; i < laneCount; ++i)
    joined[i] = std::max(rank.clocks[stream][i], rank.clocks[stream + 2][i]);
  rank.clocks[stream] = rank.clocks[stream + 2] = joined;
  ++rank.at[stream];
  for (size_t ended = std::min(rank.at[0], rank.at[1]); rank.ended < ended; ++rank.ended)
    for (const auto &slot : rank.items[rank.ended].exchanges)
      rank.exchanges.insert(rank.exchanges.end(), slot.begin(), slot.end());
  return true;
}

Result<bool> RankColumn::step(uint32_t number, Item &item, uint32_t lane) {
  Rank &rank = all[number];
  Queue &queue = item.queues[lane];
  auto [runNumber, step] = queue.steps[queue.at];
  Run &run = item.runs[runNumber];
  Clock &clock = rank.clocks[lane];
  if (step->action == fb::Action_Wait) {
    auto recorded = run.events.find(step->event);
    if (recorded == run.events.end())
      return false;
    for (size_t i = 0; i < laneCount; ++i)
      clock[i] = std::max(clock[i], recorded->second[i]);
  }
  if (step->action == fb::Action_Receive) {
    std::deque<Message> &messages = channels[{step->stage, run.stage, way(run), run.program}];
    if (messages.empty())
      return false;
    if (Status status = take(run, *step, messages.front()); !status)
      return invalidFile(place(number, item, run, *step) + status.error().message);
    messages.pop_front();
  }
  ++clock[lane];
  HADAL_TRY(use(number, item, run, *step, lane));
  if (step->action == fb::Action_Record)
    run.events[step->event] = clock;
  if (step->action == fb::Action_Send)
    channels[{run.stage, step->stage, way(run), run.program}].push_back(
        {run.microBatch, step->ordinal, step->reads[0]});
  if (step->action == fb::Action_Exchange || step->action == fb::Action_ExchangeCounts)
    if (Status status = exchange(rank, item, lane); !status)
      return invalidFile(place(number, item, run, *step) + status.error().message);
  ++queue.at;
  if (--run.left == 0)
    end(run);
  return true;
}

/// What a stage hands on, "y" or "gradient.x", is "x" or "gradient.y" to its neighbour.
static std::string atOtherEnd(std::string name) {
  size_t dot = name.rfind('.'), last = dot == std::string::npos ? 0 : dot + 1;
  if (std::string_view(name).substr(last) == "x" || std::string_view(name).substr(last) == "y")
    name[last] = name[last] == 'x' ? 'y' : 'x';
  return name;
}

/// Messages come in the order of sending: this is the one that the receive gets.
Status RankColumn::take(const Run &run, const ChunkStep &step, const Message &message) const {
  const ChunkValue &wanted = stages[run.stage].values[step.writes[0]],
                   &sent = stages[step.stage].values[message.value];
  std::string from = " from stage " + std::to_string(step.stage);
  if (message.microBatch != run.microBatch || message.ordinal != step.ordinal)
    return invalidFile("receives '" + wanted.name + "' of micro-batch " +
                       std::to_string(run.microBatch) + from + ", which sends '" + sent.name +
                       "' of micro-batch " + std::to_string(message.microBatch) + " first");
  if ((wanted.name != sent.name && wanted.name != atOtherEnd(sent.name)) ||
      wanted.element != sent.element || wanted.bytes != sent.bytes)
    return invalidFile("receives '" + wanted.name + "'" + from + ", which sends '" + sent.name +
                       "', perhaps in another type or size");
  return {};
}

Status RankColumn::use(uint32_t number, Item &item, Run &run, const ChunkStep &step,
                       uint32_t lane) {
  Rank &rank = all[number];
  auto broken = [&](uint32_t value, const char *what) {
    const ChunkValue &of = stages[run.stage].values[value];
    return invalidFile(place(number, item, run, step) +
                       (of.isRegister ? "needs register " + of.name + " " : "'" + of.name + "' ") +
                       what);
  };
  for (uint32_t read : step.reads) {
    if (stages[run.stage].values[read].isInput)
      continue;
    Value &value = (*run.values)[read];
    if (!value.written)
      return broken(read, "is read before it is written");
    if (!value.stamp.before(rank.clocks[lane]))
      return broken(read, "is read without waiting for it");
    if (value.released)
      return broken(read, "is read after its memory was given back");
  }
  for (uint32_t written : step.writes) {
    Value &value = (*run.values)[written];
    if (value.written)
      return broken(written, "is written twice");
    value.written = true;
    value.stamp = {lane, rank.clocks[lane][lane]};
  }
  return {};
}

/// Rule 6. Chunks of a pair mix in one way on all ranks, which is the runtime's part; all others
/// must be ordered by what the tables say.
Status RankColumn::exchange(Rank &rank, Item &item, uint32_t lane) {
  const Clock &clock = rank.clocks[lane];
  auto passes = [&](const Stamp &stamp) { return !stamp.before(clock); };
  std::vector<Stamp> &own = item.exchanges[lane / 2];
  bool free = std::any_of(own.begin(), own.end(), passes) ||
              std::any_of(rank.exchanges.begin(), rank.exchanges.end(), passes);
  for (size_t i = rank.ended; i < rank.items.size() && &rank.items[i] != &item; ++i)
    for (const auto &slot : rank.items[i].exchanges)
      free = free || std::any_of(slot.begin(), slot.end(), passes);
  if (free)
    return invalidFile("is not ordered with an exchange on the other stream");
  // What lies before this one need not be looked at again.
  own.assign(1, Stamp{lane, clock[lane]});
  rank.exchanges.clear();
  return {};
}

/// A run has ended: values that no run to come has as an argument give their memory back.
void RankColumn::end(Run &run) {
  for (uint32_t argument : programOf(run).arguments)
    if (Value &value = (*run.values)[argument]; --value.users == 0)
      value.released = true;
}

Status RankColumn::findDeadlock() const {
  for (uint32_t number = 0; number < all.size(); ++number) {
    const Rank &rank = all[number];
    for (uint32_t stream : {0u, 1u}) {
      if (rank.at[stream] == rank.items.size())
        continue;
      const Item &item = rank.items[rank.at[stream]];
      const Queue &queue =
          item.queues[stream].ended() ? item.queues[stream + 2] : item.queues[stream];
      auto [runNumber, step] = queue.steps[queue.at];
      const Run &run = item.runs[runNumber];
      // The other stream may wait for this one: say the first that waits for another rank, if any
      // does.
      if (step->action == fb::Action_Wait && stream == 0 && rank.at[1] < rank.items.size())
        continue;
      std::string what = step->action == fb::Action_Receive
                             ? "waits for '" + stages[run.stage].values[step->writes[0]].name +
                                   "' from stage " + std::to_string(step->stage)
                             : "waits for event " + std::to_string(step->event);
      return invalidFile(place(number, item, run, *step) + "deadlock: " + what);
    }
  }
  return {};
}

Status RankColumn::findLeftovers() const {
  for (const auto &[channel, messages] : channels)
    if (!messages.empty())
      return invalidFile("'" + stages[channel.from].values[messages.front().value].name +
                         "' of micro-batch " + std::to_string(messages.front().microBatch) +
                         " in direction " + std::to_string(channel.direction) +
                         " goes from stage " + std::to_string(channel.from) + " to stage " +
                         std::to_string(channel.to) + " and is never received");
  return {};
}

} // namespace hadal::verify
