// Whether verifyModule passes what is right and nothing else.

#include "test/schedule/Mutants.h"

#include "runtime/module/Verify.h"
#include "runtime/training/ranks/PredictMemory.h"

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

// What the makers of schedules and a careful compiler write passes, for every schedule, one hop and
// two.
TEST(Verify, WholeModulesPass) {
  for (const RanksRequest &request : layouts()) {
    Result<Module> module = open(*ranksModule(request));
    ASSERT_TRUE(module.ok()) << nameOf(request) << ": " << module.error().message;
    Status status = verifyModule(*module);
    EXPECT_TRUE(status.ok()) << nameOf(request) << ": "
                             << (status.ok() ? "" : status.error().message);
    auto peaks = predictPeaks(*module);
    ASSERT_TRUE(peaks.ok()) << peaks.error().message;
    ASSERT_EQ(peaks->size(), request.pp);
    for (const RankPeak &peak : *peaks)
      EXPECT_GT(peak.bytes, 0u);
    EXPECT_TRUE(digest(module->tables()).has_value());
  }
}

// Live values follow the schedule: the first rank of 1F1B holds most, all of ZB1P hold the same.
TEST(Verify, PeaksFollowTheSchedule) {
  Result<Module> module = open(*ranksModule({"1f1b", 4, 2, 1, 1, 8}));
  std::vector<RankPeak> peaks = predictPeaks(*module).value();
  ASSERT_EQ(peaks.size(), 4u);
  for (size_t rank = 1; rank + 1 < peaks.size(); ++rank)
    EXPECT_GT(peaks[rank - 1].values, peaks[rank].values);
}

// A large job takes no time worth speaking of.
TEST(Verify, LargeModulesPass) {
  Result<Module> module = open(*ranksModule({"dualpipe", 16, 64, 1, 8, 60}));
  ASSERT_TRUE(module.ok());
  EXPECT_TRUE(verifyModule(*module).ok());
}

// Programs of inference over ranks, with one hop and two.
TEST(Verify, WholeInferenceModulesPass) {
  for (auto [ep, nodes] : {std::pair(2, 1), {4, 2}, {8, 1}}) {
    Result<Module> module = open(*inferenceModule(ep, nodes));
    ASSERT_TRUE(module.ok()) << module.error().message;
    Status status = verifyModule(*module);
    EXPECT_TRUE(status.ok()) << (status.ok() ? "" : status.error().message);
    EXPECT_TRUE(digest(module->tables()).has_value());
  }
}

// What is wrong is said in one line that names the program, its command and the buffer.
TEST(Verify, SaysWhatIsWrong) {
  auto expect = [](std::unique_ptr<objects::ModuleT> changed, const std::string &why) {
    Result<Module> module = open(*changed, "m.hadal");
    Status status = module.ok() ? verifyModule(*module) : Status(module.error());
    ASSERT_FALSE(status.ok()) << why;
    EXPECT_EQ(status.error().message, "m.hadal: " + why);
  };
  auto change = [](auto how) {
    auto module = inferenceModule(2, 1);
    how(*module);
    return module;
  };
  using namespace objects;
  // Program 0 is what the first call runs: begin(token_ids -> 0), work(0 -> 1), work(1 -> 2),
  // route(token_ids, 1, 2).
  expect(change([](ModuleT &m) { m.programs[0]->commands.erase(m.programs[0]->commands.begin()); }),
         "program stage0.route.0, command 0 reads temporary 0, which nothing has written");
  expect(change([](ModuleT &m) { m.programs[0]->temporaries[1]->slot = 0; }),
         "program stage0.route.0, command 1 binds temporary 1 and temporary 0, which share slot 0");
  expect(change([](ModuleT &m) { m.programs[0]->commands.pop_back(); }),
         "program stage0.route.0, argument 'sends.1' is an output that no command writes");
  expect(change([](ModuleT &m) {
           m.programs[0]->temporaries[1]->bytes->code = {0, 32};
         }),
         "program stage0.route.0, command 1: work.1.1 touches 64 bytes from byte 0 of temporary 1, "
         "which has 32");
  expect(change([](ModuleT &m) {
           m.programs[0]->commands[0]->action.AsLaunch()->scalars[0]->code = {0, 7};
         }),
         "program stage0.route.0 does not compute what the compiler meant it to");
  expect(change([](ModuleT &m) { m.inference->sharded.pop_back(); }),
         "parameter layers.0.mlp.experts.{}.down.weight holds 4 tensors on each of 1 ranks, of 8 "
         "experts");
  expect(change([](ModuleT &m) { m.dataflow.clear(); }),
         "does not say what its programs compute: compile it again");

  auto sums = ranksModule({});
  std::swap(sums->training->ranks->stages[0]->accumulators[0]->trainable,
            sums->training->ranks->stages[1]->accumulators[0]->trainable);
  expect(std::move(sums), "stage 0, accumulator gradient.w0 is said to be that of use 0 of w1");
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
    std::printf("%s: %zu caught, %zu equivalent\n", nameOf(request).c_str(), report.caught,
                report.equivalent.size());
  }
  for (auto [ep, nodes] : {std::pair(2, 1), {4, 2}}) {
    MutantReport report = tryMutants(*inferenceModule(ep, nodes), 12, 1);
    made += report.caught + report.equivalent.size();
    for (const std::string &line : report.survived)
      ADD_FAILURE() << "inference on " << ep << " ranks: survived: " << line;
    EXPECT_GT(report.caught, 5 * report.equivalent.size());
    std::printf("inference on %d ranks: %zu caught, %zu equivalent\n", ep, report.caught,
                report.equivalent.size());
  }
  EXPECT_GT(made, 2000u);
}

// What leads out of the tables of ranks is refused when a module is opened.
TEST(Verify, TablesAreChecked) {
  RanksRequest request{"dualpipe", 2, 2, 1, 1, 4};
  auto said = [&](const std::function<void(objects::ModuleT &)> &change) {
    auto module = ranksModule(request);
    change(*module);
    auto opened = open(*module);
    return opened.ok() ? "" : opened.error().message;
  };
  auto expectSaid = [&](const std::string &text,
                        const std::function<void(objects::ModuleT &)> &change) {
    EXPECT_NE(said(change).find(text), std::string::npos) << text << ": " << said(change);
  };
  EXPECT_EQ(said([](objects::ModuleT &) {}), "");
  for (bool sends : {true, false})
    expectSaid(sends ? "sends to stage 2 of 2" : "receives from stage 2 of 2",
               [sends](objects::ModuleT &m) {
                 for (auto &program : m.programs)
                   for (auto &command : program->commands)
                     if (auto *send = command->action.AsSend(); send && sends)
                       send->stage = 2;
                     else if (auto *receive = command->action.AsReceive(); receive && !sends)
                       receive->stage = 2;
               });
  auto chunks = [](objects::ModuleT & m) -> auto & { return m.training->ranks->orders[0]->chunks; };
  expectSaid("half a pair", [&](objects::ModuleT &m) { chunks(m).back()->paired = true; });
  expectSaid("one of three",
             [&](objects::ModuleT &m) { chunks(m)[0]->paired = chunks(m)[1]->paired = true; });
  expectSaid("malformed chunk", [&](objects::ModuleT &m) { chunks(m)[0]->micro_batch = 4; });
  expectSaid("malformed chunk", [&](objects::ModuleT &m) { chunks(m)[0]->direction = 2; });
  expectSaid("names program", [](objects::ModuleT &m) {
    m.training->ranks->stages[1]->forward = uint32_t(m.programs.size());
  });
  expectSaid("orders for 2 pipeline ranks",
             [](objects::ModuleT &m) { m.training->ranks->orders.pop_back(); });
  expectSaid("names no state", [](objects::ModuleT &m) {
    m.training->ranks->stages[0]->accumulators[0]->state = "none";
  });
}
