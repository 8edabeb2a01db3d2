#!/usr/bin/env bash
# Experts on ranks, compiled and run: losses, norms and weights after three steps are those of one rank, bit for bit; rows that travel in
# fewer bits end close to it; more rows than the capacity are an error.
#   experts.sh BIN SAME_BITS MODEL
set -eu
bin=$1 same=$2 model=$3
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
sums=--sum-groups=8
compile() {
  name=$1
  shift
  "$bin/hadal-compile" "$model" --mode=train --micro-batch=1 --micro-batches=8 $sums --seq=12 --precision=fp32 "$@" -o "$work/$name.hadal"
}
# Other layouts and schedules: shared/acceptance/parallel.py. A compilation takes longer than everything else here.
compile one
compile ep8-nodes4 --ep=8 --nodes=4
"$same" "$work"/one.hadal "$work"/ep8-nodes4.hadal
# bf16 has 8 bits, E4M3 has 4 of each number; three steps of Adam make more of that.
compile fp8 --ep=2 --dispatch=fp8 --combine=bf16
"$same" --close 1e-2 2e-2 "$work"/one.hadal "$work"/fp8.hadal
# Another order of f32 sums: some 2^-24 of each gradient, 1e-5 after three steps of Adam.
sums=--reduction=fast
compile fast --pp=2 --ep=2 --dp=2
"$same" --close 1e-5 1e-5 "$work"/one.hadal "$work"/fast.hadal
sums=--sum-groups=8
if said=$(compile refused --ep=2 --reduction=fast 2>&1); then
  echo "groups of sums go with --reduction=fast" >&2
  exit 1
fi
[ "$said" = "hadal-compile: --sum-groups: has no meaning with --reduction=fast, which sums no groups" ] || {
  echo "wants a line about --sum-groups, got: $said" >&2
  exit 1
}
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
