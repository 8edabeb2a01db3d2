//===- Progress.h - how far a long step has come ------------------------===//

#ifndef HADAL_TOOLS_RUN_PROGRESS_H
#define HADAL_TOOLS_RUN_PROGRESS_H

#include <cstdint>
#include <cstdio>
#include <string>
#include <unistd.h>

namespace hadal::run {

/// A line on the terminal that counts up and vanishes at the end. Where stderr is no terminal it shows nothing.
class Progress {
public:
  explicit Progress(std::string label, bool isShown = true) : label(std::move(label)), isTerminal(isShown && ::isatty(STDERR_FILENO)) {}
  ~Progress() {
    if (shown >= 0)
      std::fprintf(stderr, "\r\033[K");
  }
  Progress(const Progress &) = delete;
  Progress &operator=(const Progress &) = delete;

  void show(uint64_t done, uint64_t total) {
    int percent = total ? static_cast<int>(static_cast<double>(done) * 100 / static_cast<double>(total)) : 100;
    if (!isTerminal || percent == shown)
      return;
    shown = percent;
    std::fprintf(stderr, "\r%s %d%%\033[K", label.c_str(), percent);
  }

private:
  std::string label;
  bool isTerminal;
  int shown = -1;
};

} // namespace hadal::run

#endif // HADAL_TOOLS_RUN_PROGRESS_H
