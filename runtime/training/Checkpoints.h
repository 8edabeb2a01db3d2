//===- Checkpoints.h - the folders that a training run leaves -----------===//
//
//     OUT/step-00000100/
//       config.json                  the model's, with its element type
//       model.safetensors            weights, F32 or BF16; in shards with an index beyond 5 GB
//       tokenizer.json, ...          copies
//       average/                     the same with averages, where the module keeps them
//       optimizer/state.safetensors  moments, as "first_moment.NAME", ...; beside BF16 weights
//                                    also the run's own, as "weight.NAME"; in shards, too
//       optimizer/training.json      step, place in the data, settings, checksums (Manifest.h)
//     OUT/best/                      the same, of the step with the smallest validation loss
//
// A folder is written under a name that begins with a dot, synced and renamed. `step-` and digits
// is a checkpoint of the step that the digits say, and training.json with them; other names are
// other people's. Only two kinds of folders are ever removed: checkpoints beyond those to keep, and
// `best`, when there is a better one. What else stands in the way is renamed.
//
//===--------------------------------------------------------------------===//

#ifndef HADAL_RUNTIME_TRAINING_CHECKPOINTS_H
#define HADAL_RUNTIME_TRAINING_CHECKPOINTS_H

#include "runtime/training/CheckpointFiles.h"

#include <optional>
#include <string>
#include <vector>

namespace hadal {

/// What a checkpoint holds that is not trained.
struct CheckpointCompanions {
  std::string config;                           ///< text of the model's config.json
  std::map<std::string, std::string> tokenizer; ///< names and contents of the tokenizer's files
  const Checkpoint *source = nullptr; ///< tensors that are not trained pass from here; null: none
  TensorReader *reader = nullptr;     ///< where all others come from; null: this rank has them
};

/// One thread at a time.
class Checkpoints {
public:
  /// Makes the folder where there is none (and takes it away again when nothing comes of it), locks
  /// it against a second run, and removes what a killed run left half written. `keep` > 0: only
  /// that many checkpoints stay. What is to take the place of another is read back before that
  /// goes.
  static Result<Checkpoints> open(const std::string &folder, int64_t keep,
                                  const FileLayout &layout = {});

  Checkpoints(Checkpoints &&other) noexcept;
  Checkpoints &operator=(Checkpoints &&) = delete;
  ~Checkpoints();

  /// A checkpoint of the weights as they are. Checkpoints of this step and later ones, which a run
  /// that went on from an earlier one meets, are renamed to NAME.replaced. Nothing is there after
  /// an error, such as "step 7: model.norm.weight is not finite; no checkpoint is written".
  Status write(Trainables &trainables, const TrainingProgress &progress,
               const CheckpointCompanions &companions);

  /// The same as the folder `best`, in the place of an earlier one, which is removed. A `best` that
  /// no run wrote is renamed.
  Status writeBest(Trainables &trainables, const TrainingProgress &progress,
                   const CheckpointCompanions &companions);

private:
  Checkpoints(std::string folder, int64_t keep, const FileLayout &layout)
      : folder(std::move(folder)), keep(keep), layout(layout) {}
  Status writePart(const std::string &name, Trainables &trainables,
                   const TrainingProgress &progress, const CheckpointCompanions &companions);
  Status removeOld(int64_t step);

  std::string folder;
  int64_t keep;
  FileLayout layout;
  int lock = -1;
  bool isNew = false; ///< the folder was made here and holds no checkpoint yet
};

/// The step that the name of a checkpoint's folder says; none for any other name.
std::optional<int64_t> stepOfName(const std::string &path);

/// Checkpoints of training under a folder, by their steps. They may be damaged.
std::vector<std::string> checkpointsUnder(const std::string &folder);

/// The checkpoint that a run goes on from: the last of checkpointsUnder, or the folder itself; none
/// when there is none.
std::optional<std::string> newestCheckpoint(const std::string &folder);

/// Whether a run has left its `best` under the folder.
bool holdsBest(const std::string &folder);

/// Reads a checkpoint's files, or a part of them, and compares them with its checksums, and its
/// step with its name. An error names the file. One of format 1 has no checksums.
Result<Manifest>
verifyCheckpoint(const std::string &checkpoint, PartOfWork part = {},
                 const std::function<void(uint64_t done, uint64_t total)> &progress = {});

/// The newest checkpoint beside a damaged one that verifyCheckpoint passes; none when there is
/// none.
std::optional<std::string> newestWholeBeside(const std::string &damaged);

/// Reads weights, moments and averages back.
Status resumeFrom(const std::string &checkpoint, const Checkpoint &opened, Trainables &trainables,
                  const Trainables::Progress &progress = {});

/// `config` with the element type that a checkpoint's weights have, and no quantization.
Result<std::string> checkpointConfig(const std::string &config,
                                     ElementType weights = ElementType::F32);

} // namespace hadal

#endif // HADAL_RUNTIME_TRAINING_CHECKPOINTS_H
