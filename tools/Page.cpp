//===- Page.cpp - the frame that all pages share ------------------------===//

#include "tools/Page.h"

#include <cstdio>

using namespace hadal;

static const char frameStyle[] = R"css(
:root{--ink:#1a1d21;--soft:#5f6875;--line:#e2e5ea;--paper:#f6f7f9;--card:#fff;--lane:#eef0f4;
  color-scheme:light dark}
@media(prefers-color-scheme:dark){:root{--ink:#e6e8eb;--soft:#9aa4af;--line:#2f353d;--paper:#14171b;
  --card:#1c2026;--lane:#262c34}}
*{box-sizing:border-box}
body{font:14px/1.5 system-ui,-apple-system,"Segoe UI",sans-serif;margin:0;background:var(--paper);
  color:var(--ink)}
main{max-width:1240px;margin:0 auto;padding:28px 20px}
@media(max-width:600px){main{padding:14px 8px}}
h1{font-size:22px;margin:0 0 14px;overflow-wrap:anywhere}
h2{font-size:15px;font-weight:600;margin:0 0 6px}
p{margin:.2em 0 .6em;color:var(--soft)}
section,dl{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:14px 18px;
  margin:0 0 16px}
@media(max-width:600px){section,dl{padding:10px}}
dl{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(190px,100%),1fr));gap:10px 24px}
dl div{min-width:0}dt{color:var(--soft);font-size:12px}
dd{margin:0;font-variant-numeric:tabular-nums;overflow-wrap:anywhere}
.wide{overflow-x:auto}
code,pre,td,.mono{font-family:ui-monospace,monospace;font-size:12px}
pre{margin:0;overflow-x:auto}
.report{white-space:pre-wrap}
@media(max-width:600px){.report{font-size:10.5px}td,th{padding-right:9px}}
table{border-collapse:collapse}th{font-weight:600}
td,th{padding:2px 14px 2px 0;text-align:left;vertical-align:top}.n{text-align:right}
tr:nth-child(even) td{background:var(--lane)}
.keys{display:flex;flex-wrap:wrap;gap:2px 18px;margin:4px 0 8px;font-size:12px;color:var(--soft)}
.keys i{display:inline-block;width:12px;height:12px;border-radius:3px;vertical-align:-2px;
  margin-right:5px}
canvas{width:100%;display:block;cursor:grab;touch-action:pan-y}
svg text{font-size:11px;fill:var(--soft);font-variant-numeric:tabular-nums}
input{font:inherit;padding:4px 8px;width:min(24em,100%);color:inherit;background:var(--lane);
  border:1px solid var(--line);border-radius:6px}
summary{cursor:pointer;font-weight:600;padding:4px 0;overflow-wrap:anywhere}
#tip{position:fixed;z-index:9;pointer-events:none;background:var(--ink);color:var(--card);
  padding:4px 9px;border-radius:5px;font-size:12px;display:none;white-space:pre-wrap;
  max-width:min(48em,90vw)}
)css";

static const char frameScript[] = R"js(
const $ = id => document.getElementById(id), tip = $("tip"), d = JSON.parse($("data").textContent);
const showTip = (e, text) => { tip.textContent = text; tip.style.display = "block";
  tip.style.left = Math.max(4, Math.min(e.clientX + 14, innerWidth - tip.offsetWidth - 4)) + "px";
  tip.style.top = (e.clientY + 14 + tip.offsetHeight > innerHeight
      ? e.clientY - tip.offsetHeight - 8 : e.clientY + 14) + "px"; };
const hideTip = () => tip.style.display = "none";
document.addEventListener("mouseover", e => { const t = e.target.closest?.("[data-tip]");
    t ? showTip(e, t.dataset.tip) : hideTip(); });
const colourOf = name => { let h = 0; for (const c of name) h = (h * 31 + c.charCodeAt(0)) >>> 0;
    return `hsl(${h % 360} 52% 56%)`; };
const key = (place, colour, text) => { const k = document.createElement("span"),
    i = document.createElement("i");
  i.style.background = colour; k.append(i, text); $(place).append(k); };
const secondsOf = full => { const [unit, scale] = full >= 2 ? ["s", 1] : full >= 2e-3 ? ["ms",
    1e3] : ["us", 1e6];
  return t => +(t * scale).toPrecision(5) + " " + unit; };
function timeline(id, lanes, names, height, label) {
  const canvas = $(id), g = canvas.getContext("2d"),
      full = Math.max(...lanes.flatMap(l => l.slice(-4).map(e => e[1])), 1e-9);
  let from = 0, to = full, left = 64;
  const at = e => from + (e.offsetX - left) / (canvas.clientWidth - left) * (to - from);
  const paint = () => {
    const w = canvas.clientWidth, r = devicePixelRatio || 1, h = lanes.length * height + 22,
        style = getComputedStyle(document.documentElement);
    canvas.width = w * r; canvas.height = h * r; canvas.style.height = h + "px";
    g.setTransform(r, 0, 0, r, 0, 0); g.clearRect(0, 0, w, h);
    g.font = "11px ui-monospace,monospace"; g.textBaseline = "middle";
    left = Math.max(...names.map(n => g.measureText(n).width)) + 10;
    const x = t => left + (t - from) / (to - from) * (w - left);
    lanes.forEach((lane, i) => {
      g.fillStyle = style.getPropertyValue("--lane");
      g.fillRect(left, i * height + 1, w - left, height - 3);
      for (const [b, e, name, half, colour] of lane) { if (e < from || b > to) continue;
        const a = Math.max(x(b), left), z = Math.min(x(e), w),
            y = i * height + 1 + (half === 2 ? (height - 3) / 2 : 0),
            hh = (height - 3) / (half ? 2 : 1);
        g.fillStyle = colour;
        g.fillRect(a, y, Math.max(z - a - Math.min(.6, (z - a) / 4), .3), hh - (half ? .5 : 0));
        if (z - a > g.measureText(name).width + 4 && hh > 9) { g.fillStyle = dark(colour) ? "#fff"
            : "#10233a"; g.fillText(name, a + 3, y + hh / 2 + .5); } }
      g.fillStyle = style.getPropertyValue("--ink");
      g.fillText(names[i], 2, i * height + height / 2);
    });
    g.fillStyle = style.getPropertyValue("--soft");
    const least = (to - from) / Math.max(1, (w - left) / 90),
        ten = 10 ** Math.floor(Math.log10(least)),
        step = [1, 2, 5, 10].map(m => m * ten).find(t => t >= least * .999);
    for (let t = Math.ceil(from / step) * step; t <= to; t += step) if (x(t) >= left
        && x(t) < w - 60) g.fillText(label(t), x(t), h - 9);
  };
  canvas.setAttribute("role", "img"); canvas.setAttribute("aria-label",
      canvas.closest("section")?.querySelector("h2")?.textContent ?? "");
  canvas.addEventListener("wheel", e => { if (e.deltaY > 0 && from === 0 && to === full) return;
      e.preventDefault(); const t = at(e), f = e.deltaY > 0 ? 1.2 : 1 / 1.2;
    from = Math.max(0, t - (t - from) * f); to = Math.min(full, t + (to - t) * f); paint();
        }, { passive: false });
  canvas.addEventListener("dblclick", () => { from = 0; to = full; paint(); });
  canvas.addEventListener("mousemove", e => {
    if (e.buttons) { const s = -e.movementX / (canvas.clientWidth - left) * (to - from),
        c = Math.max(-from, Math.min(full - to, s)); from += c; to += c; paint(); }
    const t = at(e), i = Math.floor(e.offsetY / height), low = e.offsetY % height > height / 2;
    const hit = (lanes[i] ?? []).find(([b, z, , half]) => b <= t && t < z
        && (!half || (half === 2) === low));
    hit ? showTip(e, `${names[i]}: ${hit[2]}, ${label(hit[0])} to ${label(hit[1])}`)
        : hideTip(); });
  canvas.addEventListener("mouseleave", hideTip); addEventListener("resize", paint);
  matchMedia("(prefers-color-scheme:dark)").addEventListener("change", paint); paint();
}
const dark = colour => { const m = /^#(..)(..)(..)/.exec(colour); if (!m) return true;
  const [r, g, b] = m.slice(1).map(v => parseInt(v, 16));
  return .3 * r + .59 * g + .11 * b < 140; };
)js";

std::string hadal::formatted(const char *pattern, double value) {
  char text[64];
  std::snprintf(text, sizeof text, pattern, value);
  return text;
}

std::string hadal::escapedHtml(std::string_view text) {
  std::string out;
  for (char c : text)
    out += c == '<'   ? "&lt;"
           : c == '>' ? "&gt;"
           : c == '&' ? "&amp;"
           : c == '"' ? "&quot;"
                      : std::string(1, c);
  return out;
}

/// JSON inside a script element: no character there may end the element.
static std::string embedded(std::string_view json) {
  std::string out;
  for (char c : json)
    out += c == '<' ? std::string("\\u003c") : std::string(1, c);
  return out;
}

std::string hadal::pageText(const Page &page) {
  std::string out =
      "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" "
      "content=\"width=device-width, initial-scale=1\"><title>" +
      escapedHtml(page.title) + "</title><style>" + frameStyle + page.style +
      "</style></head><body><main><h1>" + escapedHtml(page.title) + "</h1>\n";
  if (!page.facts.empty()) {
    out += "<dl>";
    for (const auto &[name, value] : page.facts)
      out += "<div><dt>" + escapedHtml(name) + "</dt><dd>" + escapedHtml(value) + "</dd></div>";
    out += "</dl>\n";
  }
  return out + page.body +
         "</main><div id=\"tip\"></div>\n<script id=\"data\" type=\"application/json\">" +
         embedded(page.data) + "</script><script>" + frameScript + page.script +
         "</script></body></html>\n";
}
