//===- Html.cpp - a module as a page ------------------------------------===//

#include "tools/inspect/Describe.h"

using namespace hadal;
using namespace hadal::inspect;

/// The page draws the description that follows it; nothing is fetched.
static const char page[] = R"html(<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>hadal module</title>
<style>
body{font:14px/1.45 system-ui,sans-serif;margin:2em auto;max-width:1200px;padding:0 1em;color:#1a1d21;background:#fff}
h1{font-size:1.4em}h2{font-size:1.1em;margin-top:2em}code,td,.c{font-family:ui-monospace,monospace;font-size:12px}
table{border-collapse:collapse}td,th{padding:2px 12px 2px 0;text-align:left;vertical-align:top}th{font-weight:600}
tr:nth-child(even) td{background:#f5f6f8}summary{cursor:pointer;font-weight:600;padding:4px 0}
.c{white-space:pre-wrap;border-left:4px solid;padding:1px 8px;margin:2px 0}input{font:inherit;padding:4px 8px;width:24em}
svg{width:100%;display:block;background:#fafbfc;margin:6px 0}svg text{font:10px ui-monospace,monospace}.n{text-align:right}
</style></head><body><h1 id="title"></h1><div id="facts"></div>
<h2>Programs</h2><p>Each strip is a program: above, its commands in order, coloured by kernel; below, a bar for each temporary from its
first to its last use, a line for each memory slot that temporaries share. Open one for its commands.</p><div id="programs"></div>
<h2>Kernels</h2><table id="kernels"></table><h2>Buffers</h2><table id="buffers"></table>
<h2>Parameters</h2><p><input id="filter" placeholder="filter by name"></p><table id="parameters"></table>
<script id="module" type="application/json">)html";

static const char script[] = R"html(</script><script>
const m = JSON.parse(document.getElementById("module").textContent), $ = id => document.getElementById(id);
const el = (tag, text, parent, attrs = {}) => { const e = document.createElement(tag); if (text != null) e.textContent = text;
  for (const k in attrs) e.setAttribute(k, attrs[k]); parent && parent.append(e); return e; };
const svg = (tag, parent, attrs, title) => { const e = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const k in attrs) e.setAttribute(k, attrs[k]); if (title) { const t = document.createElementNS(e.namespaceURI, "title");
  t.textContent = title; e.append(t); } parent.append(e); return e; };
const row = (table, cells, tag = "td") => { const r = el("tr", null, table); cells.forEach(c => el(tag, c, r,
  typeof c === "number" ? { class: "n" } : {})); return r; };
const bytes = n => { const u = ["B", "KiB", "MiB", "GiB", "TiB"]; let i = 0; while (n >= 1024 && i < 4) { n /= 1024; i++; }
  return (i ? n.toFixed(1) : n) + " " + u[i]; };
const hue = name => { let h = 0; for (const c of name) h = (h * 31 + c.charCodeAt(0)) >>> 0; return `hsl(${h % 360} 55% 58%)`; };
const shape = t => `${t.dtype} [${t.shape.join(", ")}]`;
const place = b => { for (const s of ["parameter", "weight", "state", "argument", "constant", "temporary"]) if (s in b)
  return (s === "temporary" ? "%" : "") + b[s] + ("element" in b ? `{${b.element}}` : "") + ("offset" in b ? ` + ${b.offset}` : ""); };
const what = c => c.launch ?? ("copy" in c ? "copy" : "call" in c ? "@" + c.call : "repeat" in c ? "repeat" : "skip_if_zero" in c ?
  "skip_if_zero" : "exchange_counts" in c ? "exchange_counts" : "exchange" in c ? "exchange" : "send" in c ? "send" : "receive" in c ? "receive" :
  "event");
const line = c => what(c) + (c.bindings ? `(${c.bindings.map(place).join(", ")})` : "") + (c.scalars?.length ? ` [${c.scalars.join(", ")}]` : "") +
  ("tasks" in c ? ` × ${c.tasks}` : "") + ("copy" in c ? ` ${c.copy} bytes` : "") + ("repeat" in c ? ` ${c.register} < ${c.repeat}` : "") +
  ("skip_if_zero" in c ? ` ${c.skip_if_zero}` : "") + ("exchange_counts" in c ? ` ${c.send} → ${c.exchange_counts}` : "exchange" in c ?
  ` ${c.source} → ${c.exchange}` : "send" in c ? ` ${c.send} → stage ${c.stage}` : "receive" in c ? ` ${c.receive} ← stage ${c.stage}` : "") +
  ("record" in c ? ` recorded ${c.record}` : "wait" in c ? ` awaited ${c.wait}` : "");
const flat = (list, depth = 0) => list.flatMap(c => [{ c, depth }, ...(c.body ? flat(c.body, depth + 1) : [])]);
$("title").textContent = m.file + (m.model ? ` — ${m.model.model_type}, ${m.model.layers} layers, ${(m.model.parameters / 1e6).toFixed(1)} M parameters` : "");
const facts = el("table", null, $("facts"));
row(facts, ["target", `${m.target.triple}, ${m.target.cpu}`]); row(facts, ["code", bytes(m.code_bytes)]);
row(facts, ["packed weights", bytes(m.weights.reduce((s, w) => s + w.bytes, 0))]);
for (const k in m.model ?? {}) row(facts, [k, String(m.model[k])]);
for (const k in m.training ?? {}) if (k !== "trainables") row(facts, ["training: " + k, String(m.training[k])]);
for (const r of m.ranks ?? []) row(facts, [`rank ${r.rank}`, `pp ${r.pp}, ep ${r.ep}, dp ${r.dp}: ${r.experts_per_layer} experts a layer, parameters ` +
  `${bytes(r.parameter_bytes)}, sends ${bytes(r.sent_bytes_per_step)} a step`]);
if (m.model) row(facts, ["cache elements per token", String(m.cache_elements_per_token)]);
for (const p of m.programs) {
  const list = flat(p.commands), n = Math.max(list.length, 1), w = 1160 / n, used = p.temporaries.map(() => [Infinity, -1]);
  list.forEach(({ c }, i) => (c.bindings ?? []).forEach(b => { if ("temporary" in b) { const u = used[b.temporary];
    u[0] = Math.min(u[0], i); u[1] = Math.max(u[1], i); } }));
  const d = el("details", null, $("programs"));
  el("summary", `@${p.name} — ${list.length} commands, ${p.temporaries.length} temporaries in ${p.slots} slots`, d);
  const s = svg("svg", el("div", null, $("programs")), { viewBox: `0 0 1160 ${30 + 12 * p.slots}` });
  list.forEach(({ c }, i) => svg("rect", s, { x: i * w, y: 2, width: Math.max(w - .5, .5), height: 20, fill: hue(what(c)) }, `${i}: ${line(c)}`));
  p.temporaries.forEach((t, i) => { const [a, z] = used[i]; if (z >= 0) svg("rect", s, { x: a * w, y: 28 + 12 * t.slot,
    width: (z - a + 1) * w, height: 9, rx: 2, fill: "#8aa0b8", stroke: "#fff" }, `%${i}: ${t.bytes} bytes, slot ${t.slot}`); });
  const io = el("table", null, d);
  p.arguments.forEach(a => row(io, [a.output ? "out" : "in", a.name, shape(a)]));
  list.forEach(({ c, depth }) => el("div", line(c), d, { class: "c", style: `border-color:${hue(what(c))};margin-left:${depth * 24}px` }));
}
row($("kernels"), ["kernel", "launches", "bindings", "scratch a worker"], "th");
m.kernels.forEach(k => row($("kernels"), [k.symbol, k.launches, k.bindings, bytes(k.scratch_bytes)]).firstChild.style.borderLeft = `4px solid ${hue(k.symbol)}`);
row($("buffers"), ["buffer", "what", "size"], "th");
m.states.forEach(s => row($("buffers"), [s.name, "state", shape(s)]));
m.constants.forEach(c => row($("buffers"), [c.name, "constant", bytes(c.bytes)]));
m.weights.forEach(w => row($("buffers"), [w.name, "packed weight", bytes(w.bytes)]));
const list = m.parameters.map(p => [p.name, row($("parameters"), [p.name, shape(p), p.count > 1 ? `× ${p.count}` : ""])]);
(m.training?.trainables ?? []).forEach(p => list.push([p.name, row($("parameters"), [p.name, `F32 [${p.shape.join(", ")}] ${p.layout}`,
  p.count > 1 ? `× ${p.count}` : ""])]));
$("filter").addEventListener("input", e => list.forEach(([name, r]) => r.hidden = !name.includes(e.target.value)));
</script></body></html>
)html";

std::string inspect::toHtml(const Json &description) {
  // Inside a script element only "</" and "<!" could end or change the text.
  std::string json;
  for (char c : description.dump())
    json += c == '<' ? std::string("\\u003c") : std::string(1, c);
  return page + json + script;
}
