//===- Drawing.cpp - a schedule for a terminal ----------------------------===//

#include "runtime/schedule/Drawing.h"

#include <algorithm>

using namespace hadal;
using namespace hadal::schedule;

/// "F7"; small in direction 1.
static std::string label(const Chunk &chunk) {
  std::string letter(1, (chunk.direction == 0 ? "FBIW" : "fbiw")[static_cast<size_t>(chunk.kind)]);
  return letter + std::to_string(chunk.microBatch);
}

static std::string percent(double share) {
  char text[32];
  std::snprintf(text, sizeof text, "%.1f%%", 100 * share);
  return text;
}

/// What a column stands for. Measured chunks may be thousands of times as long as others.
static double unitOf(const Timeline &line, const StageCosts &costs) {
  double longest = 0;
  for (const std::vector<Span> &spans : line.spans)
    for (const Span &span : spans)
      longest = std::max(longest, span.end - span.begin);
  return costs.inSeconds() ? std::max(costs.least(), longest / 10) : costs.least();
}

std::string schedule::drawText(const Schedule &s, const Timeline &line, const StageCosts &costs) {
  double unit = unitOf(line, costs);
  size_t cell = 2 + std::to_string(microBatchesOf(s) - 1).size(),
         digits = std::to_string(s.ranks - 1).size();
  auto column = [&](double time) { return static_cast<size_t>(time / unit + 0.5) * cell; };
  std::string text = s.name + ", " + std::to_string(s.ranks) + " ranks, " +
                     std::to_string(s.microBatches) + " micro-batches, time in units of " +
                     costs.text(unit) + (costs.inSeconds() ? "" : ", not seconds") + "\n\n";
  std::string ticks(9 + digits + column(line.end), ' ');
  for (size_t t = 0; column(t * unit) <= column(line.end); t += 10)
    ticks.replace(6 + digits + column(t * unit), std::to_string(t).size(), std::to_string(t));
  text += ticks.substr(0, ticks.find_last_not_of(' ') + 1) + "\n";
  for (size_t rank = 0; rank < s.orders.size(); ++rank) {
    std::string row;
    for (size_t c = 0; c < column(line.end); ++c)
      row += c % cell == cell / 2 ? '.' : ' ';
    const Order &order = s.orders[rank];
    for (size_t i = 0; i < order.size(); ++i) {
      std::string name = "|" + label(order[i]);
      if (order[i].paired)
        name += "+" + label(order[i + 1]);
      Span span = line.spans[rank][i];
      size_t from = column(span.begin), width = column(span.end) - from;
      name.resize(width, ' ');
      row.replace(from, width, name);
      i += order[i].paired;
    }
    std::string title = std::to_string(rank);
    text += "rank " + std::string(digits - title.size(), ' ') + title + " " + row + "| " +
            percent(1 - line.busy[rank] / line.end) + "\n";
  }
  text += "\nF forward, B backward, I input gradient, W weight gradient";
  text += directions(s) == 2 ? ", small in direction 1; F+b overlapped" : "";
  text += "; . and % idle\ntime " + costs.text(line.end) + ", bubble " + costs.text(line.bubble()) +
          " (formula " + costs.text(bubbleFormula(s, costs.mean())) + ")\n";
  if (costs.inSeconds())
    text += "seconds: " + costs.source + "\n";
  return text;
}
