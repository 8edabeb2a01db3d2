#include "runtime/Trace.h"
#include "runtime/File.h"

#include <cstdio>

namespace hadal {

static std::string quoted(std::string_view name) {
  std::string text = "\"";
  for (char c : name) {
    if (c == '"' || c == '\\')
      text += '\\';
    if (static_cast<unsigned char>(c) >= 0x20)
      text += c;
  }
  return text + "\"";
}

Status Trace::write(const std::string &path) const {
  AtomicFile file = HADAL_TRY(AtomicFile::create(path));
  std::string text = "{\"displayTimeUnit\": \"ns\", \"traceEvents\": [\n";
  for (size_t i = 0; i < events.size(); ++i) {
    const Event &e = events[i];
    char times[96];
    std::snprintf(times, sizeof times, "\"ts\": %.3f, \"dur\": %.3f", double(e.beginNs) / 1000, double(e.endNs - e.beginNs) / 1000);
    text += "{\"ph\": \"X\", \"pid\": 0, \"tid\": " + std::string(e.kernel ? "1" : "0") + ", \"cat\": \"" + (e.kernel ? "kernel" : "program") +
            "\", \"name\": " + quoted(e.name) + ", " + times + ", \"args\": {\"flops\": " + std::to_string(e.flops) + ", \"" +
            (e.kernel ? "tasks" : "launches") + "\": " + std::to_string(e.count) + "}}" + (i + 1 < events.size() ? ",\n" : "\n");
    if (text.size() > (size_t(1) << 20)) {
      HADAL_TRY(file.write(text.data(), text.size()));
      text.clear();
    }
  }
  text += "]}\n";
  HADAL_TRY(file.write(text.data(), text.size()));
  return file.commit();
}

} // namespace hadal
