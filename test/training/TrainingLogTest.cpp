//===- TrainingLogTest.cpp - the log of a training run ------------------===//

#include "tools/run/TrainingLog.h"
#include "runtime/File.h"
#include "test/runtime/SystemCalls.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <unistd.h>

using namespace hadal;
using namespace hadal::run;

namespace {

class Log : public testing::Test {
protected:
  void SetUp() override {
    path = testing::TempDir() + "hadal-log-" + std::to_string(getpid()) + ".jsonl";
    std::filesystem::remove(path);
  }
  void TearDown() override { std::filesystem::remove(path); }

  /// Steps first .. last, in one run.
  void run(int64_t first, int64_t last) {
    auto log = TrainingLog::open(path, first - 1);
    ASSERT_TRUE(log.ok()) << log.error().message;
    for (int64_t step = first; step <= last; ++step)
      ASSERT_TRUE(log->add(stepOf(step)).ok());
  }
  static LoggedStep stepOf(int64_t step) {
    LoggedStep result;
    result.step = step;
    result.loss = 1.f / static_cast<float>(step);
    result.mtpLosses = {0.1f};
    result.violation = {0.5f, 0.25f};
    return result;
  }
  static std::string lines(int64_t last) {
    std::string all;
    for (int64_t step = 1; step <= last; ++step)
      all += logLine(stepOf(step)) + "\n";
    return all;
  }
  std::string path;
};

} // namespace

// A line has the digits that give the same f32 back.
TEST_F(Log, LinesComeBack) {
  auto step = parseLogLine(logLine(stepOf(3)));
  ASSERT_TRUE(step);
  EXPECT_EQ(step->step, 3);
  EXPECT_EQ(step->loss, 1.f / 3);
  EXPECT_EQ(step->violation, (std::vector<float>{0.5f, 0.25f}));
  EXPECT_FALSE(parseLogLine("{\"step\": 1, \"lo"));
  EXPECT_FALSE(parseLogLine("{\"loss\": 1}"));
}

// Whatever the system takes at once, a line is whole; a run that goes on has each step once.
TEST_F(Log, GoesOn) {
  {
    test::LimitedWrites limit(7);
    run(1, 5);
  }
  EXPECT_EQ(*readTextFile(path), lines(5));
  run(4, 6); // steps 4 and 5 are done again
  EXPECT_EQ(*readTextFile(path), lines(6));
  run(1, 2);
  EXPECT_EQ(*readTextFile(path), lines(2));
}

TEST_F(Log, FullDisk) {
  auto log = TrainingLog::open(path, 0);
  ASSERT_TRUE(log.ok());
  test::LimitedWrites limit(100, 20);
  Status status = log->add(stepOf(1));
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().message, path + ": No space left on device");
}
