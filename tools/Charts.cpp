//===- Charts.cpp - curves over steps on a page -------------------------===//

#include "tools/Charts.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <nlohmann/json.hpp>

using namespace hadal;
using Json = nlohmann::json;

namespace {

/// Colours of curves: the style sheet has them as --c0 to --c9, for light and for dark pages.
constexpr size_t colourCount = 10;
/// A chart's own coordinates; the page stretches them to its width.
constexpr double width = 1000, height = 200;

/// A distance between ticks of about `range / count`: 1, 2 or 5 times a power of ten.
double tickDistance(double range, int count) {
  double raw = range / count, power = std::pow(10, std::floor(std::log10(raw))),
         ratio = raw / power;
  return power * (ratio < 1.5 ? 1 : ratio < 3.5 ? 2 : ratio < 7.5 ? 5 : 10);
}

/// Steps on either side that a smoothed curve takes its mean over.
size_t halfWindow(size_t steps) { return steps / 100; }

/// The mean of each value and up to halfWindow() on either side, equally many of both, so that the
/// curve stays where the values are. Values that are not numbers count for nothing.
std::vector<double> smoothed(const std::vector<double> &values) {
  std::vector<double> sums = {0}, counts = {0};
  for (double value : values) {
    bool isNumber = std::isfinite(value);
    sums.push_back(sums.back() + (isNumber ? value : 0));
    counts.push_back(counts.back() + isNumber);
  }
  std::vector<double> out;
  for (size_t i = 0; i < values.size(); ++i) {
    size_t half = std::min({halfWindow(values.size()), i, values.size() - 1 - i});
    double count = counts[i + half + 1] - counts[i - half];
    out.push_back(count > 0 ? (sums[i + half + 1] - sums[i - half]) / count : NAN);
  }
  return out;
}

/// A chart of some curves over the steps.
class Chart {
public:
  Chart(std::string title, const std::vector<int64_t> &steps, std::vector<Curve> curves,
        const ChartOptions &options)
      : title(std::move(title)), steps(steps), curves(std::move(curves)), smooth(options.smooth) {
    bool fromZero = options.fromZero;
    for (const Curve &curve : this->curves)
      for (double value : curve.values)
        if (std::isfinite(value)) {
          low = std::min(low, value);
          high = std::max(high, value);
        }
    if (!(low <= high))
      low = 0, high = 1;
    if (fromZero)
      low = std::min(low, 0.0);
    if (high - low < 1e-12 * std::max(std::fabs(high), 1e-300))
      high = low + std::max(std::fabs(low) * 0.1, 1e-12);
    double margin = (high - low) * 0.05;
    high += margin;
    low -= fromZero && low == 0 ? 0 : margin;
  }

  std::string html() const {
    std::string lines;
    for (const Curve &curve : curves) {
      if (smooth && !curve.isPlain) {
        lines += line(curve.values, curve.colour, "faint");
        lines += line(smoothed(curve.values), curve.colour, "bold");
      } else {
        lines += line(curve.values, curve.colour, "bold");
      }
    }
    auto [grid, ticks] = gridAndTicks();
    return "<section><h2>" + escapedHtml(title) + "</h2>" + keys() +
           "<div class=\"plot\"><svg class=\"chart\" viewBox=\"0 0 " + formatted("%g", width) +
           " " + formatted("%g", height) +
           "\" preserveAspectRatio=\"none\" role=\"img\" aria-label=\"" + escapedHtml(title) +
           "\">" + grid + lines + "<line class=\"at\" y1=\"0\" y2=\"" + formatted("%g", height) +
           "\"/></svg>" + ticks + "</div></section>\n";
  }

  /// What the pointer tells: at most 1,500 steps, each curve's values there, and the means that
  /// bold lines show.
  Json data() const {
    size_t stride = steps.size() / 1500 + 1;
    Json out = {{"steps", Json::array()}, {"curves", Json::array()}};
    for (size_t i = 0; i < steps.size(); i += stride)
      out["steps"].push_back(steps[i]);
    auto sampled = [&](const std::vector<double> &values) {
      Json list = Json::array();
      for (size_t i = 0; i < steps.size(); i += stride)
        list.push_back(std::isfinite(values[i]) ? Json(static_cast<float>(values[i])) : Json());
      return list;
    };
    for (const Curve &curve : curves) {
      out["curves"].push_back({{"name", curve.name}, {"values", sampled(curve.values)}});
      if (smooth && !curve.isPlain && halfWindow(steps.size()))
        out["curves"].back()["means"] = sampled(smoothed(curve.values));
    }
    return out;
  }

private:
  double x(double step) const {
    double first = static_cast<double>(steps.front()), last = static_cast<double>(steps.back());
    return (last > first ? (step - first) / (last - first) : 0.5) * width;
  }
  double y(double value) const { return (high - value) / (high - low) * height; }

  static std::string colourOf(size_t colour) {
    return "var(--c" + std::to_string(colour % colourCount) + ")";
  }

  /// What colours and kinds of line mean.
  std::string keys() const {
    std::string out = "<div class=\"keys\">";
    if (curves.size() > 1)
      for (const Curve &curve : curves)
        out += "<span><i style=\"background:" + colourOf(curve.colour) + "\"></i>" +
               escapedHtml(curve.name) + "</span>";
    if (size_t half = halfWindow(steps.size()); smooth && half)
      out += "<span>bold: mean of " + std::to_string(2 * half + 1) +
             " steps, centred; faint: each step</span>";
    return out + "</div>";
  }

  /// Lines of the grid, and the numbers beside them, which keep their size at any width. Of the
  /// steps every second stands away on a narrow page.
  std::pair<std::string, std::string> gridAndTicks() const {
    std::string grid, ticks;
    double distance = tickDistance(high - low, 5);
    for (double tick = std::ceil(low / distance) * distance; tick <= high; tick += distance) {
      double shown = std::fabs(tick) < distance * 1e-6 ? 0 : tick;
      grid += "<line class=\"grid\" x1=\"0\" x2=\"" + formatted("%g", width) + "\" y1=\"" +
              formatted("%.1f", y(tick)) + "\" y2=\"" + formatted("%.1f", y(tick)) + "\"/>";
      ticks += "<span class=\"y\" style=\"top:" + formatted("%.2f", 100 * y(tick) / height) +
               "%\">" + formatted("%.4g", shown) + "</span>";
    }
    double first = static_cast<double>(steps.front()), last = static_cast<double>(steps.back());
    double stride = std::max(tickDistance(std::max(last - first, 1.0), 8), 1.0);
    for (double tick = std::ceil(first / stride) * stride; tick <= last; tick += stride)
      ticks += std::string("<span class=\"x") + (std::llround(tick / stride) % 2 ? " odd" : "") +
               "\" style=\"left:" + formatted("%.2f", 100 * x(tick) / width) + "%\">" +
               formatted("%.0f", tick) + "</span>";
    return {grid, ticks};
  }

  /// At most about 1,200 points: of more, the first, lowest and highest of each group, so that
  /// spikes stay.
  std::string line(const std::vector<double> &values, size_t colour, const char *kind) const {
    std::string points;
    std::vector<size_t> known;
    for (size_t i = 0; i < values.size(); ++i)
      if (std::isfinite(values[i]))
        known.push_back(i);
    size_t group = std::max<size_t>(known.size() / 400, 1);
    auto add = [&](size_t i) {
      points +=
          formatted("%.1f,", x(static_cast<double>(steps[i]))) + formatted("%.1f ", y(values[i]));
    };
    for (size_t begin = 0; begin < known.size(); begin += group) {
      size_t end = std::min(begin + group, known.size());
      auto [lowest, highest] =
          std::minmax_element(known.begin() + begin, known.begin() + end,
                              [&](size_t a, size_t b) { return values[a] < values[b]; });
      std::array<size_t, 3> chosen = {known[begin], *lowest, *highest};
      std::sort(chosen.begin(), chosen.end());
      for (size_t i = 0; i < 3; ++i)
        if (i == 0 || chosen[i] != chosen[i - 1])
          add(chosen[i]);
    }
    if (std::count(points.begin(), points.end(), ',') == 1) { // a line of one point shows as a dot
      points += points;
      kind = "dot";
    }
    return "<polyline class=\"" + std::string(kind) + "\" style=\"stroke:" + colourOf(colour) +
           "\" points=\"" + points + "\"/>";
  }

  std::string title;
  const std::vector<int64_t> &steps;
  std::vector<Curve> curves;
  bool smooth;
  double low = INFINITY, high = -INFINITY;
};

const char style[] = R"css(
:root{--c0:#2563eb;--c1:#e11d48;--c2:#059669;--c3:#d97706;--c4:#7c3aed;--c5:#0891b2;--c6:#be185d;
  --c7:#4d7c0f;--c8:#b45309;--c9:#475569}
@media(prefers-color-scheme:dark){:root{--c0:#60a5fa;--c1:#fb7185;--c2:#34d399;--c3:#fbbf24;
  --c4:#a78bfa;--c5:#22d3ee;--c6:#f472b6;--c7:#a3e635;--c8:#fb923c;--c9:#94a3b8}}
.plot{position:relative;height:240px;margin:12px 16px 28px 64px;font-size:11px;color:var(--soft);
  font-variant-numeric:tabular-nums}
.chart{width:100%;height:100%;display:block;overflow:visible}
  .chart *{vector-effect:non-scaling-stroke}
.plot .y{position:absolute;right:calc(100% + 8px);transform:translateY(-50%)}
  .plot .x{position:absolute;top:calc(100% + 6px);transform:translateX(-50%)}
@media(max-width:600px){.plot{height:190px;margin-left:56px}.plot .odd{display:none}}
.grid{stroke:var(--line)}.at{stroke:var(--soft);stroke-dasharray:3 3;visibility:hidden}
polyline{fill:none;stroke-linejoin:round}.dot{stroke-width:6;stroke-linecap:round}
  .faint{stroke-width:1;opacity:.35}.bold{stroke-width:1.8}
)css";

/// Tells the values at the step that the pointer is over.
const char script[] = R"js(
document.querySelectorAll(".chart").forEach((svg, i) => {
  const { steps, curves } = d[i], at = svg.querySelector(".at"), first = steps[0],
      last = steps[steps.length - 1];
  svg.addEventListener("mousemove", e => {
    const box = svg.getBoundingClientRect(),
        wanted = first + (e.clientX - box.left) / box.width * (last - first);
    let k = steps.findIndex(s => s >= wanted); if (k < 0) k = steps.length - 1;
    if (k > 0 && wanted - steps[k - 1] < steps[k] - wanted) k--;
    const line = (last > first
        ? (steps[k] - first) / (last - first) : .5) * svg.viewBox.baseVal.width;
    at.setAttribute("x1", line); at.setAttribute("x2", line); at.style.visibility = "visible";
    const number = v => +v.toPrecision(6);
    showTip(e, "step " + steps[k] + curves.map(c => c.values[k] == null
        ? "" : `\n${c.name}: ${number(c.values[k])}` +
      (c.means?.[k] == null ? "" : ` (mean ${number(c.means[k])})`)).join(""));
  });
  svg.addEventListener("mouseleave", () => { at.style.visibility = "hidden"; hideTip(); });
});
)js";

} // namespace

void Charts::add(const std::string &title, std::vector<Curve> curves, const ChartOptions &options) {
  Chart chart(title, steps, std::move(curves), options);
  body += chart.html();
  data.push_back(chart.data().dump());
}

void Charts::draw(Page &page) const {
  page.body = body;
  page.style = style;
  page.script = script;
  page.data = "[";
  for (const std::string &chart : data)
    page.data += (page.data.size() > 1 ? "," : "") + chart;
  page.data += "]";
}
