#!/usr/bin/env bash
# The runtime includes and links no compiler, and computes nothing on tensors.
#     rules.sh RUNTIME_SOURCES LIBRARY... -- PROGRAM...
set -u
shopt -s lastpipe # `none` counts in this shell
sources=$1
shift
libraries=()
while [ $# -gt 0 ] && [ "$1" != -- ]; do
  libraries+=("$1")
  shift
done
shift
failures=0
none() { # WHAT: stdin must be empty
  local found
  found=$(head -5)
  [ -z "$found" ] || { echo "FAIL: $1: $found" >&2; failures=$((failures + 1)); }
}
[ -f "${libraries[0]}" ] && [ $# -gt 0 ] && [ -n "$(find "$sources" -name '*.cpp')" ] || { echo "FAIL: nothing to look at" >&2; exit 1; }

# Every source belongs to a library: CMakeLists.txt of runtime/, or of its own folder, lists it.
find "$sources" -name '*.cpp' | while read -r file; do
  grep -qw -- "${file#"$sources"/}" "$sources/CMakeLists.txt" ||
    grep -qws -- "${file##*/}" "${file%/*}/CMakeLists.txt" || echo "$file"
done | none "no library lists it"

grep -rnE '#include [<"](mlir|llvm|dialects|passes|frontend|tools)/' "$sources" | none "an include that points upwards"
# These two round a scalar each: a count of steps, a time.
grep -rnE --exclude=Schedule.cpp --exclude=TraceEvents.cpp '#include <(cmath|math\.h|immintrin\.h|arm_neon\.h|numeric|valarray|complex)>|_mm(256|512)?_|__builtin_(ia32|neon)' "$sources" |
  none "arithmetic in the sources"
nm -C -u "${libraries[@]}" | grep -E ' (expf?|logf?|log2f?|powf?|sqrtf?|tanhf?|sinf?|cosf?|fmaf?|erff?|[sd]gemm.*|[sd]gemv.*|cblas_.*)$' |
  none "a mathematical function in the library"
nm -C "${libraries[@]}" | grep -iE ' [tTwW] .*(gemm|gemv|matmul|softmax|rmsnorm|swiglu|dotproduct)' | none "a math kernel in the library"
# Vector arithmetic on floats: what a compiled loop over a tensor is made of. Scalars (times, rates, sums of losses) may stay.
objdump -d --no-show-raw-insn "${libraries[@]}" | grep -E '\b(v?(mul|div|sqrt)p[sd]|vfn?m(add|sub)[0-9]*[ps][sd]|fmla|fmul +v)\b' | none "vector arithmetic in the library"
for program; do
  ldd "$program" | grep -iE 'LLVM|MLIR|blas|mkl' | none "$program links"
done
[ $failures = 0 ] && echo "all passed"
exit $failures
