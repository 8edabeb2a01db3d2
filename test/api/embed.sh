#!/usr/bin/env bash
# examples/embed, built against an installed tree, gives the text that hadal-run generate gives.
#     embed.sh BUILD SOURCE WRITE_FAKE_MODEL
build=$1 source=$2 write=$3
. "$(dirname "$0")/../tools/helpers.sh"
"$write" "$dir" || exit 1
cd "$dir" || exit 1
embed() { HADAL_BUILD=$build OUT=$dir/out "$source/examples/embed/run" "$@"; }
works embed "$dir/m.hadal" "$dir/ckpt" hello 12
grep -qE '^hadal [0-9.]+: [0-9]+ tokens; the first cost -?[0-9.]+$' stderr || fail "embed says $(cat stderr)"
cp stdout ours
works "$build/bin/hadal-run" generate m.hadal --weights ckpt --prompt hello --max-new-tokens 12
cmp -s stdout ours || fail "embed gives $(cat ours), hadal-run $(cat stdout)"
refused "none.hadal" out/build/embed none.hadal ckpt hello
refused "got x" out/build/embed m.hadal ckpt hello x
passed
