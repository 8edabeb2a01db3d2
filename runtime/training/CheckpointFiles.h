//===- CheckpointFiles.h - the files of one checkpoint ------------------===//
//
// Parts of Checkpoints.h. One tensor at a time is in memory.
//
//===--------------------------------------------------------------------===//

#ifndef HADAL_RUNTIME_TRAINING_CHECKPOINTFILES_H
#define HADAL_RUNTIME_TRAINING_CHECKPOINTFILES_H

#include "runtime/training/Manifest.h"
#include "runtime/training/Trainables.h"

namespace hadal {

/// How tensors lie in files.
struct FileLayout {
  ElementType weights = ElementType::F32; ///< or BF16, the nearest; routing biases stay F32
  uint64_t limit = 5'000'000'000;         ///< bytes of a file; a larger tensor has one to itself
};

/// The folder of a checkpoint that is being written, and a digest of every file that went there.
/// One thread at a time.
class CheckpointFolder {
public:
  explicit CheckpointFolder(std::string path) : path(std::move(path)) {}

  /// Where `name`, such as "average/config.json", lies.
  std::string pathOf(const std::string &name) const { return path + "/" + name; }
  Status write(const std::string &name, std::span<const std::byte> bytes);
  void note(const std::string &name, Digest digest) { written[name] = digest; }
  const std::map<std::string, Digest> &files() const { return written; }

private:
  std::string path;
  std::map<std::string, Digest> written;
};

/// UNDERmodel.safetensors, or shards and their index: all weights, the copies of them, and the
/// tensors of `source` that are neither. With `values` Average the averages of those that have one
/// stand in their places. InvalidArgument for a weight that is not finite. `under`: empty, or a
/// folder and "/".
Status writeWeights(CheckpointFolder &folder, const std::string &under,
                    const Trainables &trainables, TensorReader &reader, int64_t step,
                    const Checkpoint *source, const FileLayout &layout = {},
                    Values values = Values::Weight);

/// Whether the module keeps averages.
bool hasAverages(const Trainables &trainables);

/// optimizer/state.safetensors, or shards and their index: moments; and weights and averages, where
/// the weight files have them in fewer bits.
Status writeOptimizer(CheckpointFolder &folder, const Trainables &trainables, TensorReader &reader,
                      const FileLayout &layout = {});

/// Calls for what a checkpoint reads: weights, averages where there are any, the optimizer's. Other
/// ranks give it in this order.
Status visitReads(const Trainables &trainables, const Checkpoint *source, const FileLayout &layout,
                  const std::function<Status(Values, const TrainedTensor &)> &visit);

/// Reads what writeOptimizer has written back, of what this rank has; and averages from the folder
/// `average` where they are not among it. Where that folder is missing they begin as the weights
/// are.
Status readOptimizer(const std::string &checkpoint, Trainables &trainables);

/// The files of a tokenizer that a folder has, by name. They are read at the start of a run: `from`
/// may be a checkpoint that the run itself removes.
Result<std::map<std::string, std::string>> readTokenizerFiles(const std::string &from);

} // namespace hadal

#endif // HADAL_RUNTIME_TRAINING_CHECKPOINTFILES_H
