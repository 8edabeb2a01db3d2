//===- TrainingLog.h - what a training run says of its steps ------------===//

#ifndef HADAL_TOOLS_RUN_TRAININGLOG_H
#define HADAL_TOOLS_RUN_TRAININGLOG_H

#include "runtime/training/Trainer.h"
#include "tools/Progress.h"

#include <chrono>
#include <cstdio>
#include <string>
#include <vector>

namespace hadal::run {

/// One line of JSON, without its end: step, loss, mtp_loss, balance_loss, grad_norm, lr, tokens_per_second, violation (a list, one
/// number per layer with experts). Numbers have the digits that it takes to read the same f32 back.
std::string logLine(const StepResult &result);

/// What a line says; none for text that is no such line.
std::optional<StepResult> parseLogLine(const std::string &line);

/// The file that takes a line a step, each written at once.
class TrainingLog {
public:
  /// A new file; or, to go on after `resumedStep` > 0 steps, the lines that the file has of those, and no others: a run that was
  /// killed may have logged steps that are done again. An empty path: no file.
  static Result<TrainingLog> open(const std::string &path, int64_t resumedStep);

  TrainingLog(TrainingLog &&other) noexcept;
  ~TrainingLog();

  Status add(const StepResult &result);

  /// Steps of earlier runs, then those added.
  const std::vector<StepResult> &steps() const { return all; }

private:
  TrainingLog() = default;
  std::string path;
  int descriptor = -1;
  std::vector<StepResult> all;
};

/// Shows how far a run is: a line that changes on a terminal, elsewhere a line every ten seconds.
class TrainingDisplay {
public:
  TrainingDisplay(int64_t firstStep, int64_t lastStep);

  void show(const StepResult &result);

  /// Takes the line away, so that something else can be printed.
  void clear() { display.clear(); }

private:
  int64_t firstStep, lastStep;
  std::chrono::steady_clock::time_point start;
  ProgressDisplay display;
};

/// "1.5 GB".
std::string readableBytes(uint64_t bytes);

/// Most memory that this process has had so far.
uint64_t peakBytes();

} // namespace hadal::run

#endif // HADAL_TOOLS_RUN_TRAININGLOG_H
