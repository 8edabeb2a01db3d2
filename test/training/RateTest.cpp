//===- RateTest.cpp - rates and batches over the steps ----------------===//

#include "runtime/training/Schedule.h"
#include "test/training/FakeTraining.h"

#include <gtest/gtest.h>

#include <cmath>

using namespace hadal;

// The places of the schedules in a run of 14,800 steps are the report's, a step a billion tokens;
// another run's are scaled to it.
TEST(Schedule, Places) {
  RateSettings run;
  run.schedule = Schedule::Report;
  run.rate = 2.2e-4;
  run.totalSteps = 14800;
  run.warmupSteps = 20;
  ASSERT_TRUE(run.complete({}).ok());
  EXPECT_EQ(run.holdSteps, 10000);
  EXPECT_EQ(run.fallSteps, 14300);
  EXPECT_EQ(run.lastSteps, 14633);
  EXPECT_DOUBLE_EQ(run.finalRate, 2.2e-5);
  EXPECT_DOUBLE_EQ(run.lastRate, 7.3e-6);
  run.totalSteps = 148;
  ASSERT_TRUE(run.complete({}).ok());
  EXPECT_EQ(run.holdSteps, 100);
  run.schedule = Schedule::Wsd;
  run.totalSteps = 100;
  ASSERT_TRUE(run.complete({}).ok());
  EXPECT_EQ(run.holdSteps, 90);
  EXPECT_EQ(run.finalRate, 0);
}

// What a schedule has no use for, and what does not fit into the run, is refused by its option.
TEST(Schedule, Refused) {
  auto refused = [](Schedule schedule, int64_t warmup, const ScheduleWishes &wishes) {
    RateSettings run;
    run.schedule = schedule;
    run.warmupSteps = warmup;
    run.totalSteps = 100;
    Status status = run.complete(wishes);
    return status.ok() ? std::string("accepted")
                       : status.error().message.substr(0, status.error().message.find(':'));
  };
  ScheduleWishes finalRate{.finalRate = 1e-4, .lastRate = {}, .holdSteps = {}, .decayShare = {}},
      lastRate{.finalRate = {}, .lastRate = 1e-5, .holdSteps = {}, .decayShare = {}},
      hold{.finalRate = {}, .lastRate = {}, .holdSteps = 50, .decayShare = {}},
      share{.finalRate = {}, .lastRate = {}, .holdSteps = {}, .decayShare = 0.5};
  for (Schedule one : {Schedule::Constant, Schedule::Cosine, Schedule::Report, Schedule::Wsd}) {
    bool isReport = one == Schedule::Report;
    EXPECT_EQ(refused(one, 0, {}), "accepted");
    EXPECT_EQ(refused(one, 101, {}), "--warmup");
    EXPECT_EQ(refused(one, 0, finalRate), one == Schedule::Constant ? "--final-lr" : "accepted");
    EXPECT_EQ(refused(one, 0, lastRate), isReport ? "accepted" : "--last-lr");
    EXPECT_EQ(refused(one, 0, hold), isReport ? "accepted" : "--hold");
    EXPECT_EQ(refused(one, 0, share), one == Schedule::Wsd ? "accepted" : "--lr-decay-share");
  }
  EXPECT_EQ(refused(Schedule::Constant, 100, {}), "accepted");
  EXPECT_EQ(refused(Schedule::Report, 51, hold), "--hold");
  EXPECT_EQ(refused(Schedule::Report, 97, {}), "--warmup") << "the cosine ends at step 96";
  EXPECT_EQ(refused(Schedule::Wsd, 51, share), "--lr-decay-share");
  hold.holdSteps = 97;
  EXPECT_EQ(refused(Schedule::Report, 0, hold), "--hold");
}

// A batch grows from its first size in a line, in multiples of the groups, and is whole after its
// steps.
TEST(Schedule, BatchRamp) {
  auto ramp = BatchRamp::parse("2:8");
  ASSERT_TRUE(ramp.ok());
  std::vector<int64_t> grown, grouped;
  for (int64_t step = 1; step <= 10; ++step) {
    grown.push_back(ramp->at(step, 10, 1));
    grouped.push_back(ramp->at(step, 10, 2));
  }
  EXPECT_EQ(grown, (std::vector<int64_t>{2, 3, 4, 5, 6, 7, 8, 9, 10, 10}));
  EXPECT_EQ(grouped, (std::vector<int64_t>{2, 2, 4, 4, 6, 6, 8, 8, 10, 10}));
  EXPECT_EQ(BatchRamp().at(1, 10, 2), 10);
  EXPECT_TRUE(ramp->check(10, 2).ok());
  EXPECT_FALSE(ramp->check(2, 1).ok()) << "does not grow";
  EXPECT_FALSE(ramp->check(12, 4).ok()) << "no multiple of the groups";
  for (const char *text : {"", "4", "4:", ":4", "0:4", "4:0", "-1:4", "4:4x", "4:4:4", " 4:4",
                           "99999999999999999999:1"})
    EXPECT_FALSE(BatchRamp::parse(text).ok()) << text;
}
