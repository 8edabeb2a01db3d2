//===- TrainingReport.cpp - a training run as a page --------------------===//

#include "tools/run/TrainingReport.h"

#include "tools/Charts.h"

#include <algorithm>
#include <cmath>
#include <functional>

using namespace hadal;
using namespace hadal::run;

std::string run::trainingReport(const std::string &title, const PageFacts &facts,
                                const std::vector<LoggedStep> &results,
                                const std::vector<int64_t> &layers) {
  Page page;
  page.title = title;
  page.facts = facts;
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
    Curve curve{std::move(name), {}, colour};
    for (const LoggedStep &result : results)
      curve.values.push_back(get(result));
    return curve;
  };
  Charts charts(std::move(steps));
  auto chart = [&](const std::string &name, std::vector<Curve> curves, bool smooth, bool fromZero) {
    charts.add(name, std::move(curves), {smooth, fromZero});
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
  charts.draw(page);
  return pageText(page);
}
