//===- TrainStart.cpp - what a training run begins with ------------===//

#include "tools/Progress.h"
#include "tools/run/TensorFiles.h"
#include "tools/run/TrainingRun.h"

#include <algorithm>
#include <filesystem>

using namespace hadal;
using namespace hadal::run;

static bool isFile(const std::string &path) {
  std::error_code ignored;
  return std::filesystem::is_regular_file(path, ignored);
}

/// Which weights, which optimizer, and that all outputs can be written.
Status Training::choose() {
  for (const std::string *path : {&options.log, &options.html})
    HADAL_TRY(checkFolderOf(*path));
  if (options.stats != "-")
    HADAL_TRY(checkFolderOf(options.stats));
  if (!options.weights.empty() && options.initSeed)
    return invalidArgument("--weights and --init-seed: give one of them");
  if (!options.resume.empty()) {
    if (auto newest = newestCheckpoint(options.resume))
      resumed = source = *newest;
    else if (!std::filesystem::is_directory(options.resume) && options.resume != options.checkpointDir)
      return notFound(options.resume + ": no such folder");
    else if (options.weights.empty() && !options.initSeed)
      return notFound(options.resume + ": holds no checkpoint; give --weights or --init-seed to begin");
    else
      say("%s: holds no checkpoint yet: beginning at step 1\n", options.resume.c_str());
  }
  if (resumed.empty()) {
    if (options.weights.empty() && !options.initSeed)
      return invalidArgument("wants weights to begin with: --weights, --init-seed or --resume");
    source = options.weights;
    if (!options.checkpointDir.empty())
      if (auto found = checkpointsUnder(options.checkpointDir); !found.empty())
        return invalidArgument(options.checkpointDir + ": holds " + std::filesystem::path(found.back()).filename().string() +
                               " of an earlier run; give --resume to go on from it, or another folder");
  }
  if (options.checkpointEvery && options.checkpointDir.empty())
    return invalidArgument("--checkpoint-every: wants --checkpoint-dir");
  if (!options.tokenizer.empty())
    tokenizerFolder = options.tokenizer;
  else if (!resumed.empty() && isFile(resumed + "/tokenizer.json"))
    tokenizerFolder = resumed;
  else if (!options.weights.empty() && isFile(weightsFolder(options) + "/tokenizer.json"))
    tokenizerFolder = weightsFolder(options);

  if (optimizer.schedule == Schedule::Report)
    optimizer.holdSteps = options.hold.value_or(optimizer.totalSteps / 3 * 2);
  if (optimizer.clip == 0)
    optimizer.clip = 1e30;
  return {};
}

/// Weights, and where to go on.
Status Training::load() {
  if (!source.empty())
    checkpoint.emplace(HADAL_TRY(Checkpoint::open(source)));
  HADAL_TRY(session.load());
  trainables.emplace(HADAL_TRY(job.trainablesOf(session.executor())));
  const std::vector<TrainedTensor> &all = trainables->tensors();
  auto keepsAverage = [&](const TrainedTensor &tensor) { return trainables->has(Values::Average, tensor); };
  if (optimizer.averageDecay > 0 && std::none_of(all.begin(), all.end(), keepsAverage))
    return invalidArgument("--average-decay: " + session.module().path() + " keeps no averages of its weights");
  trainer = HADAL_TRY(job.trainerOf(session.executor(), *trainables, session.traceWanted()));

  Progress shown(source.empty() ? "drawing weights" : "packing weights", job.isFirst());
  auto show = [&](uint64_t done, uint64_t total) { shown.show(done, total); };
  if (!resumed.empty()) {
    progress = HADAL_TRY(resumeFrom(resumed, *checkpoint, *trainables, show));
    if (progress.step > optimizer.totalSteps)
      return invalidArgument(resumed + ": has done " + std::to_string(progress.step) + " steps, --steps wants " +
                             std::to_string(optimizer.totalSteps) + " in all");
    DataPosition here = batches->position();
    if (progress.data.key != here.key)
      say("%s: was trained on other data or rows: beginning with the first of these\n", resumed.c_str());
    else if (options.dataSeed && *options.dataSeed != progress.data.seed)
      say("%s: was trained in the order of data seed %llu: beginning with the first row of the new order\n", resumed.c_str(),
                   static_cast<unsigned long long>(progress.data.seed));
    else
      HADAL_TRY(batches->seek(progress.data));
  } else if (!source.empty()) {
    HADAL_TRY(trainables->load(*checkpoint, show));
    trainables->startAverages();
  } else {
    HADAL_TRY(trainables->draw(*options.initSeed, show));
    trainables->startAverages();
  }
  firstStep = progress.step + 1;
  return {};
}
