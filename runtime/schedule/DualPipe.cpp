//===- DualPipe.cpp - DualPipe and DualPipeV ------------------------------===//

#include "runtime/schedule/Sizes.h"

#include <deque>

using namespace hadal;
using namespace hadal::schedule;

namespace {

/// The order of one rank, built item by item. Micro-batches number themselves; weight gradients
/// that were split off wait in a queue.
class Builder {
public:
  Builder(Order &order, uint32_t flip) : order(order), flip(flip) {}

  void forward(uint32_t direction) { put(ChunkKind::Forward, direction, forwards); }
  void backward(uint32_t direction) { put(ChunkKind::Backward, direction, backwards); }
  void inputGrad(uint32_t direction) {
    put(ChunkKind::InputGrad, direction, backwards);
    waiting.push_back(order.back());
  }
  void weightGrad() {
    order.push_back({ChunkKind::WeightGrad, waiting.front().direction, waiting.front().microBatch});
    waiting.pop_front();
  }
  void pair(uint32_t ahead, uint32_t back) {
    forward(ahead);
    order.back().paired = true;
    backward(back);
  }

private:
  void put(ChunkKind kind, uint32_t direction, uint32_t (&counts)[2]) {
    order.push_back({kind, direction ^ flip, counts[direction]++});
  }

  Order &order;
  uint32_t flip;
  uint32_t forwards[2] = {}, backwards[2] = {};
  std::deque<Chunk> waiting;
};

} // namespace

/// The order of a rank that lies `place` ranks inside of a fold of `depth` ranks and has `count`
/// micro-batches in each direction. For the builder direction 0 goes inwards here, from the open
/// end (place 0) to the fold, and direction 1 outwards.
static void foldedOrder(Builder to, uint32_t depth, uint32_t place, uint32_t count) {
  uint32_t outside = place + 1, inside = depth - outside;
  bool atFold = inside == 0;
  // Fill: what it takes until the first micro-batch comes back from the fold.
  for (uint32_t i = 0; i < 2 * inside; ++i)
    to.forward(0);
  for (uint32_t i = 0; i < outside; ++i) {
    to.forward(0);
    to.forward(1);
  }
  // First gradients come outwards; a forward that is not there yet is waited for with a weight
  // gradient.
  for (uint32_t i = 0; i < inside; ++i) {
    to.inputGrad(1);
    to.weightGrad();
    to.forward(1);
  }
  // Both directions flow: every forward chunk has a backward chunk to overlap with. At the fold the
  // first two stay apart: its backward waits for nothing, and its neighbour waits for that forward.
  for (uint32_t i = 0; i < count - 2 * depth + outside; ++i) {
    if (i == 0 && atFold) {
      to.forward(0);
      to.backward(1);
    } else {
      to.pair(0, 1);
    }
    to.pair(1, 0);
  }
  // No forwards are left inwards, then none outwards.
  for (uint32_t i = 0; i < inside; ++i) {
    to.backward(1);
    to.pair(1, 0);
  }
  // Drain: half of these whole, then in parts, so that the neighbours get their gradients early and
  // weight gradients fill the end. The first in parts is the chunk with number `outside` (odd and
  // even ranks meet it in the other direction).
  for (uint32_t i = 0; i < 2 * outside; ++i) {
    uint32_t direction = i % 2 == 0 ? 1 : 0;
    if (i < outside)
      to.backward(direction);
    else
      to.inputGrad(direction);
  }
  for (uint32_t i = 0; i < inside; ++i) {
    to.weightGrad();
    to.inputGrad(0);
  }
  for (uint32_t i = 0; i < outside; ++i)
    to.weightGrad();
}

//   rank 0 |F0|F1|F2|f0|i0|w0|f1|F3+b1    . |f2+B0   |b2    . |f3+B1   |b3   |I2|W2|I3|W3|
//   rank 1  . |F0|f0|F1|f1|F2|b0   |f2+B0   |F3+b1   |f3+B1   |b2   |B2    . |i3|I3|w3|W3|
//   rank 2  . |f0|F0|f1|F1|f2|B0   |F2+b0   |f3+B1   |F3+b1   |B2   |b2    . |I3|i3|W3|w3|
//   rank 3 |f0|f1|f2|F0|I0|W0|F1|f3+B1    . |F2+b0   |B2    . |F3+b1   |B3   |i2|w2|i3|w3|
//
// Micro-batches enter at both ends, half of them each; a rank holds stage r for the one direction
// and stage PP-1-r for the other, so parameters stand twice. The second half of the ranks mirrors
// the first. Source: DeepSeek-V3, arXiv:2412.19437, §3.2.1 and figure 5; deepseek-ai/DualPipe,
// dualpipe.py, whose order this is item for item. verify(): at most PP+1 activations, bubble
// (PP/2-1)(F&B + B - 3W).
Result<Schedule> schedule::dualPipe(uint32_t ranks, uint32_t microBatches) {
  Schedule schedule = HADAL_TRY(empty("dualpipe", ranks, microBatches));
  if (ranks % 2 != 0)
    return invalidArgument("dualpipe wants an even number of ranks, got " + std::to_string(ranks));
  if (microBatches % 2 != 0)
    return invalidArgument(
        "dualpipe wants an even number of micro-batches, half for each direction, got " +
        std::to_string(microBatches));
  if (microBatches < 2 * uint64_t(ranks))
    return invalidArgument("dualpipe on " + std::to_string(ranks) + " ranks wants at least " +
                           std::to_string(2 * uint64_t(ranks)) + " micro-batches, got " +
                           std::to_string(microBatches));
  for (uint32_t rank = 0; rank < ranks; ++rank) {
    bool mirrored = rank >= ranks / 2;
    foldedOrder(Builder(schedule.orders[rank], mirrored), ranks / 2,
                mirrored ? ranks - 1 - rank : rank, microBatches / 2);
  }
  return schedule;
}

//   rank 0 |F0|F1|F2|f0|i0|w0|f1|F3+b1    . |f2+B0   |b2    . |f3+B1   |b3   |I2|W2|I3|W3|
//   rank 1  . |F0|f0|F1|f1|F2|b0   |f2+B0   |F3+b1   |f3+B1   |b2   |B2    . |i3|I3|w3|W3|
//
// DualPipe cut in half: a rank holds two stages, r on the way down (direction 0) and 2 PP-1-r on
// the way up (direction 1), all micro-batches pass both, and parameters stand once. Source:
// "Cut-in-half", Sea AI Lab; deepseek-ai/DualPipe, dualpipev.py, whose order this is item for item.
// verify(): at most 2 PP+1 activations (of half a stage each, against DualPipe on as many ranks),
// bubble (PP-1)(F&B + B - 3W).
Result<Schedule> schedule::dualPipeV(uint32_t ranks, uint32_t microBatches) {
  Schedule schedule = HADAL_TRY(empty("dualpipev", ranks, microBatches));
  if (microBatches < 2 * uint64_t(ranks))
    return invalidArgument("dualpipev on " + std::to_string(ranks) + " ranks wants at least " +
                           std::to_string(2 * uint64_t(ranks)) + " micro-batches, got " +
                           std::to_string(microBatches));
  for (uint32_t rank = 0; rank < ranks; ++rank)
    foldedOrder(Builder(schedule.orders[rank], 0), ranks, rank, microBatches);
  return schedule;
}
