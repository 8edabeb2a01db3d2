//===- ChunkSizes.cpp - what a rank's chunks take and give back -----------===//

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
std::vector<ChunkSizes::SizedChunk> ChunkSizes::prepare(const fb::Order &order, uint32_t first) {
  std::vector<SizedChunk> chunks;
  for (uint32_t at = first, end = endOfItem(order, first); at < end; ++at) {
    const fb::Chunk *chunk = order.chunks()->Get(at);
    unsigned number = layout.stageOf(pp, chunk->direction());
    const SizedStage &stage = stages[number];
    MicroBatchSizes &sizes = microBatches[{number, chunk->micro_batch()}];
    sizes.values.resize(stage.plan.valueNames.size());
    SizedChunk &sized = chunks.emplace_back(
        SizedChunk{{&stage.plan, programsLastFirst(chunk->kind())}, &stage, &sizes});
    for (uint32_t command : programOf(sized).streams[1]) {
      auto *receive = programOf(sized).program->commands()->Get(command)->action_as_Receive();
      if (!receive)
        break;
      take(sized, receive->argument());
    }
  }
  return chunks;
}

void ChunkSizes::take(SizedChunk &chunk, uint32_t argument) {
  uint32_t value = programOf(chunk).values[argument];
  if (!chunk.sizes->values[value])
    chunk.sizes->values[value] = pool.take(chunk.stage->bytes[value]).size;
}

/// Up to its next call, or to the end of a program, unless it waits for messages.
Result<ChunkProgress> ChunkSizes::advance(SizedChunk &chunk) {
  const PlannedProgram &planned = programOf(chunk);
  const auto &commands = *planned.program->commands();
  for (; chunk.at < commands.size(); ++chunk.at) {
    const fb::Command *command = commands.Get(chunk.at);
    bool communicates =
        std::binary_search(planned.streams[1].begin(), planned.streams[1].end(), chunk.at);
    if (auto *wait = command->action_as_Wait()) {
      uint64_t recorded = chunk.events[wait->event()];
      if (communicates)
        chunk.arrival = std::max(chunk.arrival, recorded);
      else if (recorded > now)
        return ChunkProgress::None;
    }
    if (auto *record = command->action_as_Record())
      chunk.events[record->event()] = communicates ? chunk.arrival : now;
    if (auto *receive = command->action_as_Receive()) {
      take(chunk, receive->argument());
      chunk.arrival = std::max(chunk.arrival, now + 1);
    }
    if (auto *counts = command->action_as_ExchangeCounts()) {
      take(chunk, counts->receive());
      chunk.arrival = std::max(chunk.arrival, now + 1);
    }
    if (auto *exchange = command->action_as_Exchange()) { // whose counts have come
      take(chunk, exchange->destination());
      chunk.arrival = std::max(chunk.arrival, now) + 2;
    }
    if (auto *call = command->action_as_Call()) {
      const fb::Program &callee = *module.programs()->Get(call->program());
      for (uint32_t i = 0; i < call->arguments()->size(); ++i)
        if (callee.arguments()->Get(i)->output() &&
            call->arguments()->Get(i)->space() == fb::Space_Argument)
          take(chunk, call->arguments()->Get(i)->index());
      ++chunk.at;
      ++now;
      HADAL_TRY(arenas.call(*call, chunk.stage->registers[size_t(planned.which)], 0));
      return ChunkProgress::Call;
    }
  }
  return chunk.arrival > now || window.sameProgramBefore(chunk) ? ChunkProgress::None
                                                                : endProgram(chunk);
}

ChunkProgress ChunkSizes::endProgram(SizedChunk &chunk) {
  StageProgram program = chunk.programs.back();
  for (size_t value = 0; value < chunk.sizes->values.size(); ++value)
    if (uint64_t &bytes = chunk.sizes->values[value];
        bytes && chunk.plan->lastProgram[value] <= program) {
      pool.giveBack(bytes);
      bytes = 0;
    }
  chunk.sizes->ended = size_t(program) + 1;
  chunk.programs.pop_back();
  chunk.at = 0;
  chunk.events.clear();
  return ChunkProgress::Some;
}

Status ChunkSizes::run() {
  const fb::Order &order = *ranks.orders()->Get(pp);
  auto mayBegin = [](const SizedChunk &chunk) {
    return chunk.sizes->ended == size_t(chunk.programs.back());
  };
  auto chunksOf = [&](uint32_t first) -> Result<std::vector<SizedChunk>> {
    return prepare(order, first);
  };
  for (uint64_t idle = 0; HADAL_TRY(window.refill(chunksOf));) {
    window.beginWhatMay(mayBegin, [](SizedChunk &) {});
    bool moved = HADAL_TRY(window.moveOn([&](SizedChunk &chunk) { return advance(chunk); }));
    idle = moved ? 0 : idle + 1;
    now += !moved;
    if (idle > 2 * uint64_t(module.programs()->size() + 1000)) // longer than any row of messages
      return invalidFile("chunks of pipeline rank " + std::to_string(pp) + " wait for each other");
  }
  return {};
}

/// The programs of the item at `first`: what(stage, its program).
template <typename What>
void ChunkSizes::eachProgram(const fb::Order &order, uint32_t first, const What &what) const {
  for (uint32_t at = first, end = endOfItem(order, first); at < end; ++at) {
    const fb::Chunk &chunk = *order.chunks()->Get(at);
    for (StageProgram program : programsOf(ChunkKind(chunk.kind())))
      what(stages[layout.stageOf(pp, chunk.direction())], program);
  }
}

RankPeak ChunkSizes::most() const {
  const fb::Order &order = *ranks.orders()->Get(pp);
  RankPeak peak;
  uint64_t bytes = 0, values = 0;
  auto take = [&](const SizedStage &stage, StageProgram which) {
    const PlannedProgram &planned = stage.plan.programs[size_t(which)];
    for (uint32_t i = 0; i < planned.values.size(); ++i)
      if (planned.program->arguments()->Get(i)->output())
        bytes += stage.bytes[planned.values[i]], ++values;
  };
  auto giveBack = [&](const SizedStage &stage, StageProgram which) {
    for (uint32_t value = 0; value < stage.bytes.size(); ++value)
      if (stage.plan.isWritten[value] && stage.plan.lastProgram[value] == which)
        bytes -= stage.bytes[value], --values;
  };
  uint32_t count = order.chunks()->size();
  for (uint32_t first = 0, ahead = 0; first < count; first = endOfItem(order, first)) {
    for (uint32_t end = endOfWindow(order, first, ranks.overlap()); ahead < end;
         ahead = endOfItem(order, ahead))
      eachProgram(order, ahead, take);
    if (bytes > peak.bytes)
      peak = {bytes, first, values, itemName(order, first)};
    eachProgram(order, first, giveBack);
  }
  return peak;
}
