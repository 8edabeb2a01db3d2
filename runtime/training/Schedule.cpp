//===- Schedule.cpp - learning rates and batch sizes over the steps -----===//

#include "runtime/training/Schedule.h"

#include <algorithm>
#include <charconv>
#include <cmath>

using namespace hadal;

const char *hadal::scheduleName(Schedule schedule) {
  static constexpr const char *names[] = {"constant", "cosine", "report", "wsd"};
  return names[static_cast<int>(schedule)];
}

static Error useless(const char *option, Schedule given, const char *wanted) {
  return invalidArgument(std::string(option) + ": --lr-schedule " + scheduleName(given) +
                         " has no use for it; wants --lr-schedule " + wanted);
}

Status RateSettings::complete(const ScheduleWishes &wishes) {
  if (wishes.finalRate && schedule == Schedule::Constant)
    return useless("--final-lr", schedule, "cosine, wsd or report");
  if (wishes.lastRate && schedule != Schedule::Report)
    return useless("--last-lr", schedule, "report");
  if (wishes.holdSteps && schedule != Schedule::Report)
    return useless("--hold", schedule, "report");
  if (wishes.decayShare && schedule != Schedule::Wsd)
    return useless("--lr-decay-share", schedule, "wsd");
  std::string warmup = std::to_string(warmupSteps), total = std::to_string(totalSteps);
  if (warmupSteps > totalSteps)
    return invalidArgument("--warmup: " + warmup + " steps are more than the " + total +
                           " of --steps");

  // Of 14.8T tokens: constant for 10T, a cosine for 4.3T, 333B at 2.2e-5 and 167B at 7.3e-6, where
  // the rate was 2.2e-4.
  auto place = [&](int64_t billions) { return totalSteps * billions / 14800; };
  if (schedule == Schedule::Report) {
    finalRate = wishes.finalRate.value_or(rate / 10);
    lastRate = wishes.lastRate.value_or(rate * 7.3 / 220);
    holdSteps =
        std::max(wishes.holdSteps.value_or(place(10000)), wishes.holdSteps ? 0 : warmupSteps);
    fallSteps = place(14300);
    lastSteps = place(14633);
    if (holdSteps > fallSteps)
      return invalidArgument((wishes.holdSteps ? "--hold: the cosine cannot begin after step "
                                               : "--warmup: the cosine cannot begin after step ") +
                             std::to_string(holdSteps) + "; of " + total +
                             " steps --lr-schedule report ends it at step " +
                             std::to_string(fallSteps));
  } else {
    finalRate = wishes.finalRate.value_or(0);
  }
  if (schedule == Schedule::Wsd)
    holdSteps = totalSteps - static_cast<int64_t>(std::llround(static_cast<double>(totalSteps) *
                                                               wishes.decayShare.value_or(0.1)));
  if ((schedule == Schedule::Wsd || wishes.holdSteps) && holdSteps < warmupSteps)
    return invalidArgument(std::string(wishes.holdSteps ? "--hold" : "--lr-decay-share") +
                           ": the rate would fall after step " + std::to_string(holdSteps) +
                           ", inside the " + warmup + " steps of --warmup");
  return {};
}

Result<BatchRamp> BatchRamp::parse(const std::string &text) {
  BatchRamp ramp;
  const char *end = text.data() + text.size();
  auto [colon, first] = std::from_chars(text.data(), end, ramp.from);
  bool isWhole = first == std::errc() && colon != end && *colon == ':';
  if (isWhole) {
    auto [rest, second] = std::from_chars(colon + 1, end, ramp.steps);
    isWhole = second == std::errc() && rest == end && ramp.from > 0 && ramp.steps > 0;
  }
  if (!isWhole)
    return invalidArgument("--batch-ramp: wants FROM:STEPS, such as 4:100, got \"" + text + "\"");
  return ramp;
}

Status BatchRamp::check(int64_t all, int64_t groups) const {
  if (!steps)
    return {};
  if (from >= all)
    return invalidArgument("--batch-ramp: begins with " + std::to_string(from) +
                           " micro-batches, the module's steps have " + std::to_string(all) +
                           "; compile with more --micro-batches");
  if (from % groups)
    return invalidArgument("--batch-ramp: wants a multiple of " + std::to_string(groups) +
                           " micro-batches, the module's sum groups, got " + std::to_string(from));
  return {};
}

int64_t BatchRamp::at(int64_t step, int64_t all, int64_t groups) const {
  if (step > steps)
    return all;
  // In integers, so that every machine has the same steps.
  __int128 grown = static_cast<__int128>(all - from) * (step - 1) / steps;
  int64_t now = from + static_cast<int64_t>(grown);
  return now / groups * groups;
}
