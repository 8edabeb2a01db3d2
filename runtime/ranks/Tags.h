//===- Tags.h - how messages are told apart -----------------------------===//

#ifndef HADAL_RUNTIME_RANKS_TAGS_H
#define HADAL_RUNTIME_RANKS_TAGS_H

#include "runtime/module/ChunkKind.h"

namespace hadal {

enum class TagKind : uint32_t { Send, Counts, Exchange, Step };

/// Of a chunk's messages, from most to least significant: kind 2 bits, direction 1, program 2,
/// micro-batch 13, number among the program's commands of the kind 12. Micro-batches that share a
/// tag are 8,192 apart, and messages of one tag keep their order.
constexpr uint32_t chunkTag(TagKind kind, unsigned direction, StageProgram program,
                            unsigned microBatch, uint32_t ordinal) {
  return uint32_t(kind) << 28 | (direction & 1) << 27 | uint32_t(program) << 25 |
         (microBatch & 0x1fff) << 12 | (ordinal & 0xfff);
}

/// Of what is said outside chunks.
enum class StepTag : uint32_t { Sum, Use, Weight, Gather, Scatter, Tensor, Trace, Clock };
constexpr uint32_t stepTag(StepTag tag) { return uint32_t(TagKind::Step) << 28 | uint32_t(tag); }
/// Of sums of `size` owners each: two ranks may join some parameters early and others late in the
/// tree.
constexpr uint32_t sumTag(unsigned size) { return stepTag(StepTag::Sum) | size << 8; }

} // namespace hadal

#endif // HADAL_RUNTIME_RANKS_TAGS_H
