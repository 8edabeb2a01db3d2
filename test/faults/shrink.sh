#!/usr/bin/env bash
# A mapped file that is emptied under a tool: one line that names it, and no output.
#     shrink.sh FAULTS BIN SOURCE
faults=$1 bin=$2 source=$3
. "$(dirname "$0")/../tools/helpers.sh"
cd "$dir" || exit 1
emptied() { env LD_PRELOAD="$faults" HADAL_FAULT=mmap:1:shrink "$@"; }
cp "$source/test/frontend/models/deepseek-v3-671b/config.json" .
refused 'hadal-plan: config.json: has become shorter while it was read' \
  emptied "$bin/hadal-plan" config.json --pp=16 --ep=64 --trace never
[ -x "$bin/hadal-compile" ] || { passed; exit; }
echo 'func.func @f(%x: tensor<4xf32>) -> tensor<4xf32> { return %x : tensor<4xf32> }' >f.mlir
refused 'hadal-compile: f.mlir: has become shorter while it was read' \
  emptied "$bin/hadal-compile" f.mlir -o never
passed
