//===- OneFOneB.cpp - 1F1B and its zero-bubble form -----------------------===//

#include "runtime/schedule/Sizes.h"

#include <algorithm>

using namespace hadal;
using namespace hadal::schedule;

//   rank 0 |F0|F1|F2|F3 .  .  .  .  .  . |B0   |F4|B1   |F5|B2    . |B3    . |B4    . |B5   |
//   rank 1  . |F0|F1|F2 .  .  .  . |B0   |F3|B1   |F4|B2   |F5|B3    . |B4    . |B5    .  . |
//   rank 2  .  . |F0|F1 .  . |B0   |F2|B1   |F3|B2   |F4|B3   |F5|B4    . |B5    .  .  .  . |
//   rank 3  .  .  . |F0|B0   |F1|B1   |F2|B2   |F3|B3   |F4|B4   |F5|B5    .  .  .  .  .  . |
//
// Source: D. Narayanan et al., "PipeDream", SOSP 2019, and "Efficient Large-Scale Language Model
// Training on GPU Clusters Using Megatron-LM", arXiv:2104.04473, §2.2.1 (with a flush at the step's
// end). verify(): at most PP - rank activations, bubble (PP-1)(F+B).
Result<Schedule> schedule::oneFOneB(uint32_t ranks, uint32_t microBatches) {
  Schedule schedule = HADAL_TRY(empty("1f1b", ranks, microBatches));
  for (uint32_t rank = 0; rank < ranks; ++rank) {
    Order &order = schedule.orders[rank];
    uint32_t ahead = std::min(ranks - 1 - rank, microBatches);
    for (uint32_t m = 0; m < microBatches + ahead; ++m) {
      if (m < microBatches)
        order.push_back({ChunkKind::Forward, 0, m});
      if (m >= ahead)
        order.push_back({ChunkKind::Backward, 0, m - ahead});
    }
  }
  return schedule;
}

//   rank 0 |F0|F1|F2|F3 .  .  . |I0|W0|F4|I1|W1|F5|I2|W2|F6|I3|W3|F7|I4|W4|I5|W5|I6|W6|I7|W7|
//   rank 1  . |F0|F1|F2 .  . |I0|F3|I1|W0|F4|I2|W1|F5|I3|W2|F6|I4|W3|F7|I5|W4|I6|W5|I7|W6|W7|
//   rank 2  .  . |F0|F1 . |I0|F2|I1|F3|I2|W0|F4|I3|W1|F5|I4|W2|F6|I5|W3|F7|I6|W4|I7|W5|W6|W7|
//   rank 3  .  .  . |F0|I0|F1|I1|F2|I2|F3|I3|W0|F4|I4|W1|F5|I5|W2|F6|I6|W3|F7|I7|W4|W5|W6|W7|
//
// Rank r keeps r weight gradients back: with those micro-batches every rank holds PP activations,
// and the input gradients come to the ranks before it that much earlier. What was kept back fills
// the end, where 1F1B waits. Source: P. Qi et al., "Zero Bubble Pipeline Parallelism",
// arXiv:2401.10241, the schedule ZB-H1. verify(): PP activations; bubble (PP-1)(F+B-2W) from PP
// micro-batches on, (PP-1)(F+I) - (M-1)W for M < PP, where nothing can fill the rest.
Result<Schedule> schedule::zeroBubble(uint32_t ranks, uint32_t microBatches) {
  Schedule schedule = HADAL_TRY(empty("zb1p", ranks, microBatches));
  for (uint32_t rank = 0; rank < ranks; ++rank) {
    Order &order = schedule.orders[rank];
    uint32_t ahead = std::min(ranks - 1 - rank, microBatches), weights = 0;
    for (uint32_t m = 0; m < microBatches + ahead; ++m) {
      if (m < microBatches)
        order.push_back({ChunkKind::Forward, 0, m});
      if (m >= ahead)
        order.push_back({ChunkKind::InputGrad, 0, m - ahead});
      if (m >= ahead && m - ahead >= weights + rank)
        order.push_back({ChunkKind::WeightGrad, 0, weights++});
    }
    while (weights < microBatches)
      order.push_back({ChunkKind::WeightGrad, 0, weights++});
  }
  return schedule;
}
