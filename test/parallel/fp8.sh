#!/usr/bin/env bash
# Training in FP8 on ranks: rows and gradients are quantized before they travel, on one rank as on
# many, so that losses, norms and weights after three steps are those of one rank, bit for bit, on
# any layout and schedule, whatever is computed again, and whatever --dispatch says.
#   fp8.sh BIN SAME_BITS MODEL
set -eu
bin=$1 same=$2 model=$3
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
compile() {
  name=$1
  shift
  "$bin/hadal-compile" "$model" --mode=train --micro-batch=1 --micro-batches=8 --sum-groups=8 --seq=12 --precision=fp8 "$@" -o "$work/$name.hadal"
}
compile one
compile ep4-nodes2 --ep=4 --nodes=2 --recompute=all
compile pp2-ep2 --pp=2 --ep=2 --schedule=dualpipe --recompute=report --dispatch=fp8
"$same" "$work"/{one,ep4-nodes2,pp2-ep2}.hadal
