//===- StopSignal.cpp - what a signal does to a run ---------------------===//

#include "runtime/session/StopSignal.h"

#include "runtime/File.h"
#include "runtime/comm/Activity.h"

#include <atomic>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <unistd.h>

using namespace hadal;

namespace {

constexpr int signals[] = {SIGINT, SIGTERM, SIGHUP, SIGUSR1};

char rankPrefix[160]; ///< empty: this process is alone
std::atomic<bool> isDeferred{false};
std::atomic<int> first{0};
int obeyed = 0;

/// Writes one line, from a handler.
void say(std::initializer_list<const char *> parts) {
  char line[512];
  size_t length = 0;
  for (const char *part : parts) {
    size_t bytes = std::strlen(part);
    if (length + bytes > sizeof line)
      break;
    std::memcpy(line + length, part, bytes);
    length += bytes;
  }
  (void)!::write(STDERR_FILENO, line, length);
}

void onSignal(int signal) {
  const char *activity = *Activity::text() ? Activity::text() : "its preparations";
  int none = 0;
  if (isDeferred && first.compare_exchange_strong(none, signal)) {
    if (*rankPrefix) // mpirun may be killing the job because another rank has died: say it while
                     // there is time
      say({rankPrefix, "asked to stop in ", activity, "; finishes the step\n"});
    else
      say({"\nfinishing the step; a second signal stops at once\n"});
    return;
  }
  AtomicFile::removeUnfinished();
  if (*rankPrefix && !isDeferred)
    say({rankPrefix, "stopped from outside in ", activity, "\n"});
  ::_exit(128 + signal);
}

} // namespace

void StopSignal::install() {
  struct sigaction action = {}, before = {};
  action.sa_handler = onSignal;
  action.sa_flags = SA_RESTART;
  for (int signal : signals)
    if (signal != SIGHUP ||
        (::sigaction(signal, nullptr, &before) == 0 && before.sa_handler != SIG_IGN))
      ::sigaction(signal, &action, nullptr);
}

void StopSignal::nameRank(const std::string &prefix) {
  std::snprintf(rankPrefix, sizeof rankPrefix, "%s", prefix.c_str());
}

void StopSignal::defer() {
  isDeferred = true;
  ::signal(SIGPIPE, SIG_IGN); // a run goes on when nobody reads its display
}

int StopSignal::noted() { return first; }

void StopSignal::ignore() { ::signal(SIGTERM, SIG_IGN); }

void StopSignal::restore() {
  for (int signal : signals)
    ::signal(signal, SIG_DFL);
}

std::string StopSignal::nameOf(int signal) {
  const char *name = ::sigabbrev_np(signal);
  return name ? std::string("SIG") + name : "signal " + std::to_string(signal);
}

void StopSignal::obey(int signal) { obeyed = signal; }

int StopSignal::exitStatus() { return obeyed ? 128 + obeyed : 0; }
