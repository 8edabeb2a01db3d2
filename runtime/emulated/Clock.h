//===- Clock.h - who knows of what, as vector clocks --------------------===//
//
// Every thread of a cluster and every asynchronous agent (a copy under way, a warp's part of mma)
// has a number and counts its own steps: its epoch. A clock says for each of them up to which epoch
// its steps happened before now. Threads that left the same barrier share one clock: it never
// changes once somebody holds it.
//
//===--------------------------------------------------------------------===//

#ifndef HADAL_RUNTIME_EMULATED_CLOCK_H
#define HADAL_RUNTIME_EMULATED_CLOCK_H

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

namespace hadal::emulated {

using Agent = uint32_t;
using Epoch = uint32_t;
using Clock = std::shared_ptr<const std::vector<Epoch>>;

/// A clock, and the epochs of the one or two agents that look from it.
struct View {
  Clock clock;
  Agent self = 0, issuer = 0;
  Epoch epoch = 0, issuerEpoch = 0;

  Epoch operator[](Agent agent) const {
    return agent == self ? epoch : agent == issuer ? issuerEpoch : (*clock)[agent];
  }
};

/// A clock that others join until it is taken: at a barrier, in a phase of an mbarrier.
class ClockSum {
public:
  void join(const Clock &clock) {
    if (!clock || clock == last)
      return;
    if (values.empty()) {
      values = *clock;
    } else {
      for (size_t i = 0; i < values.size(); ++i)
        values[i] = values[i] < (*clock)[i] ? (*clock)[i] : values[i];
    }
    last = clock;
  }
  void join(const View &view) {
    join(view.clock);
    raise(view.issuer, view.issuerEpoch);
    raise(view.self, view.epoch);
  }
  /// What was joined so far; null where nothing was.
  Clock take() const {
    return values.empty() ? nullptr : std::make_shared<const std::vector<Epoch>>(values);
  }
  void clear() {
    values.clear();
    last.reset();
  }

  /// After the first join.
  void raise(Agent agent, Epoch epoch) {
    if (values[agent] < epoch)
      values[agent] = epoch;
  }

private:
  std::vector<Epoch> values;
  Clock last;
};

/// Joins clocks, and remembers the latest results: a barrier's threads all ask for the same one.
class ClockJoins {
public:
  Clock join(const Clock &a, const Clock &b) {
    if (!b || a == b)
      return a;
    for (const Entry &entry : entries)
      if (entry.a == a && entry.b == b)
        return entry.result;
    Entry &entry = entries[next++ % entries.size()];
    entry = {a, b, compute(a, b)};
    return entry.result;
  }

private:
  static Clock compute(const Clock &a, const Clock &b) {
    auto joined = std::make_shared<std::vector<Epoch>>(*a);
    bool isB = true, isA = true;
    for (size_t i = 0; i < joined->size(); ++i) {
      isB &= (*a)[i] <= (*b)[i];
      isA &= (*b)[i] <= (*a)[i];
      (*joined)[i] = (*a)[i] < (*b)[i] ? (*b)[i] : (*a)[i];
    }
    return isB ? b : isA ? a : Clock(std::move(joined));
  }

  struct Entry {
    Clock a, b, result;
  };
  std::array<Entry, 8> entries;
  size_t next = 0;
};

} // namespace hadal::emulated

#endif // HADAL_RUNTIME_EMULATED_CLOCK_H
