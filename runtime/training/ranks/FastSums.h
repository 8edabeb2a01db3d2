//===- FastSums.h - sums in the engine's order --------------------------===//

#ifndef HADAL_RUNTIME_TRAINING_RANKS_FASTSUMS_H
#define HADAL_RUNTIME_TRAINING_RANKS_FASTSUMS_H

#include "runtime/training/ranks/RankSums.h"

#include <list>

namespace hadal {

/// `--reduction=fast`: what a rank's micro-batches add up is one chain, whatever stage adds to it;
/// then segments and uses of a unit join in the rank, and the engine reduces over the ranks, all
/// units at the same time. Bits depend on the layout and on the engine. One thread at a time.
class FastSums final : public RankSums {
public:
  static Result<std::unique_ptr<FastSums>> create(const RankSumsContext &context);

  Status begin(int64_t step, int64_t groupSize) override;
  Status enter(unsigned) override { return {}; }
  Status endProgram(unsigned, unsigned, StageProgram) override { return {}; }
  Status join(Joined joined) override;
  std::vector<Piece> piecesOf(const SumUnit &unit) const override;
  uint64_t reductions() const override { return count; }

private:
  /// A unit that this rank has a part of.
  struct Own {
    const SumUnit *unit;
    DeviceView sum; ///< flat: where the total comes to lie, or this rank's part of it
    std::vector<DeviceAddress> parts; ///< of the same size, to be added to it first
    std::vector<unsigned> others;     ///< ranks that have a part too
  };

  explicit FastSums(const RankSumsContext &context) : context(context) {}
  Status addUnit(const SumUnit &unit);
  Status meet();
  struct Reduction {
    const Own *own;
    Message message;
  };
  Result<Message> reduce(const Own &own, int64_t elements);
  Status finish(std::list<Reduction> &open);
  std::string at(const std::string &doing) const {
    return "step " + std::to_string(step) + ", " + doing;
  }
  std::string nameOf(const SumUnit &unit) const;

  RankSumsContext context;
  std::vector<Own> mine; ///< in the plan's order
  bool haveMet = false;
  uint64_t count = 0;
  int64_t step = 0;
};

} // namespace hadal

#endif // HADAL_RUNTIME_TRAINING_RANKS_FASTSUMS_H
