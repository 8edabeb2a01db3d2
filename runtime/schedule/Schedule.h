//===- Schedule.h - who does what when in a pipeline ---------------------===//
//
// A schedule is a list of chunks for each pipeline rank. Four of them stand behind one interface;
// verify() holds any list of chunks to the same rules, Timeline.h says how long it takes and
// Drawing.h shows it. No MLIR: the compiler writes these orders into modules, hadal-plan prints and
// simulates them, hadal-inspect reads them back.
//
//===--------------------------------------------------------------------===//

#ifndef HADAL_RUNTIME_SCHEDULE_SCHEDULE_H
#define HADAL_RUNTIME_SCHEDULE_SCHEDULE_H

#include "runtime/Result.h"
#include "runtime/module/ChunkKind.h"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace hadal::schedule {

/// One item of an order. The previous stage goes on only when a backward chunk is whole, so
/// splitting it pays where that stage waits. `paired`: a forward chunk issued together with the
/// whole backward chunk that follows it.
struct Chunk {
  ChunkKind kind;
  uint32_t direction;
  uint32_t microBatch;
  bool paired = false;
  bool operator==(const Chunk &) const = default;
};

using Order = std::vector<Chunk>;

/// `name`: 1f1b, zb1p, dualpipe or dualpipev. `microBatches`: of a step, those of both directions
/// where there are two.
struct Schedule {
  std::string name;
  uint32_t ranks = 0;
  uint32_t microBatches = 0;
  std::vector<Order> orders; ///< by rank
};

/// Directions in which a rank has chunks: two for dualpipe (micro-batches enter at both ends) and
/// dualpipev (the two legs of the V).
uint32_t directions(const Schedule &schedule);
/// Pipeline stages: two a rank for dualpipev.
uint32_t stages(const Schedule &schedule);
/// The stage that `rank` is in `direction`.
uint32_t stageOf(const Schedule &schedule, uint32_t rank, uint32_t direction);
/// Micro-batches of one direction, numbered from 0: half of them for dualpipe, else all.
uint32_t microBatchesOf(const Schedule &schedule);
/// What a rank may hold of activations, in chunks between forward and weight gradient, by the
/// published claims: PP, or PP+1 with PP the stages for dualpipe and dualpipev
/// (deepseek-ai/DualPipe, README).
uint32_t claimedActivations(const Schedule &schedule);

/// Each wants at least one rank and one micro-batch; dualpipe an even number of both, dualpipe and
/// dualpipev at least two micro-batches a rank. InvalidArgument otherwise, and for more than
/// maxChunks chunks in all.
Result<Schedule> oneFOneB(uint32_t ranks, uint32_t microBatches);
Result<Schedule> zeroBubble(uint32_t ranks, uint32_t microBatches);
Result<Schedule> dualPipe(uint32_t ranks, uint32_t microBatches);
Result<Schedule> dualPipeV(uint32_t ranks, uint32_t microBatches);

/// By name. InvalidArgument lists the names there are.
Result<Schedule> makeSchedule(std::string_view name, uint32_t ranks, uint32_t microBatches);

inline constexpr uint64_t maxChunks = uint64_t(1) << 22;

/// Holds orders, ours or anyone's, to these rules, and names the first one broken with rank and
/// item:
///  1. Every rank does every chunk of its directions once: a forward, and a backward or its two
///     parts.
///  2. A pair is a forward and then a whole backward chunk.
///  3. Run side by side, each rank in its order, all ranks come to their ends: what a chunk needs
///     has been done.
///  4. Forwards, input gradients and weight gradients of a direction are each in ascending order of
///  micro-batches: that is the order in
///     which neighbours send and receive, and in which gradients are summed.
///  5. No rank holds more activations than the schedule claims.
Status verify(const Schedule &schedule);

/// The most chunks between the begin of their forward and the end of their weight gradient, by
/// rank.
std::vector<uint32_t> peakActivations(const Schedule &schedule);

/// "F0.3", "I1.2".
std::string toString(const Chunk &chunk);
/// "rank 0: F0.0 F0.1 F0.5+B1.1 ...", a line per rank.
std::string toText(const Schedule &schedule);
/// Reads what toText writes into the orders of `schedule`, whose name and sizes stand. For tests
/// and for orders made elsewhere.
Status readOrders(std::string_view text, Schedule &schedule);

} // namespace hadal::schedule

#endif // HADAL_RUNTIME_SCHEDULE_SCHEDULE_H
