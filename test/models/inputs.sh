#!/usr/bin/env bash
# What hadal-compile is given and cannot take: one line that names the culprit, exit status 1, no output.
#     inputs.sh BIN MODELS
set -u
bin=$1 models=$2
dir=$(mktemp -d) && trap 'rm -rf "$dir"' EXIT
cd "$dir" || exit 1
failures=0
fail() { echo "FAIL: $*" >&2; failures=$((failures + 1)); }

# refused PATTERN WORDS...: hadal-compile's exit status is 1, its one line on stderr holds PATTERN, and it leaves no file.
refused() {
  local pattern=$1 status
  shift
  "$bin/hadal-compile" "$@" -o never >stdout 2>stderr
  status=$?
  [ $status = 1 ] || fail "$* exits with $status"
  [ "$(wc -l <stderr)" = 1 ] || fail "$* says: $(cat stderr)"
  grep -qF -- "$pattern" stderr || fail "$* wants '$pattern', says: $(cat stderr)"
  [ ! -e never ] && [ ! -s stdout ] || fail "$* leaves an output"
  rm -f never
}
works() { "$bin/hadal-compile" "$@" >stdout 2>stderr || fail "$* exits with $?: $(cat stderr)"; }

# Options.
case $(uname -m) in x86_64) other=aarch64 ;; *) other=x86-64-v3 ;; esac
refused "--emit=exe: an executable is for this machine's processors" "$models/small" --emit=exe --cpu=$other
refused '--precision: is for --mode=train' "$models/small" --mode=generate --precision=bf16
refused '--dispatch: is for rows that go from one expert-parallel rank to another' "$models/small" --dispatch=fp8
refused '--exchange-capacity: is for rows' "$models/small" --mode=train --seq=8 --exchange-capacity=4
refused '--micro-batches: wants a multiple of the 2 owners of micro-batches' "$models/small" --mode=train --seq=8 --pp=2 \
  --schedule=dualpipe --micro-batches=1
grep -q sum-groups stderr && fail "an option that was not given is spoken of: $(cat stderr)"
refused '--micro-batches: wants a multiple of the 4 groups of sums (--sum-groups)' "$models/small" --mode=train --seq=8 \
  --micro-batches=2 --sum-groups=4
refused '--dp: wants a power of two' "$models/small" --mode=train --seq=8 --dp=3 --micro-batches=3

# INPUT: config.json stands for its folder; files of other formats are named.
works "$models/dense/config.json" --emit=graph -o graph
works "$models/dense" --emit=graph -o graph2
cmp -s graph graph2 || fail "DIR/config.json is not DIR"
refused 'wants a folder with config.json or a .mlir file, is a safetensors file' "$models/dense/model.safetensors"
printf 'version https://git-lfs.github.com/spec/v1\noid sha256:3f\nsize 9\n' >pointer
refused 'pointer: wants a folder with config.json or a .mlir file, is a Git LFS pointer' pointer
printf '{}' >tokenizer.json
refused 'tokenizer.json: wants a folder with config.json or a .mlir file, is JSON text' tokenizer.json

# A folder's files.
mkdir m && cp "$models/dense/config.json" m
cp pointer m/model.safetensors
refused 'm/model.safetensors: wants safetensors, is a Git LFS pointer' m
printf '<!DOCTYPE html>\n<html>' >m/model.safetensors
refused 'm/model.safetensors: wants safetensors, is an HTML or XML page' m
rm m/model.safetensors && cp pointer m/model.safetensors.index.json
refused 'm/model.safetensors.index.json: wants JSON, is a Git LFS pointer' m
rm m/model.safetensors.index.json && cp pointer m/config.json
refused 'm/config.json: wants JSON, is a Git LFS pointer' m
printf '\xef\xbb\xbf' | cat - "$models/dense/config.json" >m/config.json
works m --emit=graph -o graph2
cmp -s graph graph2 || fail "a byte-order mark changes the graph"
printf 'GGUF\3' >m/model-q8_0.gguf
works m --emit=graph -o graph2
grep -q '^hadal-compile: note: m: model-q8_0.gguf is in a format that hadal does not read' stderr || fail "a .gguf file alone: $(cat stderr)"

# Announced layers of multi-token prediction that the checkpoint lacks.
sed 's/"num_nextn_predict_layers": 0/"num_nextn_predict_layers": 1/' "$models/small/config.json" >m/config.json
cp "$models/small/model.safetensors" m
refused '--mtp-weight=0 trains without them' m --mode=train --seq=8
works m --mode=train --seq=8 --mtp-weight=0 --emit=graph -o graph
works m --mode=generate --emit=graph -o graph
exit $((failures > 0))
