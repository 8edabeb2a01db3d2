#!/usr/bin/env bash
# hadal-plan MODULE: the module's own orders and programs, which ask for what its config.json asks for.
#     module.sh BIN SOURCES
set -u
bin=$1 sources=$2 model=$2/test/frontend/models/nano-mtp
dir=$(mktemp -d) && trap 'rm -rf "$dir"' EXIT
cd "$dir" || exit 1
failures=0
fail() { echo "FAIL: $*" >&2; failures=$((failures + 1)); }
layout=(--pp=2 --ep=2 --dp=1 --nodes=1 --schedule=dualpipe --micro-batches=16)
"$bin/hadal-compile" "$model" --mode=train "${layout[@]}" --seq=256 -o t.hadal || fail "hadal-compile"
"$bin/hadal-plan" t.hadal --json --trace trace.json --html page.html >module.json || fail "hadal-plan"
"$bin/hadal-plan" "$model" "${layout[@]}" --sequence=256 --precision=bf16 --json >model.json
python3 - <<'PY' || failures=1
import json, collections
module, model = (json.load(open(f)) for f in ("module.json", "model.json"))
for k in ("schedule", "pp", "ep", "dp", "micro_batches"):
    assert module[k] == model[k], k
assert set(module["rows"]) == {"1F", "bubble", "1B", "1W", "1F1B", "optimizer"}
assert abs(sum(module["rows"].values()) / module["step_seconds"] - 1) < 1e-9
# Two sources count the same products; only the plan from config.json recomputes the up-projections.
a, b = module["micro_batch_flops"], model["micro_batch_flops"]
for k, low, high in (("forward", .995, 1.005), ("weight_grad", .99, 1.01), ("input_grad", .9, 1)):
    assert low <= a[k] / b[k] <= high, (k, a[k], b[k])
names = collections.defaultdict(list)
for e in json.load(open("trace.json"))["traceEvents"]:
    if e["ph"] == "X" and e["cat"] == "chunk": names[e["pid"]].append(e["name"])
json.dump(names, open("names.json", "w"))
PY
"$bin/hadal-plan" --schedule=dualpipe --pp=2 --micro-batches=8 --order | sed 's/^rank [0-9]*: //; s/+/ /g' >order
python3 -c 'import json
names = json.load(open("names.json"))
assert [l.split() for l in open("order")] == [names[r] for r in sorted(names)]' || fail "the trace is not the module's order"

# Other schedules may run its stages, as many as they are; other layouts may not.
"$bin/hadal-plan" t.hadal --compare schedules >text || fail "--compare"
grep -qE '^zb1p .* %' text && grep -q '^dualpipev on pp 1, ep 2, dp 2: t.hadal: is compiled for pp 2, ep 2, dp 1 and 2 stages' text || fail "$(cat text)"
[ "$(grep -c ' %' text)" = 3 ] && [ "$(head -4 text | grep -c 'is compiled for')" = 0 ] || fail "errors in the table: $(cat text)"
"$bin/hadal-plan" t.hadal --compare layouts >out 2>stderr && fail "--compare layouts of a module"
[ "$(wc -l <stderr)" = 1 ] && [ ! -s out ] && grep -q 't.hadal is compiled for one layout' stderr || fail "--compare layouts: $(cat out stderr)"
"$bin/hadal-plan" t.hadal --pp=4 2>stderr && fail "--pp=4 is taken"
grep -q 'is a module, which says schedule, layout and batch itself' stderr || fail "$(cat stderr)"
head -c 2000 t.hadal >cut.hadal
"$bin/hadal-plan" cut.hadal 2>stderr && fail "a cut module is taken"
[ "$(wc -l <stderr)" = 1 ] && grep -q 'cut.hadal: ' stderr || fail "$(cat stderr)"

[ $failures = 0 ] && echo "all claims hold"
exit $((failures > 0))
