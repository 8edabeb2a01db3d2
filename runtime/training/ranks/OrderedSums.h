//===- OrderedSums.h - sums in a fixed order ----------------------------===//

#ifndef HADAL_RUNTIME_TRAINING_RANKS_ORDEREDSUMS_H
#define HADAL_RUNTIME_TRAINING_RANKS_ORDEREDSUMS_H

#include "runtime/ranks/OpenSends.h"
#include "runtime/training/ranks/RankSums.h"

namespace hadal {

/// Equal groups, equal bits on any layout: groups of micro-batches join as they end; then sources
/// of a sharded parameter in a halving tree over their segments, owners in a halving tree over
/// ranks, the uses of a parameter one after another. One thread at a time.
class OrderedSums final : public RankSums {
public:
  static Result<std::unique_ptr<OrderedSums>> create(const RankSumsContext &context);

  Status begin(int64_t step, int64_t groupSize) override;
  Status enter(unsigned stage) override { return lay(int(stage)); }
  Status endProgram(unsigned stage, unsigned microBatch, StageProgram program) override;
  Status join(Joined joined) override;
  std::vector<Piece> piecesOf(const SumUnit &unit) const override;
  uint64_t reductions() const override { return 0; }

private:
  /// A sum that this rank's chunks add to.
  struct Sum {
    const fb::Accumulator *table;
    StageProgram after; ///< which a group ends
    DeviceView state;
    DeviceBuffer
        own; ///< where another stage of this rank adds to the same state: what this stage has of it
    GroupCounter counter;
  };

  explicit OrderedSums(const RankSumsContext &context)
      : context(context), sums(context.layout.stages()), pool(context.executor.device()),
        sends(context.executor, context.streamComm, context.timeout) {}
  Status addStage(const StagePlan &stage, const std::map<std::string, unsigned> &stagesOfState);
  Status lay(int stage);
  std::optional<unsigned> leafOf(const SumUse &use) const;
  Sum &sumOf(const SumUse &use) { return sums[use.stage][use.accumulator]; }
  static int64_t elementsOfSegment(const Sum &sum);
  Status joinSegments(Sum &sum);
  Status beginUnit(const SumUnit &unit);
  Status joinUnit(const SumUnit &unit);
  Status joinLeaves(const SumUnit &unit, const SumUse &use, Sum &sum, unsigned leaf);
  Status sendSum(const Sum &sum, unsigned to, unsigned size);
  Status receiveAndAdd(unsigned from, uint32_t tag, ElementType element, DeviceAddress sum,
                       int64_t elements);
  std::string at(const char *doing) const { return "step " + std::to_string(step) + ", " + doing; }

  RankSumsContext context;
  std::vector<std::vector<Sum>>
      sums; ///< by stage and accumulator; none of stages that other ranks have
  MemoryPool pool;
  OpenSends sends;
  int entered = -1; ///< the stage whose part of shared states lies in them
  int64_t step = 0, groupSize = 1;
};

} // namespace hadal

#endif // HADAL_RUNTIME_TRAINING_RANKS_ORDEREDSUMS_H
