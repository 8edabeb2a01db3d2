//===- TrainingReport.cpp - a training run as a page --------------------===//

#include "tools/run/TrainingReport.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <functional>
#include <nlohmann/json.hpp>

using namespace hadal;
using namespace hadal::run;
using Json = nlohmann::json;

namespace {

constexpr std::array<const char *, 10> colours = {"#2563eb", "#e11d48", "#059669", "#d97706",
                                                  "#7c3aed", "#0891b2", "#be185d", "#4d7c0f",
                                                  "#b45309", "#475569"};
constexpr double width = 880, height = 260, left = 62, right = 14, top = 12, bottom = 30;

struct Curve {
  std::string name;
  std::vector<double> values; ///< one per step; NaN: none
  const char *colour;
  bool isPlain = false; ///< drawn as it is, never smoothed
};

std::string format(const char *pattern, double value) {
  char text[64];
  std::snprintf(text, sizeof text, pattern, value);
  return text;
}

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
        bool smooth, bool fromZero)
      : title(std::move(title)), steps(steps), curves(std::move(curves)), smooth(smooth) {
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

  std::string svg() const {
    std::string out = "<section><h2>" + escapedHtml(title) + "</h2>" + keys() +
                      "<div class=\"wide\"><svg class=\"chart\" viewBox=\"0 0 " +
                      format("%g", width) + " " + format("%g", height) +
                      "\" role=\"img\" aria-label=\"" + escapedHtml(title) + "\">";
    out += grid();
    for (const Curve &curve : curves) {
      if (smooth && !curve.isPlain) {
        out += line(curve.values, curve.colour, "faint");
        out += line(smoothed(curve.values), curve.colour, "bold");
      } else {
        out += line(curve.values, curve.colour, "bold");
      }
    }
    return out + "<line class=\"at\" y1=\"" + format("%g", top) + "\" y2=\"" +
           format("%g", height - bottom) + "\"/></svg></div></section>\n";
  }

  /// What the pointer tells: at most 1,500 steps, and each curve's values there.
  Json data() const {
    size_t stride = steps.size() / 1500 + 1;
    Json out = {
        {"x", {left, width - right, width}}, {"steps", Json::array()}, {"curves", Json::array()}};
    for (size_t i = 0; i < steps.size(); i += stride)
      out["steps"].push_back(steps[i]);
    for (const Curve &curve : curves) {
      Json values = Json::array();
      for (size_t i = 0; i < steps.size(); i += stride)
        values.push_back(std::isfinite(curve.values[i]) ? Json(static_cast<float>(curve.values[i]))
                                                        : Json());
      out["curves"].push_back({{"name", curve.name}, {"values", std::move(values)}});
    }
    return out;
  }

private:
  double x(double step) const {
    double first = static_cast<double>(steps.front()), last = static_cast<double>(steps.back());
    return left + (last > first ? (step - first) / (last - first) : 0.5) * (width - left - right);
  }
  double y(double value) const {
    return top + (high - value) / (high - low) * (height - top - bottom);
  }

  /// What colours and kinds of line mean.
  std::string keys() const {
    std::string out = "<div class=\"keys\">";
    if (curves.size() > 1)
      for (const Curve &curve : curves)
        out += "<span><i style=\"background:" + std::string(curve.colour) + "\"></i>" +
               escapedHtml(curve.name) + "</span>";
    if (size_t half = halfWindow(steps.size()); smooth && half)
      out += "<span>bold: mean of " + std::to_string(2 * half + 1) +
             " steps, centred; faint: each step</span>";
    return out + "</div>";
  }

  std::string grid() const {
    std::string out;
    double distance = tickDistance(high - low, 5);
    for (double tick = std::ceil(low / distance) * distance; tick <= high; tick += distance) {
      double shown = std::fabs(tick) < distance * 1e-6 ? 0 : tick;
      out += "<line class=\"grid\" x1=\"" + format("%g", left) + "\" x2=\"" +
             format("%g", width - right) + "\" y1=\"" + format("%.1f", y(tick)) + "\" y2=\"" +
             format("%.1f", y(tick)) + "\"/><text x=\"" + format("%g", left - 8) + "\" y=\"" +
             format("%.1f", y(tick) + 4) + "\" text-anchor=\"end\">" + format("%.4g", shown) +
             "</text>";
    }
    double first = static_cast<double>(steps.front()), last = static_cast<double>(steps.back());
    double stride = std::max(tickDistance(std::max(last - first, 1.0), 8), 1.0);
    for (double tick = std::ceil(first / stride) * stride; tick <= last; tick += stride)
      out += "<text x=\"" + format("%.1f", x(tick)) + "\" y=\"" + format("%g", height - 10) +
             "\" text-anchor=\"middle\">" + format("%.0f", tick) + "</text>";
    return out;
  }

  /// At most about 1,200 points: of more, the first, lowest and highest of each group, so that
  /// spikes stay.
  std::string line(const std::vector<double> &values, const char *colour, const char *kind) const {
    std::string points;
    std::vector<size_t> known;
    for (size_t i = 0; i < values.size(); ++i)
      if (std::isfinite(values[i]))
        known.push_back(i);
    size_t group = std::max<size_t>(known.size() / 400, 1);
    auto add = [&](size_t i) {
      points += format("%.1f,", x(static_cast<double>(steps[i]))) + format("%.1f ", y(values[i]));
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
    if (std::count(points.begin(), points.end(), ',') == 1) // a line of one point would not show
      return "<circle r=\"3\" fill=\"" + std::string(colour) + "\" cx=\"" +
             points.substr(0, points.find(',')) + "\" cy=\"" +
             points.substr(points.find(',') + 1, points.size() - points.find(',') - 2) + "\"/>";
    return "<polyline class=\"" + std::string(kind) + "\" stroke=\"" + colour + "\" points=\"" +
           points + "\"/>";
  }

  std::string title;
  const std::vector<int64_t> &steps;
  std::vector<Curve> curves;
  bool smooth;
  double low = INFINITY, high = -INFINITY;
};

const char style[] = R"css(
.chart{width:100%;min-width:560px;display:block}.grid{stroke:var(--line)}.at{stroke:var(--soft);
  stroke-dasharray:3 3;visibility:hidden}
polyline{fill:none;stroke-linejoin:round}.faint{stroke-width:1;opacity:.28}.bold{stroke-width:1.8}
)css";

/// Tells the values at the step that the pointer is over.
const char script[] = R"js(
document.querySelectorAll(".chart").forEach((svg, i) => {
  const { x: [from, to, all], steps, curves } = d[i], at = svg.querySelector(".at"),
      first = steps[0], last = steps[steps.length - 1];
  svg.addEventListener("mousemove", e => {
    const box = svg.getBoundingClientRect(), px = (e.clientX - box.left) / box.width * all,
        wanted = first + (px - from) / (to - from) * (last - first);
    let k = steps.findIndex(s => s >= wanted); if (k < 0) k = steps.length - 1;
    if (k > 0 && wanted - steps[k - 1] < steps[k] - wanted) k--;
    const line = from + (last > first ? (steps[k] - first) / (last - first) : .5) * (to - from);
    at.setAttribute("x1", line); at.setAttribute("x2", line); at.style.visibility = "visible";
    showTip(e, "step " + steps[k] +
        curves.map(c => c.values[k] == null ? ""
        : `\n${c.name}: ${+c.values[k].toPrecision(6)}`).join(""));
  });
  svg.addEventListener("mouseleave", () => { at.style.visibility = "hidden"; hideTip(); });
});
)js";

} // namespace

std::string run::trainingReport(const std::string &title, const PageFacts &facts,
                                const std::vector<LoggedStep> &results,
                                const std::vector<int64_t> &layers) {
  Page page;
  page.title = title;
  page.facts = facts;
  page.style = style;
  page.script = script;
  if (results.empty()) {
    page.body = "<section>No steps yet.</section>\n";
    page.data = "[]";
    return pageText(page);
  }

  std::vector<int64_t> steps;
  for (const LoggedStep &result : results)
    steps.push_back(result.step);
  auto curve = [&](std::string name, size_t colour,
                   const std::function<double(const LoggedStep &)> &get) {
    Curve curve{std::move(name), {}, colours[colour % colours.size()]};
    for (const LoggedStep &result : results)
      curve.values.push_back(get(result));
    return curve;
  };
  Json data = Json::array();
  auto chart = [&](std::string name, std::vector<Curve> curves, bool smooth, bool fromZero) {
    Chart made(std::move(name), steps, std::move(curves), smooth, fromZero);
    page.body += made.svg();
    data.push_back(made.data());
  };
  std::vector<Curve> losses = {
      curve("next token", 0, [](const LoggedStep &r) { return double(r.loss); })};
  if (std::any_of(results.begin(), results.end(),
                  [](const LoggedStep &r) { return r.mtpLoss() != 0; }))
    losses.push_back(
        curve("further tokens (MTP)", 3, [](const LoggedStep &r) { return r.mtpLoss(); }));
  if (std::any_of(results.begin(), results.end(),
                  [](const LoggedStep &r) { return r.validationLoss.has_value(); })) {
    losses.push_back(curve("validation", 1, [](const LoggedStep &r) {
      return r.validationLoss ? double(*r.validationLoss) : double(NAN);
    }));
    losses.back().isPlain = true;
  }
  chart("Loss, nats per token", std::move(losses), true, false);
  chart("Gradient norm before clipping",
        {curve("norm", 2, [](const LoggedStep &r) { return double(r.gradientNorm); })}, true, true);
  if (!layers.empty()) {
    std::vector<Curve> loads;
    for (size_t i = 0; i < layers.size(); ++i)
      loads.push_back(curve("layer " + std::to_string(layers[i]), i, [i](const LoggedStep &r) {
        return i < r.violation.size() ? double(r.violation[i]) : double(NAN);
      }));
    chart("Load violation of the experts: largest load / mean load − 1", std::move(loads), true,
          true);
  }
  if (std::any_of(results.begin(), results.end(),
                  [](const LoggedStep &r) { return r.balanceLoss != 0; }))
    chart("Balance loss, weighted",
          {curve("balance", 4, [](const LoggedStep &r) { return double(r.balanceLoss); })}, true,
          false);
  if (std::any_of(results.begin(), results.end(),
                  [](const LoggedStep &r) { return r.teraflops > 0; }))
    chart("Speed, TFLOP/s",
          {curve("speed", 6,
                 [](const LoggedStep &r) {
                   return r.teraflops > 0 ? double(r.teraflops) : double(NAN);
                 })},
          true, true);
  chart("Learning rate", {curve("rate", 5, [](const LoggedStep &r) { return double(r.rate); })},
        false, true);
  page.data = data.dump();
  return pageText(page);
}
