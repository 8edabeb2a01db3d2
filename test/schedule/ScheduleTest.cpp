// Orders, their rules, their time and their drawing.

#include "runtime/File.h"
#include "runtime/schedule/Drawing.h"

#include "tools/SchedulePage.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <cmath>
#include <filesystem>
#include <map>
#include <set>

using namespace hadal;
using namespace hadal::schedule;

static const std::filesystem::path folder = HADAL_SCHEDULE_TEST_DIR;

static Schedule made(const std::string &name, uint32_t ranks, uint32_t microBatches) {
  Result<Schedule> result = makeSchedule(name, ranks, microBatches);
  EXPECT_TRUE(result.ok()) << (result.ok() ? "" : result.error().message);
  return result.ok() ? *result : Schedule();
}

static bool possible(const std::string &name, uint32_t ranks, uint32_t microBatches) {
  if (name == "dualpipe")
    return ranks % 2 == 0 && microBatches % 2 == 0 && microBatches >= 2 * ranks;
  return name != "dualpipev" || microBatches >= 2 * ranks;
}

static void forAll(uint32_t mostRanks, uint32_t mostMicroBatches,
                   const std::function<void(const Schedule &)> &visit) {
  for (std::string name : {"1f1b", "zb1p", "dualpipe", "dualpipev"})
    for (uint32_t ranks = 1; ranks <= mostRanks; ++ranks)
      for (uint32_t m = 1; m <= mostMicroBatches; ++m)
        if (possible(name, ranks, m))
          visit(made(name, ranks, m));
}

static std::string sizes(const Schedule &s) {
  return s.name + " " + std::to_string(s.ranks) + "x" + std::to_string(s.microBatches);
}

// The orders of DualPipe and DualPipeV are those that deepseek-ai/DualPipe runs, item for item
// (orders/: recorded from it).
TEST(Schedule, OrdersAsTheReference) {
  unsigned files = 0;
  for (const auto &entry : std::filesystem::directory_iterator(folder / "orders")) {
    std::string stem = entry.path().stem(), text = *readTextFile(entry.path());
    size_t dash = stem.find('-'), cross = stem.find('x', dash);
    uint32_t ranks = std::stoul(stem.substr(dash + 1)), m = std::stoul(stem.substr(cross + 1));
    Schedule schedule = made(stem.substr(0, dash), ranks, m);
    EXPECT_EQ(toText(schedule), text) << stem;
    Schedule read = schedule;
    EXPECT_TRUE(readOrders(text, read).ok());
    EXPECT_EQ(read.orders, schedule.orders) << stem;
    ++files;
  }
  EXPECT_EQ(files, 6u);
}

// Every size that a schedule has keeps the rules; PP activations are reached, and one more by the
// two-directional ones.
TEST(Schedule, AllSizesVerify) {
  forAll(12, 40, [](const Schedule &s) {
    Status status = verify(s);
    EXPECT_TRUE(status.ok()) << sizes(s) << ": " << (status.ok() ? "" : status.error().message);
    std::vector<uint32_t> peaks = peakActivations(s);
    uint32_t most = *std::max_element(peaks.begin(), peaks.end());
    if (s.microBatches >= 2 * stages(s))
      EXPECT_EQ(most, claimedActivations(s)) << sizes(s);
  });
}

// The bubble is the published one in unit time, and at most that in other costs whose weight
// gradients are the shortest part.
TEST(Schedule, BubblesMeetTheFormulas) {
  for (Costs costs :
       {Costs{1, 1, 1, 3}, Costs{1, 1, 1, 2.5}, Costs{1, 1.25, .75, 2.75}, Costs{2, 2, 1.5, 5}})
    forAll(12, 40, [&](const Schedule &s) {
      Result<Timeline> line = timeline(s, costs);
      ASSERT_TRUE(line.ok()) << sizes(s);
      EXPECT_LE(line->bubble(), bubbleFormula(s, costs) + 1e-9)
          << sizes(s) << ", pair " << costs.pair;
      if (costs.pair == 3)
        EXPECT_NEAR(line->bubble(), bubbleFormula(s, costs), 1e-9) << sizes(s);
    });
}

// Zero bubble beats 1F1B, and DualPipe beats it, where the overlap is free.
TEST(Schedule, BubblesFallFromOneToTheNext) {
  Costs costs;
  double oneFOneB = timeline(made("1f1b", 8, 24), costs)->bubble(),
         zeroBubble = timeline(made("zb1p", 8, 24), costs)->bubble(),
         dualPipe = timeline(made("dualpipe", 8, 24), costs)->bubble();
  EXPECT_GT(oneFOneB, zeroBubble);
  EXPECT_GT(zeroBubble, dualPipe);
}

// A chunk in a timeline begins after what it needs has ended, and a rank does one thing at a time.
TEST(Schedule, TimelinesKeepOrder) {
  forAll(6, 14, [](const Schedule &s) {
    Result<Timeline> line = timeline(s, {1, 1.5, .5, 2.25});
    ASSERT_TRUE(line.ok());
    for (uint32_t rank = 0; rank < s.ranks; ++rank) {
      double clock = 0;
      const Order &order = s.orders[rank];
      for (size_t i = 0; i < order.size(); i += order[i].paired ? 2 : 1) {
        EXPECT_GE(line->spans[rank][i].begin, clock);
        clock = line->spans[rank][i].end;
        EXPECT_LE(clock, line->end);
      }
    }
  });
}

// Sizes that no schedule has are refused with what was wanted and what was got.
TEST(Schedule, ImpossibleSizesAreRefused) {
  auto refuses = [](const char *name, uint32_t ranks, uint32_t m, const char *words) {
    Result<Schedule> result = makeSchedule(name, ranks, m);
    ASSERT_FALSE(result.ok()) << name << " " << ranks << "x" << m;
    EXPECT_NE(result.error().message.find(words), std::string::npos) << result.error().message;
  };
  refuses("1f1b", 0, 4, "at least one rank");
  refuses("zb1p", 4, 0, "at least one rank");
  refuses("dualpipe", 3, 20, "even number of ranks, got 3");
  refuses("dualpipe", 4, 9, "even number of micro-batches");
  refuses("dualpipe", 8, 14, "at least 16 micro-batches, got 14");
  refuses("dualpipev", 4, 7, "at least 8 micro-batches, got 7");
  refuses("dualpipe", 4294967294u, 4294967294u, "at most");
  refuses("gpipe", 4, 8, "no schedule 'gpipe' (has 1f1b, zb1p, dualpipe, dualpipev)");
}

// The drawing of 8 ranks and 20 micro-batches.
TEST(Schedule, DrawingIsTheGoldenOne) {
  Schedule s = made("dualpipe", 8, 20);
  EXPECT_EQ(drawText(s, *timeline(s), {}), *readTextFile(folder / "dualpipe-8x20.txt"));
}

// Costs may be anything positive: chunks never overlap in a drawing, rows stay equally long.
TEST(Schedule, DrawingsHaveRowsOfOneLength) {
  for (Costs costs : {Costs{1, 1, 1, 3}, Costs{.37, 1.1, .9, 2}, Costs{3, 2, 1, .5}})
    forAll(4, 11, [&](const Schedule &s) {
      std::string text = drawText(s, *timeline(s, costs), costs);
      std::set<size_t> lengths;
      for (size_t at = text.find("\nrank "); at != std::string::npos;
           at = text.find("\nrank ", at + 1))
        lengths.insert(text.find_last_of('|', text.find('\n', at + 1)) - at);
      EXPECT_EQ(lengths.size(), 1u) << text;
    });
}

// Stages may take different times: a rank waits for the longest. In seconds, drawing and page say
// so, and where the seconds come from; else they say that there are none.
TEST(Schedule, SecondsOfStages) {
  Schedule s = made("1f1b", 2, 2);
  StageCosts costs({{0.5, 1, 0.5, 0}, {1, 2, 1, 0}}, "a guess");
  Timeline line = *timeline(s, costs);
  // Stage 1 is busy from 0.5 to 8.5, then stage 0 ends with a backward chunk.
  EXPECT_DOUBLE_EQ(line.busy[0], 4);
  EXPECT_DOUBLE_EQ(line.busy[1], 8);
  EXPECT_DOUBLE_EQ(line.end, 10);
  EXPECT_DOUBLE_EQ(costs.mean().forward, 0.75);
  EXPECT_DOUBLE_EQ(costs.pair(0, 1), 3.5);
  std::string text = drawText(s, line, costs), page = schedulePage(s, line, costs);
  EXPECT_NE(text.find("time 10 s, bubble 6 s"), std::string::npos) << text;
  EXPECT_NE(text.find("seconds: a guess"), std::string::npos) << text;
  EXPECT_NE(page.find("a guess"), std::string::npos);
  EXPECT_NE(page.find("\"seconds\":true"), std::string::npos);
  text = drawText(s, *timeline(s), {});
  EXPECT_NE(text.find("not seconds"), std::string::npos) << text;
  page = schedulePage(s, *timeline(s), StageCosts(Costs()));
  EXPECT_NE(page.find("not seconds"), std::string::npos);
  EXPECT_NE(page.find("\"seconds\":false"), std::string::npos);
  EXPECT_EQ(StageCosts({Costs()}, "x").text(0.00125), "1.25 ms");
  EXPECT_EQ(StageCosts(Costs()).text(24), "24");
}

// The page has every chunk with its times, and names nothing outside itself.
TEST(Schedule, PageShowsEveryChunk) {
  Schedule s = made("dualpipe", 4, 10);
  Timeline line = *timeline(s);
  std::string page = schedulePage(s, line, StageCosts(Costs()));
  for (uint32_t rank = 0; rank < s.ranks; ++rank)
    for (size_t i = 0; i < s.orders[rank].size(); ++i) {
      std::string item = nlohmann::json(line.spans[rank][i].begin).dump() + "," +
                         nlohmann::json(line.spans[rank][i].end).dump() + ",\"" +
                         toString(s.orders[rank][i]) + "\"";
      EXPECT_NE(page.find(item), std::string::npos) << rank << " " << item;
    }
  for (const char *outside : {"http", "src=", "href="})
    EXPECT_EQ(page.find(outside), std::string::npos);
}

//===--------------------------------------------------------------------===//
// Mutants
//===--------------------------------------------------------------------===//

/// The rules once more, in the slowest way: names of what was done in a set, everything tried until
/// nothing moves.
static bool keepsTheRules(const Schedule &s) {
  std::set<std::string> done;
  bool both = s.name == "dualpipe";
  uint32_t last = stages(s) - 1;
  auto name = [&](char what, uint32_t stage, const Chunk &c) {
    return std::string(1, what) + std::to_string(both ? c.direction : 0) + "/" +
           std::to_string(stage) + "/" + std::to_string(c.microBatch);
  };
  auto ready = [&](uint32_t rank, const Chunk &c) {
    uint32_t stage = c.direction == 0 ? rank : last - rank;
    if (c.kind == ChunkKind::Forward)
      return stage == 0 || done.count(name('F', stage - 1, c)) > 0;
    if (c.kind == ChunkKind::WeightGrad)
      return done.count(name('I', stage, c)) > 0;
    return done.count(name('F', stage, c)) > 0 &&
           (stage == last || done.count(name('I', stage + 1, c)) > 0);
  };
  std::vector<size_t> at(s.ranks);
  for (bool moved = true; moved;) {
    moved = false;
    for (uint32_t rank = 0; rank < s.ranks; ++rank) {
      const Order &order = s.orders[rank];
      if (at[rank] == order.size())
        continue;
      size_t count = order[at[rank]].paired ? 2 : 1;
      bool all = at[rank] + count <= order.size();
      for (size_t i = at[rank]; all && i < at[rank] + count; ++i)
        all = ready(rank, order[i]);
      if (!all)
        continue;
      for (size_t end = at[rank] + count; at[rank] < end; ++at[rank]) {
        const Chunk &c = order[at[rank]];
        uint32_t stage = c.direction == 0 ? rank : last - rank;
        if (c.kind == ChunkKind::Forward)
          done.insert(name('F', stage, c));
        if (c.kind == ChunkKind::Backward || c.kind == ChunkKind::InputGrad)
          done.insert(name('I', stage, c));
      }
      moved = true;
    }
  }
  for (uint32_t rank = 0; rank < s.ranks; ++rank) {
    if (at[rank] != s.orders[rank].size())
      return false;
    std::map<std::pair<char, uint32_t>, std::vector<uint32_t>> sequences;
    int live = 0;
    for (const Chunk &c : s.orders[rank]) {
      if (c.kind == ChunkKind::Forward)
        sequences[{'F', c.direction}].push_back(c.microBatch), ++live;
      if (c.kind == ChunkKind::Backward || c.kind == ChunkKind::InputGrad)
        sequences[{'I', c.direction}].push_back(c.microBatch);
      if (c.kind == ChunkKind::Backward || c.kind == ChunkKind::WeightGrad)
        sequences[{'W', c.direction}].push_back(c.microBatch), --live;
      if (live > int(claimedActivations(s)))
        return false;
    }
    for (auto &[key, sequence] : sequences)
      if (!std::is_sorted(sequence.begin(), sequence.end()))
        return false;
  }
  return true;
}

// Every chunk dropped, doubled, renumbered, turned around or of another kind is found; every
// exchange of neighbours is judged as the slow rules judge it.
TEST(Schedule, MutantsAreCaught) {
  unsigned caught = 0, harmless = 0;
  forAll(4, 8, [&](const Schedule &s) {
    for (uint32_t rank = 0; rank < s.ranks; ++rank)
      for (size_t i = 0; i < s.orders[rank].size(); ++i) {
        auto mutant = [&](const char *what, const std::function<void(Order &)> &change) {
          Schedule changed = s;
          change(changed.orders[rank]);
          EXPECT_FALSE(verify(changed).ok())
              << sizes(s) << " rank " << rank << " item " << i << " " << what << "\n"
              << toText(changed);
          EXPECT_FALSE(timeline(changed).ok());
          ++caught;
        };
        mutant("dropped", [&](Order &o) { o.erase(o.begin() + i); });
        mutant("doubled", [&](Order &o) { o.insert(o.begin() + i, o[i]); });
        mutant("renumbered", [&](Order &o) { o[i].microBatch += 1; });
        mutant("turned", [&](Order &o) { o[i].direction += 1; });
        mutant("kind", [&](Order &o) {
          o[i].kind = static_cast<ChunkKind>((static_cast<int>(o[i].kind) + 1) % 4);
        });
        if (s.orders[rank][i].kind != ChunkKind::Forward)
          mutant("paired", [&](Order &o) { o[i].paired = true; });
        if (i + 1 == s.orders[rank].size())
          continue;
        Schedule swapped = s;
        Order &order = swapped.orders[rank];
        if (order[i].paired || order[i + 1].paired || (i > 0 && order[i - 1].paired))
          continue;
        std::swap(order[i], order[i + 1]);
        Status status = verify(swapped);
        EXPECT_EQ(status.ok(), keepsTheRules(swapped))
            << sizes(s) << " rank " << rank << " item " << i << "\n"
            << toText(swapped);
        (status.ok() ? harmless : caught) += 1;
      }
  });
  EXPECT_GT(caught, 5000u);
  EXPECT_GT(harmless, 0u);
}

// Damaged order texts are refused, never read past.
TEST(Schedule, DamagedTextIsRefused) {
  std::string text = toText(made("dualpipe", 2, 4));
  for (size_t length = 0; length < text.size(); ++length) {
    Schedule read = made("dualpipe", 2, 4);
    std::string cut = text.substr(0, length);
    if (readOrders(cut, read).ok())
      EXPECT_FALSE(length + 1 < text.size() && verify(read).ok()) << cut;
  }
  for (const char *wrong : {"rank 1: F0.0", "rank 0: G0.0", "rank 0: F0", "rank 0: F0.0  F0.1",
                            "rank 0: F99999999999.0", "F0.0"}) {
    Schedule read = made("dualpipe", 2, 4);
    EXPECT_FALSE(readOrders(wrong, read).ok()) << wrong;
  }
}
