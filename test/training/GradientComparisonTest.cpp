//===- GradientComparisonTest.cpp - how far gradients lie apart ---------===//

#include "tools/run/GradientComparison.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <cmath>

using namespace hadal::run;

static PairSums sumsOf(std::vector<float> values, std::vector<float> reference) {
  PairSums sums;
  sums.add(values, reference);
  return sums;
}

TEST(GradientComparison, FiguresOfOneTensor) {
  PairSums sums = sumsOf({3, 4}, {4, 3});
  EXPECT_DOUBLE_EQ(sums.norm(), 5);
  EXPECT_DOUBLE_EQ(sums.referenceNorm(), 5);
  EXPECT_DOUBLE_EQ(sums.cosine(), 24. / 25);
  EXPECT_DOUBLE_EQ(sums.relativeError(), std::sqrt(2.) / 5);
  // Turned round, with twice the length.
  sums = sumsOf({-2, 0, -4}, {1, 0, 2});
  EXPECT_DOUBLE_EQ(sums.cosine(), -1);
  EXPECT_DOUBLE_EQ(sums.relativeError(), 3);
}

// An expert that saw no token has a gradient of zeros.
TEST(GradientComparison, ZerosDivideNothing) {
  EXPECT_EQ(sumsOf({0, 0}, {0, 0}).relativeError(), 0);
  EXPECT_EQ(sumsOf({0, 0}, {0, 0}).cosine(), 1);
  EXPECT_EQ(sumsOf({0, 0}, {0, 2}).relativeError(), 1);
  EXPECT_EQ(sumsOf({0, 0}, {0, 2}).cosine(), 0);
  EXPECT_TRUE(std::isinf(sumsOf({0, 2}, {0, 0}).relativeError()));
  // Squares of the smallest numbers are numbers in f64.
  EXPECT_DOUBLE_EQ(sumsOf({2e-38f, 0}, {1e-38f, 0}).cosine(), 1);
}

TEST(GradientComparison, WorstFirst) {
  GradientComparison comparison;
  comparison.addLosses(2, 4);
  comparison.add("good", {2}, std::vector<float>{3, 4}, std::vector<float>{3, 4});
  comparison.add("bad", {1, 1}, std::vector<float>{1}, std::vector<float>{0});
  comparison.add("middling", {1}, std::vector<float>{3}, std::vector<float>{2});
  std::string table = comparison.table();
  size_t bad = table.find("bad\n"), middling = table.find("middling\n"),
         good = table.find("good\n"), all = table.find("all 3 tensors; loss 2, reference 4\n");
  EXPECT_TRUE(bad < middling && middling < good && good < all && all < table.size()) << table;
  auto json = nlohmann::json::parse(comparison.json("a", "b"));
  EXPECT_EQ(json["tensors"][0]["name"], "bad");
  EXPECT_TRUE(json["tensors"][0]["relative_error"].is_null());
  EXPECT_EQ(json["tensors"][0]["shape"], nlohmann::json({1, 1}));
  EXPECT_EQ(json["tensors"][1]["relative_error"], 0.5);
  EXPECT_DOUBLE_EQ(json["norm"], std::sqrt(35.));
  EXPECT_DOUBLE_EQ(json["reference_norm"], std::sqrt(29.));
  EXPECT_DOUBLE_EQ(json["cosine"], 31 / std::sqrt(35. * 29.));
}
