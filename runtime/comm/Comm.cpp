//===- Comm.cpp - what ranks say to each other ----------------------------===//

#include "runtime/comm/Comm.h"

#include <algorithm>
#include <cstdio>
#include <sched.h>
#include <time.h>

using namespace hadal;

void Pause::operator()() {
  // Ranks that share cores must let each other work; ranks that do not must not sleep through short
  // messages.
  if (++count < yields) {
    ::sched_yield();
    return;
  }
  timespec time{0, count < 4 * yields ? 20'000 : 100'000};
  ::nanosleep(&time, nullptr);
}

Error Comm::timedOut(Seconds limit, unsigned peer, const std::string &what) const {
  return timedOut(limit, {&peer, 1}, what);
}

Error Comm::timedOut(Seconds limit, std::span<const unsigned> peers,
                     const std::string &what) const {
  char time[32];
  std::snprintf(time, sizeof time, "%g s", limit.count());
  std::string whom = peers.size() == 1 ? "rank" : "ranks";
  for (size_t i = 0; i < peers.size(); ++i)
    whom += (i ? ", " : " ") + std::to_string(peers[i]);
  return ioError("rank " + std::to_string(rank()) + ": " + time + " without an answer from " +
                 whom + ": " + what);
}

Status Comm::checkReduction(std::span<const unsigned> ranks, unsigned root, ElementType element,
                            int64_t elements) const {
  auto has = [&](unsigned rank) { return std::binary_search(ranks.begin(), ranks.end(), rank); };
  if (ranks.empty() || ranks.back() >= size() ||
      std::adjacent_find(ranks.begin(), ranks.end(), std::greater_equal<unsigned>()) !=
          ranks.end() ||
      !has(rank()) || !has(root))
    return invalidArgument("a reduction wants ranks below " + std::to_string(size()) +
                           ", ascending, this one and the root among them");
  if ((element != ElementType::F32 && element != ElementType::I32) || elements < 0)
    return invalidArgument("no reduction of " + std::to_string(elements) + " elements of " +
                           std::string(elementTypeName(element)));
  return {};
}

Status Comm::wait(Message message, Seconds limit, unsigned peer,
                  const std::function<std::string()> &what) {
  return wait(message, limit, {&peer, 1}, what);
}

Status Comm::wait(Message message, Seconds limit, std::span<const unsigned> peers,
                  const std::function<std::string()> &what) {
  auto begin = Clock::now();
  Pause pause;
  while (!HADAL_TRY(test(message))) {
    if (Clock::now() - begin > limit)
      return timedOut(limit, peers, what());
    pause();
  }
  return {};
}
