//===- TrainingLog.h - what a training run says of its steps ------------===//

#ifndef HADAL_TOOLS_RUN_TRAININGLOG_H
#define HADAL_TOOLS_RUN_TRAININGLOG_H

#include "runtime/File.h"
#include "runtime/training/Trainer.h"
#include "tools/Progress.h"

#include <chrono>
#include <cstdio>
#include <optional>
#include <string>
#include <vector>

namespace hadal::run {

/// A step, and what else a run says of it.
struct LoggedStep : StepResult {
  std::optional<float> validationLoss; ///< after the step's update; none where it was not looked at
  float teraflops = 0; ///< a second, of all ranks: 6 operations per active parameter and token
  std::optional<float> utilization; ///< of the peak that the user names (MFU); none without
  uint64_t memoryBytes = 0;         ///< most that the first rank's process has had so far
  std::string configChange; ///< how the first weights' configuration differs from the module's; of
                            ///< the first step after them alone

  double tokensPerSecond() const { return seconds > 0 ? static_cast<double>(tokens) / seconds : 0; }
};

/// One line of JSON, without its end: step, loss, val_loss (where there is one), mtp_loss,
/// balance_loss, grad_norm, lr, tokens_per_second, tflops, mfu (where there is one), memory_bytes,
/// violation (a list, one number per layer with experts), config_change (a text, where there is
/// one). Numbers have the digits that it takes to
/// read the same f32 back.
std::string logLine(const LoggedStep &result);

/// What a line says; none for text that is no such line.
std::optional<LoggedStep> parseLogLine(const std::string &line);

/// The file that takes one line per step, each written at once. One thread at a time.
class TrainingLog {
public:
  /// A new file; or, to go on after `resumedStep` > 0 steps, the lines that the file has of those,
  /// and no others: a run that was killed may have logged steps that are done again. A stream
  /// (runtime/File.h) gets the new lines alone. An empty path: no file.
  static Result<TrainingLog> open(const std::string &path, int64_t resumedStep);

  TrainingLog(TrainingLog &&other) noexcept;
  ~TrainingLog();

  Status add(const LoggedStep &result);

  /// Steps of earlier runs, then those added.
  const std::vector<LoggedStep> &steps() const { return all; }

private:
  TrainingLog() = default;
  std::string path;
  int descriptor = -1;
  std::optional<AtomicFile> stream; ///< takes the lines where the path is one
  std::vector<LoggedStep> all;
};

/// Shows how far a run is: a line that changes on a terminal, elsewhere a line every ten seconds.
/// At most 100 columns. One thread at a time.
class TrainingDisplay {
public:
  TrainingDisplay(int64_t firstStep, int64_t lastStep);

  void show(const LoggedStep &result);

  /// Takes the line away, so that something else can be printed.
  void clear() { display.clear(); }

private:
  int64_t firstStep, lastStep;
  std::chrono::steady_clock::time_point start;
  ProgressDisplay display;
  std::optional<float> validationLoss; ///< the last one
};

/// "step 3/10  loss 2.1000  val 2.2000  812 tokens/s  0.12 TFLOP/s (23 %)  1.50 GB  12 s left":
/// what there is of it that fits into `columns`, memory and speed leaving first.
std::string progressText(const LoggedStep &result, int64_t lastStep,
                         std::optional<float> validationLoss, double secondsPerStep,
                         size_t columns);

/// "1.5 GB".
std::string readableBytes(uint64_t bytes);

/// Most memory that this process has had so far.
uint64_t peakBytes();

} // namespace hadal::run

#endif // HADAL_TOOLS_RUN_TRAININGLOG_H
