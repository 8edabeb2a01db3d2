#!/usr/bin/env bash
# The trained model: its loss on its validation text, and the continuation that transformers chose.
#     kjv.sh BIN MODEL
set -euo pipefail
bin=$1 model=$2
[ -f "$model/golden.json" ] || { echo "SKIPPED: $model is not there"; exit 77; }
dir=$(mktemp -d) && trap 'rm -rf "$dir"' EXIT
"$bin/hadal-compile" "$model" --mode=generate -o "$dir/m.hadal"
"$bin/hadal-run" score "$dir/m.hadal" --weights "$model" --text "$model/val.txt" >"$dir/score"
"$bin/hadal-run" generate "$dir/m.hadal" --weights "$model" --prompt "In the beginning" --max-new-tokens 40 >"$dir/text" 2>/dev/null
python3 - "$model" "$dir" <<'P'
import json, sys
golden, dir = json.load(open(sys.argv[1] + "/golden.json")), sys.argv[2]
nll = open(dir + "/score").read().split()[1]
assert abs(float(nll) - golden["score_nll"]) < 1e-4, (nll, golden["score_nll"])
text = open(dir + "/text").read()
assert text.strip() and golden["greedy_text"].startswith(text.rstrip("\n")), (text, golden["greedy_text"])
P
echo "all passed"
