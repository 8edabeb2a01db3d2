#!/usr/bin/env bash
# One model's logits, and its gradients where products do not use tiles, have equal bits on every
# target that this machine runs: vectors of 4, 8 and 16 lanes, and target=scalar's one.
#     bits.sh BIN CHECKPOINT [gradients]      CHECKPOINT holds config.json and the weights
set -euo pipefail
bin=$(realpath "$1") checkpoint=$(realpath "$2")
dir=$(mktemp -d) && trap 'rm -rf "$dir"' EXIT
fail() { echo "FAIL: $*" >&2; exit 1; }
has() { grep -qw "$1" /proc/cpuinfo; }
case $(uname -m) in
x86_64)
  targets=(x86-64-v2+fma)
  has avx2 && targets+=(x86-64-v3)
  has avx512vl && targets+=(x86-64-v4)
  ;;
*) targets=("$(uname -m)") ;;
esac

# Rows longer than a block of 64 keys.
here=$(dirname "$(realpath "$0")")
PYTHONPATH=$here/../../models python3 - "$dir/ids" "$checkpoint/config.json" <<'PYTHON'
import json, sys
from tensors import save_ids

vocabulary = json.load(open(sys.argv[2]))["vocab_size"]
save_ids(sys.argv[1], [[(7 * i * i + 3 * i + r) % vocabulary for i in range(70)] for r in (1, 2)])
PYTHON

run() { # MODULE COMMAND ...: what it writes equals what the first target's module wrote
  local module=$1 command=$2
  "$bin/hadal-run" "$command" "$dir/$module.hadal" --weights "$checkpoint" --input "$dir/ids" \
    "${@:3}" -o "$dir/$module.$command" >/dev/null
  cmp "$dir/$module.$command" "$dir/${targets[0]}.$command" ||
    fail "$command: $module and ${targets[0]} have other bits"
}
infer() { # MODULE
  run "$1" logits --dump
  run "$1" generate --max-new-tokens 4
}
for target in "${targets[@]}"; do
  "$bin/hadal-compile" "$checkpoint" --cpu="$target" -o "$dir/$target.hadal"
  infer "$target"
done
for target in "${targets[0]}" "${targets[-1]}"; do
  [ "${3:-}" = gradients ] || break
  "$bin/hadal-compile" "$checkpoint" --mode=train --seq=70 --micro-batch=2 --products=fma \
    --cpu="$target" -o "$dir/$target.hadal"
  run "$target" gradients
done
"$bin/hadal-compile-scalar" "$checkpoint" --mode=generate -o "$dir/scalar.hadal"
infer scalar
echo "equal bits: ${targets[*]} scalar"
