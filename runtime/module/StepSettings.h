//===- StepSettings.h - the numbers that a step of training is told -------===//
//
// The contract between the driver, which fills the argument `settings` of the programs `optimizer`
// (one rank) and `schedule` (many), and the compiler, whose kernel `scale_step` reads it.
//
//===----------------------------------------------------------------------===//

#ifndef HADAL_RUNTIME_MODULE_STEPSETTINGS_H
#define HADAL_RUNTIME_MODULE_STEPSETTINGS_H

#include <array>
#include <cstddef>

namespace hadal {

/// How the learning rate goes on after a linear warm-up from 0. The numbers stand in StepSetting
/// Schedule.
enum class Schedule {
  Constant = 0,
  Cosine = 1, ///< half a cosine to the final rate at the last step
  Report = 2, ///< constant; half a cosine to the final rate; that rate; the last rate. Source:
              ///< DeepSeek-V3, arXiv:2412.19437, section 4.2
  Wsd = 3,    ///< constant (stable); then in a line to the final rate at the last step. Source:
              ///< MiniCPM, arXiv:2404.06395, section 4
};

/// Places in `settings` [stepSettingCount] f64. Steps are counted from 1; rates are what a weight
/// moves by in a step per unit of Adam's direction.
enum class StepSetting : size_t {
  Step,         ///< this step's number
  Schedule,     ///< a Schedule
  Rate,         ///< the rate after the warm-up
  WarmupSteps,  ///< steps in which the rate rises from 0
  TotalSteps,   ///< the last step
  FinalRate,    ///< where Cosine, Report and Wsd fall to
  HoldSteps,    ///< the last step at Rate, of Report and Wsd
  WeightDecay,  ///< share of a weight that a step takes off, per unit of rate
  Clip,         ///< the largest norm of all gradients; 0: any
  Beta1,        ///< share of the first moment that a step keeps
  Beta2,        ///< share of the second moment that a step keeps
  Epsilon,      ///< added to the root of the second moment
  AverageDecay, ///< share of the moving average that a step keeps
  FallSteps,    ///< the last step of Report's cosine
  LastSteps,    ///< the last step at Report's final rate
  LastRate,     ///< Report's rate after that
  Count
};

/// Elements of `settings`; those after the last place are 0.
inline constexpr size_t stepSettingCount = 20;
static_assert(static_cast<size_t>(StepSetting::Count) <= stepSettingCount);

/// The values of `settings`, each by its name.
struct StepSettings : std::array<double, stepSettingCount> {
  double &operator[](StepSetting setting) {
    return std::array<double, stepSettingCount>::operator[](static_cast<size_t>(setting));
  }
};

} // namespace hadal

#endif // HADAL_RUNTIME_MODULE_STEPSETTINGS_H
