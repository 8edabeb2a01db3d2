//===- Progress.h - how far long work has come --------------------------===//
//
// One display for all tools, on stderr: a line that changes where stderr is a terminal, a line
// every ten seconds where it is not. Called from one thread at a time.
//
//===--------------------------------------------------------------------===//

#ifndef HADAL_TOOLS_PROGRESS_H
#define HADAL_TOOLS_PROGRESS_H

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

namespace hadal {

/// `text` with a bar before it, in at most `columns` columns of a terminal. `fraction` of the bar
/// is filled, from 0 to
/// 1. A narrow terminal first loses the bar, then the end of the text.
std::string progressLine(double fraction, std::string_view text, unsigned columns);

/// `text` in lines of at most `columns`, cut at spaces; those after the first begin with two
/// spaces. A word that is longer stays whole.
std::string wrappedLines(std::string_view text, unsigned columns);

/// Says a line on stderr, wrapped where that is a terminal.
void sayOnStderr(std::string_view text);

/// "1 h 02 min", "3 min 20 s", "12 s".
std::string readableSeconds(double seconds);

/// A line on stderr that is drawn again and again, ten times a second at most.
class ProgressDisplay {
public:
  explicit ProgressDisplay(bool isShown = true);
  ~ProgressDisplay() { clear(); }
  ProgressDisplay(const ProgressDisplay &) = delete;
  ProgressDisplay &operator=(const ProgressDisplay &) = delete;

  /// Whether the next draw() would show anything, so that a caller need not make its text.
  bool isDue() const;

  /// Shows `text`. One that `mustShow` is not left out because another came just before it.
  void draw(double fraction, std::string_view text, bool mustShow = false);

  /// Takes the line off a terminal, so that something else can be printed.
  void clear();

private:
  bool isShown, isTerminal, isDrawn = false;
  std::chrono::steady_clock::time_point last;
};

/// Work whose size is known: "packing weights 37 %, 12 s left".
class Progress {
public:
  explicit Progress(std::string label, bool isShown = true);

  void show(uint64_t done, uint64_t total);
  /// The same under another label: the next part of the work, whose time is measured anew.
  void show(std::string_view label, uint64_t done, uint64_t total);

  /// Takes the line off a terminal.
  void clear() { display.clear(); }

private:
  std::string label;
  std::chrono::steady_clock::time_point start;
  ProgressDisplay display;
};

} // namespace hadal

#endif // HADAL_TOOLS_PROGRESS_H
