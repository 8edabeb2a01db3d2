//===- TensorGather.h - tensors of all ranks at the first ---------------===//

#ifndef HADAL_RUNTIME_TRAINING_RANKS_TENSORGATHER_H
#define HADAL_RUNTIME_TRAINING_RANKS_TENSORGATHER_H

#include "runtime/comm/Comm.h"
#include "runtime/training/Trainables.h"

namespace hadal {

/// Rank 0 reads tensors one by one, from the ranks that update them; those give them in the same
/// order. One tensor is in memory at either end. One thread at a time.
class TensorGather final : public TensorReader {
public:
  TensorGather(Trainables &trainables, Comm &comm, Comm::Seconds timeout)
      : trainables(trainables), comm(comm), timeout(timeout) {}

  /// On rank 0.
  Result<TensorView> read(Values values, const TrainedTensor &tensor) override;

  /// On the others: sends the tensor if it is this rank's to give.
  Status give(Values values, const TrainedTensor &tensor);

private:
  Trainables &trainables;
  Comm &comm;
  Comm::Seconds timeout;
};

} // namespace hadal

#endif // HADAL_RUNTIME_TRAINING_RANKS_TENSORGATHER_H
