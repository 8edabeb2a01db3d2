#!/usr/bin/env bash
# Modules for inference, over ranks and on one, are verified; mutants of the former are caught, or compute the same.
#     inference.sh BIN HADAL_MUTANTS EXAMPLE
set -u
bin=$1 mutants=$2 model=$3/model
dir=$(mktemp -d) && trap 'rm -rf "$dir"' EXIT
cd "$dir" || exit 1
failures=0
fail() { echo "FAIL: $*" >&2; failures=$((failures + 1)); }

"$bin/hadal-compile" "$model" --mode=generate --ep=4 --nodes=2 -o ranks.hadal || fail "inference over ranks does not compile"
"$bin/hadal-inspect" ranks.hadal --verify >verified 2>&1 || fail "over ranks: $(cat verified)"
grep -q 'inference on 4 ranks, .* verified$' verified || fail "over ranks: $(cat verified)"
"$mutants" ranks.hadal 4 7 mutant.hadal >report || fail "$(grep SURVIVED report)"
tail -1 report
[ "$(tail -1 report | cut -d' ' -f1)" -ge 150 ] || fail "few mutants were caught: $(tail -1 report)"
"$bin/hadal-inspect" mutant.hadal --verify >out 2>err && fail "a mutant without a wait verifies"
[ "$(wc -l <err)" = 1 ] && grep -q 'without waiting for it\|before it is written\|not ordered' err || fail "without a wait: $(cat err)"
[ ! -s out ] || fail "without a wait it prints $(cat out)"

"$bin/hadal-compile" "$model" --mode=generate -o alone.hadal || fail "inference on one rank does not compile"
"$bin/hadal-inspect" alone.hadal --verify >verified 2>&1 || fail "one rank: $(cat verified)"
grep -q 'one rank: verified$' verified && grep -q 'each program computes what the compiler meant$' verified || fail "one rank: $(cat verified)"
[ $failures = 0 ] || exit 1
echo "all passed"
