#include "tools/plan/Report.h"
#include "tools/plan/Timelines.h"

#include <nlohmann/json.hpp>

using namespace hadal;
using namespace hadal::plan;

/// The page draws the data that follows it; nothing is fetched.
static const char head[] = R"html(<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>hadal-plan</title>
<style>
:root{--ink:#1a1d21;--soft:#6a737d;--paper:#fff;--lane:#f1f3f6}
@media(prefers-color-scheme:dark){:root{--ink:#e6e8eb;--soft:#9aa4af;--paper:#15181c;--lane:#20252b}}
body{font:14px/1.5 system-ui,sans-serif;margin:2em auto;max-width:1400px;padding:0 1em;color:var(--ink);background:var(--paper)}
h1{font-size:1.35em;margin:0}h2{font-size:1.1em;margin:1.6em 0 .2em}p{margin:.2em 0 .6em;color:var(--soft)}
canvas{width:100%;display:block;cursor:grab}pre{font:12px/1.5 ui-monospace,monospace;overflow-x:auto;background:var(--lane);padding:1em;border-radius:6px}
.k{display:inline-block;margin-right:1.3em;white-space:nowrap}.k i{display:inline-block;width:12px;height:12px;border-radius:3px;vertical-align:-1px;margin-right:5px}
#tip{position:fixed;pointer-events:none;background:var(--ink);color:var(--paper);padding:3px 8px;border-radius:4px;font-size:12px;display:none;white-space:pre}
</style></head><body><h1 id="title"></h1><p id="layout"></p>
<h2>The step</h2><p>A row a pipeline rank; gaps are bubbles. The wheel zooms, dragging moves, a double click shows all.</p>
<div id="keys"></div><canvas id="step"></canvas>
<h2>A pair from within</h2><p>A forward and a backward chunk of a middle rank, issued together: what is computed above, what is exchanged below.</p>
<div id="pairkeys"></div><canvas id="pair"></canvas>
<h2>Figures</h2><pre id="report"></pre><div id="tip"></div>
<script id="data" type="application/json">)html";

static const char tail[] = R"html(</script><script>
const d = JSON.parse(document.getElementById("data").textContent), $ = id => document.getElementById(id), tip = $("tip");
$("title").textContent = d.title; $("layout").textContent = d.layout; $("report").textContent = d.report;
const colours = { F0: "#9cc9ff", F1: "#2a66cc", B0: "#ffbf94", B1: "#cf5a24", I0: "#ffe28f", I1: "#b3810a", W0: "#aee3a6", W1: "#2f8742", O: "#8a7fb5",
  attention: "#5b8def", mlp: "#2aa198", head: "#b58900", embedding: "#93a1a1", projection: "#6c71c4", dispatch: "#d33682", combine: "#cb4b16" };
const colour = name => colours[name] ?? `hsl(${[...name].reduce((h, c) => (h * 31 + c.charCodeAt(0)) >>> 0, 0) % 360} 50% 55%)`;
const key = (place, name, text) => { const k = document.createElement("span"); k.className = "k"; const i = document.createElement("i");
  i.style.background = colour(name); k.append(i, text); $(place).append(k); };
const words = { F: "forward", B: "backward", I: "input gradient", W: "weight gradient" };
const kinds = new Set(d.ranks.flatMap(r => r.map(e => e[2][0] + e[2][1])));
[...kinds].sort().forEach(k => key("keys", k, `${words[k[0]]}, direction ${k[1]}`)); key("keys", "O", "optimizer");
// lanes: lists of [begin, end, name, half, colour]; half: 0 whole height, 1 upper, 2 lower.
function draw(id, lanes, names, height, label) {
  const canvas = $(id), g = canvas.getContext("2d"), left = 64;
  const full = Math.max(...lanes.map(l => l.length ? l[l.length - 1][1] : 0), ...lanes.flatMap(l => l.slice(-4).map(e => e[1])));
  let from = 0, to = full;
  const paint = () => {
    const w = canvas.clientWidth, r = devicePixelRatio || 1, h = lanes.length * height + 22;
    canvas.width = w * r; canvas.height = h * r; canvas.style.height = h + "px"; g.setTransform(r, 0, 0, r, 0, 0); g.clearRect(0, 0, w, h);
    const style = getComputedStyle(document.documentElement), x = t => left + (t - from) / (to - from) * (w - left);
    g.font = "11px ui-monospace,monospace"; g.textBaseline = "middle";
    lanes.forEach((lane, i) => {
      g.fillStyle = style.getPropertyValue("--lane"); g.fillRect(left, i * height + 1, w - left, height - 3);
      for (const [b, e, name, half, tint] of lane) { if (e < from || b > to) continue;
        const a = Math.max(x(b), left), z = Math.min(x(e), w), y = i * height + 1 + (half === 2 ? (height - 3) / 2 : 0), hh = (height - 3) / (half ? 2 : 1);
        g.fillStyle = colour(tint); g.fillRect(a, y, Math.max(z - a - Math.min(.6, (z - a) / 4), .3), hh - (half ? .5 : 0));
        if (z - a > 7 * name.length && hh > 9) { g.fillStyle = /1$/.test(tint) || !/^[FBIW]0$/.test(tint) ? "#fff" : "#10233a"; g.fillText(name, a + 3, y + hh / 2 + .5); } }
      g.fillStyle = style.getPropertyValue("--ink"); g.fillText(names[i], 2, i * height + height / 2);
    });
    g.fillStyle = style.getPropertyValue("--soft");
    const least = (to - from) / Math.max(1, (w - left) / 90), ten = 10 ** Math.floor(Math.log10(least)), step = [1, 2, 5, 10].map(m => m * ten).find(t => t >= least);
    for (let t = Math.ceil(from / step) * step; t <= to; t += step) if (x(t) >= left && x(t) < w - 60) g.fillText(label(t), x(t), h - 9);
  };
  canvas.addEventListener("wheel", e => { e.preventDefault(); const t = from + (e.offsetX - left) / (canvas.clientWidth - left) * (to - from), f = e.deltaY > 0 ? 1.2 : 1 / 1.2;
    from = Math.max(0, t - (t - from) * f); to = Math.min(full, t + (to - t) * f); paint(); }, { passive: false });
  canvas.addEventListener("dblclick", () => { from = 0; to = full; paint(); });
  canvas.addEventListener("mousemove", e => {
    if (e.buttons) { const s = -e.movementX / (canvas.clientWidth - left) * (to - from), c = Math.max(-from, Math.min(full - to, s)); from += c; to += c; paint(); }
    const t = from + (e.offsetX - left) / (canvas.clientWidth - left) * (to - from), i = Math.floor(e.offsetY / height), low = e.offsetY % height > height / 2;
    const hit = (lanes[i] ?? []).find(([b, z, , half]) => b <= t && t < z && (!half || (half === 2) === low));
    tip.style.display = hit ? "block" : "none";
    if (hit) { tip.style.left = e.clientX + 14 + "px"; tip.style.top = e.clientY + 10 + "px"; tip.textContent = `${hit[2]}  ${label(hit[0])} to ${label(hit[1])}`; } });
  canvas.addEventListener("mouseleave", () => tip.style.display = "none"); addEventListener("resize", paint); paint();
}
const lanes = d.ranks.map((r, i) => [...r.map(([b, e, n, h]) => [b, e, n, h, n.slice(0, 2)]), [d.pipeline, d.pipeline + d.optimizer[i], "optimizer", 0, "O"]]);
draw("step", lanes, d.ranks.map((_, i) => "rank " + i), 26, t => d.pipeline > 2e3 ? (t / 1e3).toFixed(3) + " s" : t.toFixed(3) + " ms");
const names = [...new Set(d.pair.flat().map(e => e[2].split(" ")[0]))]; names.forEach(n => key("pairkeys", n, n));
if (d.pair.some(l => l.length)) draw("pair", d.pair.map(l => l.map(([b, e, n]) => [b, e, n, 0, n.split(" ")[0]])), ["compute", "exchange"], 40, t => t.toFixed(d.pipeline > 2e3 ? 1 : 3) + " ms");
</script></body></html>
)html";

/// Milliseconds, to a microsecond.
static double milliseconds(double seconds) { return double(int64_t(seconds * 1e6 + 0.5)) / 1e3; }

static nlohmann::json pairOf(const Plan &plan) {
  nlohmann::json lanes = {nlohmann::json::array(), nlohmann::json::array()};
  for (const ItemSpan &span : plan.result.ranks[plan.result.ranks.size() / 2].spans) {
    if (!span.paired)
      continue;
    for (const PartSpan &part : span.timing->parts)
      lanes[int(part.part->lane)].push_back(
          {milliseconds(part.begin), milliseconds(part.end), part.part->name + (part.backward ? " (B)" : " (F)")});
    break;
  }
  return lanes;
}

std::string plan::toPage(const Plan &plan, const std::string &report) {
  nlohmann::json data = {{"title", title(plan)},
                         {"layout", toString(plan.layout)},
                         {"report", report},
                         {"pipeline", milliseconds(plan.result.pipelineSeconds)},
                         {"pair", pairOf(plan)}};
  for (size_t r = 0; r < plan.result.ranks.size(); ++r) {
    nlohmann::json items = nlohmann::json::array();
    const RankResult &rank = plan.result.ranks[r];
    const schedule::Order &order = plan.schedule.orders[r];
    for (size_t i = 0; i < order.size(); ++i)
      items.push_back({milliseconds(rank.spans[i].begin), milliseconds(rank.spans[i].end), toString(order[i]),
                       rank.spans[i].paired ? (order[i].paired ? 1 : 2) : 0});
    data["ranks"].push_back(items);
    data["optimizer"].push_back(milliseconds(rank.rows.optimizer));
  }
  std::string text = data.dump();
  // A name in the data must not end the script.
  for (size_t at = 0; (at = text.find("</", at)) != std::string::npos; at += 3)
    text.insert(at + 1, "\\");
  return head + text + tail;
}
