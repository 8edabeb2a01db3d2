//===- Html.cpp - a module as a page ------------------------------------===//

#include "tools/Page.h"
#include "tools/inspect/Describe.h"

#include <cstdio>

using namespace hadal;
using namespace hadal::inspect;

static const char body[] =
    R"html(<section><h2>Module</h2><div class="wide" id="facts"></div></section>
<section><h2>Programs</h2><p>Each strip is a program. Above: its commands in order, one colour for
each kind of kernel. Below: a bar for each
temporary, from its first use to its last, in the memory slot that it shares with others. Point at
anything to see what it is; open a
program for its commands.</p><div class="keys" id="keys"></div><div id="programs"></div></section>
<section><h2>Kernels</h2><div class="wide"><table id="kernels"></table></div></section>
<section><h2>Buffers</h2><div class="wide"><table id="buffers"></table></div></section>
<section><h2>Parameters</h2><p><input id="filter" placeholder="filter by name"
aria-label="filter by name"></p><div class="wide"><table id="parameters"></table></div></section>
)html";

static const char style[] = R"css(
.c{white-space:pre-wrap;overflow-wrap:anywhere;border-left:4px solid;padding:1px 8px;margin:2px 0}
.bar{stroke:var(--lane)}#kernels :is(td,th){white-space:nowrap}
svg{width:100%;display:block;background:var(--lane);margin:6px 0;border-radius:4px}
)css";

/// Draws the description, `d`.
static const char script[] = R"js(
const m = d;
const el = (tag, text, parent, attrs = {}) => { const e = document.createElement(tag);
  if (text != null) e.textContent = text;
  for (const k in attrs) e.setAttribute(k, attrs[k]); parent && parent.append(e); return e; };
const svg = (tag, parent, attrs, title) => {
  const e = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const k in attrs) e.setAttribute(k, attrs[k]); if (title) e.dataset.tip = title;
  parent.append(e); return e; };
const row = (table, cells, tag = "td") => { const r = el("tr", null, table);
  cells.forEach(c => el(tag, c, r,
      typeof c === "number" ? { class: "n" } : {})); return r; };
const bytes = n => { const u = ["B", "KiB", "MiB", "GiB", "TiB"]; let i = 0;
  while (n >= 1024 && i < 4) { n /= 1024; i++; }
  return (i ? n.toFixed(1) : n) + " " + u[i]; };
const shape = t => `${t.dtype} [${t.shape.join(", ")}]`;
const place = b => { for (const s of ["parameter", "weight", "state", "argument", "constant",
    "temporary"]) if (s in b)
  return (s === "temporary" ? "%" : "") + b[s] + ("element" in b ? `{${b.element}}` : "") +
      ("offset" in b ? ` + ${b.offset}` : ""); };
const kinds = ["copy", "repeat", "skip_if_zero", "exchange_counts", "exchange", "send", "receive"];
const what = c => c.launch ?? ("call" in c ? "@" + c.call : kinds.find(k => k in c) ?? "event");
const line = c => what(c) + (c.bindings ? `(${c.bindings.map(place).join(", ")})` : "") +
    (c.scalars?.length ? ` [${c.scalars.join(", ")}]` : "") +
  ("tasks" in c ? ` × ${c.tasks}` : "") + ("copy" in c ? ` ${c.copy} bytes` : "") +
      ("repeat" in c ? ` ${c.register} < ${c.repeat}` : "") +
  ("skip_if_zero" in c ? ` ${c.skip_if_zero}` : "") +
      ("exchange_counts" in c ? ` ${c.send} → ${c.exchange_counts}` : "exchange" in c ?
  ` ${c.source} → ${c.exchange}` : "send" in c
      ? ` ${c.send} → stage ${c.stage}` : "receive" in c
          ? ` ${c.receive} ← stage ${c.stage}` : "") +
  ("record" in c ? ` recorded ${c.record}` : "wait" in c ? ` awaited ${c.wait}` : "");
// Kinds of kernels by the names that the compiler gives them, in this order.
const families = [["grouped products", "#2f8742", /grouped_(pair_)?(matmul|weight_grad)/],
    ["attention", "#cf5a24", /^mla_.*attention/],
  ["weights packed and unpacked", "#8d99a6", /^(un)?pack|^draw/], ["products", "#3d78d6",
      /matmul|weight_grad/], ["rope and cache", "#e0a63a", /^mla_/],
  ["routing and rows of experts", "#c2458f", /^moe_/], ["optimizer", "#8a63d2",
      /adamw|square_sum|global_norm|^schedule|^zero|^add/],
  ["element by element", "#57b8c9", /./]], moves = ["copies, calls, messages", "#b9a37c"];
const symbols = new Set(m.kernels.map(k => k.symbol)), kindOf = name => symbols.has(name)
    ? families.find(k => k[2].test(name)) : moves;
const flat = (list, depth = 0) => list.flatMap(c => [{ c, depth }, ...(c.body ? flat(c.body,
    depth + 1) : [])]);
const facts = el("table", null, $("facts"));
m.codes.forEach(c => row(facts, ["code", `for ${c.target.family}, ${c.target.processor}: ` +
    `${c.format}, ${bytes(c.bytes)}`]));
row(facts, ["packed weights", bytes(m.weights.reduce((s, w) => s + w.bytes, 0))]);
const fact = v => Array.isArray(v) ? v.join(", ") : typeof v === "number"
    ? String(+v.toPrecision(v % 1 ? 6 : 15)) : String(v);
for (const k in m.model ?? {}) if (k !== "configuration") row(facts, [k, fact(m.model[k])]);
for (const k in m.training ?? {}) if (k !== "trainables") row(facts, ["training: " + k,
    fact(m.training[k])]);
for (const r of m.ranks ?? []) row(facts, [`rank ${r.rank}`,
    `pp ${r.pp}, ep ${r.ep}, dp ${r.dp}: ` +
  `${r.experts_per_layer} experts in each layer, parameters ` +
  `${bytes(r.parameter_bytes)}, sends ${bytes(r.sent_bytes_per_step)} in each step`]);
if (m.model) row(facts, ["cache elements per token", String(m.cache_elements_per_token)]);
if (m.model?.configuration) { const box = el("details", null, $("facts"));
    el("summary", "Configuration: values that change numbers", box);
  const table = el("table", null, box); for (const k in m.model.configuration) row(table, [k,
      m.model.configuration[k]]); }
for (const p of m.programs) {
  const list = flat(p.commands), n = Math.max(list.length, 1), w = 1160 / n,
      used = p.temporaries.map(() => [Infinity, -1]);
  list.forEach(({ c }, i) =>
      (c.bindings ?? []).forEach(b => { if ("temporary" in b) { const u = used[b.temporary];
    u[0] = Math.min(u[0], i); u[1] = Math.max(u[1], i); } }));
  const d = el("details", null, $("programs"));
  const count = (n, what) => `${n} ${what}${n === 1 ? "" : "s"}`, kept = p.temporaries.length;
  const slots = kept === 1 ? "1 temporary" : kept + " temporaries";
  el("summary", `@${p.name}: ${count(list.length, "command")}` +
      (kept ? `, ${slots} in ${count(p.slots, "slot")}` : ""), d);
  const s = svg("svg", el("div", null, $("programs")),
      { viewBox: `0 0 1160 ${30 + 12 * p.slots}` });
  list.forEach(({ c }, i) => svg("rect", s, { x: i * w, y: 2, width: Math.max(w - .5, .5),
      height: 20, fill: kindOf(what(c))[1] }, `${i}: ${line(c)}`));
  p.temporaries.forEach((t, i) => { const [a, z] = used[i]; if (z >= 0) svg("rect", s, { x: a * w,
      y: 28 + 12 * t.slot,
    width: (z - a + 1) * w, height: 9, rx: 2, fill: "#8aa0b8", class: "bar" },
        `%${i}: ${t.bytes} bytes, slot ${t.slot}`); });
  const io = el("table", null, d);
  p.arguments.forEach(a => row(io, [a.output ? "out" : "in", a.name, shape(a)]));
  list.forEach(({ c, depth }) => el("div", line(c), d, { class: "c",
      style: `border-color:${kindOf(what(c))[1]};margin-left:${depth * 24}px` }));
}
const seen = new Set(m.programs.flatMap(p => flat(p.commands).map(({ c }) => kindOf(what(c)))));
[...families, moves].forEach(k => seen.has(k) && key("keys", k[1], k[0]));
row($("kernels"), ["kernel", "kind", "launches", "bindings", "in each launch"], "th");
m.kernels.forEach(k => { const kind = kindOf(k.symbol), r = row($("kernels"), [k.symbol, kind[0],
    k.launches, k.bindings,
    k.tier ? `${k.tier}, blocks of ${k.threads} threads, ${bytes(k.shared_bytes)} shared`
        : k.scratch_bytes ? bytes(k.scratch_bytes) + " of scratch for each worker" : ""]);
  Object.assign(r.firstChild.style, { borderLeft: `6px solid ${kind[1]}`, paddingLeft: "6px" }); });
row($("buffers"), ["buffer", "what", "size"], "th");
const laid = b => b.layout ? `, ${b.layout}` : "";
m.states.forEach(s => row($("buffers"), [s.name, "state", shape(s) + laid(s)]));
m.constants.forEach(c => row($("buffers"), [c.name, "constant", bytes(c.bytes)]));
m.weights.forEach(w => row($("buffers"), [w.name, "packed weight", bytes(w.bytes) + laid(w)]));
const list = m.parameters.map(p =>
    [p.name, row($("parameters"), [p.name, shape(p), p.count > 1 ? `× ${p.count}` : ""])]);
(m.training?.trainables ?? []).forEach(p =>
    list.push([p.name, row($("parameters"), [p.name, `F32 [${p.shape.join(", ")}] ${p.layout}`,
  p.count > 1 ? `× ${p.count}` : ""])]));
$("filter").addEventListener("input",
    e => list.forEach(([name, r]) => r.hidden = !name.includes(e.target.value)));
)js";

std::string inspect::toHtml(const Json &description) {
  Page page;
  page.title = description.at("file").get<std::string>();
  if (const Json &model = description.value("model", Json()); model.is_object()) {
    char size[64];
    std::snprintf(size, sizeof size, ", %.1f M parameters",
                  model.at("parameters").get<double>() * 1e-6);
    page.title += ": " + model.at("model_type").get<std::string>() + ", " +
                  model.at("layers").dump() + " layers" + size;
  }
  page.body = body;
  page.data = description.dump();
  page.style = style;
  page.script = script;
  return pageText(page);
}
