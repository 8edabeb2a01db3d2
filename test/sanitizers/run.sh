#!/usr/bin/env bash
# Generation, scores and training by a program under sanitizers, which ends with another status where it finds something.
#     run.sh HADAL_RUN WRITE_FAKE_MODEL WRITE_FAKE_TRAINING [HADAL_COMPILE MODEL]
set -u
run=$1 model=$2 training=$3 compile=${4:-} folder=${5:-}
dir=$(mktemp -d) && trap 'rm -rf "$dir"' EXIT
export XDG_CACHE_HOME=$dir/cache ASAN_OPTIONS=detect_leaks=1:${ASAN_OPTIONS:-} TSAN_OPTIONS=halt_on_error=1:${TSAN_OPTIONS:-}
failures=0
fail() { echo "FAIL: $*" >&2; failures=$((failures + 1)); }
works() { timeout 100 "$@" >stdout 2>stderr || fail "$* exits with $?: $(head -c 4000 stderr)"; }
refused() { # exit status 1, one line
  timeout 100 "$@" >stdout 2>stderr
  [ $? = 1 ] && [ "$(wc -l <stderr)" = 1 ] || fail "$* says: $(head -c 4000 stderr)"
}
cd "$dir" || exit 1

mkdir m && "$model" m || exit 1
seq 1 200 >text
works "$run" generate m/m.hadal --weights m/ckpt --input m/in.safetensors --max-new-tokens 9 --threads 3 --stats stats --trace trace -o out
works "$run" generate m/m.hadal --weights m/ckpt --prompt hello --max-new-tokens 40 --temperature 1 --seed 5 --threads 3
works "$run" logits m/m.hadal --weights m/ckpt --input m/in.safetensors --dump --routes m/routes.safetensors --threads 2 -o out
works "$run" score m/m.hadal --weights m/ckpt --text text --threads 3
refused "$run" generate m/m.hadal --weights m/ckpt --input m/big.safetensors
refused "$run" logits m/m.hadal --weights m/ckpt --input m/in.safetensors --dump --routes m/same.safetensors -o out

mkdir t && "$training" t || exit 1
train="train t/t.hadal --data t/a.txt t/b.jsonl --tokenizer t/ckpt --lr 0.02 --checkpoint-dir ck --checkpoint-every 3 --log log --threads 3"
works "$run" $train --weights t/ckpt --steps 6 --average-decay 0.9 --html page --stats stats --mask-documents --fim-rate 0.5
works "$run" $train --resume ck --steps 9 --keep 1 --average-decay 0.9
works "$run" gradients t/t.hadal --weights t/ckpt --input t/in.safetensors --threads 3 -o grads
refused "$run" train t/t.hadal --weights t/broken --input t/in.safetensors --steps 5

if [ -n "$compile" ]; then
  "$compile" "$folder" --mode=generate -o 1.hadal || exit 1
  works "$run" logits 1.hadal --weights "$folder" --input m/in.safetensors --threads 3 -o out
  works "$run" generate 1.hadal --weights "$folder" --input m/in.safetensors --threads 3 --max-new-tokens 4
fi
[ $failures = 0 ] || exit 1
echo "all passed"
