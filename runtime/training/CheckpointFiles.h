//===- CheckpointFiles.h - the files of one checkpoint ------------------===//
//
// Parts of Checkpoints.h. One tensor at a time is in memory.
//
//===--------------------------------------------------------------------===//

#ifndef HADAL_RUNTIME_TRAINING_CHECKPOINTFILES_H
#define HADAL_RUNTIME_TRAINING_CHECKPOINTFILES_H

#include "runtime/training/Trainables.h"

namespace hadal {

/// Weight files up to this size are not split.
inline constexpr uint64_t shardBytes = 5'000'000'000;

/// model.safetensors, or shards of at most `limit` bytes (a larger tensor has one to itself) and their index: all weights, the
/// copies of them, and the tensors of `source` that are neither. With `values` Average the averages of those that have one stand in their
/// places. InvalidArgument for a weight that is not finite.
Status writeWeights(const std::string &folder, const Trainables &trainables, TensorReader &reader, int64_t step, const Checkpoint *source,
                    uint64_t limit = shardBytes, Values values = Values::Weight);

/// Whether the module keeps averages.
bool hasAverages(const Trainables &trainables);

/// state.safetensors: moments.
Status writeOptimizer(const std::string &folder, const Trainables &trainables, TensorReader &reader);

/// Calls for what a checkpoint reads: weights, averages where there are any, moments. Other ranks give it in this order.
Status visitReads(const Trainables &trainables, const Checkpoint *source, const std::function<Status(Values, const TrainedTensor &)> &visit);

/// Reads state.safetensors back, what this rank updates.
Status readOptimizer(const std::string &folder, Trainables &trainables);

/// Reads what writeWeights has written of averages back, what this rank updates. Where the folder is missing they begin as the weights are.
Status readAverages(const std::string &folder, Trainables &trainables);

/// The files of a tokenizer that `from` has.
Status copyTokenizer(const std::string &from, const std::string &to);

} // namespace hadal

#endif // HADAL_RUNTIME_TRAINING_CHECKPOINTFILES_H
