//===- Trace.h - a timeline of launches ---------------------------------===//
//
// What a rank did and when, as events of TraceEvents.h. A rank is a process; its threads are
//     programs       cat "program": one per program run, args {flops, launches}
//     layers         cat "layer": launches of one layer after each other, named "layer 3",
//     "lm_head" kernels        cat "kernel": one per launch, named as the kernel, args {layer,
//     tensor, flops,
//                    tasks}; layer and tensor where LaunchPlaces.h knows them
//     waits          cat "wait": nothing is computed, for messages have not come
//     chunks         cat "chunk": one per item of a rank's order, from where it may run, args
//                    {stage, layers} in training
//     communication  cat "comm": what is sent, received and exchanged, from where this rank is
//                    ready for it, args {tag, to, from}: both ends know a message by its tag
// Events that overlap stand on several threads of one name.
//
//===--------------------------------------------------------------------===//

#ifndef HADAL_RUNTIME_TRACE_H
#define HADAL_RUNTIME_TRACE_H

#include "runtime/LaunchPlaces.h"
#include "runtime/Result.h"

#include <chrono>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace hadal {

/// A pipeline stage and its layers; none where `layers` is 0.
struct StageLayers {
  int64_t stage = -1, firstLayer = 0, layers = 0;
};

/// Events kept in memory until written. The names given must outlive it (they are strings of an
/// open module).
class Trace {
public:
  Trace() : start(std::chrono::steady_clock::now()) {}

  /// Nanoseconds since this trace began.
  int64_t now() const {
    return (std::chrono::steady_clock::now() - start) / std::chrono::nanoseconds(1);
  }

  /// `count` is tasks for a kernel and launches for a program.
  void addKernel(std::string_view name, int64_t beginNs, int64_t endNs, int64_t flops,
                 int64_t tasks, LaunchPlace place = {}) {
    events.push_back({name, beginNs, endNs, flops, tasks, true, place});
  }
  void addProgram(std::string_view name, int64_t beginNs, int64_t endNs, int64_t flops,
                  int64_t launches) {
    events.push_back({name, beginNs, endNs, flops, launches, false, {}});
  }

  /// A chunk, as "F0.3".
  void addChunk(std::string name, int64_t beginNs, int64_t endNs, StageLayers of = {}) {
    chunks.push_back({std::move(name), beginNs, endNs, {}, of});
  }
  /// Ranks that a message goes to and comes from, and its tag.
  struct Ends {
    uint32_t tag = 0;
    std::vector<unsigned> to, from;
  };
  /// Communication from its beginning to its end; from one thread, which may be another than that
  /// of the rest.
  void addComm(std::string name, int64_t beginNs, int64_t endNs, Ends ends) {
    comm.push_back({std::move(name), beginNs, endNs, std::move(ends), {}});
  }
  void addWait(int64_t beginNs, int64_t endNs) {
    waits.push_back({"waits for messages", beginNs, endNs, {}, {}});
  }

  /// The file, atomically. `others`: events of other ranks, as their eventsText().
  Status write(const std::string &path, std::span<const std::string> others = {}) const;

  /// The events as TraceEvents has them; nanoseconds are moved by `shiftNs`.
  std::string eventsText(unsigned rank, int64_t shiftNs = 0) const;

  /// When it began, on this machine's clock.
  int64_t startNs() const { return start.time_since_epoch() / std::chrono::nanoseconds(1); }

private:
  struct Event {
    std::string_view name;
    int64_t beginNs, endNs, flops, count;
    bool isKernel;
    LaunchPlace place;
  };
  struct Named {
    std::string name;
    int64_t beginNs, endNs;
    Ends ends;      ///< of communication
    StageLayers of; ///< of a chunk
  };
  std::chrono::steady_clock::time_point start;
  std::vector<Named> chunks, comm, waits;
  std::vector<Event> events;

  friend class TraceText;
};

} // namespace hadal

#endif // HADAL_RUNTIME_TRACE_H
