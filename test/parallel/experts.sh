#!/usr/bin/env bash
# Experts on ranks, compiled and run: losses, norms and weights after three steps are those of one rank, bit for bit; rows that travel in
# fewer bits end close to it; more rows than the capacity are an error.
#   experts.sh BIN SAME_BITS MODEL
set -eu
bin=$1 same=$2 model=$3
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
compile() {
  name=$1
  shift
  "$bin/hadal-compile" "$model" --mode=train --micro-batch=1 --micro-batches=8 --sum-groups=8 --seq=12 --precision=fp32 "$@" -o "$work/$name.hadal"
}
# Other layouts and schedules: shared/acceptance/parallel.py. A compilation takes longer than everything else here.
compile one
compile ep8-nodes4 --ep=8 --nodes=4
"$same" "$work"/one.hadal "$work"/ep8-nodes4.hadal
# bf16 has 8 bits, E4M3 has 4 of each number; three steps of Adam make more of that.
compile fp8 --ep=2 --dispatch=fp8 --combine=bf16
"$same" --close 1e-2 "$work"/one.hadal "$work"/fp8.hadal
compile narrow --ep=2 --exchange-capacity=2
if said=$("$same" "$work"/narrow.hadal); then
  echo "more rows than the capacity went through: $said" >&2
  exit 1
fi
case $said in
*"rows to rank "*", capacity is 2"*) ;;
*)
  echo "wants a line that names the capacity, got: $said" >&2
  exit 1
  ;;
esac
