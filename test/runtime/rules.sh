#!/usr/bin/env bash
# The runtime includes and links no compiler, and computes nothing on tensors.
#     rules.sh RUNTIME_SOURCES RUNTIME_LIBRARY PROGRAM...
set -u
sources=$1 library=$2
shift 2
failures=0
none() { # WHAT: stdin must be empty
  local found
  found=$(head -5)
  [ -z "$found" ] || { echo "FAIL: $1: $found" >&2; failures=$((failures + 1)); }
}
[ -f "$library" ] && [ -n "$(find "$sources" -name '*.cpp')" ] || { echo "FAIL: nothing to look at" >&2; exit 1; }

grep -rnE '#include [<"](mlir|llvm|dialects|passes|frontend|tools)/' "$sources" | none "an include that points upwards"
grep -rnE '#include <(cmath|math\.h|immintrin\.h|arm_neon\.h|numeric|valarray|complex)>|_mm(256|512)?_|__builtin_(ia32|neon)' "$sources" |
  none "arithmetic in the sources"
nm -C -u "$library" | grep -E ' (expf?|logf?|log2f?|powf?|sqrtf?|tanhf?|sinf?|cosf?|fmaf?|erff?|[sd]gemm.*|[sd]gemv.*|cblas_.*)$' |
  none "a mathematical function in the library"
nm -C "$library" | grep -iE ' [tTwW] .*(gemm|gemv|matmul|softmax|rmsnorm|swiglu|dotproduct)' | none "a math kernel in the library"
# Vector arithmetic on floats: what a compiled loop over a tensor is made of. Scalars (times, rates, sums of losses) may stay.
objdump -d --no-show-raw-insn "$library" | grep -E '\b(v?(mul|div|sqrt)p[sd]|vfn?m(add|sub)[0-9]*[ps][sd]|fmla|fmul +v)\b' | none "vector arithmetic in the library"
for program; do
  ldd "$program" | grep -iE 'LLVM|MLIR|blas|mkl' | none "$program links"
done
[ $failures = 0 ] && echo "all passed"
exit $failures
