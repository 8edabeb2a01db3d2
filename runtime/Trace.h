//===- Trace.h - a timeline of launches ---------------------------------===//
//
// Chrome trace events (chrome://tracing, ui.perfetto.dev): complete events ("ph": "X") with times
// in microseconds. cat "kernel": one per launch, name = the kernel's symbol, args {flops, tasks}.
// cat "program": one per program run, name = the program, args {flops, launches}. cat "chunk": one
// per item of a rank's order, from where it may run. cat "comm": what is sent, received and
// exchanged, from where this rank is ready for it, args {tag, to, from}: both ends know a message
// by its tag. cat "wait": nothing is computed, for messages have not come. A rank is a pid.
//
//===--------------------------------------------------------------------===//

#ifndef HADAL_RUNTIME_TRACE_H
#define HADAL_RUNTIME_TRACE_H

#include "runtime/Result.h"

#include <chrono>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace hadal {

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
                 int64_t tasks) {
    events.push_back({name, beginNs, endNs, flops, tasks, true});
  }
  void addProgram(std::string_view name, int64_t beginNs, int64_t endNs, int64_t flops,
                  int64_t launches) {
    events.push_back({name, beginNs, endNs, flops, launches, false});
  }

  /// A chunk, as "F0.3".
  void addChunk(std::string name, int64_t beginNs, int64_t endNs) {
    chunks.push_back({std::move(name), beginNs, endNs, {}});
  }
  /// Ranks that a message goes to and comes from, and its tag.
  struct Ends {
    uint32_t tag = 0;
    std::vector<unsigned> to, from;
  };
  /// Communication from its beginning to its end; from one thread, which may be another than that
  /// of the rest.
  void addComm(std::string name, int64_t beginNs, int64_t endNs, Ends ends) {
    comm.push_back({std::move(name), beginNs, endNs, std::move(ends)});
  }
  void addWait(int64_t beginNs, int64_t endNs) {
    waits.push_back({"waits for messages", beginNs, endNs, {}});
  }

  /// {"traceEvents": [...]}, atomically. `others`: events of other ranks, as their eventsText().
  Status write(const std::string &path, std::span<const std::string> others = {}) const;

  /// The events as text, each behind a line end and all but the first behind a comma; nanoseconds
  /// are moved by `shiftNs`.
  std::string eventsText(unsigned rank, int64_t shiftNs = 0) const;

  /// When it began, on this machine's clock.
  int64_t startNs() const { return start.time_since_epoch() / std::chrono::nanoseconds(1); }

private:
  struct Event {
    std::string_view name;
    int64_t beginNs, endNs, flops, count;
    bool kernel;
  };
  struct Named {
    std::string name;
    int64_t beginNs, endNs;
    Ends ends; ///< of communication
  };
  std::chrono::steady_clock::time_point start;
  std::vector<Named> chunks, comm, waits;
  std::vector<Event> events;
};

} // namespace hadal

#endif // HADAL_RUNTIME_TRACE_H
