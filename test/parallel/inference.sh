#!/usr/bin/env bash
# Inference modules of one rank and of many, and what does not fit.
#   inference.sh BIN INFERENCE_RANKS MODEL
set -eu
bin=$1 ranks=$2 model=$3
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$bin/hadal-compile" "$model" --mode=generate -o "$work/1.hadal"
"$bin/hadal-compile" "$model" --mode=generate --ep=2 -o "$work/2.hadal"
"$bin/hadal-compile" "$model" --mode=generate --ep=4 --nodes=2 -o "$work/4.hadal"
"$ranks" "$model" "$work"/1.hadal "$work"/2.hadal "$work"/4.hadal

refused() { # refused PATTERN OPTIONS...
  pattern=$1
  shift
  if said=$("$bin/hadal-compile" "$model" --mode=generate "$@" -o "$work/never" 2>&1); then
    echo "FAIL: $* works" >&2
    exit 1
  fi
  case $said in
  "hadal-compile: "*"$pattern"*) ;;
  *)
    echo "FAIL: $* wants '$pattern', says: $said" >&2
    exit 1
    ;;
  esac
}
refused '--ep: wants to divide the 12 experts, got 8' --ep=8
refused '--ep: wants a power of two' --ep=3
refused '--nodes: wants to divide the 4 expert-parallel ranks, got 3' --ep=4 --nodes=3
refused '--pp: is for --mode=train; --mode=generate takes --ep' --pp=2
refused '--micro-batches: is for --mode=train' --micro-batches=2
refused 'carries a module for one rank, got 2 ranks' --ep=2 --emit=exe
"$bin/hadal-inspect" "$work/4.hadal" | grep -q '^inference on 4 ranks, 2 nodes, each with a share of [0-9]* stacks of experts$'
echo "all passed"
