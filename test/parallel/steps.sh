#!/usr/bin/env bash
# Twenty steps of the quickstart's model on one rank and on eight (2 pipeline x 2 expert-parallel x 2 data-parallel, two nodes, dualpipe): the same
# log and the same checkpoint, bit for bit. Averages of the weights are scored. What each of the eight takes is predicted.
#     steps.sh BIN MPIRUN EXAMPLE TENSORS      TENSORS: the folder of tensors.py
set -u
bin=$1 mpirun=$2 example=$3 tensors=$4
dir=$(mktemp -d) && trap 'rm -rf "$dir"' EXIT
cd "$dir" || exit 1
failures=0
fail() { echo "FAIL: $*" >&2; failures=$((failures + 1)); }

on() { # on RANKS WORDS...: hadal-run
  local ranks=$1
  shift
  local words=("$bin/hadal-run" "$@" --threads 1)
  if [ "$ranks" != 1 ]; then words=("$mpirun" --allow-run-as-root --oversubscribe --bind-to none -n "$ranks" "${words[@]}"); fi
  timeout 100 "${words[@]}" >said 2>&1 || fail "$ranks ranks: $(tail -c 500 said)"
}
train() { # train RANKS LAYOUT...
  local ranks=$1
  shift
  "$bin/hadal-compile" "$example/model" --mode=train --micro-batch=1 --micro-batches=16 --sum-groups=8 --seq=64 --precision=fp32 --average "$@" -o "$ranks.hadal" ||
    fail "$* does not compile"
  on "$ranks" train "$ranks.hadal" --init-seed 1 --data "$example/kjv.txt" --tokenizer "$example/model" --token-cache "$dir" --steps 20 --lr 1e-3 --average-decay 0.5 \
    --log "$ranks.jsonl" --checkpoint-dir "$ranks" --checkpoint-every 10
}
train 1
train 8 --pp=2 --ep=2 --dp=2 --nodes=2 --schedule=dualpipe
untimed() { sed 's/"tokens_per_second": .*"violation"/"violation"/' "$1"; }
[ "$(wc -l <1.jsonl)" = 20 ] && [ "$(untimed 1.jsonl)" = "$(untimed 8.jsonl)" ] || fail "the logs differ: $(tail -1 1.jsonl) $(tail -1 8.jsonl)"
for step in 10 20; do
  diff -r "1/step-000000$step" "8/step-000000$step" || fail "the checkpoints of step $step differ"
done

# Averages of the weights are a model like any other. They lag behind the weights while the loss falls.
last=8/step-00000020
head -c 20000 "$example/kjv.txt" >text
"$bin/hadal-compile" $last/average --mode=generate -o model.hadal || fail "averages do not compile"
for weights in $last $last/average; do
  on 1 score model.hadal --weights $weights --text text
  sed -n 's/^nll \([0-9.]*\) perplexity .*/\1/p' said
done >nll
python3 -c 'import sys
weights, averages = map(float, open("nll"))
assert weights < averages < 8, (weights, averages)' || fail "scores of weights and averages: $(cat nll)"

# Predicted memory is within a tenth of what the run has counted: how far chunks run ahead depends on when messages come. Rows of experts are data:
# random ids and drawn weights choose almost evenly.
PYTHONPATH=$tensors python3 -c 'import random, tensors
draw = random.Random(1)
tensors.save_ids("ids.safetensors", [[draw.randrange(2048) for _ in range(64)] for _ in range(16)])'
on 8 train 8.hadal --init-seed 1 --input ids.safetensors --steps 2 --stats 8.stats
python3 - 8.stats <<'END' || fail "predicted memory"
import json, sys
ranks = json.load(open(sys.argv[1]))["ranks"]
assert len(ranks) == 8
for number, rank in enumerate(ranks):
    predicted = rank["predicted"]
    states = sum(predicted[kind] for kind in ("weights", "gradients", "moments"))
    assert abs(rank["predicted_bytes"] / rank["accounted_bytes"] - 1) < 0.1, (number, rank)
    assert abs(states / rank["state_bytes"] - 1) < 0.01, (number, rank) # of those only small ones are no parameters'
    assert rank["predicted_peak_bytes"] > rank["predicted_bytes"]
END
[ $failures = 0 ] || exit 1
echo "all passed"
