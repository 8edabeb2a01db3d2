//===- MicroBatch.h - rows of tokens as the inputs of a training program ===//
//
// Program `gradients` takes the tokens of some rows one after the other, with the sequences they
// fall into, the token that follows each, and for each depth of multi-token prediction (MTP) the
// same over fewer rows.
//
//===--------------------------------------------------------------------===//

#ifndef HADAL_RUNTIME_TRAINING_MICROBATCH_H
#define HADAL_RUNTIME_TRAINING_MICROBATCH_H

#include "runtime/Executor.h"

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

namespace hadal {

/// A row of a batch: tokens of one document or of several.
struct TrainingRow {
  std::vector<int32_t> tokens;
  std::vector<int32_t> labels; ///< as many: what to predict in each place, -1 for nothing; empty:
                               ///< the tokens themselves
  std::vector<int32_t> starts; ///< where further sequences begin, ascending, above 0: these do not
                               ///< see what stands before
};

/// What a step's sums are divided by.
struct PredictionCounts {
  std::vector<int32_t> predictions; ///< of the main model, then of each MTP depth
  int32_t sequences = 0;

  void add(const PredictionCounts &other);
};

/// Must stay as it is from bind() to the last execute(). One thread at a time.
class MicroBatch {
public:
  /// With D further depths. Position i of a sequence of n tokens predicts token i+1, so that its
  /// last position predicts nothing. Depth d has positions 0 .. n-1-d of each sequence: position i
  /// takes the representation that depth d-1 has there and token i+d, and predicts token i+d+1.
  /// Source: DeepSeek-V3, arXiv:2412.19437, section 2.2.
  MicroBatch(std::span<const TrainingRow> rows, int64_t depths);

  const PredictionCounts &counts() const { return count; }
  int64_t tokens() const { return static_cast<int64_t>(depths[0].tokenIds.size()); }

  /// One depth's arrays; 0 is the main model.
  struct Depth {
    std::vector<int32_t> rows; ///< of depth d-1, empty for the main model
    std::vector<int32_t> tokenIds, positions, targets;
    std::vector<int32_t> offsets = {0}; ///< where each sequence begins, and the end
    int64_t attended = 0;               ///< pairs of a row and a position that it sees
  };
  const Depth &depth(size_t d) const { return depths[d]; }

  /// Calls for all registers and inputs that a training program may have. An error ends it.
  Status visit(const std::vector<int32_t> &stepCounts,
               const std::function<Status(const std::string &, int64_t)> &registerOf,
               const std::function<Status(const std::string &, const TensorView &)> &inputOf) const;

  /// Sets the registers and inputs of `run`; `stepCounts` [2+D] are the counts of the whole step.
  Status bind(ProgramRun &run, const std::vector<int32_t> &stepCounts) const;

private:
  void addSequence(const TrainingRow &row, int32_t begin, int32_t end);

  std::vector<Depth> depths;
  PredictionCounts count;
};

} // namespace hadal

#endif // HADAL_RUNTIME_TRAINING_MICROBATCH_H
