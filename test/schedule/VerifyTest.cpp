// Whether verifyRanks passes what is right and nothing else.

#include "test/schedule/Mutants.h"

#include "runtime/module/Verify.h"

#include <gtest/gtest.h>

using namespace hadal;
using namespace hadal::fake;

static std::vector<RanksRequest> layouts() {
  return {{"1f1b", 1, 2, 1, 1, 4},     {"1f1b", 3, 2, 1, 1, 5},     {"zb1p", 3, 4, 1, 2, 6},
          {"dualpipe", 2, 2, 2, 2, 2}, {"dualpipe", 4, 4, 1, 2, 6}, {"dualpipev", 2, 2, 1, 1, 5},
          {"dualpipev", 1, 1, 1, 1, 2}};
}

static std::string nameOf(const RanksRequest &r) {
  return r.schedule + " pp" + std::to_string(r.pp) + " ep" + std::to_string(r.ep) + " x" +
         std::to_string(r.microBatches);
}

// What the makers of schedules and a careful compiler write passes, for every schedule, one hop and two.
TEST(Verify, WholeModulesPass) {
  for (const RanksRequest &request : layouts()) {
    Result<Module> module = open(*ranksModule(request));
    ASSERT_TRUE(module.ok()) << nameOf(request) << ": " << module.error().message;
    std::vector<RankPeak> peaks;
    Status status = verifyRanks(*module, &peaks);
    EXPECT_TRUE(status.ok()) << nameOf(request) << ": " << (status.ok() ? "" : status.error().message);
    ASSERT_EQ(peaks.size(), request.pp);
    for (const RankPeak &peak : peaks)
      EXPECT_GT(peak.bytes, 0u);
    EXPECT_TRUE(digest(module->tables()).has_value());
  }
}

// Live values follow the schedule: the first rank of 1F1B holds most, all of ZB1P hold the same.
TEST(Verify, PeaksFollowTheSchedule) {
  std::vector<RankPeak> peaks;
  Result<Module> module = open(*ranksModule({"1f1b", 4, 2, 1, 1, 8}));
  ASSERT_TRUE(verifyRanks(*module, &peaks).ok());
  for (size_t rank = 1; rank + 1 < peaks.size(); ++rank)
    EXPECT_GT(peaks[rank - 1].values, peaks[rank].values);
}

// A large job takes no time worth speaking of.
TEST(Verify, LargeModulesPass) {
  Result<Module> module = open(*ranksModule({"dualpipe", 16, 64, 1, 8, 60}));
  ASSERT_TRUE(module.ok());
  EXPECT_TRUE(verifyRanks(*module).ok());
}

// Of the mutants of every layout each is caught, or computes the same.
TEST(Verify, MutantsAreCaught) {
  size_t made = 0;
  for (const RanksRequest &request : layouts()) {
    MutantReport report = tryMutants(*ranksModule(request), 6, 1);
    made += report.caught + report.equivalent.size();
    for (const std::string &line : report.survived)
      ADD_FAILURE() << nameOf(request) << ": survived: " << line;
    EXPECT_GT(report.caught, 5 * report.equivalent.size()) << nameOf(request);
    std::printf("%s: %zu caught, %zu equivalent\n", nameOf(request).c_str(), report.caught, report.equivalent.size());
  }
  EXPECT_GT(made, 1000u);
}
