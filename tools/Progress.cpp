//===- Progress.cpp - how far long work has come ------------------------===//

#include "tools/Progress.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <sys/ioctl.h>
#include <unistd.h>

using namespace hadal;
using Clock = std::chrono::steady_clock;

static constexpr unsigned widestBar = 24, narrowestBar = 8;

std::string hadal::progressLine(double fraction, std::string_view text, unsigned columns) {
  std::string line;
  unsigned left = columns > text.size() + 1 ? columns - static_cast<unsigned>(text.size()) - 1 : 0;
  if (unsigned width = std::min(left, widestBar); width >= narrowestBar) {
    auto filled = static_cast<unsigned>(std::clamp(fraction, 0.0, 1.0) * width);
    for (unsigned i = 0; i < width; ++i)
      line += i < filled ? "━" : "─";
    line += ' ';
  }
  line += text.substr(0, columns);
  return line;
}

std::string hadal::readableSeconds(double seconds) {
  auto whole = static_cast<long long>(seconds + 0.5);
  char text[48];
  if (whole >= 3600)
    std::snprintf(text, sizeof text, "%lld h %02lld min", whole / 3600, whole / 60 % 60);
  else if (whole >= 60)
    std::snprintf(text, sizeof text, "%lld min %02lld s", whole / 60, whole % 60);
  else
    std::snprintf(text, sizeof text, "%lld s", whole);
  return text;
}

/// Columns that a line may fill: the last one stays free, since some terminals wrap as soon as it
/// is written.
static unsigned usableColumns() {
  winsize size{};
  unsigned columns = ::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 ? size.ws_col : 0;
  return columns > 1 ? columns - 1 : 79;
}

std::string hadal::wrappedLines(std::string_view text, unsigned columns) {
  std::string lines;
  size_t used = 0;
  while (!text.empty()) {
    std::string_view word = text.substr(0, text.find(' '));
    text.remove_prefix(std::min(text.size(), word.size() + 1));
    if (used > 0 && used + 1 + word.size() > columns) {
      lines += "\n  ";
      used = 2;
    } else if (!lines.empty()) {
      lines += ' ';
      ++used;
    }
    lines += word;
    used += word.size();
  }
  return lines;
}

void hadal::sayOnStderr(std::string_view text) {
  std::string lines =
      ::isatty(STDERR_FILENO) ? wrappedLines(text, usableColumns()) : std::string(text);
  std::fprintf(stderr, "%s\n", lines.c_str());
}

//===----------------------------------------------------------------------===//
// ProgressDisplay
//===----------------------------------------------------------------------===//

ProgressDisplay::ProgressDisplay(bool isShown)
    : isShown(isShown), isTerminal(::isatty(STDERR_FILENO)),
      last(isTerminal ? Clock::time_point() : Clock::now()) {}

bool ProgressDisplay::isDue() const {
  // A terminal need not be drawn more often than an eye sees.
  auto pause =
      isTerminal ? Clock::duration(std::chrono::milliseconds(100)) : std::chrono::seconds(10);
  return isShown && Clock::now() - last >= pause;
}

void ProgressDisplay::draw(double fraction, std::string_view text, bool mustShow) {
  if (!isShown || (!mustShow && !isDue()))
    return;
  last = Clock::now();
  if (!isTerminal) {
    std::fprintf(stderr, "%.*s\n", static_cast<int>(text.size()), text.data());
    return;
  }
  std::fprintf(stderr, "\r%s\033[K", progressLine(fraction, text, usableColumns()).c_str());
  isDrawn = true;
}

void ProgressDisplay::clear() {
  if (isDrawn)
    std::fprintf(stderr, "\r\033[K");
  isDrawn = false;
}

//===----------------------------------------------------------------------===//
// Progress
//===----------------------------------------------------------------------===//

Progress::Progress(std::string label, bool isShown)
    : label(std::move(label)), start(Clock::now()), display(isShown) {}

void Progress::show(uint64_t done, uint64_t total) {
  if (!display.isDue())
    return;
  double fraction = total ? static_cast<double>(done) / static_cast<double>(total) : 1;
  double seconds = std::chrono::duration<double>(Clock::now() - start).count();
  std::string text = label + " " + std::to_string(static_cast<int>(fraction * 100)) + " %";
  // The first seconds say little about the rest.
  if (seconds > 2 && fraction > 0)
    text += ", " + readableSeconds(seconds * (1 - fraction) / fraction) + " left";
  display.draw(fraction, text);
}

void Progress::show(std::string_view next, uint64_t done, uint64_t total) {
  if (label != next) {
    label = next;
    start = Clock::now();
  }
  show(done, total);
}
