//===- Manifest.h - training.json of a checkpoint -----------------------===//
//
//     {"format": 2, "name": "step-00000100", "step": 100, "data": {place in the data},
//      "settings": {...}, "best": {"step": 80, "loss": 2.5},
//      "files": {"config.json": {"bytes": 725, "xxh3": "…"}, …},
//      "xxh3": "…"}
//
// The last line is the checksum of all bytes before it. Format 1, which older versions wrote, has
// no checksums.
//
//===--------------------------------------------------------------------===//

#ifndef HADAL_RUNTIME_TRAINING_MANIFEST_H
#define HADAL_RUNTIME_TRAINING_MANIFEST_H

#include "runtime/Checksum.h"
#include "runtime/training/Batches.h"

#include <nlohmann/json.hpp>

#include <functional>
#include <map>
#include <optional>
#include <string>

namespace hadal {

/// The step whose weights had the smallest validation loss so far.
struct BestStep {
  int64_t step = 0;
  double loss = 0;
};

/// What a run needs to know to go on, beside its tensors.
struct TrainingProgress {
  int64_t step = 0; ///< steps done
  DataPosition data;
  nlohmann::ordered_json settings; ///< of the run that wrote it, for the next to compare
  std::optional<BestStep> best = {};
};

struct Manifest {
  static constexpr uint64_t newestFormat = 2;

  uint64_t format = newestFormat;
  std::string name; ///< of the folder that it was written as; a copy has another one
  TrainingProgress progress;
  std::map<std::string, Digest> files; ///< by their names under the checkpoint's folder
};

std::string manifestText(const Manifest &manifest);

/// Reads CHECKPOINT/optimizer/training.json. Errors name it: what is damaged, what is missing, a
/// format that is newer than this program.
Result<Manifest> readManifest(const std::string &checkpoint);

/// Part `index` of `count` parts of some work.
struct PartOfWork {
  unsigned index = 0, count = 1;
};

/// Reads the files of the manifest, or a part of them, and compares them with it. An error names
/// the first that is missing or not what was written: "out/step-00000010/model.safetensors: is
/// damaged: ...".
Status verifyFiles(const std::string &checkpoint, const Manifest &manifest, PartOfWork part = {},
                   const std::function<void(uint64_t done, uint64_t total)> &progress = {});

} // namespace hadal

#endif // HADAL_RUNTIME_TRAINING_MANIFEST_H
