//===- TrainingReport.cpp - a training run as a page --------------------===//

#include "tools/run/TrainingReport.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <functional>

using namespace hadal;
using namespace hadal::run;

namespace {

constexpr std::array<const char *, 10> colours = {"#2563eb", "#e11d48", "#059669", "#d97706", "#7c3aed",
                                                  "#0891b2", "#be185d", "#4d7c0f", "#b45309", "#475569"};
constexpr double width = 880, height = 260, left = 62, right = 14, top = 12, bottom = 30;

struct Curve {
  std::string name;
  std::vector<double> values; ///< one per step; NaN: none
  const char *colour;
};

std::string escaped(const std::string &text) {
  std::string out;
  for (char c : text)
    out += c == '<' ? "&lt;" : c == '>' ? "&gt;" : c == '&' ? "&amp;" : c == '"' ? "&quot;" : std::string(1, c);
  return out;
}

std::string format(const char *pattern, double value) {
  char text[64];
  std::snprintf(text, sizeof text, pattern, value);
  return text;
}

/// A distance between ticks of about `range / count`: 1, 2 or 5 times a power of ten.
double tickDistance(double range, int count) {
  double raw = range / count, power = std::pow(10, std::floor(std::log10(raw))), ratio = raw / power;
  return power * (ratio < 1.5 ? 1 : ratio < 3.5 ? 2 : ratio < 7.5 ? 5 : 10);
}

/// A moving mean over about a fiftieth of the steps, which shows the way of a noisy curve.
std::vector<double> smoothed(const std::vector<double> &values) {
  size_t window = std::max<size_t>(values.size() / 50, 1);
  std::vector<double> out;
  double mean = NAN;
  for (double value : values) {
    if (std::isfinite(value))
      mean = std::isfinite(mean) ? mean + (value - mean) / static_cast<double>(window) : value;
    out.push_back(mean);
  }
  return out;
}

/// A chart of some curves over the steps.
class Chart {
public:
  Chart(std::string title, const std::vector<int64_t> &steps, std::vector<Curve> curves, bool smooth, bool fromZero)
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
    std::string out = "<section><h2>" + escaped(title) + legend() + "</h2><svg viewBox=\"0 0 " + format("%g", width) + " " +
                      format("%g", height) + "\" role=\"img\" aria-label=\"" + escaped(title) + "\">";
    out += grid();
    for (const Curve &curve : curves) {
      if (smooth) {
        out += line(curve.values, curve.colour, "faint");
        out += line(smoothed(curve.values), curve.colour, "bold");
      } else {
        out += line(curve.values, curve.colour, "bold");
      }
    }
    return out + "</svg></section>\n";
  }

private:
  double x(double step) const {
    double first = static_cast<double>(steps.front()), last = static_cast<double>(steps.back());
    return left + (last > first ? (step - first) / (last - first) : 0.5) * (width - left - right);
  }
  double y(double value) const { return top + (high - value) / (high - low) * (height - top - bottom); }

  std::string legend() const {
    if (curves.size() < 2)
      return {};
    std::string out = "<span>";
    for (const Curve &curve : curves)
      out += "<i style=\"background:" + std::string(curve.colour) + "\"></i>" + escaped(curve.name);
    return out + "</span>";
  }

  std::string grid() const {
    std::string out;
    double distance = tickDistance(high - low, 5);
    for (double tick = std::ceil(low / distance) * distance; tick <= high; tick += distance) {
      double shown = std::fabs(tick) < distance * 1e-6 ? 0 : tick;
      out += "<line class=\"grid\" x1=\"" + format("%g", left) + "\" x2=\"" + format("%g", width - right) + "\" y1=\"" +
             format("%.1f", y(tick)) + "\" y2=\"" + format("%.1f", y(tick)) + "\"/><text x=\"" + format("%g", left - 8) + "\" y=\"" +
             format("%.1f", y(tick) + 4) + "\" text-anchor=\"end\">" + format("%.4g", shown) + "</text>";
    }
    double first = static_cast<double>(steps.front()), last = static_cast<double>(steps.back());
    double stride = std::max(tickDistance(std::max(last - first, 1.0), 8), 1.0);
    for (double tick = std::ceil(first / stride) * stride; tick <= last; tick += stride)
      out += "<text x=\"" + format("%.1f", x(tick)) + "\" y=\"" + format("%g", height - 10) + "\" text-anchor=\"middle\">" +
             format("%.0f", tick) + "</text>";
    return out;
  }

  /// At most about 1,200 points: of more, the first, lowest and highest of each group, so that spikes stay.
  std::string line(const std::vector<double> &values, const char *colour, const char *kind) const {
    std::string points;
    size_t group = std::max<size_t>(values.size() / 400, 1);
    auto add = [&](size_t i) {
      if (std::isfinite(values[i]))
        points += format("%.1f,", x(static_cast<double>(steps[i]))) + format("%.1f ", y(values[i]));
    };
    for (size_t begin = 0; begin < values.size(); begin += group) {
      size_t end = std::min(begin + group, values.size());
      auto [lowest, highest] = std::minmax_element(values.begin() + begin, values.begin() + end);
      std::array<size_t, 3> chosen = {begin, size_t(lowest - values.begin()), size_t(highest - values.begin())};
      std::sort(chosen.begin(), chosen.end());
      for (size_t i = 0; i < 3; ++i)
        if (i == 0 || chosen[i] != chosen[i - 1])
          add(chosen[i]);
    }
    if (std::count(points.begin(), points.end(), ',') == 1) // a line of one point would not show
      return "<circle r=\"3\" fill=\"" + std::string(colour) + "\" cx=\"" + points.substr(0, points.find(',')) + "\" cy=\"" +
             points.substr(points.find(',') + 1, points.size() - points.find(',') - 2) + "\"/>";
    return "<polyline class=\"" + std::string(kind) + "\" stroke=\"" + colour + "\" points=\"" + points + "\"/>";
  }

  std::string title;
  const std::vector<int64_t> &steps;
  std::vector<Curve> curves;
  bool smooth;
  double low = INFINITY, high = -INFINITY;
};

const char style[] = R"(<style>
:root{--ink:#1a1d21;--soft:#6b7280;--line:#e5e7eb;--page:#f6f7f9;--card:#fff}
@media(prefers-color-scheme:dark){:root{--ink:#e5e7eb;--soft:#9ca3af;--line:#2f353d;--page:#14171b;--card:#1c2026}}
body{font:14px/1.5 system-ui,-apple-system,"Segoe UI",sans-serif;margin:0;background:var(--page);color:var(--ink)}
main{max-width:960px;margin:0 auto;padding:32px 20px}h1{font-size:22px;margin:0 0 16px}
section,dl{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:14px 18px;margin:0 0 16px}
h2{font-size:14px;font-weight:600;margin:0 0 6px}h2 span{float:right;font-weight:400;color:var(--soft);font-size:12px}
h2 i{display:inline-block;width:14px;height:3px;border-radius:2px;margin:0 5px 3px 14px}
svg{width:100%;display:block}svg text{font-size:11px;fill:var(--soft);font-variant-numeric:tabular-nums}.grid{stroke:var(--line)}
polyline{fill:none;stroke-linejoin:round}.faint{stroke-width:1;opacity:.28}.bold{stroke-width:1.8}
dl{display:grid;grid-template-columns:repeat(auto-fill,minmax(200px,1fr));gap:10px 24px}dl div{min-width:0}
dt{color:var(--soft);font-size:12px}dd{margin:0;font-variant-numeric:tabular-nums;overflow-wrap:anywhere}
</style>)";

} // namespace

std::string run::trainingReport(const std::string &title, const ReportFacts &facts, const std::vector<StepResult> &results,
                                const std::vector<int64_t> &layers) {
  std::string out = "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width, "
                    "initial-scale=1\"><title>" +
                    escaped(title) + "</title>" + style + "</head><body><main><h1>" + escaped(title) + "</h1>\n<dl>";
  for (const auto &[name, value] : facts)
    out += "<div><dt>" + escaped(name) + "</dt><dd>" + escaped(value) + "</dd></div>";
  out += "</dl>\n";
  if (results.empty())
    return out + "<section>No steps yet.</section></main></body></html>\n";

  std::vector<int64_t> steps;
  for (const StepResult &result : results)
    steps.push_back(result.step);
  auto curve = [&](std::string name, size_t colour, const std::function<double(const StepResult &)> &get) {
    Curve curve{std::move(name), {}, colours[colour % colours.size()]};
    for (const StepResult &result : results)
      curve.values.push_back(get(result));
    return curve;
  };
  auto chart = [&](std::string name, std::vector<Curve> curves, bool smooth, bool fromZero) {
    out += Chart(std::move(name), steps, std::move(curves), smooth, fromZero).svg();
  };
  std::vector<Curve> losses = {curve("next token", 0, [](const StepResult &r) { return double(r.loss); })};
  if (std::any_of(results.begin(), results.end(), [](const StepResult &r) { return r.mtpLoss() != 0; }))
    losses.push_back(curve("further tokens (MTP)", 3, [](const StepResult &r) { return r.mtpLoss(); }));
  chart("Loss, nats per token", std::move(losses), true, false);
  chart("Gradient norm before clipping", {curve("norm", 2, [](const StepResult &r) { return double(r.gradientNorm); })}, true, true);
  if (!layers.empty()) {
    std::vector<Curve> loads;
    for (size_t i = 0; i < layers.size(); ++i)
      loads.push_back(curve("layer " + std::to_string(layers[i]), i, [i](const StepResult &r) {
        return i < r.violation.size() ? double(r.violation[i]) : double(NAN);
      }));
    chart("Load violation of the experts: largest load / mean load − 1", std::move(loads), true, true);
  }
  if (std::any_of(results.begin(), results.end(), [](const StepResult &r) { return r.balanceLoss != 0; }))
    chart("Balance loss, weighted", {curve("balance", 4, [](const StepResult &r) { return double(r.balanceLoss); })}, true, false);
  chart("Learning rate", {curve("rate", 5, [](const StepResult &r) { return double(r.rate); })}, false, true);
  return out + "</main></body></html>\n";
}
