//===- Verify.cpp - the rules that every schedule keeps -------------------===//

#include "runtime/schedule/Walk.h"

using namespace hadal;
using namespace hadal::schedule;

static Error broken(uint32_t rank, size_t item, const Chunk &chunk, const std::string &what) {
  return invalidFile("rank " + std::to_string(rank) + ", item " + std::to_string(item) + " (" +
                     toString(chunk) + "): " + what);
}

static Status verifyPairs(uint32_t rank, const Order &order) {
  for (size_t i = 0; i < order.size(); ++i)
    if (order[i].paired && (i + 1 == order.size() || order[i].kind != ChunkKind::Forward ||
                            order[i + 1].kind != ChunkKind::Backward || order[i + 1].paired))
      return broken(rank, i, order[i], "a pair is a forward and then a whole backward chunk");
  return {};
}

/// Rules 1 and 4: what each direction has done so far is known by the next micro-batch's number,
/// kind by kind.
static Status verifyCounts(const Schedule &s, uint32_t rank) {
  uint32_t next[2][stageProgramCount] = {}, count = microBatchesOf(s);
  const Order &order = s.orders[rank];
  for (size_t i = 0; i < order.size(); ++i) {
    const Chunk &chunk = order[i];
    if (chunk.direction >= directions(s))
      return broken(rank, i, chunk,
                    "the schedule has " + std::to_string(directions(s)) + " directions");
    if (chunk.microBatch >= count)
      return broken(rank, i, chunk, "a direction has " + std::to_string(count) + " micro-batches");
    for (StageProgram program : programsOf(chunk.kind)) {
      uint32_t &wanted = next[chunk.direction][size_t(program)];
      if (chunk.microBatch != wanted++)
        return broken(rank, i, chunk,
                      std::string("the next ") + toString(program) +
                          " of this direction is of micro-batch " + std::to_string(wanted - 1));
    }
  }
  for (uint32_t direction = 0; direction < directions(s); ++direction)
    for (StageProgram program : stagePrograms)
      if (uint32_t done = next[direction][size_t(program)]; done != count)
        return invalidFile("rank " + std::to_string(rank) + " ends before the " +
                           toString(program) + " of micro-batch " + std::to_string(done) +
                           " in direction " + std::to_string(direction));
  return {};
}

std::vector<uint32_t> schedule::peakActivations(const Schedule &s) {
  std::vector<uint32_t> peaks;
  for (const Order &order : s.orders) {
    // A pair begins its forward before its backward has ended, and counts so by standing first.
    uint32_t live = 0, peak = 0;
    for (const Chunk &chunk : order)
      if (chunk.kind == ChunkKind::Forward)
        peak = std::max(peak, ++live);
      else if (chunk.kind != ChunkKind::InputGrad)
        --live;
    peaks.push_back(peak);
  }
  return peaks;
}

Status schedule::verify(const Schedule &s) {
  if (s.orders.size() != s.ranks)
    return invalidFile(s.name + " wants an order for each of " + std::to_string(s.ranks) +
                       " ranks, has " + std::to_string(s.orders.size()));
  for (uint32_t rank = 0; rank < s.ranks; ++rank) {
    HADAL_TRY(verifyPairs(rank, s.orders[rank]));
    HADAL_TRY(verifyCounts(s, rank));
  }
  if (auto stuck = walk(s, [](uint32_t, size_t, size_t) {})) {
    static const char *const names[] = {"output", "input gradient", "weight gradient"};
    const Event &e = stuck->missing;
    return broken(stuck->rank, stuck->item, s.orders[stuck->rank][stuck->item],
                  std::string("deadlock: waits for the ") + names[e.what] + " of stage " +
                      std::to_string(e.stage) + ", micro-batch " + std::to_string(e.microBatch));
  }
  std::vector<uint32_t> peaks = peakActivations(s);
  for (uint32_t rank = 0; rank < s.ranks; ++rank)
    if (peaks[rank] > claimedActivations(s))
      return invalidFile("rank " + std::to_string(rank) + " holds the activations of " +
                         std::to_string(peaks[rank]) + " chunks, " + s.name + " claims " +
                         std::to_string(claimedActivations(s)));
  return {};
}
