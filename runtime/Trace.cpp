#include "runtime/Trace.h"
#include "runtime/File.h"

#include <algorithm>
#include <cstdio>

namespace hadal {

static std::string inQuotes(std::string_view name) {
  std::string text = "\"";
  for (char c : name) {
    if (c == '"' || c == '\\')
      text += '\\';
    if (static_cast<unsigned char>(c) >= 0x20)
      text += c;
  }
  return text + "\"";
}

static std::string rankList(const std::vector<unsigned> &ranks) {
  std::string text;
  for (unsigned rank : ranks)
    text += (text.empty() ? "" : ", ") + std::to_string(rank);
  return "[" + text + "]";
}

namespace {
/// Where events are shown: a thread of the picture for each of these.
enum Lane : unsigned { Programs, Kernels, Waits, FirstChunk };

class Lines {
public:
  Lines(unsigned rank, int64_t shiftNs) : rank(rank), shiftNs(shiftNs) {}
  void add(const char *category, std::string_view name, unsigned lane, int64_t beginNs,
           int64_t endNs, const std::string &args) {
    char times[128];
    std::snprintf(times, sizeof times, "\"tid\": %u, \"ts\": %.3f, \"dur\": %.3f", lane,
                  double(beginNs + shiftNs) / 1000, double(endNs - beginNs) / 1000);
    start();
    text += "{\"ph\": \"X\", \"pid\": " + std::to_string(rank) + ", \"cat\": \"" + category +
            "\", \"name\": " + inQuotes(name) + ", " + times + ", \"args\": {" + args + "}}";
  }
  void name(const char *what, unsigned lane, const std::string &name) {
    start();
    text += std::string("{\"ph\": \"M\", \"pid\": ") + std::to_string(rank) +
            ", \"tid\": " + std::to_string(lane) + ", \"name\": \"" + what +
            "\", \"args\": {\"name\": " + inQuotes(name) + "}}";
  }
  std::string text;

private:
  void start() { text += text.empty() ? "" : ",\n"; }
  unsigned rank;
  int64_t shiftNs;
};
} // namespace

std::string Trace::eventsText(unsigned rank, int64_t shiftNs) const {
  Lines lines(rank, shiftNs);
  if (!chunks.empty()) {
    lines.name("process_name", 0, "rank " + std::to_string(rank));
    lines.name("thread_name", Waits, "waits");
    lines.name("thread_name", Kernels, "kernels");
    lines.name("thread_name", Programs, "programs");
  }
  for (const Event &e : events)
    lines.add(e.kernel ? "kernel" : "program", e.name, e.kernel ? Kernels : Programs, e.beginNs,
              e.endNs,
              "\"flops\": " + std::to_string(e.flops) + ", \"" + (e.kernel ? "tasks" : "launches") +
                  "\": " + std::to_string(e.count));
  for (const Named &e : waits)
    lines.add("wait", e.name, Waits, e.beginNs, e.endNs, "");
  // Events of one thread may not overlap: each goes to the first that is free when it begins.
  unsigned nextLane = FirstChunk;
  auto addAll = [&](const std::vector<Named> &all, const char *category, const char *thread,
                    auto argsOf) {
    std::vector<const Named *> ordered;
    for (const Named &e : all)
      ordered.push_back(&e);
    std::stable_sort(ordered.begin(), ordered.end(),
                     [](const Named *a, const Named *b) { return a->beginNs < b->beginNs; });
    std::vector<int64_t> ends;
    for (const Named *e : ordered) {
      size_t lane = 0;
      while (lane < ends.size() && ends[lane] > e->beginNs)
        ++lane;
      if (lane == ends.size()) {
        ends.push_back(0);
        lines.name("thread_name", nextLane + unsigned(lane), thread);
      }
      ends[lane] = e->endNs;
      lines.add(category, e->name, nextLane + unsigned(lane), e->beginNs, e->endNs, argsOf(*e));
    }
    nextLane += unsigned(ends.size());
  };
  addAll(chunks, "chunk", "chunks", [](const Named &) { return std::string(); });
  addAll(comm, "comm", "communication", [](const Named &e) {
    return "\"tag\": " + std::to_string(e.ends.tag) + ", \"to\": " + rankList(e.ends.to) +
           ", \"from\": " + rankList(e.ends.from);
  });
  return std::move(lines.text);
}

Status Trace::write(const std::string &path, std::span<const std::string> others) const {
  AtomicFile file = HADAL_TRY(AtomicFile::create(path));
  auto write = [&](const std::string &text) { return file.write(text.data(), text.size()); };
  std::string mine = eventsText(0);
  HADAL_TRY(write("{\"displayTimeUnit\": \"ns\", \"traceEvents\": [\n" + mine));
  bool isFirst = mine.empty();
  for (const std::string &text : others)
    if (!text.empty()) {
      HADAL_TRY(write((isFirst ? "" : ",\n") + text));
      isFirst = false;
    }
  HADAL_TRY(write("\n]}\n"));
  return file.commit();
}

} // namespace hadal
