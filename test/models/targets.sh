#!/usr/bin/env bash
# Code for other machines, a refusal to run it here, and an executable that needs nothing else.
#     targets.sh BIN FOLDER      the folder holds config.json and tokenizer.json
set -euo pipefail
bin=$(realpath "$1") folder=$(realpath "$2")
dir=$(mktemp -d) && trap 'rm -rf "$dir"' EXIT
model=$dir/model
"$bin/hadal-make-checkpoint" "$folder" --dtype bf16 --seed 1 -o "$model"
cp "$folder/tokenizer.json" "$model"
fail() { echo "FAIL: $*" >&2; exit 1; }
prompt=(--weights "$model" --prompt "In the beginning" --max-new-tokens 16)

"$bin/hadal-compile" "$model" -o "$dir/m.hadal"
"$bin/hadal-run" generate "$dir/m.hadal" "${prompt[@]}" >"$dir/text" 2>/dev/null
[ -s "$dir/text" ] || fail "no text"
"$bin/hadal-compile" "$model" --emit=exe -o "$dir/exe"
(cd "$dir" && env -i ./exe generate "${prompt[@]}" >exe.text 2>/dev/null)
cmp "$dir/text" "$dir/exe.text" || fail "the executable says something else"

# An object of each architecture, and no module that runs where it must not.
machine() { od -An -t u2 -j 18 -N 2 "$1" | tr -d ' '; }
for target in x86-64-v3:62 aarch64:183; do
  "$bin/hadal-compile" "$model" --cpu="${target%:*}" --emit=object -o "$dir/object"
  [ "$(machine "$dir/object")" = "${target#*:}" ] || fail "${target%:*} gives ELF machine $(machine "$dir/object")"
done
case $(uname -m) in x86_64) other=aarch64 ;; *) other=x86-64-v3 ;; esac
"$bin/hadal-compile" "$model" --cpu=$other -o "$dir/other.hadal"
if "$bin/hadal-run" generate "$dir/other.hadal" "${prompt[@]}" 2>"$dir/error"; then fail "a module for $other runs"; fi
grep -q "$(uname -m)" "$dir/error" || fail "the refusal names no machine: $(cat "$dir/error")"
if [ "$(uname -m)" = x86_64 ] && ! grep -qw avx512f /proc/cpuinfo; then
  "$bin/hadal-compile" "$model" --cpu=x86-64-v4 -o "$dir/v4.hadal"
  if "$bin/hadal-run" generate "$dir/v4.hadal" "${prompt[@]}" 2>"$dir/error"; then fail "a module for AVX-512 runs"; fi
  grep -q avx512 "$dir/error" || fail "the refusal names no feature: $(cat "$dir/error")"
fi
if "$bin/hadal-compile" "$model" --cpu=z80 -o "$dir/never" 2>"$dir/error"; then fail "z80 is a target"; fi
[ ! -e "$dir/never" ] || fail "an error leaves an output"
echo "all passed"
