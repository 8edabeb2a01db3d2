#!/usr/bin/env bash
# A compiled model in training: the loss falls, the bits depend on no thread count, and fifty kills leave no trace.
#     model.sh runs|kills-1|kills-2 BIN MODEL_FOLDER TEXT
set -u
part=$1 bin=$2 model=$3 text=$4
here=$(cd "$(dirname "$0")" && pwd)
dir=$(mktemp -d) && trap 'rm -rf "$dir"' EXIT
fail() { echo "FAIL: $*" >&2; exit 1; }
untimed() { sed 's/"tokens_per_second": .*"violation"/"violation"/' "$1"; }

"$bin/hadal-compile" "$model" --mode=train --micro-batch=2 --micro-batches=2 --seq=48 -o "$dir/t.hadal" || exit 1
options=("$dir/t.hadal" --init-seed 1 --data "$text" --tokenizer "$model" --token-cache "$dir/tokens" --mask-documents --lr 3e-3 --warmup 5)
if [ "$part" != runs ]; then
  "$here/kill.sh" "$bin/hadal-run" --kills 25 --steps 40 --every 3 --delay 1.2 -- "${options[@]}"
  exit
fi
for threads in 1 3; do
  "$bin/hadal-run" train "${options[@]}" --steps 40 --threads $threads --log "$dir/$threads.jsonl" --checkpoint-dir "$dir/$threads" 2>"$dir/stderr" ||
    fail "train: $(cat "$dir/stderr")"
done
[ "$(untimed "$dir/1.jsonl")" = "$(untimed "$dir/3.jsonl")" ] || fail "the log depends on the number of threads"
for file in model.safetensors optimizer/state.safetensors; do
  cmp "$dir/1/step-00000040/$file" "$dir/3/step-00000040/$file" || fail "$file depends on the number of threads"
done
awk -F'[:,]' 'NR == 1 { first = $4 } { last = $4 } END { exit !(NR == 40 && last < first - 0.5) }' "$dir/1.jsonl" ||
  fail "the loss does not fall: $(sed -n '1p;$p' "$dir/1.jsonl")"
# Weights in BF16 are a model that compiles and runs; the run itself goes on with its own, bit for bit.
"$bin/hadal-run" train "${options[@]}" --steps 20 --checkpoint-dir "$dir/bf16" --checkpoint-dtype bf16 2>"$dir/stderr" &&
  "$bin/hadal-run" train "${options[@]}" --steps 40 --checkpoint-dir "$dir/bf16" --resume "$dir/bf16" 2>"$dir/stderr" ||
  fail "train with --checkpoint-dtype bf16: $(cat "$dir/stderr")"
diff -r "$dir/bf16/step-00000040" "$dir/1/step-00000040" || fail "a run over BF16 checkpoints differs"
"$bin/hadal-compile" "$dir/bf16/step-00000020" --mode=generate -o "$dir/bf16.hadal" || exit 1
"$bin/hadal-run" generate "$dir/bf16.hadal" --weights "$dir/bf16/step-00000020" --prompt "In the" --max-new-tokens 4 --ignore-eos >"$dir/stdout" 2>"$dir/stderr" &&
  [ -s "$dir/stdout" ] || fail "a BF16 checkpoint does not generate: $(cat "$dir/stderr")"
# A checkpoint goes on at four times the length, positions stretched by YaRN; what it has learnt is still there.
cp -r "$dir/1/step-00000040" "$dir/short"
python3 - "$dir/short/config.json" <<'END' || fail "cannot edit config.json"
import json, sys
config = json.load(open(sys.argv[1]))
config["rope_parameters"] = {"rope_theta": 10000.0, "rope_type": "yarn", "factor": 4, "original_max_position_embeddings": 48, "beta_fast": 32, "beta_slow": 1, "mscale": 1.0, "mscale_all_dim": 1.0}
json.dump(config, open(sys.argv[1], "w"))
END
"$bin/hadal-compile" "$dir/short" --mode=train --micro-batch=1 --seq=192 -o "$dir/long.hadal" || exit 1
"$bin/hadal-run" train "$dir/long.hadal" --weights "$dir/short" --data "$text" --token-cache "$dir/tokens" --lr 3e-4 --steps 4 --log "$dir/long.jsonl" \
  --checkpoint-dir "$dir/long" 2>"$dir/stderr" || fail "train at four times the length: $(cat "$dir/stderr")"
awk -F'[:,]' 'NR == FNR { start = start ? start : $4; next } { last = $4 } END { exit !(last < start - 0.3) }' "$dir/1.jsonl" "$dir/long.jsonl" ||
  fail "the longer rows begin anew: $(sed -n '1p;$p' "$dir/long.jsonl")"
grep -q '"yarn"' "$dir/long/step-00000004/config.json" || fail "the checkpoint's config.json has lost YaRN"
