#!/usr/bin/env bash
# What hadal-compile says of targets that there are not, and of options that do not go together: one
# line, exit status 1, no file.
#     refusals.sh BIN MODEL
set -euo pipefail
bin=$1 model=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export HADAL_CACHE_DIR=$work/cache
fail() { echo "refusals.sh: $1"; exit 1; }

# refused WANTED WORDS...: the line holds WANTED.
refused() {
  local wanted=$1 status=0 said
  shift
  said=$(timeout 60 "$bin/hadal-compile" "$model" "$@" -o "$work/no.out" 2>&1) || status=$?
  [ "$status" = 1 ] || fail "$*: exit status $status"
  [ "$(wc -l <<<"$said")" = 1 ] || fail "$*: several lines: $said"
  grep -qF -- "$wanted" <<<"$said" || fail "$*: wanted '$wanted', got: $said"
  [ ! -e "$work/no.out" ] || fail "$*: left a file"
}
refused "sm_70" --target=sm_70
refused "--cpu: is the same as --target, which says sm_90a" --target=sm_90a --cpu=native
refused "--ptxas: is for --target=sm_90a" --ptxas=off
refused "--tiers: is for --target=sm_90a" --target=x86-64-v3 --tiers=serial
refused "wants tiers among serial, rows and tensor, got warp" --target=sm_90a --tiers=serial,warp
refused "/no/such/ptxas: is no program that can be run" --target=sm_90a --ptxas=/no/such/ptxas
refused "/bin/true: is not ptxas" --target=sm_90a --ptxas=/bin/true
refused "--emit=ptx: is no form of code of --cpu=native" --emit=ptx
refused "--emit=ptx: is no form of code of --target=sm_90a-emulated" --target=sm_90a-emulated --emit=ptx
refused "--emit=object: is no form of code of --target=sm_90a" --target=sm_90a --emit=object
refused "--emit=hopper: is for --target=sm_90a" --emit=hopper
refused "--emit=sass: wants ptxas" --target=sm_90a --ptxas=off --emit=sass
refused "--products=tiles wants a processor with matrix units" --target=sm_90a --products=tiles

# An assembler that fails names the kernel.
cat >"$work/ptxas" <<'EOF'
#!/bin/sh
[ "$1" = --version ] && echo "Cuda compilation tools, release 13.0, V13.0.88" && exit 0
echo "ptxas fatal: no registers today" >&2
exit 255
EOF
chmod +x "$work/ptxas"
refused "ptxas fatal: no registers today" --target=sm_90a --tiers=serial --ptxas="$work/ptxas"
sed -i 's/13\.0/12.4/' "$work/ptxas"
refused "is of CUDA 12.4, wants 12.9 or later" --target=sm_90a --ptxas="$work/ptxas"
