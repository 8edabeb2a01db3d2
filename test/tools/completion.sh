#!/usr/bin/env bash
# The completion files of all tools hold every option that --help lists, bash completes from them,
# and `cmake --install` puts them where shells look.
#     completion.sh BUILD [TOOL...]
build=$(realpath "$1")
shift
. "$(dirname "$0")/helpers.sh"
cd "$dir" || exit 1
bin=$build/bin files=$build/completions

# long WORDS...: the long options that `WORDS --help` lists.
long() { "$@" --help | grep -oE '^ {0,6}(-[a-z], ?)?--[a-z][A-Za-z0-9-]*' | grep -oE -- '--[A-Za-z0-9-]+' | sort -u; }
# offered WORDS...: what bash offers for the last of the words.
offered() {
  COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMPREPLY=()
  compopt() { :; } # outside of a completion there is none
  "_${1//-/_}"
  [ ${#COMPREPLY[@]} = 0 ] || printf '%s\n' "${COMPREPLY[@]}"
}
# missing NAME < WANTED: says which lines of WANTED ./given lacks.
missing() {
  local lost
  lost=$(grep -vxF -f given -)
  [ -z "$lost" ] || fail "$1 lacks" $lost
}

for tool in "$@"; do
  bash -n "$files/bash/$tool" || fail "$tool: bash cannot read its file"
  . "$files/bash/$tool"
  complete -p "$tool" >/dev/null || fail "bash does not complete $tool"
  for shell in zsh fish; do
    [ $shell = zsh ] && file=$files/zsh/_$tool || file=$files/fish/$tool.fish
    command -v $shell >/dev/null && { $shell -n "$file" || fail "$tool: $shell cannot read its file"; }
    sed 's/ -l \([A-Za-z0-9-]*\)/ --\1 /' "$file" | grep -oE -- '--[A-Za-z0-9-]+' | sort -u >given
    { long "$bin/$tool"; for command in $(offered "$tool" ''); do [ -e "$command" ] || long "$bin/$tool" "$command"; done; } >wanted
    missing "$tool for $shell" <wanted
  done
  offered "$tool" -- >given
  long "$bin/$tool" | missing "$tool"
  for command in $("$bin/$tool" --help | sed -n '/^Commands/,/^$/s/^  \([a-z]*\) .*/\1/p'); do
    offered "$tool" "$command" -- >given
    long "$bin/$tool" "$command" | missing "$tool $command"
  done
  cmp -s <("$bin/$tool" --completion bash) "$files/bash/$tool" || fail "$tool: its file is of another build"
  refused "--completion: wants bash, zsh or fish, got csh" "$bin/$tool" --completion csh
done

# What bash offers: commands, words with and without "=", folders, files.
mkdir -p work/weights && touch work/module && cd work || exit 1
is() {
  local wanted=$1 got
  shift
  got=$(offered "$@" | sort | tr '\n' ' ')
  [ "$got" = "$wanted" ] || fail "$* offers '$got', wanted '$wanted'"
}
is 'generate gradients ' hadal-run g
is 'constant cosine ' hadal-run train --schedule c
is 'constant cosine ' hadal-run train --schedule = c
is 'constant cosine report wsd ' hadal-run train --schedule =
is 'weights ' hadal-run generate module --weights ''
is 'module weights ' hadal-run generate ''
is '' hadal-run generate module --seed 1
is '--dump ' hadal-run logits --du
is 'dualpipe dualpipev ' hadal-plan --schedule d

cd "$dir" || exit 1
cmake --install "$build" --prefix installed >log || fail "cmake --install: $(tail -3 log)"
for tool in "$@"; do
  for file in bash-completion/completions/$tool zsh/site-functions/_$tool fish/vendor_completions.d/$tool.fish; do
    [ -s "installed/share/$file" ] || fail "$file is not installed"
  done
  installed/bin/$tool --version | grep -q '^hadal ' || fail "the installed $tool does not run"
done
passed
