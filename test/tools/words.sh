#!/usr/bin/env bash
# What every tool does with wrong words, wrong numbers and a full standard output.
#     words.sh HADAL_RUN HADAL_INSPECT HADAL_PLAN [HADAL_COMPILE]
run=$1 inspect=$2 plan=$3 compile=${4:-}
. "$(dirname "$0")/helpers.sh"
cd "$dir" || exit 1

# The nearest right word, for commands, options and their values.
refused 'foo: is no command, wants generate, logits, score, gradients, train, call or devices' "$run" foo
refused '(did you mean generate?)' "$run" generat
refused '(did you mean train?)' "$run" trian m.hadal
refused '--topp: is no option of generate (did you mean --top-p?)' "$run" generate m.hadal --weights w --prompt x --topp 0.9
refused '--max-tokens: is no option of generate (did you mean --max-new-tokens?)' "$run" generate m.hadal --weights w --prompt x --max-tokens=9
refused '--wieghts: is no option of score (did you mean --weights?)' "$run" score m.hadal --wieghts w --text t
refused '--xyzzy: is no option of logits (see' "$run" logits m.hadal --weights w --input i -o o --xyzzy
refused 'more: is one argument too many' "$run" logits m.hadal more --weights w --input i -o o
refused 'got cosin (did you mean cosine?)' "$run" train m.hadal --steps 1 --input x --schedule cosin
refused '--verfy: is no option (did you mean --verify?)' "$inspect" m.hadal --verfy
refused 'wants 1f1b, zb1p, dualpipe or dualpipev, got dualpip (did you mean dualpipe?)' "$plan" --schedule=dualpip --pp=2 --micro-batches=4
refused '(did you mean --micro-batches?)' "$plan" --schedule=1f1b --pp=2 --microbatches=4

# Whole numbers are plain digits, and seeds fit 64 bits.
train=("$run" train m.hadal --steps 1 --input x)
generate=("$run" generate nowhere.hadal --weights w --prompt x)
for wrong in 18446744073709551616 -1 1e3 0x10 010 7up ' 7' 1.0; do
  refused '--seed: wants a whole number from 0 to 18446744073709551615' "${generate[@]}" --seed="$wrong"
  refused '--init-seed: wants a whole number' "${train[@]}" --init-seed="$wrong"
  refused '--data-seed: wants a whole number' "${train[@]}" --data-seed="$wrong"
done
for right in 0 18446744073709551615; do
  refused 'nowhere.hadal' "${generate[@]}" --seed="$right"
done
refused '--seed: wants a whole number from 0 to 18446744073709551615, got ' "${generate[@]}" --seed= --top-p 0.9
refused '--max-new-tokens: wants a whole number from 1 to 2147483648, got 99999999999999999999' "${generate[@]}" --max-new-tokens 99999999999999999999
refused '--threads: wants a whole number' "${generate[@]}" --threads 1e400
refused '--temperature: wants a number' "${generate[@]}" --temperature 1e400
refused '--temperature: wants a number' "${generate[@]}" --temperature nan
refused '--temperature: wants a number' "${generate[@]}" --temperature 0.5x
refused '--stop-token: wants a whole number' "${generate[@]}" --stop-token -1
refused '--stop: wants a text' "${generate[@]}" --stop ''
refused '--pp: wants a whole number' "$plan" --schedule=1f1b --pp=2.5 --micro-batches=4

# Output that could not be written is an error of one line.
full() {
  "$@" >/dev/full 2>stderr
  [ $? = 1 ] || fail "$* >/dev/full does not exit with 1"
  [ "$(wc -l <stderr)" = 1 ] && grep -q 'standard output: ' stderr || fail "$* >/dev/full says: $(cat stderr)"
}
for tool in "$run" "$inspect" "$plan" $compile; do
  full "$tool" --help
  full "$tool" --version
done
full "$run" train --help
full "$plan" --schedule=dualpipe --pp=4 --micro-batches=8 --order
full "$plan" --schedule=dualpipe --pp=64 --micro-batches=256 --timeline

if [ -n "$compile" ]; then
  refused '--mode: wants generate or train, got generte (did you mean generate?)' "$compile" x.mlir --mode=generte -o m
  refused '(did you mean graph?)' "$compile" x.mlir --emit=grpah
  refused '(did you mean aarch64?)' "$compile" x.mlir --cpu=arch64 -o m
  refused '(did you mean --schedule?)' "$compile" x.mlir --shedule=dualpipe -o m
  refused '--seq: wants a whole number from 2' "$compile" x.mlir --mode=train --seq=1e3 -o m
  echo 'func.func @f(%x: tensor<4xf32>) -> tensor<4xf32> { return %x : tensor<4xf32> }' >f.mlir
  full "$compile" f.mlir --emit=kernels
fi
passed
