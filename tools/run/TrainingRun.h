//===- TrainingRun.h - one run of hadal-run train ------------------===//
//
// Its functions are called in the order they stand in: TrainStart.cpp chooses weights and loads
// them, TrainData.cpp opens the data, Train.cpp runs the steps and writes checkpoints,
// TrainValidation.cpp looks at other data, TrainFigures.cpp says how it went.
//
//===--------------------------------------------------------------------===//

#ifndef HADAL_TOOLS_RUN_TRAININGRUN_H
#define HADAL_TOOLS_RUN_TRAININGRUN_H

#include "runtime/training/Checkpoints.h"
#include "runtime/training/PackedRows.h"
#include "tools/run/Commands.h"
#include "tools/run/TrainingLog.h"

namespace hadal::run {

/// One rank of the run. One thread at a time.
class Training {
public:
  Training(const TrainOptions &options, Job &job, Session &session, const fb::Training &table,
           const fb::Model &model)
      : options(options), job(job), session(session), table(table), model(model),
        optimizer(options.optimizer) {}

  Status choose();
  Status verify();
  Status openWeights(std::vector<Fact> &facts);
  Status openData();
  /// What the data is, for ranks to compare.
  Fact dataFact() const {
    return {options.input.empty() ? "data" : "rows of --input",
            rowsDigest + batches->position().key};
  }
  Status load();
  Status run();

private:
  Status checkCheckpointFolder() const;
  Status chooseSchedule();
  Result<TokenFile> openTokens(const char *option, const std::vector<std::string> &names);
  Status openOutputs();
  Status runSteps();
  Status step(int64_t number, std::optional<TrainingDisplay> &display);
  Result<std::optional<float>> validate(int64_t step, std::optional<TrainingDisplay> &display);
  Status writeCheckpoint(int64_t step, bool isBest = false);
  void tellStop() const;
  void tellOtherSettings() const;
  Status writeReport();
  LoggedStep logged(const StepResult &result, std::optional<float> validationLoss) const;
  Status writeStats(double runSeconds, int64_t flops);
  nlohmann::ordered_json settings() const;
  FileLayout checkpointLayout() const { return {.weights = options.checkpointDtype}; }

  /// Tells the user something, once for all ranks.
  template <typename... Arguments> void say(const char *pattern, Arguments... arguments) const {
    if (job.isFirst())
      std::fprintf(stderr, pattern, arguments...);
  }

  const TrainOptions &options;
  Job &job;
  Session &session;
  const fb::Training &table;
  const fb::Model &model;
  OptimizerSettings optimizer;
  BatchRamp ramp;

  std::string resumed;         ///< checkpoint to go on from; empty: none
  std::string source;          ///< checkpoint of the first weights; empty: drawn
  std::string configChange;    ///< how the weights' configuration differs from the module's, where
                               ///< that is allowed
  std::string rowsDigest;      ///< of the rows of --input
  std::string tokenizerFolder; ///< empty: none
  std::optional<Checkpoint> checkpoint; ///< of `source`, for the tensors that are not trained
  std::unique_ptr<Batches> batches;
  std::optional<ValidationRows> validation;
  std::optional<Trainables> trainables;
  std::unique_ptr<Trainer> trainer;
  std::optional<Checkpoints> checkpoints;
  std::optional<TrainingLog> log;
  CheckpointCompanions companions;
  TrainingProgress progress;
  std::chrono::steady_clock::time_point reported;
  int64_t firstStep = 1, tokens = 0; ///< of this run
  double seconds = 0;
  std::vector<double> stepSeconds;
  int stopSignal = 0; ///< that all ranks stop for; 0: none
};

inline double secondsSince(std::chrono::steady_clock::time_point begin) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

} // namespace hadal::run

#endif // HADAL_TOOLS_RUN_TRAININGRUN_H
