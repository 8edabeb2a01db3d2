#!/usr/bin/env bash
# Kernels with one block per row give the CPU's bits on the emulated device.
#     rows.sh FILE...      each says in %{op}, %{f} and %{s} which functions to call, on what
set -euo pipefail
dir=$(mktemp -d) && trap 'rm -rf "$dir"' EXIT
fail() { echo "FAIL: $*" >&2; exit 1; }
for file in "$@"; do
  name=$(basename "$file" .mlir)
  hadal-compile "$file" --cpu=x86-64-v3 -o "$dir/cpu.hadal"
  hadal-compile "$file" --target=sm_90a-emulated --tiers=serial,rows -o "$dir/rows.hadal"
  hadal-inspect "$dir/rows.hadal" --json >"$dir/tiers"
  grep -q '"tier": *"rows"' "$dir/tiers" || fail "$name has no kernel of rows"
  op=$(sed -n 's/^.*DEFINE: %{op} = //p' "$file" | head -1)
  while read -r function settings; do
    # shellcheck disable=SC2086
    hadal-compare make "$op" $settings -o "$dir/in"
    hadal-run call "$dir/cpu.hadal" "@$function" --input "$dir/in" -o "$dir/cpu"
    for seed in 1 2; do
      hadal-run call "$dir/rows.hadal" "@$function" --device emulated --emulator-seed $seed \
        --input "$dir/in" -o "$dir/rows"
      cmp "$dir/cpu" "$dir/rows" || fail "$name @$function $settings: seed $seed has other bits"
    done
  done < <(sed -n 's/^.*DEFINE: %{f} = \(..*\)/f \1/p; s/^.*DEFINE: %{s} = \(..*\)/s \1/p' "$file" |
    awk '$1 == "f" { f = $2 } $1 == "s" && f { $1 = ""; print f $0 }')
done
