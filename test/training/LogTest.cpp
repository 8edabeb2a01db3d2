//===- LogTest.cpp - lines of a training run's log ----------------------===//

#include "tools/run/TrainingLog.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <limits>

using namespace hadal;

// A figure that is not finite is null in the log, which stays JSON, and is none again when a run
// goes on.
TEST(TrainingLog, NotFinite) {
  run::LoggedStep result;
  result.step = 3;
  result.loss = 2.5f;
  result.mtpLosses = {std::numeric_limits<float>::infinity()};
  result.gradientNorm = -std::numeric_limits<float>::quiet_NaN();
  result.violation = {-std::numeric_limits<float>::quiet_NaN(), 0.25f,
                      -std::numeric_limits<float>::infinity()};
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

// What is not there in a step stands in no line; what is comes back from it.
TEST(TrainingLog, ValidationAndWork) {
  run::LoggedStep result;
  result.step = 3;
  result.loss = 2.5f;
  result.tokens = 100;
  result.seconds = 0.5;
  EXPECT_EQ(run::logLine(result).find("val_loss"), std::string::npos);
  EXPECT_EQ(run::logLine(result).find("mfu"), std::string::npos);
  EXPECT_FALSE(run::parseLogLine(run::logLine(result))->validationLoss.has_value());
  result.validationLoss = 2.75f;
  result.teraflops = 0.5f;
  result.utilization = 0.25f;
  result.memoryBytes = 7000000;
  nlohmann::json json = nlohmann::json::parse(run::logLine(result));
  EXPECT_EQ(json["val_loss"], 2.75);
  EXPECT_EQ(json["tokens_per_second"], 200);
  EXPECT_EQ(json["tflops"], 0.5);
  EXPECT_EQ(json["mfu"], 0.25);
  EXPECT_EQ(json["memory_bytes"], 7000000);
  EXPECT_EQ(run::parseLogLine(run::logLine(result))->validationLoss, 2.75f);
  // Weights of another configuration, where that is allowed.
  EXPECT_FALSE(json.contains("config_change"));
  result.configChange = "rope_theta was \"1e4\", is 5e5";
  EXPECT_EQ(nlohmann::json::parse(run::logLine(result))["config_change"], result.configChange);
  EXPECT_EQ(run::parseLogLine(run::logLine(result))->configChange, result.configChange);
}

// A line has what fits: memory leaves first, then the speed, and step and loss stay.
TEST(TrainingLog, ProgressFits) {
  run::LoggedStep result;
  result.step = 30;
  result.loss = 2.5f;
  result.tokens = 1000;
  result.teraflops = 0.125f;
  result.utilization = 0.25f;
  result.memoryBytes = 1500000000;
  auto text = [&](size_t columns) { return run::progressText(result, 100, 2.75f, 0.5, columns); };
  EXPECT_EQ(text(100), "step 30/100  loss 2.5000  val 2.7500  2000 tokens/s  0.125 TFLOP/s (25 %)  "
                       "1.50 GB  35 s left");
  EXPECT_EQ(text(90),
            "step 30/100  loss 2.5000  val 2.7500  2000 tokens/s  0.125 TFLOP/s (25 %)  35 s left");
  EXPECT_EQ(text(80), "step 30/100  loss 2.5000  val 2.7500  2000 tokens/s  35 s left");
  for (size_t columns = 20; columns < 100; ++columns)
    EXPECT_LE(text(columns).size(), std::max<size_t>(columns, 11));
  // A slow step: all speeds are of the mean of 0.5 s.
  result.seconds = 1;
  EXPECT_EQ(text(90),
            "step 30/100  loss 2.5000  val 2.7500  2000 tokens/s  0.25 TFLOP/s (50 %)  35 s left");
}
