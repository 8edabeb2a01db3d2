#!/usr/bin/env bash
# What hadal-compile is given and cannot take: one line that names the culprit, exit status 1, no output.
#     inputs.sh BIN MODELS
bin=$1 models=$2
. "$(dirname "$0")/../tools/helpers.sh"
cd "$dir" || exit 1

compiles() { works "$bin/hadal-compile" "$@"; }
# refuses PATTERN WORDS...: hadal-compile does.
refuses() {
  local pattern=$1
  shift
  refused "$pattern" "$bin/hadal-compile" "$@" -o never
}

# Options.
case $(uname -m) in x86_64) other=aarch64 ;; *) other=x86-64-v3 ;; esac
refuses "--emit=exe: an executable is for this machine's processors" "$models/small" --emit=exe --cpu=$other
refuses '--dispatch: is for rows that go from one expert-parallel rank to another' "$models/small" --dispatch=fp8
refuses '--exchange-capacity: is for rows' "$models/small" --mode=train --seq=8 --exchange-capacity=4
refuses '--micro-batches: wants a multiple of the 2 owners of micro-batches' "$models/small" --mode=train --seq=8 --pp=2 \
  --schedule=dualpipe --micro-batches=1
grep -q sum-groups stderr && fail "an option that was not given is spoken of: $(cat stderr)"
refuses '--micro-batches: wants a multiple of the 4 groups of sums (--sum-groups)' "$models/small" --mode=train --seq=8 \
  --micro-batches=2 --sum-groups=4
refuses '--dp: wants a power of two' "$models/small" --mode=train --seq=8 --dp=3 --micro-batches=3

# INPUT: config.json stands for its folder; files of other formats are named.
compiles "$models/dense/config.json" --emit=graph -o graph
compiles "$models/dense" --emit=graph -o graph2
cmp -s graph graph2 || fail "DIR/config.json is not DIR"
refuses 'wants a folder with config.json or a .mlir file, is a safetensors file' "$models/dense/model.safetensors"
printf 'version https://git-lfs.github.com/spec/v1\noid sha256:3f\nsize 9\n' >pointer
refuses 'pointer: wants a folder with config.json or a .mlir file, is a Git LFS pointer' pointer
printf '{}' >tokenizer.json
refuses 'tokenizer.json: wants a folder with config.json or a .mlir file, is JSON text' tokenizer.json
# What is wrong in IR is one line, then the line of the file and a caret.
echo 'func.func @f(%x: tensor<4xf32>, %c: i1) -> i1 { return %c : i1 }' >scalar.mlir
"$bin/hadal-compile" scalar.mlir -o never 2>stderr
[ $? = 1 ] || fail "scalar.mlir is taken"
grep -q '^scalar.mlir:1:1: error: argument 1 wants to be a ranked tensor of numbers' stderr &&
  [ "$(wc -l <stderr)" = 3 ] && [ "$(tail -1 stderr)" = '^' ] || fail "scalar.mlir says: $(cat stderr)"

# A folder's files.
mkdir m && cp "$models/dense/config.json" m
cp pointer m/model.safetensors
refuses 'm/model.safetensors: wants safetensors, is a Git LFS pointer' m
printf '<!DOCTYPE html>\n<html>' >m/model.safetensors
refuses 'm/model.safetensors: wants safetensors, is an HTML or XML page' m
rm m/model.safetensors && cp pointer m/model.safetensors.index.json
refuses 'm/model.safetensors.index.json: wants JSON, is a Git LFS pointer' m
rm m/model.safetensors.index.json && cp pointer m/config.json
refuses 'm/config.json: wants JSON, is a Git LFS pointer' m
printf '\xef\xbb\xbf' | cat - "$models/dense/config.json" >m/config.json
compiles m --emit=graph -o graph2
cmp -s graph graph2 || fail "a byte-order mark changes the graph"
printf 'GGUF\3' >m/model-q8_0.gguf
compiles m --emit=graph -o graph2
grep -q '^hadal-compile: note: m: model-q8_0.gguf is in a format that hadal does not read' stderr || fail "a .gguf file alone: $(cat stderr)"

# Announced layers of multi-token prediction that the checkpoint lacks.
sed 's/"num_nextn_predict_layers": 0/"num_nextn_predict_layers": 1/' "$models/small/config.json" >m/config.json
cp "$models/small/model.safetensors" m
refuses '--mtp-weight=0 trains without them' m --mode=train --seq=8
compiles m --mode=train --seq=8 --mtp-weight=0 --emit=graph -o graph
compiles m --mode=generate --emit=graph -o graph
passed
