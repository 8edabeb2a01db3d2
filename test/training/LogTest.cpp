//===- LogTest.cpp - lines of a training run's log ----------------------===//

#include "tools/run/TrainingLog.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <cmath>
#include <limits>

using namespace hadal;

// A figure that is not finite is null in the log, which stays JSON, and is none again when a run goes on.
TEST(TrainingLog, NotFinite) {
  StepResult result;
  result.step = 3;
  result.loss = 2.5f;
  result.mtpLosses = {std::numeric_limits<float>::infinity()};
  result.gradientNorm = -std::numeric_limits<float>::quiet_NaN();
  result.violation = {-std::numeric_limits<float>::quiet_NaN(), 0.25f, -std::numeric_limits<float>::infinity()};
  std::string line = run::logLine(result);
  nlohmann::json json = nlohmann::json::parse(line, nullptr, false);
  ASSERT_TRUE(json.is_object()) << line;
  EXPECT_EQ(json["loss"], 2.5);
  EXPECT_TRUE(json["mtp_loss"].is_null());
  EXPECT_TRUE(json["grad_norm"].is_null());
  EXPECT_EQ(json["violation"], nlohmann::json::parse("[null, 0.25, null]"));
  auto read = run::parseLogLine(line);
  ASSERT_TRUE(read.has_value());
  EXPECT_EQ(read->loss, 2.5f);
  EXPECT_TRUE(std::isnan(read->gradientNorm));
  EXPECT_TRUE(std::isnan(read->violation[0]));
  EXPECT_EQ(read->violation[1], 0.25f);
}
