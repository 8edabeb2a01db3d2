#include "test/Works.h"
#include "test/comm/CommTest.h"

#include <cstring>
#include <memory>
#include <thread>

using namespace hadal;
using namespace hadal::test;

namespace {

constexpr Comm::Seconds limit{20};
std::string unnamed() { return "test"; }

/// Every rank sends every rank, itself included, a message of a size of its own; 0 bytes and
/// megabytes are among them.
std::string everyoneToEveryone(Comm &comm) {
  unsigned me = comm.rank(), n = comm.size();
  static constexpr uint64_t sizes[] = {0, 1, 300, 5000, 70000, 3 << 20};
  auto bytesOf = [](unsigned from, unsigned to) { return sizes[(from * 5 + to) % 6]; };
  std::vector<std::vector<uint8_t>> out(n), in(n);
  std::vector<std::pair<unsigned, Message>> open;
  for (unsigned to = 0; to < n; ++to) {
    out[to].assign(bytesOf(me, to), uint8_t(me * 16 + to));
    open.push_back({to, WORKS(comm.send(to, 7, out[to].data(), out[to].size()))});
  }
  for (unsigned from = 0; from < n; ++from) {
    in[from].resize(bytesOf(from, me));
    open.push_back({from, WORKS(comm.receive(from, 7, in[from].data(), in[from].size()))});
  }
  for (auto [peer, message] : open)
    WORKS(comm.wait(message, limit, peer, unnamed));
  for (unsigned from = 0; from < n; ++from)
    if (in[from] != std::vector<uint8_t>(bytesOf(from, me), uint8_t(from * 16 + me)))
      return "what came from rank " + std::to_string(from) + " is not what it sent";
  return "";
}

/// Tags keep messages apart, whatever the order in which both sides name them; with one tag the
/// order is that of the sender.
std::string tagsAndOrder(Comm &comm) {
  unsigned next = (comm.rank() + 1) % comm.size(),
           last = (comm.rank() + comm.size() - 1) % comm.size();
  int out[6] = {0, 1, 2, 3, 4, 5}, in[6] = {};
  std::vector<Message> open;
  for (int i = 0; i < 3; ++i) {
    open.push_back(WORKS(comm.send(next, 100, &out[i], sizeof(int))));
    open.push_back(WORKS(comm.send(next, Comm::tagLimit - 1, &out[3 + i], sizeof(int))));
  }
  for (int i = 0; i < 3; ++i)
    open.push_back(WORKS(comm.receive(last, Comm::tagLimit - 1, &in[3 + i], sizeof(int))));
  for (int i = 0; i < 3; ++i)
    open.push_back(WORKS(comm.receive(last, 100, &in[i], sizeof(int))));
  for (size_t i = open.size(); i-- > 0;)
    WORKS(comm.wait(open[i], limit, last, unnamed));
  return std::memcmp(in, out, sizeof in) == 0 ? "" : "messages came in another order";
}

/// Nobody waits longer than the limit for a message that nobody sends; the message is there when it
/// is sent later.
std::string deadline(Comm &comm) {
  int value = 0, mine = 5;
  unsigned me = comm.rank(); // another rank might come to its end first
  Message message = WORKS(comm.receive(me, 9, &value, sizeof value));
  auto begin = Comm::Clock::now();
  Status status = comm.wait(message, Comm::Seconds(0.2), me,
                            [] { return std::string("F0.3: receives 'hidden'"); });
  double seconds = Comm::Seconds(Comm::Clock::now() - begin).count();
  if (status.ok() || seconds < 0.2 || seconds > 3)
    return "a wait of 0.2 s took " + std::to_string(seconds);
  std::string number = std::to_string(me), wanted = "rank " + number +
                                                    ": 0.2 s without an answer from rank " +
                                                    number + ": F0.3: receives 'hidden'";
  if (status.error().message != wanted)
    return "says " + status.error().message;
  Message sent = WORKS(comm.send(me, 9, &mine, sizeof mine));
  WORKS(comm.wait(message, limit, me, unnamed));
  WORKS(comm.wait(sent, limit, me, unnamed));
  return value == mine ? "" : "got " + std::to_string(value);
}

/// A message of another size than the receiver wants is an error that says both.
std::string sizes(Comm &comm) {
  char out[8] = {}, in[8] = {};
  Message sent = WORKS(comm.send(comm.rank(), 11, out, 5)),
          wanted = WORKS(comm.receive(comm.rank(), 11, in, 8));
  Status status = comm.wait(wanted, limit, comm.rank(), unnamed);
  if (status.ok() ||
      status.error().message.find("wants 8 bytes from rank " + std::to_string(comm.rank()) +
                                  ", got 5") == std::string::npos)
    return status.ok() ? "takes 5 bytes for 8" : status.error().message;
  WORKS(comm.wait(sent, limit, comm.rank(), unnamed));
  return "";
}

/// Two threads of a rank may talk at the same time.
std::string threads(Comm &comm) {
  unsigned next = (comm.rank() + 1) % comm.size(),
           last = (comm.rank() + comm.size() - 1) % comm.size();
  auto talk = [&](uint32_t tag) -> std::string {
    for (int i = 0; i < 200; ++i) {
      int out = i, in = -1;
      Message sent = WORKS(comm.send(next, tag, &out, sizeof out)),
              got = WORKS(comm.receive(last, tag, &in, sizeof in));
      WORKS(comm.wait(got, limit, last, unnamed));
      WORKS(comm.wait(sent, limit, next, unnamed));
      if (in != i)
        return "message " + std::to_string(i) + " says " + std::to_string(in);
    }
    return "";
  };
  std::string other;
  std::thread thread([&] { other = talk(1001); });
  std::string mine = talk(1000);
  thread.join();
  return mine.empty() ? other : mine;
}

/// Sums over all ranks, over all but the last and over one, of both elements, to every root, all
/// under way at the same time. What other ranks have stays.
std::string reductions(Comm &comm) {
  unsigned me = comm.rank(), n = comm.size();
  static constexpr int64_t counts[] = {0, 1, 300, 70000};
  Comm::Addition add = [](ElementType element, const void *from, void *to,
                          int64_t elements) -> Status {
    for (int64_t i = 0; i < elements; ++i)
      if (element == ElementType::F32)
        static_cast<float *>(to)[i] += static_cast<const float *>(from)[i];
      else
        static_cast<int32_t *>(to)[i] += static_cast<const int32_t *>(from)[i];
    return {};
  };
  struct Sum {
    std::vector<unsigned> ranks;
    unsigned root;
    bool isFloat;
    std::vector<float> floats;
    std::vector<int32_t> integers;
    Message message;
  };
  // Small whole numbers: no order of sums matters.
  auto valueOf = [](unsigned rank, int64_t i, unsigned sum) {
    return int32_t((rank + 1) * (i % 97 + 1) + sum);
  };
  std::vector<unsigned> all(n);
  for (unsigned rank = 0; rank < n; ++rank)
    all[rank] = rank;
  std::vector<std::vector<unsigned>> sets = {all, {me}};
  if (me + 1 < n)
    sets.push_back({all.begin(), all.end() - 1});
  std::vector<std::unique_ptr<Sum>> sums;
  for (const std::vector<unsigned> &ranks : sets)
    for (unsigned root : ranks)
      for (int64_t count : counts)
        for (bool isFloat : {true, false}) {
          auto &sum = sums.emplace_back(new Sum{
              ranks, root, isFloat, std::vector<float>(count), std::vector<int32_t>(count), {}});
          for (int64_t i = 0; i < count; ++i)
            sum->floats[i] = float(sum->integers[i] = valueOf(me, i, root));
          sum->message = WORKS(
              comm.reduce(ranks, root, isFloat ? ElementType::F32 : ElementType::I32,
                          isFloat ? static_cast<void *>(sum->floats.data()) : sum->integers.data(),
                          count, add));
        }
  for (size_t i = sums.size(); i-- > 0;) {
    Sum &sum = *sums[i];
    WORKS(comm.wait(sum.message, limit, sum.ranks, unnamed));
    for (size_t j = 0; j < sum.floats.size(); ++j) {
      int32_t wanted = 0;
      for (unsigned rank : sum.ranks)
        if (rank == me || sum.root == me)
          wanted += valueOf(rank, int64_t(j), sum.root);
      int32_t got = sum.isFloat ? int32_t(sum.floats[j]) : sum.integers[j];
      if (got != wanted)
        return "element " + std::to_string(j) + " of " + std::to_string(sum.ranks.size()) +
               " ranks' sum at rank " + std::to_string(sum.root) + " is " + std::to_string(got) +
               ", wants " + std::to_string(wanted);
    }
  }
  float value = 1;
  std::vector<unsigned> oneMore = all;
  oneMore.push_back(n);
  for (const std::vector<unsigned> &wrong : {std::vector<unsigned>{}, {n}, {me, me}, oneMore})
    if (comm.reduce(wrong, me, ElementType::F32, &value, 1, add).ok())
      return "reduces over ranks that cannot be";
  if (comm.reduce(all, n, ElementType::F32, &value, 1, add).ok() ||
      comm.reduce(all, 0, ElementType::BF16, &value, 1, add).ok())
    return "reduces to no rank, or what has no sum";
  return "";
}

} // namespace

const std::vector<CommCheck> &hadal::test::commChecks() {
  static const std::vector<CommCheck> checks = {{"everyone to everyone", everyoneToEveryone},
                                                {"tags and order", tagsAndOrder},
                                                {"deadline", deadline},
                                                {"sizes", sizes},
                                                {"threads", threads},
                                                {"reductions", reductions}};
  return checks;
}
