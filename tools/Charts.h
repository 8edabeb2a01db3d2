//===- Charts.h - curves over steps on a page ---------------------------===//

#ifndef HADAL_TOOLS_CHARTS_H
#define HADAL_TOOLS_CHARTS_H

#include "tools/Page.h"

#include <cstdint>
#include <string>
#include <vector>

namespace hadal {

struct Curve {
  std::string name;
  std::vector<double> values; ///< one per step; NaN: none
  size_t colour;
  bool isPlain = false; ///< drawn as it is, never smoothed
};

struct ChartOptions {
  bool smooth = false;   ///< a bold line of means over some steps, before a faint one of all values
  bool fromZero = false; ///< 0 is on the chart, too
};

/// Charts below each other. They are there without a script, which tells the values under the
/// pointer. One thread at a time.
class Charts {
public:
  /// One or more, ascending.
  explicit Charts(std::vector<int64_t> steps) : steps(std::move(steps)) {}

  void add(const std::string &title, std::vector<Curve> curves, const ChartOptions &options);

  /// Gives the page its body, data, script and style. `page` has nothing of these yet.
  void draw(Page &page) const;

private:
  std::vector<int64_t> steps;
  std::string body;
  std::vector<std::string> data; ///< JSON, of each chart
};

} // namespace hadal

#endif // HADAL_TOOLS_CHARTS_H
