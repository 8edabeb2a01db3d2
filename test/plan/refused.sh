# Sourced by the scripts that test hadal-plan, which set `plan` and work in $dir.
. "$(dirname "${BASH_SOURCE[0]}")/../tools/helpers.sh"
# planRefuses PATTERN WORDS...
planRefuses() {
  local pattern=$1
  shift
  refused "$pattern" "$plan" "$@"
}
