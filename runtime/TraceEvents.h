//===- TraceEvents.h - the one writer of trace files --------------------===//
//
// Chrome's trace event format, as JSON objects (chrome://tracing, ui.perfetto.dev): complete events
// ("ph": "X") with begin `ts` and duration `dur` in microseconds, and metadata ("ph": "M") that
// names processes and threads. Processes are ranks, and stand in their order.
//
//===--------------------------------------------------------------------===//

#ifndef HADAL_RUNTIME_TRACEEVENTS_H
#define HADAL_RUNTIME_TRACEEVENTS_H

#include "runtime/Result.h"

#include <nlohmann/json.hpp>

#include <span>
#include <string>
#include <string_view>

namespace hadal {

/// Events as text, each after a comma and a line end but for the first. Names may be any bytes.
class TraceEvents {
public:
  using Args = nlohmann::ordered_json;

  void nameProcess(unsigned process, std::string_view name);
  void nameThread(unsigned process, unsigned thread, std::string_view name);

  /// Times in microseconds, written to a nanosecond. Those of one thread follow each other or lie
  /// inside each other. `args`: an object.
  void add(unsigned process, unsigned thread, std::string_view category, std::string_view name,
           double beginUs, double durationUs, Args args = Args::object());

  const std::string &text() const { return events; }

private:
  void addObject(const Args &event);
  std::string events;
};

/// Writes texts of TraceEvents as one file, atomically. `content` says in words what the times are
/// of: "a run", "a simulated step".
Status writeTraceFile(const std::string &path, std::string_view content,
                      std::span<const std::string> texts);

} // namespace hadal

#endif // HADAL_RUNTIME_TRACEEVENTS_H
