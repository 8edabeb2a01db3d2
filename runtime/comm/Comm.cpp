#include "runtime/comm/Comm.h"

#include <cstdio>
#include <sched.h>
#include <time.h>

using namespace hadal;

void Pause::operator()() {
  // Ranks that share cores must let each other work; ranks that do not must not sleep through short messages.
  if (++count < 64) {
    ::sched_yield();
    return;
  }
  timespec time{0, count < 256 ? 20'000 : 100'000};
  ::nanosleep(&time, nullptr);
}

Error Comm::timedOut(Seconds limit, unsigned peer, const std::string &what) const {
  char time[32];
  std::snprintf(time, sizeof time, "%g s", limit.count());
  return ioError("rank " + std::to_string(rank()) + ": " + time + " without an answer from rank " + std::to_string(peer) + ": " + what);
}

Status Comm::wait(Message message, Seconds limit, unsigned peer, const std::function<std::string()> &what) {
  auto begin = Clock::now();
  Pause pause;
  while (!HADAL_TRY(test(message))) {
    if (Clock::now() - begin > limit)
      return timedOut(limit, peer, what());
    pause();
  }
  return {};
}
