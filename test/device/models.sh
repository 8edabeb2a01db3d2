#!/usr/bin/env bash
# A model that trains and one that is served, on the CPU and on a device whose memory is hidden:
# the same bits.
#     models.sh BIN FOLDER      FOLDER holds config.json
set -euo pipefail
bin=$(realpath "$1") folder=$(realpath "$2")
dir=$(mktemp -d) && trap 'rm -rf "$dir"' EXIT
"$bin/hadal-make-checkpoint" "$folder" --dtype bf16 --seed 1 -o "$dir/weights"
"$bin/hadal-compile" "$dir/weights" --mode=generate -o "$dir/generate.hadal"
"$bin/hadal-compile" "$dir/weights" --mode=train --seq=16 --micro-batch=1 --micro-batches=2 \
  --sum-groups=2 --moments=bf16 --average -o "$dir/train.hadal"
for module in generate train; do
  "$bin/hadal-hidden" "$dir/$module.hadal" "$dir/weights"
done
