//===- SchedulePage.cpp - a schedule as a page --------------------------===//

#include "tools/SchedulePage.h"

#include "tools/Page.h"

#include <nlohmann/json.hpp>

#include <cstdio>

using namespace hadal;
using namespace hadal::schedule;
using Json = nlohmann::json;

const std::string_view hadal::chunkScript = R"js(
const chunkColours = { F0: "#9cc9ff", F1: "#2a66cc", B0: "#ffbf94", B1: "#cf5a24", I0: "#ffe28f",
    I1: "#b3810a", W0: "#aee3a6", W1: "#2f8742" };
const chunkColour = name => chunkColours[name.slice(0, 2)];
const chunkKeys = (place, names) => {
  const words = { F: "forward", B: "backward", I: "input gradient", W: "weight gradient" };
  const kinds = [...new Set(names.map(n => n.slice(0, 2)))].sort((a, b) =>
          "FBIW".indexOf(a[0]) - "FBIW".indexOf(b[0]) || a[1] - b[1]),
      directions = new Set(kinds.map(k => k[1])).size;
  kinds.forEach(k => key(place, chunkColour(k), words[k[0]] + (directions > 1
      ? `, direction ${k[1]}` : ""))); };
)js";

static const char body[] =
    R"html(<section><h2>Who does what when</h2><p>One row for each pipeline rank; gaps are bubbles.
Of an overlapped pair the forward chunk stands above the backward one. The wheel zooms, dragging
moves, a double click shows all.</p>
<div class="keys" id="keys"></div><canvas id="time"></canvas></section>
<section><h2>Ranks</h2><div class="wide"><table id="ranks"></table></div></section>
)html";

static const char script[] = R"js(
const time = d.seconds ? secondsOf(d.end) : t => String(+t.toPrecision(6));
chunkKeys("keys", d.ranks.flat().map(e => e[2]));
timeline("time", d.ranks.map(r => r.map(([b, e, n, h]) => [b, e, n, h, chunkColour(n)])),
    d.ranks.map((_, i) => "rank " + i), 30, time);
const line = (cells, tag) => { const r = document.createElement("tr");
    cells.forEach(c => { const e = document.createElement(tag); e.textContent = c; r.append(e); });
    $("ranks").append(r); };
line(["rank", "busy", "idle", "micro-batches held at most"], "th");
d.busy.forEach((b, i) => line([i, time(b), (100 * (1 - b / d.end)).toFixed(1) + " %", d.peaks[i]],
    "td"));
)js";

/// [begin, end, name, half] of each item.
static Json itemsOf(const Order &order, const std::vector<Span> &spans) {
  Json items = Json::array();
  for (size_t i = 0; i < order.size(); ++i) {
    bool isSecond = i > 0 && order[i - 1].paired;
    items.push_back({spans[i].begin, spans[i].end, toString(order[i]),
                     order[i].paired ? 1
                     : isSecond      ? 2
                                     : 0});
  }
  return items;
}

/// Names and values under the title.
static PageFacts factsOf(const Schedule &s, const Timeline &line, const StageCosts &costs) {
  Costs mean = costs.mean();
  std::string taken = "forward " + costs.text(mean.forward) + ", input gradient " +
                      costs.text(mean.inputGrad) + ", weight gradient " +
                      costs.text(mean.weightGrad);
  if (directions(s) == 2)
    taken += ", overlapped pair " + costs.text(mean.pair);
  if (costs.stages.size() > 1)
    taken += " (means of stages)";
  double idle = 0;
  for (double busy : line.busy)
    idle += 1 - busy / line.end;
  char share[32];
  std::snprintf(share, sizeof share, "%.1f %%", 100 * idle / s.ranks);
  return {{"Times", costs.inSeconds() ? costs.source : "in units of no fixed length, not seconds"},
          {"A chunk takes", taken},
          {"All take", costs.text(line.end)},
          {"Bubble",
           costs.text(line.bubble()) + " (formula " + costs.text(bubbleFormula(s, mean)) + ")"},
          {"Idle, mean of ranks", share},
          {"Activations of a rank",
           "at most " + std::to_string(claimedActivations(s)) + " micro-batches"}};
}

std::string hadal::schedulePage(const Schedule &s, const Timeline &line, const StageCosts &costs) {
  Page page;
  page.title = s.name + ", " + std::to_string(s.ranks) + " ranks, " +
               std::to_string(s.microBatches) + " micro-batches";
  page.facts = factsOf(s, line, costs);
  Json data = {{"seconds", costs.inSeconds()},
               {"end", line.end},
               {"busy", line.busy},
               {"peaks", peakActivations(s)},
               {"ranks", Json::array()}};
  for (uint32_t rank = 0; rank < s.ranks; ++rank)
    data["ranks"].push_back(itemsOf(s.orders[rank], line.spans[rank]));
  page.body = body;
  page.data = data.dump();
  page.script = std::string(chunkScript) + script;
  return pageText(page);
}
