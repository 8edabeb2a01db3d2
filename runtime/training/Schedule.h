//===- Schedule.h - learning rates and batch sizes over the steps -------===//

#ifndef HADAL_RUNTIME_TRAINING_SCHEDULE_H
#define HADAL_RUNTIME_TRAINING_SCHEDULE_H

#include "runtime/Result.h"
#include "runtime/module/StepSettings.h"

#include <cstdint>
#include <optional>
#include <string>

namespace hadal {

/// "constant", "cosine", "report", "wsd".
const char *scheduleName(Schedule schedule);

/// What a user says of a schedule; what is not said follows from the rest.
struct ScheduleWishes {
  std::optional<double> finalRate;  ///< default: 0; of Report a tenth of the rate
  std::optional<double> lastRate;   ///< of Report; default: 7.3 / 220 of the rate
  std::optional<int64_t> holdSteps; ///< of Report: the step after which the cosine begins; default:
                                    ///< 10 / 14.8 of the steps
  std::optional<double> decayShare; ///< of Wsd: the share of the steps at the end in which the rate
                                    ///< falls; default: 0.1
};

/// A schedule's rates and places, in steps.
struct RateSettings {
  Schedule schedule = Schedule::Constant;
  double rate = 1e-3, finalRate = 0, lastRate = 0;
  int64_t warmupSteps = 0, totalSteps = 0;
  int64_t holdSteps = 0; ///< the last step at the rate itself, of Report and Wsd
  int64_t fallSteps = 0; ///< the last step of Report's cosine
  int64_t lastSteps = 0; ///< the last step at Report's final rate; the last rate follows

  /// Fills in what follows from schedule, rate, warmupSteps and totalSteps. InvalidArgument names
  /// an option that its schedule has no use for, or a place that is not inside the run:
  /// "--final-lr: the rate of --lr-schedule constant ends where it begins; wants another schedule".
  Status complete(const ScheduleWishes &wishes);
};

/// A batch that grows: from some micro-batches in the first step in a line to all of the module's
/// after `steps` steps. Source: as Report.
struct BatchRamp {
  int64_t from = 0, steps = 0; ///< steps 0: none

  /// "4:100". InvalidArgument: "--batch-ramp: wants FROM:STEPS, such as 4:100, got "4"".
  static Result<BatchRamp> parse(const std::string &text);

  /// Whether the module's steps can have it: `all` micro-batches, summed in `groups` groups, of
  /// which each takes as many.
  Status check(int64_t all, int64_t groups) const;

  /// Micro-batches of step `step`, the first being 1: a multiple of `groups`, at most `all`.
  int64_t at(int64_t step, int64_t all, int64_t groups) const;
};

} // namespace hadal

#endif // HADAL_RUNTIME_TRAINING_SCHEDULE_H
