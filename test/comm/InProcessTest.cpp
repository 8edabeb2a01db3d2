// The conformance checks over ranks that are threads, and over a slow link between them.

#include "runtime/comm/DelayedComm.h"
#include "runtime/comm/InProcessComm.h"
#include "runtime/ranks/Gather.h"
#include "test/comm/CommTest.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <thread>

using namespace hadal;

static void checkAll(unsigned ranks, std::chrono::microseconds delay) {
  InProcessWorld world(ranks);
  std::vector<std::string> problems(ranks);
  std::vector<std::thread> threads;
  for (unsigned rank = 0; rank < ranks; ++rank)
    threads.emplace_back([&, rank] {
      std::unique_ptr<Comm> comm = world.comm(rank);
      if (delay.count())
        comm = std::make_unique<DelayedComm>(std::move(comm), delay);
      for (const test::CommCheck &check : test::commChecks())
        if (std::string problem = check.run(*comm); !problem.empty()) {
          problems[rank] = std::string(check.name) + ": " + problem;
          comm->abort(problems[rank]);
          return;
        }
    });
  for (std::thread &thread : threads)
    thread.join();
  for (const std::string &problem : problems)
    EXPECT_EQ(problem, "");
}

TEST(InProcessComm, Conforms) {
  for (unsigned ranks : {1, 2, 5})
    checkAll(ranks, {});
}

TEST(DelayedComm, Conforms) { checkAll(3, std::chrono::microseconds(500)); }

// A message takes its time, but for one to oneself.
TEST(DelayedComm, Delays) {
  InProcessWorld world(2);
  DelayedComm comm(world.comm(0), std::chrono::milliseconds(50)),
      other(world.comm(1), std::chrono::milliseconds(50));
  auto nothing = [] { return std::string(); };
  for (bool isSelf : {true, false}) {
    int in = 0, out = 3;
    auto begin = Comm::Clock::now();
    Message sent = *comm.send(isSelf ? 0 : 1, 1, &out, sizeof out),
            got = *(isSelf ? comm : other).receive(0, 1, &in, sizeof in);
    ASSERT_TRUE(comm.wait(sent, Comm::Seconds(5), 1, nothing).ok());
    ASSERT_TRUE((isSelf ? comm : other).wait(got, Comm::Seconds(5), 0, nothing).ok());
    EXPECT_EQ(in, 3);
    EXPECT_EQ(Comm::Clock::now() - begin >= std::chrono::milliseconds(50), !isSelf);
  }
}

// A reduction takes its time too. Ranks that do not mean the same one are told.
TEST(DelayedComm, DelaysReductions) {
  InProcessWorld world(2);
  DelayedComm comm(world.comm(0), std::chrono::milliseconds(50)),
      other(world.comm(1), std::chrono::milliseconds(50));
  Comm::Addition add = [](ElementType, const void *from, void *to, int64_t) -> Status {
    *static_cast<float *>(to) += *static_cast<const float *>(from);
    return {};
  };
  float mine = 1, theirs = 2;
  std::vector<unsigned> both = {0, 1};
  auto nothing = [] { return std::string(); };
  auto begin = Comm::Clock::now();
  Message first = *comm.reduce(both, 1, ElementType::F32, &mine, 1, add),
          second = *other.reduce(both, 1, ElementType::F32, &theirs, 1, add);
  ASSERT_TRUE(comm.wait(first, Comm::Seconds(0.02), 1, nothing)
                  .error()
                  .message.find("0.02 s without an answer from rank 1") != std::string::npos);
  while (!*other.test(second))
    (void)comm.test(first);
  EXPECT_GE(Comm::Clock::now() - begin, std::chrono::milliseconds(50));
  EXPECT_EQ(theirs, 3);
  EXPECT_EQ(mine, 1);
}

TEST(InProcessComm, RefusesReductionsThatDiffer) {
  InProcessWorld world(2);
  auto one = world.comm(0), two = world.comm(1);
  Comm::Addition add = [](ElementType, const void *, void *, int64_t) -> Status { return {}; };
  float values[8] = {};
  std::vector<unsigned> both = {0, 1};
  ASSERT_TRUE(one->reduce(both, 0, ElementType::F32, values, 8, add).ok());
  auto refused = two->reduce(both, 0, ElementType::F32, values, 7, add);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().message,
            "rank 1: reduces 7 elements of F32 to rank 0, others 8 of F32 to rank 0");
}

// A message that is longer than the receiver has room for writes nothing there.
TEST(InProcessComm, RefusesLongMessages) {
  InProcessWorld world(1);
  auto comm = world.comm(0);
  char out[8] = {1, 1, 1, 1, 1, 1, 1, 1}, in[8] = {};
  Message sent = *comm->send(0, 1, out, 8), wanted = *comm->receive(0, 1, in, 5);
  Status status = comm->wait(wanted, Comm::Seconds(5), 0, [] { return std::string(); });
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().message, "rank 0: wants 5 bytes from rank 0, got 8");
  EXPECT_TRUE(std::all_of(in, in + 8, [](char c) { return c == 0; }));
  EXPECT_TRUE(comm->wait(sent, Comm::Seconds(5), 0, [] { return std::string(); }).ok());
}

// Texts of any length, and errors, are the same on all ranks when all have said theirs.
TEST(Gather, AllRanksKnow) {
  constexpr unsigned ranks = 4;
  InProcessWorld world(ranks);
  std::vector<std::vector<std::string>> known(ranks);
  std::vector<std::string> errors(ranks);
  std::vector<std::thread> threads;
  for (unsigned rank = 0; rank < ranks; ++rank)
    threads.emplace_back([&, rank] {
      auto comm = world.comm(rank);
      auto all = gatherAll(*comm, std::string(rank * 1000, static_cast<char>('a' + rank)),
                           Comm::Seconds(20), "test");
      if (all.ok())
        known[rank] = *all;
      Status mine = rank < 2 ? Status() : Status(ioError("number " + std::to_string(rank)));
      Status agreed = agree(*comm, mine, Comm::Seconds(20), "test");
      errors[rank] = agreed.ok() ? "" : agreed.error().message;
      if (!agree(*comm, {}, Comm::Seconds(20), "test").ok())
        errors[rank] = "agree without an error";
    });
  for (std::thread &thread : threads)
    thread.join();
  for (unsigned rank = 0; rank < ranks; ++rank) {
    ASSERT_EQ(known[rank].size(), ranks);
    for (unsigned other = 0; other < ranks; ++other)
      EXPECT_EQ(known[rank][other], std::string(other * 1000, static_cast<char>('a' + other)));
    EXPECT_EQ(errors[rank], "rank 2: number 2");
  }
}

// A rank that stops takes the others along, with its reason.
TEST(InProcessComm, Aborts) {
  InProcessWorld world(2);
  auto one = world.comm(0), two = world.comm(1);
  int in;
  Message got = *one->receive(1, 1, &in, sizeof in);
  two->abort("no more");
  Status status = one->wait(got, Comm::Seconds(5), 1, [] { return std::string(); });
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().message, "rank 1 stopped: no more");
}
