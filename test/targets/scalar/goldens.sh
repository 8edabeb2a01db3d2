#!/usr/bin/env bash
# The goldens of a model, from a module for target=scalar.
#     goldens.sh BIN GOLDEN FOLDER      GOLDEN is test/models/golden.py
set -euo pipefail
bin=$(realpath "$1")
dir=$(mktemp -d) && trap 'rm -rf "$dir"' EXIT
ln -s "$bin/hadal-run" "$bin/hadal-inspect" "$dir"
ln -s "$bin/hadal-compile-scalar" "$dir/hadal-compile"
python3 "$2" "$dir" "$3"
