#!/usr/bin/env bash
# The C API over the fake model; and that the library shows hadal_* alone.
#     api.sh API_TEST LIBRARY WRITE_FAKE_MODEL WRITE_FAKE_TRAINING
test=$1 library=$2 model=$3 training=$4
. "$(dirname "$0")/../tools/helpers.sh"
"$model" "$dir" && "$training" "$dir/training" || exit 1
cp "$dir/training/t.hadal" "$dir/t.hadal"
timeout 60 "$test" "$dir" || fail "ApiTest exits with $?"
header=$(dirname "$0")/../../runtime/api/hadal.h
shown=$(nm -D --defined-only "$library" | awk '$2 != "A" {print $3}' | sed 's/@.*//' | sort)
said=$(grep -oE 'hadal_[a-z_]+\(' "$header" | tr -d '(' | sort -u)
[ "$shown" = "$said" ] ||
  fail "the library shows other names than hadal.h: $(diff <(echo "$said") <(echo "$shown"))"
passed
