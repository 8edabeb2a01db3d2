//===- DrawingHtml.cpp - a schedule as a page -----------------------------===//

#include "passes/schedule/Drawing.h"

#include <algorithm>
#include <cmath>

using namespace hadal;
using namespace hadal::schedule;

namespace {

const char style[] = R"html(<style>
:root{--ink:#1a1d21;--soft:#6a737d;--paper:#fff;--lane:#f1f3f6;--edge:#1a1d21}
@media(prefers-color-scheme:dark){:root{--ink:#e6e8eb;--soft:#9aa4af;--paper:#15181c;--lane:#20252b;--edge:#e6e8eb}}
body{font:14px/1.5 system-ui,sans-serif;margin:2em;color:var(--ink);background:var(--paper)}
h1{font-size:1.35em;margin:0 0 .2em}p{margin:.2em 0 1em;color:var(--soft)}b{color:var(--ink)}
.s{overflow-x:auto}svg{display:block}svg text{font:11px ui-monospace,monospace;fill:var(--ink)}
.t{fill:var(--soft)!important}.g{stroke:var(--soft);stroke-opacity:.25}.lane{fill:var(--lane)}
.pair{fill:none;stroke:var(--edge);stroke-width:1.5}svg .n{text-anchor:middle;pointer-events:none}
.F0{fill:#9cc9ff}.B0{fill:#ffbf94}.I0{fill:#ffe28f}.W0{fill:#aee3a6}.F1{fill:#2a66cc}.B1{fill:#cf5a24}.I1{fill:#b3810a}.W1{fill:#2f8742}
svg .d0{fill:#10233a}svg .d1{fill:#fff}
.c:hover rect:first-of-type{fill-opacity:.75}.bar{fill:#c0392b}
.k{display:inline-block;margin-right:1.4em;white-space:nowrap}.k svg{display:inline-block;vertical-align:-3px;margin-right:5px}
</style>)html";

std::string number(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.6g", value);
  return text;
}

/// Attributes of a place, in pixels.
std::string at(const char *name, double value) {
  return std::string(" ") + name + "=\"" + number(std::round(value * 100) / 100) + "\"";
}

std::string rect(const std::string &type, double x, double y, double width, double height) {
  return "<rect class=\"" + type + "\"" + at("x", x) + at("y", y) + at("width", width) + at("height", height) +
         " rx=\"2\"/>";
}

std::string text(const std::string &type, double x, double y, const std::string &words) {
  return "<text class=\"" + type + "\"" + at("x", x) + at("y", y) + ">" + words + "</text>";
}

std::string typeOf(const Chunk &chunk) {
  return std::string(1, "FBIW"[static_cast<size_t>(chunk.kind)]) + (chunk.direction == 0 ? "0" : "1");
}

class Page {
public:
  Page(const Schedule &s, const Timeline &line, const Costs &costs) : s(s), line(line), costs(costs) {
    unit = std::min({costs.forward, costs.inputGrad, costs.weightGrad, costs.pair});
    pixels = (14 + 7 * std::to_string(microBatchesOf(s) - 1).size()) / unit;
    width = line.end * pixels;
  }

  std::string print() {
    out = "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>" + s.name + " " +
          std::to_string(s.ranks) + " x " + std::to_string(s.microBatches) + "</title>\n";
    out += style;
    out += "</head><body>\n";
    head();
    double height = top + s.ranks * row + 8;
    out += "<div class=\"s\"><svg" + at("width", left + width + right) + at("height", height) +
           " role=\"img\" aria-label=\"" + s.name + "\">\n";
    axis(height);
    std::vector<uint32_t> peaks = peakActivations(s);
    for (uint32_t rank = 0; rank < s.ranks; ++rank)
      lane(rank, peaks[rank]);
    return out + "</svg></div>\n</body></html>\n";
  }

private:
  void head() {
    out += "<h1>" + s.name + ", " + std::to_string(s.ranks) + " ranks, " + std::to_string(s.microBatches) +
           " micro-batches</h1>\n<p>forward " + number(costs.forward) + ", input gradient " + number(costs.inputGrad) +
           ", weight gradient " + number(costs.weightGrad);
    if (directions(s) == 2)
      out += ", overlapped pair " + number(costs.pair);
    double total = 0;
    for (double busy : line.busy)
      total += 1 - busy / line.end;
    out += "; time <b>" + number(line.end) + "</b>, bubble <b>" + number(line.bubble()) + "</b> (formula " +
           number(bubbleFormula(s, costs)) + "), idle <b>" + percent(total / s.ranks) + "</b>; at most <b>" +
           std::to_string(claimedActivations(s)) + "</b> activations a rank</p>\n<p>";
    static const char *const names[] = {"forward", "backward", "input gradient", "weight gradient"};
    for (uint32_t kind = 0; kind < 4; ++kind) {
      out += "<span class=\"k\">";
      for (uint32_t direction = 0; direction < directions(s); ++direction)
        out += "<svg width=\"14\" height=\"14\">" +
               rect(typeOf({static_cast<Kind>(kind), direction, 0}), 0, 0, 14, 14) + "</svg>";
      out += std::string(names[kind]) + "</span>";
    }
    out += directions(s) == 2 ? "dark: direction 1; framed: overlapped</p>\n" : "</p>\n";
  }

  void axis(double height) {
    double step = unit;
    while (step * pixels < 90)
      step *= step * pixels < 45 ? 2 : 2.5;
    for (double t = 0; t <= line.end + 1e-9; t += step) {
      double x = left + t * pixels;
      out += "<line class=\"g\"" + at("x1", x) + at("x2", x) + at("y1", top - 6) + at("y2", height) + "/>" +
             text("t n", x, top - 10, number(t)) + "\n";
    }
    out += text("t", left + width + 12, top - 10, "idle") + "\n";
  }

  void lane(uint32_t rank, uint32_t peak) {
    double y = top + rank * row;
    out += "<g>" + rect("lane", left, y, width, bar) + text("t", 0, y + 20, "rank " + std::to_string(rank)) +
           "<title>rank " + std::to_string(rank) + ": busy " + number(line.busy[rank]) + " of " + number(line.end) +
           ", at most " + std::to_string(peak) + " activations</title></g>\n";
    const Order &order = s.orders[rank];
    for (size_t i = 0; i < order.size(); ++i) {
      bool pair = order[i].paired;
      chunk(rank, order[i], pair ? &order[i + 1] : nullptr, line.spans[rank][i], y);
      i += pair;
    }
    double idle = 1 - line.busy[rank] / line.end;
    out += rect("bar", left + width + 12, y + 8, 60 * idle, 12) +
           text("", left + width + 16 + 60 * idle, y + 18, percent(idle)) + "\n";
  }

  /// A chunk alone fills its lane; of a pair the forward stands above the backward.
  void chunk(uint32_t rank, const Chunk &one, const Chunk *other, Span span, double y) {
    double x = left + span.begin * pixels, w = (span.end - span.begin) * pixels, h = other ? bar / 2 : bar;
    std::string name = toString(one) + (other ? "+" + toString(*other) : "");
    out += "<g class=\"c\">" + rect(typeOf(one), x + .5, y, w - 1, h);
    if (other)
      out += rect(typeOf(*other), x + .5, y + h, w - 1, h) + rect("pair", x + .75, y + .75, w - 1.5, bar - 1.5);
    out += text(one.direction == 0 ? "n d0" : "n d1", x + w / 2, y + h / 2 + 4, std::to_string(one.microBatch));
    if (other)
      out +=
          text(other->direction == 0 ? "n d0" : "n d1", x + w / 2, y + h * 1.5 + 4, std::to_string(other->microBatch));
    out += "<title>rank " + std::to_string(rank) + ": " + name + ", " + number(span.begin) + " to " + number(span.end) +
           "</title></g>\n";
  }

  static std::string percent(double share) { return number(std::round(1000 * share) / 10) + "%"; }

  static constexpr double left = 62, right = 130, top = 28, row = 36, bar = 30;
  const Schedule &s;
  const Timeline &line;
  const Costs &costs;
  double unit, pixels, width;
  std::string out;
};

} // namespace

std::string schedule::drawHtml(const Schedule &s, const Timeline &line, const Costs &costs) {
  return Page(s, line, costs).print();
}
