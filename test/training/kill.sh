#!/usr/bin/env bash
# A run that is stopped with SIGKILL or SIGTERM at random moments ends as one that never was: the same log but for its times, and
# the same checkpoint, bit for bit.
#     kill.sh HADAL_RUN [--kills 50] [--steps 60] [--every 2] [--delay 10] -- MODULE (--weights DIR | --init-seed S) (--data ... | --input ...) ...
# A kill comes after up to --delay seconds. A run that ends before its kill begins anew.
set -u
run=$1 kills=50 steps=60 every=2 delay=10
shift
while [ "$1" != -- ]; do
  case $1 in
    --kills) kills=$2 ;; --steps) steps=$2 ;; --every) every=$2 ;; --delay) delay=$2 ;;
    *) echo "kill.sh: $1?" >&2; exit 1 ;;
  esac
  shift 2
done
shift
# Not in a child: one that is stopped before it has become the program would run this, too.
dir=$(mktemp -d) && trap '[ $BASHPID != $$ ] || rm -rf "$dir"' EXIT
train() { "$run" train "$@" --steps "$steps" --checkpoint-every "$every" --keep 2; }
untimed() { sed 's/"tokens_per_second": .*"violation"/"violation"/' "$1"; }
same() { # compares a finished run with the whole one
  diff -r "$dir/killed/$last" "$dir/whole/$last" &&
    [ "$(untimed "$dir/killed.jsonl")" = "$(untimed "$dir/whole.jsonl")" ] || { echo "FAIL: differs after $done_kills kills" >&2; exit 1; }
}

train "$@" --checkpoint-dir "$dir/whole" --log "$dir/whole.jsonl" 2>"$dir/stderr" || { cat "$dir/stderr" >&2; exit 1; }
last=$(ls "$dir/whole" | tail -1)
done_kills=0 ends=0
while :; do
  # A process of its own, so that the kill finds the program and no shell around it.
  "$run" train "$@" --steps "$steps" --checkpoint-every "$every" --keep 2 --checkpoint-dir "$dir/killed" --resume "$dir/killed" \
    --log "$dir/killed.jsonl" 2>"$dir/stderr" &
  process=$!
  if [ $done_kills -lt "$kills" ]; then
    sleep "$(awk -v seed="$((RANDOM * 32768 + RANDOM))" -v most="$delay" 'BEGIN { srand(seed); printf "%.4f", rand() * most }')"
    kill -"$([ $((RANDOM % 2)) = 0 ] && echo TERM || echo KILL)" $process 2>/dev/null
  fi
  wait $process 2>/dev/null
  status=$?
  if [ $status = 137 ] || [ $status = 143 ]; then
    done_kills=$((done_kills + 1))
  elif [ $status = 0 ]; then
    same
    ends=$((ends + 1))
    [ $done_kills -lt "$kills" ] || break
    rm -rf "$dir/killed" "$dir/killed.jsonl"
  else
    echo "FAIL: exit status $status after $done_kills kills: $(tail -1 "$dir/stderr")" >&2
    exit 1
  fi
done
echo "the same bits after $done_kills kills in $ends runs"
