//===- Walk.cpp - orders side by side ------------------------------------===//

#include "runtime/schedule/Walk.h"

using namespace hadal;
using namespace hadal::schedule;

size_t schedule::eventCount(const Schedule &s) {
  return size_t(3) * 2 * stages(s) * s.microBatches;
}

size_t schedule::numberOf(const Schedule &s, const Event &e) {
  return ((size_t(e.what) * 2 + e.direction) * stages(s) + e.stage) * s.microBatches + e.microBatch;
}

/// Direction 1 of dualpipev is the way back of the same micro-batches.
static Event event(const Schedule &s, Event::What what, uint32_t rank, const Chunk &chunk) {
  return {what, s.name == "dualpipe" ? chunk.direction : 0, stageOf(s, rank, chunk.direction),
          chunk.microBatch};
}

std::vector<Event> schedule::needs(const Schedule &s, uint32_t rank, const Chunk &chunk) {
  if (chunk.kind == ChunkKind::WeightGrad)
    return {event(s, Event::InputGradient, rank, chunk)};
  std::vector<Event> all;
  Event output = event(s, Event::Output, rank, chunk);
  if (chunk.kind == ChunkKind::Forward) {
    if (output.stage-- > 0)
      all.push_back(output);
    return all;
  }
  all.push_back(output);
  Event gradient = event(s, Event::InputGradient, rank, chunk);
  if (++gradient.stage < stages(s))
    all.push_back(gradient);
  return all;
}

std::vector<Event> schedule::makes(const Schedule &s, uint32_t rank, const Chunk &chunk) {
  switch (chunk.kind) {
  case ChunkKind::Forward: return {event(s, Event::Output, rank, chunk)};
  case ChunkKind::Backward:
    return {event(s, Event::InputGradient, rank, chunk),
            event(s, Event::WeightGradient, rank, chunk)};
  case ChunkKind::InputGrad: return {event(s, Event::InputGradient, rank, chunk)};
  case ChunkKind::WeightGrad: return {event(s, Event::WeightGradient, rank, chunk)};
  }
  return {};
}

std::optional<Stuck> schedule::walk(const Schedule &s,
                                    const std::function<void(uint32_t, size_t, size_t)> &visit) {
  std::vector<bool> done(eventCount(s));
  std::vector<size_t> at(s.orders.size());
  auto missing = [&](uint32_t rank, size_t end) -> std::optional<Event> {
    for (size_t i = at[rank]; i < end; ++i)
      for (const Event &e : needs(s, rank, s.orders[rank][i]))
        if (!done[numberOf(s, e)])
          return e;
    return {};
  };
  for (bool moved = true; moved;) {
    moved = false;
    for (uint32_t rank = 0; rank < s.orders.size(); ++rank) {
      const Order &order = s.orders[rank];
      while (at[rank] < order.size()) {
        size_t first = at[rank],
               end = std::min(first + (order[first].paired ? 2 : 1), order.size());
        if (missing(rank, end))
          break;
        visit(rank, first, end - first);
        for (size_t i = first; i < end; ++i)
          for (const Event &e : makes(s, rank, order[i]))
            done[numberOf(s, e)] = true;
        at[rank] = end;
        moved = true;
      }
    }
  }
  for (uint32_t rank = 0; rank < s.orders.size(); ++rank) {
    const Order &order = s.orders[rank];
    if (at[rank] == order.size())
      continue;
    size_t end = std::min(at[rank] + (order[at[rank]].paired ? 2 : 1), order.size());
    return Stuck{rank, at[rank], *missing(rank, end)};
  }
  return {};
}
