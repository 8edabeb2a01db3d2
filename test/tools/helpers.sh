# Sourced by tests that run tools: an empty folder to work in, what works, and what is refused.
set -u
# Not in a child: one that is stopped before it has become the program would run this, too.
dir=$(mktemp -d) && trap '[ $BASHPID != $$ ] || rm -rf "$dir"' EXIT
failures=0
fail() { echo "FAIL: $*" >&2; failures=$((failures + 1)); }

# works WORDS...: exit status 0; stdout is in ./stdout, stderr in ./stderr.
works() { "$@" >stdout 2>stderr || fail "$* exits with $?: $(head -c 300 stderr)"; }

# refused PATTERN WORDS...: exit status 1, nothing on stdout, one line on stderr that holds PATTERN,
# and no file ./never, which an output may be named.
refused() {
  local pattern=$1 status
  shift
  rm -f never
  "$@" >stdout 2>stderr
  status=$?
  [ $status = 1 ] || fail "$* exits with $status"
  [ "$(wc -l <stderr)" = 1 ] || fail "$* says: $(cat stderr)"
  grep -qF -- "$pattern" stderr || fail "$* wants '$pattern', says: $(cat stderr)"
  [ ! -s stdout ] || fail "$* prints $(head -c 100 stdout)"
  [ ! -e never ] || fail "$* leaves an output"
}

# The end of a test.
passed() {
  [ $failures = 0 ] || exit 1
  echo "all passed"
}
