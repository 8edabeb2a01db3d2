#!/usr/bin/env bash
# --help and --version of every tool and command: in words, examples first, at most 80 columns.
#     help.sh VERSION TOOL...
set -u
version=$1
shift
failures=0
fail() { echo "FAIL: $*" >&2; failures=$((failures + 1)); }

# check WORDS...: what `WORDS --help` prints.
check() {
  local text wide
  text=$(timeout 60 "$@" --help 2>&1) || fail "$* --help exits with $?"
  wide=$(awk 'length > 80' <<<"$text" | head -1)
  [ -z "$wide" ] || fail "$* --help is wider than 80 columns: $wide"
  grep -q '^Usage: ' <<<"$text" || fail "$* --help does not show how it is used"
  if grep -nE 'ENUM|->|\{|\bin \[|FLOAT|UINT|REQUIRED|OPTIONS' <<<"$text"; then fail "$* --help holds the parser's words"; fi
  local examples options
  examples=$(grep -n '^Examples:' <<<"$text" | cut -d: -f1)
  options=$(grep -n '^  -' <<<"$text" | head -1 | cut -d: -f1)
  [ -n "$examples" ] || [ "${2:-none}" = none ] || fail "$* --help has no examples"
  [ -z "$examples" ] || [ "$examples" -lt "$options" ] || fail "$* --help has its examples after its options"
}

for tool in "$@"; do
  check "$tool"
  [ "$(timeout 60 "$tool" --version | head -1)" = "hadal $version" ] || fail "$tool --version: $(timeout 60 "$tool" --version | head -1)"
  for command in $(timeout 60 "$tool" --help | sed -n '/^Commands/,/^$/s/^  \([a-z]*\) .*/\1/p'); do
    check "$tool" "$command"
  done
done
[ $failures = 0 ] && echo "all passed"
exit $((failures > 0))
