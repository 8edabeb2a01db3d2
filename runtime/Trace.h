//===- Trace.h - a timeline of launches ---------------------------------===//
//
// Chrome trace events (chrome://tracing, ui.perfetto.dev): complete events ("ph": "X") with times in microseconds.
// cat "kernel": one per launch, name = the kernel's symbol, args {flops, tasks}. cat "program": one per program run,
// name = the program, args {flops, launches}.
//
//===--------------------------------------------------------------------===//

#ifndef HADAL_RUNTIME_TRACE_H
#define HADAL_RUNTIME_TRACE_H

#include "runtime/Result.h"

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace hadal {

/// Events kept in memory until written. The names given must outlive it (they are strings of an open module).
class Trace {
public:
  Trace() : start(std::chrono::steady_clock::now()) {}

  /// Nanoseconds since this trace began.
  int64_t now() const { return (std::chrono::steady_clock::now() - start) / std::chrono::nanoseconds(1); }

  /// `count` is tasks for a kernel and launches for a program.
  void addKernel(std::string_view name, int64_t beginNs, int64_t endNs, int64_t flops, int64_t tasks) {
    events.push_back({name, beginNs, endNs, flops, tasks, true});
  }
  void addProgram(std::string_view name, int64_t beginNs, int64_t endNs, int64_t flops, int64_t launches) {
    events.push_back({name, beginNs, endNs, flops, launches, false});
  }

  /// {"traceEvents": [...]}, atomically.
  Status write(const std::string &path) const;

private:
  struct Event {
    std::string_view name;
    int64_t beginNs, endNs, flops, count;
    bool kernel;
  };
  std::chrono::steady_clock::time_point start;
  std::vector<Event> events;
};

} // namespace hadal

#endif // HADAL_RUNTIME_TRACE_H
