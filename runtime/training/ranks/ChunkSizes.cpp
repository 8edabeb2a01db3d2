#include "runtime/training/ranks/ChunkSizes.h"

#include "runtime/module/CheckRanks.h"
#include "runtime/module/Expr.h"

#include <algorithm>

using namespace hadal;

Status Arenas::add(const fb::Program &program, const std::vector<int64_t> &registers,
                   size_t depth) {
  std::map<uint32_t, uint64_t> slots;
  for (const fb::Temporary *temporary : *program.temporaries()) {
    int64_t bytes = HADAL_TRY(evaluate(
        {temporary->bytes()->code()->data(), temporary->bytes()->code()->size()}, registers));
    slots[temporary->slot()] =
        std::max(slots[temporary->slot()], uint64_t(std::max<int64_t>(bytes, 0)));
  }
  uint64_t total = 0;
  for (auto [slot, bytes] : slots)
    total += bytes;
  if (depths.size() <= depth)
    depths.resize(depth + 1);
  depths[depth] = std::max(depths[depth], total);
  return addCalls(*program.commands(), registers, depth);
}

Status Arenas::call(const fb::Call &call, const std::vector<int64_t> &registers, size_t depth) {
  std::vector<int64_t> inner;
  for (const fb::Expr *e : *call.registers())
    inner.push_back(HADAL_TRY(evaluate({e->code()->data(), e->code()->size()}, registers)));
  return add(*module.programs()->Get(call.program()), inner, depth + 1);
}

uint64_t Arenas::bytes() const {
  uint64_t sum = 0;
  for (auto depth : depths)
    sum += depth;
  return sum;
}

Status Arenas::addCalls(const flatbuffers::Vector<flatbuffers::Offset<fb::Command>> &commands,
                        const std::vector<int64_t> &registers, size_t depth) {
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

/// What an item receives first is posted before it begins.
ChunkSizes::Item ChunkSizes::prepare(uint32_t first) {
  const fb::Order &order = *ranks.orders()->Get(pp);
  Item item{first, {}};
  for (uint32_t at = first, end = endOfItem(order, first); at < end; ++at) {
    const fb::Chunk *chunk = order.chunks()->Get(at);
    unsigned number = layout.stageOf(pp, chunk->direction());
    MicroBatchSizes &sizes = microBatches[{number, chunk->micro_batch()}];
    sizes.values.resize(stages[number].plan.valueNames.size());
    item.halves.push_back({&stages[number], &sizes, programsLastFirst(chunk->kind()),
                           chunk->kind() == fb::ChunkKind_WeightGrad});
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
      if (!half.programs.empty() && half.sizes->ended == size_t(half.programs.back()))
        half.hasBegun = true;
      if (!half.programs.empty() && !(ranks.overlap() && (half.hasBegun || half.isFiller)))
        return;
    }
}

/// Whether a half before this one has the same program still to end.
bool ChunkSizes::isSameProgramBefore(const Half &half) const {
  for (const Item &item : items)
    for (const Half &before : item.halves) {
      if (&before == &half)
        return false;
      if (before.stage == half.stage && std::find(before.programs.begin(), before.programs.end(),
                                                  half.programs.back()) != before.programs.end())
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
        if (half.programs.empty() || !half.hasBegun || half.isFiller != fillers)
          continue;
        Progress progress = HADAL_TRY(advance(half));
        if (progress == Progress::None)
          continue;
        item.turn = progress == Progress::Call ? at + 1 : at;
        return true;
      }
  return false;
}

/// Up to its next call, or to the end of a program, unless it waits for messages.
Result<ChunkSizes::Progress> ChunkSizes::advance(Half &half) {
  const ChunkProgram &chunk = programOf(half);
  const auto &commands = *chunk.program->commands();
  for (; half.at < commands.size(); ++half.at) {
    const fb::Command *command = commands.Get(half.at);
    bool communicates =
        std::binary_search(chunk.streams[1].begin(), chunk.streams[1].end(), half.at);
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
      half.arrival = std::max(half.arrival, now) + 2;
    }
    if (auto *call = command->action_as_Call()) {
      const fb::Program &callee = *module.programs()->Get(call->program());
      for (uint32_t i = 0; i < call->arguments()->size(); ++i)
        if (callee.arguments()->Get(i)->output() &&
            call->arguments()->Get(i)->space() == fb::Space_Argument)
          take(half, call->arguments()->Get(i)->index());
      ++half.at;
      ++now;
      HADAL_TRY(arenas.call(*call, half.stage->registers[size_t(chunk.which)], 0));
      return Progress::Call;
    }
  }
  return half.arrival > now || isSameProgramBefore(half) ? Progress::None : endProgram(half);
}

ChunkSizes::Progress ChunkSizes::endProgram(Half &half) {
  StageProgram program = half.programs.back();
  for (size_t value = 0; value < half.sizes->values.size(); ++value)
    if (uint64_t &bytes = half.sizes->values[value];
        bytes && half.stage->plan.lastProgram[value] <= program) {
      pool.giveBack(bytes);
      bytes = 0;
    }
  half.sizes->ended = size_t(program) + 1;
  half.programs.pop_back();
  half.at = 0;
  half.events.clear();
  return Progress::Program;
}

Status ChunkSizes::run() {
  const fb::Order &order = *ranks.orders()->Get(pp);
  uint32_t count = order.chunks()->size(), next = 0;
  for (uint64_t idle = 0;;) {
    auto isDone = [](const Item &item) {
      return std::all_of(item.halves.begin(), item.halves.end(),
                         [](const Half &half) { return half.programs.empty(); });
    };
    while (!items.empty() && isDone(items.front()))
      items.pop_front();
    uint32_t first = items.empty() ? next : items.front().first;
    if (first == count)
      return {};
    for (uint32_t end = ranks.overlap() ? endOfWindow(order, first) : endOfItem(order, first);
         next < end; next += uint32_t(items.back().halves.size()))
      items.push_back(prepare(next));
    beginWhatMay();
    bool moved = HADAL_TRY(moveOn());
    idle = moved ? 0 : idle + 1;
    now += !moved;
    if (idle > 2 * uint64_t(module.programs()->size() + 1000)) // longer than any row of messages
      return invalidFile("chunks of pipeline rank " + std::to_string(pp) + " wait for each other");
  }
}
