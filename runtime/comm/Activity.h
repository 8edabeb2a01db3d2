//===- Activity.h - what this rank is doing, for when it is stopped -----===//

#ifndef HADAL_RUNTIME_COMM_ACTIVITY_H
#define HADAL_RUNTIME_COMM_ACTIVITY_H

#include <atomic>
#include <cstdio>

namespace hadal {

/// A short text that a signal handler may read: "step 3, F0.1, command 4: receives 'hidden'". Where
/// ranks are threads of one process it is that of one of them: of two that set it at the same time,
/// the later one does not.
class Activity {
public:
  template <typename... Values> static void set(const char *pattern, Values... values) {
    if (isBeingSet.test_and_set(std::memory_order_acquire))
      return;
    unsigned next = 1 - current.load(std::memory_order_relaxed);
    std::snprintf(texts[next], sizeof texts[next], pattern, values...);
    current.store(next, std::memory_order_release);
    isBeingSet.clear(std::memory_order_release);
  }
  static const char *text() { return texts[current.load(std::memory_order_acquire)]; }

private:
  inline static char texts[2][256] = {"", ""};
  inline static std::atomic<unsigned> current{0};
  inline static std::atomic_flag isBeingSet;
};

} // namespace hadal

#endif // HADAL_RUNTIME_COMM_ACTIVITY_H
