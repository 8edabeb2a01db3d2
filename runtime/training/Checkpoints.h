//===- Checkpoints.h - the folders that a training run leaves -----------===//
//
//     OUT/step-00000100/config.json                 the model's, with its element type
//                       model.safetensors           weights, F32; in shards with an index where they take more than 5 GB
//                       tokenizer.json, ...         copies
//                       average/                    the same files with averages of the weights, where the module keeps them
//                       optimizer/state.safetensors moments, as "first_moment.NAME", ...
//                       optimizer/training.json     step, place in the data, settings
//
// A folder is written under a name that begins with a dot, synced and renamed: one that is there is whole. The newest is
// the last by name.
//
//===--------------------------------------------------------------------===//

#ifndef HADAL_RUNTIME_TRAINING_CHECKPOINTS_H
#define HADAL_RUNTIME_TRAINING_CHECKPOINTS_H

#include "runtime/training/Batches.h"
#include "runtime/training/Trainables.h"

#include <nlohmann/json.hpp>

#include <optional>
#include <string>
#include <vector>

namespace hadal {

/// What a run needs to know to go on, beside its tensors.
struct TrainingProgress {
  int64_t step = 0; ///< steps done
  DataPosition data;
  nlohmann::ordered_json settings; ///< for a reader; nothing takes them from here
};

/// What a checkpoint holds that is not trained.
struct CheckpointCompanions {
  std::string config;                 ///< text of the model's config.json
  std::string tokenizerFolder;        ///< tokenizer files are copied from here; empty: none
  const Checkpoint *source = nullptr; ///< tensors that are not trained pass from here; null: none
  TensorReader *reader = nullptr;     ///< where all others come from; null: this rank has them
};

class Checkpoints {
public:
  /// Makes the folder where there is none (and takes it away again when nothing comes of it), locks it against a second run, and removes what a killed run left half
  /// written. `keep` > 0: only that many checkpoints stay.
  static Result<Checkpoints> open(const std::string &folder, int64_t keep);

  Checkpoints(Checkpoints &&other) noexcept;
  Checkpoints &operator=(Checkpoints &&) = delete;
  ~Checkpoints();

  /// A checkpoint of the weights as they are. Nothing is there after an error, such as
  /// "step 7: model.norm.weight is not finite; no checkpoint is written".
  Status write(Trainables &trainables, const TrainingProgress &progress, const CheckpointCompanions &companions);

private:
  Checkpoints(std::string folder, int64_t keep) : folder(std::move(folder)), keep(keep) {}
  Status removeOld();

  std::string folder;
  int64_t keep;
  int lock = -1;
  bool isNew = false; ///< the folder was made here and holds no checkpoint yet
};

/// Checkpoints of training under a folder, oldest first.
std::vector<std::string> checkpointsUnder(const std::string &folder);

/// The checkpoint that a run goes on from: the last of checkpointsUnder, or the folder itself; none when there is none.
std::optional<std::string> newestCheckpoint(const std::string &folder);

/// Reads weights, moments and averages back, and the progress.
Result<TrainingProgress> resumeFrom(const std::string &checkpoint, const Checkpoint &opened, Trainables &trainables,
                                    const Trainables::Progress &progress = {});

/// `config` with the element type that a checkpoint's weights have here, F32, and no quantization.
Result<std::string> checkpointConfig(const std::string &config);

} // namespace hadal

#endif // HADAL_RUNTIME_TRAINING_CHECKPOINTS_H
