#!/usr/bin/env bash
# hadal-plan --schedule: what it prints, what it writes, and how it fails.
#     plan.sh HADAL_PLAN FOLDER
. "$(dirname "$0")/../plan/refused.sh"
plan=$1 folder=$2
cd "$dir" || exit 1

"$plan" --schedule=dualpipe --pp=8 --micro-batches=20 --order | cmp -s - "$folder/orders/dualpipe-8x20.txt" || fail "--order"
"$plan" --schedule=dualpipe --pp=8 --micro-batches=20 --timeline --html page.html | cmp -s - "$folder/dualpipe-8x20.txt" || fail "--timeline"
grep -q '"F0.0",' page.html || fail "--html writes no picture"
"$plan" --schedule=zb1p --pp=4 --micro-batches=8 --costs=1,1.2,0.8 --timeline | grep -q 'bubble 4.2 (formula 4.2)' || fail "--costs"
"$plan" --schedule=zb1p --pp=4 --micro-batches=8 --costs=1ms,1200us,0.0008s --timeline --html page.html | grep -q 'bubble 4.2 ms (formula 4.2 ms)' || fail "--costs in seconds"
grep -q 'as given by --costs' page.html || fail "the page does not say where its seconds come from"
"$plan" --help >/dev/null || fail "--help"
"$plan" --version >/dev/null || fail "--version"

planRefuses "wants 1f1b, zb1p, dualpipe or dualpipev, got gpipe" --schedule=gpipe --pp=4 --micro-batches=8 --order
planRefuses 'even number of ranks, got 3' --schedule=dualpipe --pp=3 --micro-batches=8 --html never
planRefuses 'at least 16 micro-batches, got 8' --schedule=dualpipe --pp=8 --micro-batches=8 --order
planRefuses 'at least one rank' --schedule=1f1b --pp=0 --micro-batches=8 --order
planRefuses 'pp' --schedule=1f1b --pp=-1 --micro-batches=8 --order
planRefuses 'micro-batches' --schedule=1f1b --pp=2 --micro-batches=many --order
planRefuses 'micro-batches' --schedule=1f1b --pp=2 --order
planRefuses '--order' --schedule=1f1b --pp=2 --micro-batches=8
planRefuses '--costs' --schedule=1f1b --pp=2 --micro-batches=8 --timeline --costs=1,nan,1
planRefuses 'a unit of time for all or for none' --schedule=1f1b --pp=2 --micro-batches=8 --timeline --costs=1,1ms,1
planRefuses 'got 1h' --schedule=1f1b --pp=2 --micro-batches=8 --timeline --costs=1h,1h,1h
planRefuses '--costs' --schedule=1f1b --pp=2 --micro-batches=8 --html never --costs=1,1
planRefuses 'nowhere' --schedule=1f1b --pp=2 --micro-batches=8 --html nowhere/page.html
planRefuses '--nonsense' --schedule=1f1b --pp=2 --micro-batches=8 --nonsense
[ $failures = 0 ] || exit 1
echo "all passed"
