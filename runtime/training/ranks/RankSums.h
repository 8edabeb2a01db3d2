//===- RankSums.h - what ranks add up in a step -------------------------===//
//
// Chunks add to states of their rank: gradients, losses, loads. In between and after them the sums
// of all ranks become totals, in a fixed order (OrderedSums.h) or in that of the engine
// (FastSums.h).
//
//===--------------------------------------------------------------------===//

#ifndef HADAL_RUNTIME_TRAINING_RANKS_RANKSUMS_H
#define HADAL_RUNTIME_TRAINING_RANKS_RANKSUMS_H

#include "runtime/ranks/StreamComm.h"
#include "runtime/training/GroupSums.h"
#include "runtime/training/ranks/OrderRunner.h"
#include "runtime/training/ranks/SumPlan.h"

namespace hadal {

/// All of them must outlive the sums.
struct RankSumsContext {
  Executor &executor;
  Trainables &trainables;
  const SumPlan &plan;
  const RankLayout &layout;
  const OrderRunner &runner;
  Comm &comm;
  StreamComm &streamComm; ///< for what lies on the device
  Adder &adder;
  Comm::Seconds timeout;
};

/// All ranks call the same functions in the same order, but for the hooks of their chunks.
/// Gradients are zero when a step begins. For the executor's thread.
class RankSums {
public:
  /// In the order that the module's table of ranks asks for. InvalidFile: a state that chunks add
  /// to is no sum.
  static Result<std::unique_ptr<RankSums>> create(const RankSumsContext &context);
  virtual ~RankSums() = default;

  /// Before the step's program `zero`. `groupSize`: micro-batches of each group in this step, its
  /// first ones.
  virtual Status begin(int64_t step, int64_t groupSize) = 0;

  /// Before a call of a stage's program.
  virtual Status enter(unsigned stage) = 0;
  /// After a program of a micro-batch in a stage.
  virtual Status endProgram(unsigned stage, unsigned microBatch, StageProgram program) = 0;

  /// After the last chunk: the total of each parameter's gradient comes to lie in "gradient.NAME"
  /// at the unit's root, and zeros in all other memory that gradients were added up in. Figures
  /// alone leave gradients out: losses and loads.
  enum class Joined { All, Figures };
  virtual Status join(Joined joined) = 0;

  /// Of losses or loads, after join(): what makes up the total, in the order in which it is to be
  /// added.
  struct Piece {
    unsigned rank;   ///< that has it
    DeviceView view; ///< of the state's shape, at that rank; empty elsewhere
  };
  virtual std::vector<Piece> piecesOf(const SumUnit &unit) const = 0;

  /// Reductions of the engine that this rank took part in so far.
  virtual uint64_t reductions() const = 0;

protected:
  static Result<DeviceView> sumState(Executor &executor, const std::string &name);
};

} // namespace hadal

#endif // HADAL_RUNTIME_TRAINING_RANKS_RANKSUMS_H
