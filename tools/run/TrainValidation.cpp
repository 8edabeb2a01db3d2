//===- TrainValidation.cpp - the loss on data that is not trained on ---===//

#include "tools/Progress.h"
#include "tools/run/TrainingRun.h"

#include <cmath>

using namespace hadal;
using namespace hadal::run;

/// Mean over all tokens that the validation rows predict; none where it is not this step's turn.
/// All ranks have the same.
Result<std::optional<float>> Training::validate(int64_t step,
                                                std::optional<TrainingDisplay> &display) {
  bool isTurn =
      step == optimizer.totalSteps || (options.validateEvery && step % options.validateEvery == 0);
  if (!validation || !isTurn)
    return std::optional<float>();
  if (display)
    display->clear();
  Progress shown("validating", job.isFirst());
  int64_t group = trainer->rowsOfBatch() * trainer->sumGroups();
  double sum = 0, predictions = 0;
  for (uint64_t done = 0; done < validation->count();) {
    std::vector<TrainingRow> rows;
    for (; done < validation->count() && static_cast<int64_t>(rows.size()) < trainer->rowsOfStep();
         ++done)
      rows.push_back(validation->row(done));
    while (static_cast<int64_t>(rows.size()) % group) {
      rows.push_back(rows.back());
      rows.back().labels.assign(rows.back().tokens.size(), -1);
    }
    auto result = trainer->evaluate(step, rows);
    if (!result.ok())
      return job.failedStep(result.error());
    sum += double(result->loss) * double(result->predictions);
    predictions += double(result->predictions);
    shown.show(done, validation->count());
  }
  double mean = sum / predictions;
  if (!std::isfinite(mean)) // on all ranks
    return job.failedStep(
        invalidArgument("step " + std::to_string(step) + ": the validation loss is not finite"));
  return std::optional(static_cast<float>(mean));
}
