//===- TrainStart.cpp - what a training run begins with ------------===//

#include "runtime/CheckpointFit.h"
#include "runtime/DataDigest.h"
#include "tools/Progress.h"
#include "tools/run/TensorFiles.h"
#include "tools/run/TrainingRun.h"

#include <algorithm>
#include <filesystem>

using namespace hadal;
using namespace hadal::run;
namespace fs = std::filesystem;

static bool isFile(const std::string &path) {
  std::error_code ignored;
  return fs::is_regular_file(path, ignored);
}

/// A run writes into the folder of another only to go on from it.
Status Training::checkCheckpointFolder() const {
  if (options.checkpointDir.empty())
    return {};
  std::error_code ignored;
  fs::path parent = fs::absolute(resumed, ignored).lexically_normal();
  parent = (parent.has_filename() ? parent : parent.parent_path()).parent_path();
  if (!resumed.empty() && (fs::equivalent(parent, options.checkpointDir, ignored) ||
                           fs::equivalent(resumed, options.checkpointDir, ignored)))
    return {};
  auto found = checkpointsUnder(options.checkpointDir);
  if (found.empty() && !holdsBest(options.checkpointDir))
    return {};
  return invalidArgument(options.checkpointDir + ": holds " +
                         (found.empty() ? "best" : fs::path(found.back()).filename().string()) +
                         " of an earlier run; give --resume to go on from it, or another folder");
}

/// Which weights, which optimizer, and that all outputs can be written.
Status Training::choose() {
  for (const std::string *path : {&options.log, &options.html, &options.stats})
    HADAL_TRY(checkFolderOf(*path));
  if (!options.weights.empty() && options.initSeed)
    return invalidArgument("--weights and --init-seed: give one of them");
  if (!options.resume.empty()) {
    if (auto newest = newestCheckpoint(options.resume))
      resumed = source = *newest;
    else if (!fs::is_directory(options.resume) && options.resume != options.checkpointDir)
      return notFound(options.resume + ": no such folder");
    else if (options.weights.empty() && !options.initSeed)
      return notFound(options.resume +
                      ": holds no checkpoint; give --weights or --init-seed to begin");
    else
      say("%s: holds no checkpoint yet: beginning at step 1\n", options.resume.c_str());
  }
  if (resumed.empty()) {
    if (options.weights.empty() && !options.initSeed)
      return invalidArgument("wants weights to begin with: --weights, --init-seed or --resume");
    source = options.weights;
  }
  HADAL_TRY(checkCheckpointFolder());
  using Given = std::pair<const char *, bool>;
  for (auto [option, isGiven] :
       {Given("--checkpoint-every", options.checkpointEvery != 0),
        Given("--keep", options.keep != 0),
        Given("--checkpoint-dtype", options.checkpointDtype != ElementType::F32)})
    if (isGiven && options.checkpointDir.empty())
      return invalidArgument(std::string(option) + ": wants --checkpoint-dir");
  if (!options.tokenizer.empty())
    tokenizerFolder = options.tokenizer;
  else if (!resumed.empty() && isFile(resumed + "/tokenizer.json"))
    tokenizerFolder = resumed;
  else if (!options.weights.empty() && isFile(weightsFolder(options.weights) + "/tokenizer.json"))
    tokenizerFolder = weightsFolder(options.weights);

  if (optimizer.clip == 0)
    optimizer.clip = 1e30;
  return chooseSchedule();
}

/// Rates and batches over the steps, and whether the module can have them.
Status Training::chooseSchedule() {
  HADAL_TRY(optimizer.complete(options.wishes));
  if (!options.batchRamp.empty()) {
    if (!options.input.empty())
      return invalidArgument("--batch-ramp: wants --data; --input has the rows of every step");
    ramp = HADAL_TRY(BatchRamp::parse(options.batchRamp));
    HADAL_TRY(ramp.check(table.micro_batches(), table.sum_groups()));
  }
  if (options.validateEvery && options.validation.empty())
    return invalidArgument("--val-every: wants --val-data");
  return {};
}

/// That the checkpoint to go on from is whole, and the same one on all ranks. The ranks of a
/// machine share the reading.
Status Training::verify() {
  if (options.resume.empty())
    return {};
  Progress shown("verifying the checkpoint", job.isFirst());
  PartOfWork part = HADAL_TRY(job.partOfMachine());
  Status mine;
  if (!resumed.empty()) {
    auto manifest = verifyCheckpoint(
        resumed, part, [&](uint64_t done, uint64_t total) { shown.show(done, total); });
    if (manifest.ok())
      progress = manifest->progress;
    else
      mine = manifest.error();
  }
  std::string name = resumed.empty() ? "no checkpoint" : fs::path(resumed).filename().string();
  std::vector<std::string> all = HADAL_TRY(
      job.gather(name + "\n" + (mine.ok() ? "" : mine.error().message), "verifies the checkpoint"));
  for (size_t rank = 0; rank < all.size() && job.isFirst(); ++rank) {
    std::string prefix = rank ? "rank " + std::to_string(rank) + ": " : "";
    std::string theirs = all[rank].substr(0, all[rank].find('\n')),
                error = all[rank].substr(theirs.size() + 1);
    if (theirs != name)
      return invalidArgument(prefix + "goes on from " + theirs + ", rank 0 from " + name);
    if (error.empty())
      continue;
    auto whole = newestWholeBeside(resumed);
    return invalidFile(prefix + error +
                       (whole ? "; the newest whole checkpoint is " + *whole + ": --resume " +
                                    *whole + " goes on from it"
                              : "; no other checkpoint beside it is whole"));
  }
  if (!resumed.empty())
    say("going on from %s\n", resumed.c_str());
  return {};
}

/// Settings that the checkpoint's run did not have, in one line.
void Training::tellOtherSettings() const {
  nlohmann::ordered_json now = settings(), was = progress.settings;
  std::string list;
  for (const auto &[name, value] : now.items())
    if (was.is_object() && was.contains(name) && was[name] != value) {
      std::string before =
          was[name].dump(-1, ' ', true, nlohmann::ordered_json::error_handler_t::replace);
      list += (list.empty() ? "" : ", ") + name + " " + value.dump() + " (was " +
              before.substr(0, 40) + ")";
    }
  if (!list.empty())
    say("other settings than those of %s: %s\n", resumed.c_str(), list.c_str());
}

/// Opens the headers of the first weights, and looks whether they are of the module's model.
Status Training::openWeights(std::vector<Fact> &facts) {
  if (source.empty())
    return {};
  checkpoint.emplace(HADAL_TRY(Checkpoint::open(source)));
  const Module &module = session.module();
  if (options.allowConfigChange) {
    HADAL_TRY(checkHead(module, *checkpoint));
    if (auto difference = HADAL_TRY(configDifference(module, *checkpoint))) {
      configChange = difference->name + " was " + difference->theirs + ", is " + difference->mine;
      say("hadal-run: note: %s\n", otherConfig(module, *checkpoint, *difference).message.c_str());
    }
  } else {
    HADAL_TRY(checkConfig(module, *checkpoint));
  }
  if (job.isOne())
    return {};
  DataDigest digest;
  digest.add(*checkpoint);
  if (!resumed.empty()) // with the checksums of all its files
    digest.add(HADAL_TRY(readTextFile(resumed + "/optimizer/training.json")));
  facts.push_back({resumed.empty() ? "weights" : "a checkpoint to go on from", digest.text()});
  return {};
}

/// Weights, and where to go on.
Status Training::load() {
  HADAL_TRY(session.load(job.shard()));
  trainables.emplace(HADAL_TRY(job.trainablesOf(session.executor())));
  const std::vector<TrainedTensor> &all = trainables->tensors();
  auto keepsAverage = [&](const TrainedTensor &tensor) {
    return trainables->has(Values::Average, tensor);
  };
  if (optimizer.averageDecay > 0 && std::none_of(all.begin(), all.end(), keepsAverage))
    return invalidArgument("--average-decay: " + session.module().path() +
                           " keeps no averages of its weights");
  trainer = HADAL_TRY(job.trainerOf(session.executor(), *trainables, session.traceWanted()));

  Progress shown(source.empty() ? "drawing weights" : "packing weights", job.isFirst());
  auto show = [&](uint64_t done, uint64_t total) { shown.show(done, total); };
  if (!resumed.empty()) {
    HADAL_TRY(resumeFrom(resumed, *checkpoint, *trainables, show));
    tellOtherSettings();
    // The best loss on other data is none to compare with.
    if (validation && (!progress.settings.is_object() || !progress.settings.contains("val_data") ||
                       progress.settings["val_data"] != validation->key()))
      progress.best.reset();
    if (progress.step > optimizer.totalSteps)
      return invalidArgument(resumed + ": has done " + std::to_string(progress.step) +
                             " steps, --steps wants " + std::to_string(optimizer.totalSteps) +
                             " in all");
    DataPosition here = batches->position();
    if (progress.data.key != here.key)
      say("%s: was trained on other data or rows: beginning with the first of these\n",
          resumed.c_str());
    else if (options.dataSeed && *options.dataSeed != progress.data.seed)
      say("%s: was trained in the order of data seed %llu: beginning with the first row of the new "
          "order\n",
          resumed.c_str(), static_cast<unsigned long long>(progress.data.seed));
    else
      HADAL_TRY(batches->seek(progress.data));
  } else if (!source.empty()) {
    HADAL_TRY(trainables->load(*checkpoint, show));
    HADAL_TRY(trainables->startAverages());
  } else {
    HADAL_TRY(trainables->draw(*options.initSeed, show));
    HADAL_TRY(trainables->startAverages());
  }
  HADAL_TRY(trainables->checkFinite());
  firstStep = progress.step + 1;
  return {};
}
