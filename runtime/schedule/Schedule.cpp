//===- Schedule.cpp - what schedules have in common -----------------------===//

#include "runtime/module/StagePlaces.h"
#include "runtime/schedule/Sizes.h"

#include <charconv>

using namespace hadal;
using namespace hadal::schedule;

static StagePlaces placesOf(const Schedule &s) { return StagePlaces::of(s.name, s.ranks); }

uint32_t schedule::directions(const Schedule &s) { return placesOf(s).directions(); }

uint32_t schedule::stages(const Schedule &s) { return placesOf(s).stages(); }

uint32_t schedule::stageOf(const Schedule &s, uint32_t rank, uint32_t direction) {
  return placesOf(s).stageOf(rank, direction);
}

uint32_t schedule::microBatchesOf(const Schedule &s) {
  return s.microBatches / placesOf(s).ownerDirections();
}

uint32_t schedule::claimedActivations(const Schedule &s) {
  return directions(s) == 2 ? stages(s) + 1 : stages(s);
}

Result<Schedule> schedule::empty(const char *name, uint32_t ranks, uint32_t microBatches) {
  if (ranks == 0 || microBatches == 0)
    return invalidArgument(std::string(name) +
                           " wants at least one rank and one micro-batch, got " +
                           std::to_string(ranks) + " and " + std::to_string(microBatches));
  if (uint64_t(ranks) * microBatches > maxChunks)
    return invalidArgument(std::string(name) + " wants at most " + std::to_string(maxChunks) +
                           " chunks in all, got " + std::to_string(ranks) + " ranks of " +
                           std::to_string(microBatches) + " micro-batches");
  Schedule schedule{name, ranks, microBatches, {}};
  schedule.orders.resize(ranks);
  return schedule;
}

Result<Schedule> schedule::makeSchedule(std::string_view name, uint32_t ranks,
                                        uint32_t microBatches) {
  if (name == "1f1b")
    return oneFOneB(ranks, microBatches);
  if (name == "zb1p")
    return zeroBubble(ranks, microBatches);
  if (name == "dualpipe")
    return dualPipe(ranks, microBatches);
  if (name == "dualpipev")
    return dualPipeV(ranks, microBatches);
  std::string names;
  for (std::string_view known : scheduleNames)
    names += (names.empty() ? "" : ", ") + std::string(known);
  return invalidArgument("no schedule '" + std::string(name) + "' (has " + names + ")");
}

std::string schedule::toString(const Chunk &chunk) {
  return chunkName(chunk.kind, chunk.direction, chunk.microBatch);
}

std::string schedule::toText(const Schedule &schedule) {
  std::string text;
  for (size_t rank = 0; rank < schedule.orders.size(); ++rank) {
    text += "rank " + std::to_string(rank) + ":";
    bool joined = false;
    for (const Chunk &chunk : schedule.orders[rank]) {
      text += (joined ? "+" : " ") + toString(chunk);
      joined = chunk.paired;
    }
    text += "\n";
  }
  return text;
}

/// Takes a number off the front.
static bool take(std::string_view &text, uint32_t &number) {
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  text.remove_prefix(static_cast<size_t>(end - text.data()));
  return error == std::errc();
}

static bool take(std::string_view &text, std::string_view front) {
  if (!text.starts_with(front))
    return false;
  text.remove_prefix(front.size());
  return true;
}

static bool takeChunk(std::string_view &text, Chunk &chunk) {
  size_t kind = text.empty() ? std::string_view::npos : std::string_view("FBIW").find(text[0]);
  if (kind == std::string_view::npos)
    return false;
  chunk.kind = static_cast<ChunkKind>(kind);
  text.remove_prefix(1);
  return take(text, chunk.direction) && take(text, ".") && take(text, chunk.microBatch);
}

Status schedule::readOrders(std::string_view text, Schedule &schedule) {
  schedule.orders.clear();
  while (!text.empty()) {
    uint32_t rank = static_cast<uint32_t>(schedule.orders.size()), number = 0;
    std::string line = "line " + std::to_string(rank + 1) + " of the orders ";
    if (!take(text, "rank ") || !take(text, number) || number != rank || !take(text, ":"))
      return invalidFile(line + "wants to begin with 'rank " + std::to_string(rank) + ":'");
    Order &order = schedule.orders.emplace_back();
    while (!text.empty() && !take(text, "\n")) {
      bool paired = take(text, "+");
      if (paired && !order.empty())
        order.back().paired = true;
      Chunk chunk{};
      if ((!paired && !take(text, " ")) || !takeChunk(text, chunk))
        return invalidFile(line + "has no chunk at item " + std::to_string(order.size() + 1));
      order.push_back(chunk);
    }
  }
  return {};
}
