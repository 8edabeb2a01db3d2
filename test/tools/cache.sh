#!/usr/bin/env bash
# What hadal-compile keeps, modules and kernels: a second compilation takes it, another description,
# option or a damaged file does not.
#     cache.sh BIN
set -euo pipefail
bin=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
export HADAL_CACHE_DIR=$work/cache
fail() { echo "cache.sh: $1"; exit 1; }
compile() { timeout 300 "$bin/hadal-compile" "$@" || fail "compiling $* failed"; }
kept() { ls cache/modules | grep -c '^llvmcache-' || true; }
kernels() { ls cache/kernels | grep -c '^llvmcache-' || true; }

# f(x) = x * FACTOR, which compiles in no time.
function_of() {
  cat <<IR
func.func @f(%x: tensor<?x16xf32>) -> tensor<?x16xf32> {
  %c0 = arith.constant 0 : index
  %factor = arith.constant $1 : f32
  %n = tensor.dim %x, %c0 : tensor<?x16xf32>
  %e = tensor.empty(%n) : tensor<?x16xf32>
  %y = linalg.generic {indexing_maps = [affine_map<(d0, d1) -> (d0, d1)>, affine_map<(d0, d1) -> (d0, d1)>],
                       iterator_types = ["parallel", "parallel"]} ins(%x : tensor<?x16xf32>) outs(%e : tensor<?x16xf32>) {
  ^bb0(%a: f32, %out: f32):
    %p = arith.mulf %a, %factor : f32
    linalg.yield %p : f32
  } -> tensor<?x16xf32>
  return %y : tensor<?x16xf32>
}
IR
}
function_of 2.0 >a.mlir
function_of 3.0 >b.mlir

# Nothing is kept unless it is wanted, and only modules are.
compile a.mlir --no-cache -o none.hadal
compile a.mlir --emit=object -o a.o
[ ! -e cache ] || fail "--no-cache or --emit=object left something in the cache"

compile a.mlir -o a1.hadal
[ "$(kept)" = 1 ] || fail "wanted one module in the cache, there are $(kept)"
cmp a1.hadal none.hadal || fail "a module differs from that of --no-cache"
first=$(ls cache/modules/llvmcache-*)
[ "$(kernels)" = 1 ] || fail "wanted one kernel in the cache, there are $(kernels)"
of_a=$(ls cache/kernels/llvmcache-*)
compile b.mlir -o b1.hadal
[ "$(kept)" = 2 ] || fail "another function was answered from the cache"
compile a.mlir --page-tokens=32 -o page.hadal
[ "$(kept)" = 3 ] || fail "another --page-tokens was answered from the cache"

# The module of another description in its place shows that the file is what answers; --no-cache does not look.
cp b1.hadal "$first"
compile a.mlir -o a2.hadal
cmp a2.hadal b1.hadal || fail "the second compilation did not take what the cache holds"
compile a.mlir --no-cache -o a3.hadal
cmp a3.hadal a1.hadal || fail "--no-cache looked into the cache"

# A damaged file is compiled again and replaced.
head -c 1000 a1.hadal >"$first"
compile a.mlir -o a4.hadal
cmp a4.hadal a1.hadal || fail "a cut file of the cache was taken"
cmp "$first" a1.hadal || fail "a cut file of the cache was not replaced"

# Executables share the cache with modules.
compile a.mlir --emit=exe -o a.exe
[ "$(kept)" = 3 ] || fail "an executable was compiled anew"
timeout 60 ./a.exe --help | grep -q 'compiled by hadal' || fail "the executable carries no module"

# Modules share kernels: one that differs in nothing else compiles none. Another kernel in its place
# shows that the file is what answers; a damaged one is compiled again and replaced.
[ "$(kernels)" = 2 ] || fail "wanted the kernels of two functions in the cache, there are $(kernels)"
of_b=$(ls cache/kernels/llvmcache-* | grep -vFx "$of_a")
cp "$of_a" good
cp "$of_b" "$of_a"
compile a.mlir --page-tokens=16 -o swapped.hadal
cmp swapped.hadal b1.hadal || fail "the kernel that the cache holds was not taken"
head -c 1000 good >"$of_a"
compile a.mlir --page-tokens=128 -o mended.hadal
cmp mended.hadal a1.hadal || fail "a cut kernel of the cache was taken"
cmp "$of_a" good || fail "a cut kernel of the cache was not replaced"

# Two at once, into an empty cache.
rm -rf cache
compile a.mlir -o p1.hadal & compile a.mlir -o p2.hadal & wait %1 && wait %2
cmp p1.hadal a1.hadal && cmp p2.hadal a1.hadal || fail "two compilers at once disturb each other"

# The least recently used go.
size=$(stat -c %s a1.hadal)
export HADAL_CACHE_BYTES=$((size * 3 / 2))
compile b.mlir -o b2.hadal
[ "$(kept)" = 1 ] || fail "the cache outgrew HADAL_CACHE_BYTES"

# A cache that cannot be written to costs nothing but time.
rm -rf cache && touch cache
compile a.mlir -o a5.hadal
cmp a5.hadal a1.hadal || fail "a cache that is a file changed the module"
echo "cache.sh: passed"
