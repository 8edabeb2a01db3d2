//===- Page.cpp - a plan as a page --------------------------------------===//

#include "tools/Page.h"
#include "tools/SchedulePage.h"
#include "tools/plan/Report.h"
#include "tools/plan/Timelines.h"

#include <nlohmann/json.hpp>

#include <cmath>

using namespace hadal;
using namespace hadal::plan;

static const char body[] =
    R"html(<section><h2>The step</h2><p>One row for each pipeline rank; gaps are bubbles. The wheel
zooms, dragging moves, a
double click shows all.</p><div class="keys" id="keys"></div><canvas id="step"></canvas></section>
<section><h2>A pair from within</h2><p>A forward and a backward chunk of a middle rank, issued
together: what is computed above, what is
exchanged below.</p><div class="keys" id="pairkeys"></div><canvas id="pair"></canvas></section>
<section><h2>Figures</h2><pre id="report" class="report"></pre></section>
)html";

static const char script[] = R"js(
$("report").textContent = d.report;
const parts = { optimizer: "#8a7fb5", attention: "#5b8def", mlp: "#2aa198", head: "#b58900",
    embedding: "#93a1a1", projection: "#6c71c4", dispatch: "#d33682", combine: "#cb4b16" };
const partColour = name => parts[name] ?? colourOf(name);
chunkKeys("keys", d.ranks.flat().map(e => e[2])); key("keys", parts.optimizer, "optimizer");
const lanes = d.ranks.map((r, i) => [...r.map(([b, e, n, h]) => [b, e, n, h, chunkColour(n)]),
    [d.pipeline, d.pipeline + d.optimizer[i], "optimizer", 0, parts.optimizer]]);
timeline("step", lanes, d.ranks.map((_, i) => "rank " + i), 26, secondsOf(d.pipeline));
[...new Set(d.pair.flat().map(e => e[2].split(" ")[0]))].forEach(n => key("pairkeys",
    partColour(n), n));
if (d.pair.some(l => l.length)) timeline("pair", d.pair.map(l => l.map(([b, e, n]) => [b, e, n, 0,
    partColour(n.split(" ")[0])])), ["compute", "exchange"], 40,
  secondsOf(Math.max(...d.pair.flat().map(e => e[1]))));
)js";

/// Seconds, to ten nanoseconds.
static double rounded(double seconds) { return std::round(seconds * 1e8) / 1e8; }

static nlohmann::json pairOf(const Plan &plan) {
  nlohmann::json lanes = {nlohmann::json::array(), nlohmann::json::array()};
  for (const ItemSpan &span : plan.result.ranks[plan.result.ranks.size() / 2].spans) {
    if (!span.paired)
      continue;
    for (const PartSpan &part : span.timing->parts)
      lanes[int(part.part->lane)].push_back({rounded(part.begin), rounded(part.end),
                                             part.part->name + (part.backward ? " (B)" : " (F)")});
    break;
  }
  return lanes;
}

std::string plan::toPage(const Plan &plan, const std::string &report) {
  nlohmann::json data = {{"report", report},
                         {"pipeline", rounded(plan.result.pipelineSeconds)},
                         {"pair", pairOf(plan)}};
  for (size_t r = 0; r < plan.result.ranks.size(); ++r) {
    nlohmann::json items = nlohmann::json::array();
    const RankResult &rank = plan.result.ranks[r];
    const schedule::Order &order = plan.schedule.orders[r];
    for (size_t i = 0; i < order.size(); ++i)
      items.push_back({rounded(rank.spans[i].begin), rounded(rank.spans[i].end), toString(order[i]),
                       rank.spans[i].paired ? (order[i].paired ? 1 : 2) : 0});
    data["ranks"].push_back(items);
    data["optimizer"].push_back(rounded(rank.rows.optimizer));
  }
  Page page;
  page.title = title(plan);
  page.facts = {{"Layout", toString(plan.layout)},
                {"Times", "simulated, at the rates of " + plan.cluster.name +
                              " in the cluster file; nothing is measured"}};
  page.body = body;
  page.data = data.dump();
  page.script = std::string(chunkScript) + script;
  return pageText(page);
}
