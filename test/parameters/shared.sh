#!/usr/bin/env bash
# A training and a generation module over one parameter store (SharedParameters.cpp).
#     shared.sh BIN SHARED_PARAMETERS MODEL one|ranks
bin=$1 shared=$2 model=$3 part=$4
. "$(dirname "$0")/../tools/helpers.sh"
cd "$dir" || exit 1
works "$bin/hadal-make-checkpoint" "$model" --dtype f32 --seed 3 -o f32
if [ "$part" = ranks ]; then # experts on two ranks: a shard each
  works "$bin/hadal-compile" f32 --mode=generate --ep=2 -o f32.2.hadal
  works "$bin/hadal-compile" f32 --mode=train --micro-batch=2 --micro-batches=2 --seq=8 --ep=2 -o t.2.hadal
  works "$shared" --ranks t.2.hadal f32.2.hadal f32
  passed
  exit
fi

works "$bin/hadal-make-checkpoint" "$model" --dtype bf16 --seed 3 -o bf16
for type in f32 bf16; do
  works "$bin/hadal-compile" $type --mode=generate -o $type.hadal
done
mkdir one
sed 's/"num_hidden_layers": [0-9]*/"num_hidden_layers": 1/' "$model/config.json" >one/config.json
works "$bin/hadal-make-checkpoint" one --dtype f32 --seed 3 -o other
works "$bin/hadal-compile" other --mode=generate -o other.hadal
works "$bin/hadal-compile" f32 --mode=train --micro-batch=2 --seq=8 -o t.hadal

works "$shared" t.hadal f32.hadal f32 after.safetensors
cat stdout
# Training has F32: what reads BF16 cannot share it, nor can another model.
refused "bf16.hadal wants BF16 [" "$shared" t.hadal bf16.hadal f32 never
refused "other.hadal: num_hidden_layers is 1" "$shared" t.hadal other.hadal f32 never
passed
