#!/usr/bin/env bash
# What hadal-compile writes for many ranks is verified, drawn and described; its mutants are caught, or compute the same.
#     compiled.sh two-hops|one-hop BIN HADAL_MUTANTS EXAMPLE [MPIRUN]
set -u
module=$1 bin=$2 mutants=$3 example=$4 mpirun=${5:-}
model=$example/model
dir=$(mktemp -d) && trap 'rm -rf "$dir"' EXIT
cd "$dir" || exit 1
failures=0
fail() { echo "FAIL: $*" >&2; failures=$((failures + 1)); }

compile() {
  local name=$1
  shift
  "$bin/hadal-compile" "$model" --mode=train --micro-batch=1 --micro-batches=16 --sum-groups=8 --seq=16 --precision=fp32 "$@" -o "$name" || fail "$* does not compile"
}
case $module in
two-hops) compile two-hops.hadal --pp=2 --ep=4 --nodes=2 --schedule=dualpipe ;;
one-hop) compile one-hop.hadal --pp=3 --ep=2 --schedule=zb1p ;;
*) fail "no module $module" ;;
esac

"$bin/hadal-inspect" $module.hadal --verify >verified 2>&1 || fail "$module: $(cat verified)"
grep -q 'verified$' verified || fail "$module: $(cat verified)"
"$mutants" $module.hadal 4 7 mutant.hadal >report || fail "$module: $(grep SURVIVED report)"
tail -1 report
[ "$(tail -1 report | cut -d' ' -f1)" -ge 200 ] || fail "too few mutants were caught: $(tail -1 report)"
# Nothing that fails it is shown as good, or run.
"$bin/hadal-inspect" mutant.hadal --verify >out 2>err && fail "$module without a wait verifies"
[ "$(wc -l <err)" = 1 ] && grep -q 'without waiting for it\|before it is written\|not ordered' err || fail "$module without a wait: $(cat err)"
[ ! -s out ] || fail "$module without a wait prints $(cat out)"
if [ -n "$mpirun" ] && [ $module = one-hop ]; then # for six ranks
  timeout 100 "$mpirun" --allow-run-as-root --oversubscribe --bind-to none -n 6 "$bin/hadal-run" train mutant.hadal --init-seed 1 --data "$example/kjv.txt" \
    --tokenizer "$model" --steps 1 --log never.jsonl >out 2>err && fail "one-hop without a wait is run"
  [ "$(grep -c '^hadal-run: ' err)" = 1 ] && grep -q '^hadal-run: .*pipeline rank .*\(without waiting for it\|before it is written\|not ordered\)' err || fail "one-hop without a wait: $(cat err)"
  [ ! -s never.jsonl ] || fail "one-hop without a wait has a log"
fi
if [ $module = one-hop ]; then
  [ $failures = 0 ] || exit 1
  echo "all passed"
  exit
fi

# The drawing is the schedule's; the ranks are the layout's.
"$bin/hadal-inspect" two-hops.hadal --timeline --html page.html >text || fail "--timeline --html"
grep -q '"F0.0",' page.html || fail "the page shows no chunk"
cmp -s <("$bin/hadal-inspect" two-hops.hadal --timeline) <("$bin/hadal-plan" --schedule=dualpipe --pp=2 --micro-batches=4 --timeline) || fail "--timeline differs from hadal-plan's"
# Seconds: from the module's FLOPs at a rate, twice as many at half of it; from a trace, as long as its programs took.
whole() { sed -n 's/^time \([0-9.e+-]*\) s, .*/\1/p' "$@"; }
"$bin/hadal-inspect" two-hops.hadal --timeline --gflops 1e-5 >text || fail "--gflops"
"$bin/hadal-inspect" two-hops.hadal --timeline --gflops 5e-6 >half || fail "--gflops"
grep -q "^seconds: the module's FLOPs at 1e-05 GFLOP/s" text || fail "--gflops: $(cat text)"
python3 -c "assert 1.99 < $(whole half) / $(whole text) < 2.01" || fail "--gflops: $(whole text) and $(whole half)"
python3 - "$bin/hadal-inspect" <<'END' || fail "trace of the module"
import json, subprocess, sys
programs = [p["name"] for p in json.loads(subprocess.run([sys.argv[1], "two-hops.hadal", "--json"], capture_output=True, check=True).stdout)["programs"]]
events = [{"ph": "X", "cat": "program", "name": n, "ts": 0, "dur": d} for n in programs if n.startswith("stage.") for d in (1e6, 2e6, 9e9)]
json.dump({"traceEvents": events}, open("trace.json", "w"))
json.dump({"traceEvents": [e for e in events if not e["name"].startswith("stage.1.")]}, open("part.json", "w"))
END
"$bin/hadal-inspect" two-hops.hadal --timeline --trace trace.json >text || fail "--trace"
python3 -c "assert $(whole text) % 2 == 0 and $(whole text) >= 8" || fail "--trace: $(cat text)"
grep -q '^seconds: medians of computing as measured in trace.json' text || fail "--trace: $(cat text)"
"$bin/hadal-inspect" two-hops.hadal --timeline --trace part.json >out 2>err && fail "a trace of another module is taken"
grep -q 'part.json: has no run of program stage.1.' err && [ "$(wc -l <err)" = 1 ] && [ ! -s out ] || fail "$(cat out err)"
"$bin/hadal-inspect" two-hops.hadal --trace trace.json >out 2>err && fail "--trace without --timeline"
"$bin/hadal-inspect" two-hops.hadal --json >json || fail "--json"
[ "$(grep -c '"experts_per_layer": 2' json)" = 8 ] || fail "--json says $(grep -c experts_per_layer json) ranks"

# Other files have neither.
for option in --timeline --verify; do
  "$bin/hadal-inspect" "$dir/page.html" $option >out 2>err && fail "$option takes a page"
  [ "$(wc -l <err)" = 1 ] || fail "$option says $(cat err)"
done
[ $failures = 0 ] || exit 1
echo "all passed"
