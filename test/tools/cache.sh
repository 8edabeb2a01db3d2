#!/usr/bin/env bash
# What hadal-compile keeps: a second compilation takes it, another description, option or a damaged file does not.
#     cache.sh BIN MODELS
set -euo pipefail
bin=$1 models=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
export HADAL_CACHE_DIR=$work/cache
fail() { echo "cache.sh: $1"; exit 1; }
compile() { timeout 300 "$bin/hadal-compile" "$@" || fail "compiling $* failed"; }
kept() { ls cache/modules | grep -c '^llvmcache-' || true; }

cp -r "$models/nano" a && cp -r a b
sed -i 's/"rms_norm_eps": [^,]*/"rms_norm_eps": 0.125/' b/config.json
! cmp -s a/config.json b/config.json || fail "the two descriptions are equal"

# Nothing is kept unless it is wanted, and only modules are.
compile a --no-cache -o none.hadal
compile a --emit=object -o a.o
[ ! -e cache ] || fail "--no-cache or --emit=object left something in the cache"

compile a -o a1.hadal
[ "$(kept)" = 1 ] || fail "wanted one module in the cache, there are $(kept)"
cmp a1.hadal none.hadal || fail "a module differs from that of --no-cache"
first=$(ls cache/modules/llvmcache-*)
compile b -o b1.hadal
[ "$(kept)" = 2 ] || fail "another eps was answered from the cache"
compile a --page-tokens=32 -o page.hadal
[ "$(kept)" = 3 ] || fail "another --page-tokens was answered from the cache"

# The module of another description in its place shows that the file is what answers; --no-cache does not look.
cp b1.hadal "$first"
compile a -o a2.hadal
cmp a2.hadal b1.hadal || fail "the second compilation did not take what the cache holds"
compile a --no-cache -o a3.hadal
cmp a3.hadal a1.hadal || fail "--no-cache looked into the cache"

# A damaged file is compiled again and replaced.
head -c 1000 a1.hadal >"$first"
compile a -o a4.hadal
cmp a4.hadal a1.hadal || fail "a cut file of the cache was taken"
cmp "$first" a1.hadal || fail "a cut file of the cache was not replaced"

# Executables share the cache with modules.
compile a --emit=exe -o a.exe
[ "$(kept)" = 3 ] || fail "an executable was compiled anew"
timeout 60 ./a.exe --help | grep -q 'compiled by hadal' || fail "the executable carries no module"

# Two at once, into an empty cache.
rm -rf cache
compile a -o p1.hadal & compile a -o p2.hadal & wait %1 && wait %2
cmp p1.hadal a1.hadal && cmp p2.hadal a1.hadal || fail "two compilers at once disturb each other"

# The least recently used go.
size=$(stat -c %s a1.hadal)
export HADAL_CACHE_BYTES=$((size * 3 / 2))
compile b -o b2.hadal
[ "$(kept)" = 1 ] || fail "the cache outgrew HADAL_CACHE_BYTES"

# A cache that cannot be written to costs nothing but time.
rm -rf cache && touch cache
compile a -o a5.hadal
cmp a5.hadal a1.hadal || fail "a cache that is a file changed the module"
echo "cache.sh: passed"
