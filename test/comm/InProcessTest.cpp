// The conformance checks over ranks that are threads, and over a slow link between them.

#include "runtime/comm/DelayedComm.h"
#include "runtime/comm/InProcessComm.h"
#include "test/comm/CommTest.h"

#include <gtest/gtest.h>

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
  DelayedComm comm(world.comm(0), std::chrono::milliseconds(50)), other(world.comm(1), std::chrono::milliseconds(50));
  auto nothing = [] { return std::string(); };
  for (bool isSelf : {true, false}) {
    int in = 0, out = 3;
    auto begin = Comm::Clock::now();
    Message sent = *comm.send(isSelf ? 0 : 1, 1, &out, sizeof out), got = *(isSelf ? comm : other).receive(0, 1, &in, sizeof in);
    ASSERT_TRUE(comm.wait(sent, Comm::Seconds(5), 1, nothing).ok());
    ASSERT_TRUE((isSelf ? comm : other).wait(got, Comm::Seconds(5), 0, nothing).ok());
    EXPECT_EQ(in, 3);
    EXPECT_EQ(Comm::Clock::now() - begin >= std::chrono::milliseconds(50), !isSelf);
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
