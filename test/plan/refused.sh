# Sourced by the scripts that test hadal-plan, which set `plan` and work in a folder of their own.
failures=0
fail() { echo "FAIL: $*" >&2; failures=$((failures + 1)); }
# refused PATTERN WORDS...: exit status 1, nothing on stdout, one line on stderr that holds PATTERN, no output file.
refused() {
  local pattern=$1 status
  shift
  "$plan" "$@" >stdout 2>stderr
  status=$?
  [ $status = 1 ] || fail "$* exits with $status"
  [ "$(wc -l <stderr)" = 1 ] || fail "$* says: $(cat stderr)"
  grep -qF -- "$pattern" stderr || fail "$* wants '$pattern', says: $(cat stderr)"
  [ ! -s stdout ] || fail "$* prints $(cat stdout)"
  [ ! -e never ] || fail "$* leaves an output"
}
