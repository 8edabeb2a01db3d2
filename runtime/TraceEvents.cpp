//===- TraceEvents.cpp - the one writer of trace files --------------------===//

#include "runtime/TraceEvents.h"

#include "runtime/File.h"

#include <cmath>

using namespace hadal;

void TraceEvents::addObject(const Args &event) {
  events += events.empty() ? "" : ",\n";
  events += event.dump(-1, ' ', false, Args::error_handler_t::replace);
}

void TraceEvents::nameProcess(unsigned process, std::string_view name) {
  addObject({{"ph", "M"}, {"pid", process}, {"name", "process_name"}, {"args", {{"name", name}}}});
  addObject({{"ph", "M"},
             {"pid", process},
             {"name", "process_sort_index"},
             {"args", {{"sort_index", process}}}});
}

void TraceEvents::nameThread(unsigned process, unsigned thread, std::string_view name) {
  addObject({{"ph", "M"},
             {"pid", process},
             {"tid", thread},
             {"name", "thread_name"},
             {"args", {{"name", name}}}});
}

void TraceEvents::add(unsigned process, unsigned thread, std::string_view category,
                      std::string_view name, double beginUs, double durationUs, Args args) {
  auto toNanoseconds = [](double us) { return std::round(us * 1000) / 1000; };
  addObject({{"ph", "X"},
             {"pid", process},
             {"tid", thread},
             {"cat", category},
             {"name", name},
             {"ts", toNanoseconds(beginUs)},
             {"dur", toNanoseconds(durationUs)},
             {"args", std::move(args)}});
}

Status hadal::writeTraceFile(const std::string &path, std::string_view content,
                             std::span<const std::string> texts) {
  AtomicFile file = HADAL_TRY(AtomicFile::create(path));
  auto write = [&](const std::string &text) { return file.write(text.data(), text.size()); };
  TraceEvents::Args about = {{"times of", content}, {"unit of ts and dur", "microseconds"}};
  HADAL_TRY(write("{\"displayTimeUnit\": \"ns\", \"otherData\": " + about.dump() +
                  ", \"traceEvents\": [\n"));
  bool isFirst = true;
  for (const std::string &text : texts)
    if (!text.empty()) {
      HADAL_TRY(write((isFirst ? "" : ",\n") + text));
      isFirst = false;
    }
  HADAL_TRY(write("\n]}\n"));
  return file.commit();
}
