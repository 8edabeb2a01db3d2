#!/usr/bin/env bash
# hadal-plan DIR: what it prints, what it writes, and how it fails.
#     cli.sh HADAL_PLAN SOURCES
. "$(dirname "$0")/refused.sh"
plan=$1 sources=$2
model=$sources/test/frontend/models/deepseek-v3-671b cluster=$sources/examples/clusters/h800x2048.json
cd "$dir" || exit 1
# json CODE: python with `d` read from the file `out`; an assertion that fails is a failure.
json() { python3 -c "import json; d = json.loads(open('out').read())
$1" || fail "json: $1"; }

# The step of the report, in one line; the file and its name are the same cluster, and what is left out are the report's settings.
"$plan" "$model" --pp=16 --ep=64 --schedule=dualpipe --cluster "$cluster" --json >out || fail "exit status"
[ "$(wc -l <out)" = 1 ] || fail "--json prints $(wc -l <out) lines"
json 'assert abs(d["step_seconds"] / 19.926 - 1) < .05 and abs(d["rows"]["1F1B"] / 13.95 - 1) < .12
assert list(d["rows"]) == ["1F", "bubble", "1B", "1W", "1F1B", "optimizer"]
assert abs(sum(d["rows"].values()) - d["step_seconds"]) < 1e-6
assert abs(15360 * 4096 / d["step_seconds"] * 86400 / d["tokens_per_day"] - 1) < 1e-9
assert .37 < d["mfu_causal"] < .41 and d["fits"] and len(d["ranks"]) == 16'
cp out first
"$plan" "$model" --cluster h800x2048.json --json >out
cmp -s out first || fail "defaults are not the report's"

# The README shows what is printed.
for words in "--pp=16 --ep=64 --schedule=dualpipe --cluster h800x2048.json" "--compare schedules"; do
  "$plan" "$model" $words | grep . | sed 's/^/    /' | grep -vxFf "$sources/tools/plan/README.md" >differs && fail "README is older: $(cat differs)"
done

# The table stands beside the published one only where the step is that step.
"$plan" "$model" >text || fail "exit status"
grep -qE '1F1B \(s\) +[0-9.]+ +13\.95 +[-+][0-9.]+ %' text || fail "no row beside 13.95: $(cat text)"
"$plan" "$model" --batch 7680 >text
grep -q 13.95 text && fail "another step beside Table 4"

# Micro-batches count a step's, over all ranks.
"$plan" "$model" --micro-batches 15360 --json >out
cmp -s out first || fail "--micro-batches=15360 is another step"

# A trace is JSON; chunks are named like items of the order, on as many processes as there are pipeline ranks; processes
# and threads have names, parts their layers.
"$plan" "$model" --trace trace.json --html page.html >/dev/null || fail "exit status"
"$plan" --schedule=dualpipe --pp=16 --micro-batches=120 --order >order
cp trace.json out
json 'import collections
names, layers = collections.defaultdict(list), set()
assert d["otherData"]["unit of ts and dur"] == "microseconds", d["otherData"]
named = {what: {(e["pid"], e.get("tid")) for e in d["traceEvents"] if e["name"] == what} for what in ("process_name", "thread_name")}
assert len(named["process_name"]) == 16
for e in d["traceEvents"]:
    if e["ph"] == "X":
        assert e["ts"] >= 0 and e["dur"] >= 0 and (e["pid"], e["tid"]) in named["thread_name"]
        if e["cat"] == "part" and "layer" in e["name"]:
            layers.add(int(e["args"]["layers"].split()[-1]))
        if e["cat"] == "chunk": names[e["pid"]].append(e["name"])
for r, line in enumerate(open("order")):
    assert names[r] == line.split(":")[1].replace("+", " ").split(), r
assert layers == set(range(62)), layers'
grep -qE 'src=|href=|https?://[^w]' page.html && fail "the page fetches something"
grep -q 'F0.0' page.html || fail "the page holds no chunk"
# Its times are seconds of the same step, and it says where they come from.
grep -q 'simulated, at the rates of 2,048 H800' page.html || fail "the page does not say where its times come from"
sed -n 's/.*<script id="data" type="application\/json">\(.*\)<\/script><script>$/\1/p' page.html >out
json 'assert abs(d["pipeline"] + max(d["optimizer"]) - 19.73) < .01, d["pipeline"]'

# Comparisons.
"$plan" "$model" --compare schedules >text || fail "exit status"
[ "$(grep -cE '^(1f1b|zb1p|dualpipev?) ' text)" = 5 ] || fail "schedules: $(cat text)"
"$plan" "$model" --compare layouts --json >out
json 'assert len(d["compare"]) > 10 and all(p["pp"] * p["ep"] * p["dp"] == 2048 for p in d["compare"])'

# Small models have plans too, with whatever of pp and ep they allow.
"$plan" "$sources/test/frontend/models/nano" --json >out || fail "nano"
json 'assert d["step_seconds"] > 0'

python3 - "$cluster" <<'PY'
import json, sys
c = json.load(open(sys.argv[1]))
rate = c["links"]["ib"].pop("gbps"); json.dump(c, open("missing.json", "w"))
c["links"]["ib"]["gbps"] = -rate; json.dump(c, open("negative.json", "w"))
PY
planRefuses "missing.json: wants links/ib/gbps" "$model" --cluster missing.json --html never
planRefuses "negative.json: links/ib/gbps wants a positive number, got -40" "$model" --cluster negative.json --trace never
planRefuses "nowhere.json" "$model" --cluster nowhere.json
planRefuses "config.json" "$dir"
planRefuses "nowhere" nowhere
planRefuses "--ep" "$model" --ep=0
planRefuses "--compare" "$model" --compare=colours
planRefuses "--ep=48 wants to divide the 256 experts" "$model" --ep=48 --nodes=6 --batch=9600
planRefuses "fewer" "$model" --schedule=fewer
planRefuses "does not split" "$model" --pp=16 --ep=64 --dp=2 --batch=100 --html never
planRefuses "wants INPUT" --cluster "$cluster"
planRefuses "--json: wants INPUT" --schedule=1f1b --pp=2 --micro-batches=4 --json
for option in --order --timeline --costs=1,1,1; do
  planRefuses "${option%=*}: is for a schedule without INPUT" "$model" $option
done

[ $failures = 0 ] && echo "all claims hold"
exit $((failures > 0))
