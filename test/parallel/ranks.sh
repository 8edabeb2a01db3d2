#!/usr/bin/env bash
# hadal-run over ranks that mpirun starts.
#     ranks.sh MPIRUN HADAL_RUN WRITE_FAKE_RANKS HADAL_INSPECT PART
# PART: bits: those of one rank, also after restarts with other ranks; reductions: in the engine's
# order; refusals: wrong use; signals: runs that are stopped, and damaged checkpoints; deaths: ranks
# that die or stall.
set -u
mpirun=$1 run=$2 write=$3 inspect=$4 part=$5
dir=$(mktemp -d) && trap '[ $BASHPID != $$ ] || rm -rf "$dir"' EXIT
failures=0
fail() { echo "FAIL: $*" >&2; failures=$((failures + 1)); }
cd "$dir" || exit 1
"$write" . && "$write" one.hadal 1 1 1 1f1b 0 && "$write" two.hadal 2 1 1 1f1b 1 && "$write" four.hadal 2 2 1 dualpipe 1 &&
  "$write" wide.hadal 1 2 2 1f1b 0 && "$write" fast.hadal 2 2 1 dualpipe 1 0 16 1 1 && "$write" fast2.hadal 1 1 2 1f1b 0 0 16 0 1 &&
  "$write" slow.hadal 2 2 1 1f1b 1 300000 || exit 1
on() { # on N WORDS...: hadal-run as N ranks
  local n=$1
  shift
  if [ "$n" = 1 ]; then timeout 100 "$run" "$@"; else timeout 100 "$mpirun" --allow-run-as-root --oversubscribe --bind-to none -n "$n" "$run" "$@"; fi
}
works() { on "$@" >stdout 2>stderr || fail "$* exits with $?: $(head -c 500 stderr)"; }
untimed() { sed 's/"tokens_per_second": .*"violation"/"violation"/' "$@"; }
train="--input in.safetensors --lr 1e-6"
one() {
  works 1 train one.hadal --init-seed 1 $train --steps 6 --log one.jsonl --checkpoint-dir one
}
refused() { # refused N PATTERN WORDS...: one line, from one rank, and no output
  local n=$1 pattern=$2
  shift 2
  rm -rf never
  on "$n" "$@" >stdout 2>stderr && fail "$* works"
  [ "$(grep -c '^hadal-run: ' stderr)" = 1 ] && grep -q "^hadal-run: .*$pattern" stderr || fail "$* wants '$pattern', says: $(cat stderr)"
  [ ! -e never ] || fail "$* leaves an output"
}
ranksOf() { # PATTERN: processes and their ranks
  pgrep -f "$1" | while read -r p; do
    echo "$p $(tr '\0' '\n' </proc/$p/environ 2>/dev/null | sed -n 's/^OMPI_COMM_WORLD_RANK=//p')"
  done
}

bits() {
  one
  for job in "two 2" "four 4" "wide 4"; do
    set -- $job
    works $2 train $1.hadal --init-seed 1 $train --steps 6 --log $1.jsonl --checkpoint-dir $1 --trace $1.json
    [ "$(untimed one.jsonl)" = "$(untimed $1.jsonl)" ] || fail "$1: the log differs"
    for file in model.safetensors optimizer/state.safetensors; do
      cmp one/step-00000006/$file $1/step-00000006/$file || fail "$1: $file differs"
    done
    [ "$(grep -c '^6 steps' stderr)" = 1 ] || fail "$1: says $(cat stderr)"
    python3 - $1.json $2 <<'END' || fail "$1: its trace"
import json, sys
events = json.load(open(sys.argv[1]))["traceEvents"]
for rank in range(int(sys.argv[2])):
    chunks = [e["name"] for e in events if e["pid"] == rank and e.get("cat") == "chunk"]
    assert sorted(chunks) == sorted(set(chunks) and chunks) and len(chunks) % 6 == 0 and "F0.0" in chunks and "B0.0" in chunks, chunks[:9]
    assert any(e.get("cat") == "comm" and e["pid"] == rank for e in events)
    assert any(e.get("cat") == "kernel" and e["pid"] == rank for e in events)
    assert all("stage" in e["args"] for e in events if e.get("cat") == "chunk")
    assert [e["args"]["name"] for e in events if e["name"] == "process_name" and e["pid"] == rank] == [f"rank {rank}"]
starts = [min(e["ts"] for e in events if e["pid"] == r and e.get("cat") == "chunk") for r in range(int(sys.argv[2]))]
assert max(starts) - min(starts) < 30e6, starts
END
  done

  # Half of the steps on some ranks, the rest on others.
  works 4 train four.hadal --init-seed 1 $train --steps 3 --checkpoint-dir half
  works 2 train two.hadal --resume half $train --steps 5 --checkpoint-dir half
  works 1 train one.hadal --resume half $train --steps 6 --checkpoint-dir half
  cmp one/step-00000006/model.safetensors half/step-00000006/model.safetensors || fail "restarts with other ranks: weights differ"
  cmp one/step-00000006/optimizer/state.safetensors half/step-00000006/optimizer/state.safetensors || fail "restarts with other ranks: moments differ"

  works 1 gradients one.hadal --weights one/step-00000006 --input in.safetensors -o one.grads
  works 4 gradients four.hadal --weights one/step-00000006 --input in.safetensors -o four.grads
  cmp one.grads four.grads || fail "gradients differ"
}

reductions() {
  one
  # In the engine's order: close to one rank, goes on from a checkpoint on other ranks, and its
  # stats count the engine's reductions.
  works 4 train fast.hadal --init-seed 1 $train --steps 4 --log fast.jsonl --checkpoint-dir fast --stats fast.stats
  works 2 train fast2.hadal --resume fast $train --steps 5 --log fast2.jsonl --checkpoint-dir fast
  works 1 train one.hadal --resume fast $train --steps 6 --log fast1.jsonl --checkpoint-dir fast
  works 4 train four.hadal --init-seed 1 $train --steps 2 --log ordered.jsonl --stats ordered.stats
  works 1 gradients one.hadal --weights one/step-00000006 --input in.safetensors -o one.grads
  works 4 gradients fast.hadal --weights one/step-00000006 --input in.safetensors -o fast.grads
  python3 - <<'END' || fail "fast reductions"
import json
lines = lambda path: [json.loads(line) for line in open(path)]
one, fast = lines("one.jsonl"), lines("fast.jsonl") + lines("fast2.jsonl") + lines("fast1.jsonl")
assert [a["step"] for a in fast] == [1, 2, 3, 4, 5, 6], fast
for a, b in zip(one, fast):
    for figure in ("loss", "grad_norm"):
        assert abs(a[figure] - b[figure]) <= 1e-5 * abs(a[figure]), (figure, a, b)
ranks = lambda path: [rank["reductions"] for rank in json.load(open(path))["ranks"]]
assert len(ranks("fast.stats")) == 4 and all(n > 0 and n % 4 == 0 for n in ranks("fast.stats")), ranks("fast.stats")
assert ranks("ordered.stats") == [0, 0, 0, 0], ranks("ordered.stats")
END
  cmp -s one.grads fast.grads && fail "fast reductions have the bits of the fixed order"

  # What a step sends: in the engine's order a rank has one part of the embedding, in the fixed
  # order one for each of its two uses, and these meet at one rank.
  "$write" dual.hadal 2 1 1 dualpipe 1 && "$write" dual-fast.hadal 2 1 1 dualpipe 1 0 16 1 1 || fail "cannot write modules"
  for module in fast dual-fast; do "$inspect" $module.hadal --verify >/dev/null || fail "$module is not verified"; done
  "$inspect" dual.hadal --json >dual.json && "$inspect" dual-fast.hadal --json >dual-fast.json || fail "hadal-inspect"
  python3 - <<'END' || fail "sent bytes"
import json
ordered, fast = (json.load(open(f)) for f in ("dual.json", "dual-fast.json"))
assert ordered["training"]["reduction"] == "ordered" and ordered["training"]["sum_groups"] == 8, ordered["training"]
assert fast["training"]["reduction"] == "fast" and "sum_groups" not in fast["training"], fast["training"]
sent = [[rank["sent_bytes_per_step"] for rank in module["ranks"]] for module in (ordered, fast)]
embedding = 64 * 2 * 4
assert sum(sent[0]) - sum(sent[1]) == 2 * embedding, sent
END
}

refusals() {
  refused 1 'two.hadal: is for 2 ranks, call runs a function on one' call two.hadal @zero -o never
  refused 2 'two.hadal: is for 2 ranks, call runs a function on one' call two.hadal @zero -o never
  refused 2 'one.hadal: call runs a function on one rank, mpirun started 2' call one.hadal @zero -o never
  refused 1 'two.hadal wants 2 ranks: mpirun -n 2 hadal-run' train two.hadal --init-seed 1 $train --steps 1
  refused 3 'two.hadal is for 2 ranks, mpirun started 3' train two.hadal --init-seed 1 $train --steps 1
  refused 2 'one.hadal is for 1 rank, mpirun started 2' train one.hadal --init-seed 1 $train --steps 1
  refused 2 'nowhere' train two.hadal --weights nowhere $train --steps 1 --checkpoint-dir never
  refused 2 'steps' train two.hadal --init-seed 1 $train --steps 0
  refused 4 'step [0-9]*: .*model.embed_tokens.weight' train four.hadal --init-seed 1 --input in.safetensors --steps 100 --lr 1e30 --checkpoint-dir blown
}

signals() {
  # A signal to one rank, or one that mpirun passes on: all ranks finish the same step, and going on
  # has the bits of a run that was never stopped.
  "$write" two-slow.hadal 2 1 1 1f1b 1 20000 || exit 1
  for signal in TERM USR1; do
    rm -rf stopped*
    timeout 100 "$mpirun" --allow-run-as-root --oversubscribe --bind-to none -n 2 "$run" train two-slow.hadal --init-seed 1 $train --steps 100000 \
      --checkpoint-dir stopped --log stopped.jsonl >stdout 2>stderr &
    job=$!
    for i in $(seq 200); do [ -s stopped.jsonl ] && break; sleep 0.1; done
    case $signal in
      TERM) victim=$(ranksOf "^$run train two-slow.hadal" | awk '$2 == 1 { print $1 }') status=143 ;;
      USR1) victim=$(pgrep -f "^$mpirun .* train two-slow.hadal") status=138 ;;
    esac
    kill -$signal "$victim" || fail "nobody to stop"
    wait $job
    got=$?
    [ $got = $status ] || fail "SIG$signal: status $got: $(cat stderr)"
    step=$(wc -l <stopped.jsonl)
    [ "$(grep -c "^stopped by SIG$signal after step $step of 100000; --resume stopped goes on from there$" stderr)" = 1 ] || fail "SIG$signal: says $(cat stderr)"
    works 2 train two-slow.hadal --resume stopped $train --steps $((step + 2)) --checkpoint-dir stopped --log stopped.jsonl
    works 1 train one.hadal --init-seed 1 $train --steps $((step + 2)) --checkpoint-dir stopped-not --log stopped-not.jsonl
    name=$(printf 'step-%08d' $((step + 2)))
    diff -r "stopped/$name" "stopped-not/$name" || fail "SIG$signal: a run that was stopped differs"
    [ "$(untimed stopped.jsonl)" = "$(untimed stopped-not.jsonl)" ] || fail "SIG$signal: the log differs"
  done
  # Ranks share the reading of a checkpoint, and one of them says what is wrong with it.
  for file in config.json model.safetensors optimizer/state.safetensors optimizer/training.json; do
    cp -r stopped damaged
    truncate -s -1 "damaged/$name/$file"
    refused 2 "damaged/$name/$file: is damaged: .*; the newest whole checkpoint is damaged/step-" train two.hadal --resume damaged $train --steps 100000
    rm -rf damaged
  done
}

deaths() {
  # A rank that dies before it has met the others.
  cat >early <<END
#!/bin/sh
[ \$OMPI_COMM_WORLD_RANK = 2 ] && sleep 2 && kill -KILL \$\$
exec "$run" "\$@"
END
  chmod +x early
  timeout 60 "$mpirun" --allow-run-as-root --oversubscribe --bind-to none -n 4 ./early train four.hadal --init-seed 1 $train --steps 1 --checkpoint-dir never >stdout 2>stderr &&
    fail "a job without rank 2 works"
  grep -q '^hadal-run: rank [013]: stopped from outside in its preparations$' stderr && [ ! -e never ] || fail "an early death: says $(cat stderr)"

  # A rank that dies, and one that stalls: the others say where, in time, and the last checkpoint is
  # whole.
  for signal in KILL STOP; do
    rm -rf last
    on 4 train slow.hadal --init-seed 1 $train --steps 100000 --checkpoint-dir last --checkpoint-every 1 --keep 2 --rank-timeout 8 >stdout 2>stderr &
    job=$!
    for i in $(seq 100); do ls last 2>/dev/null | grep -q step- && break; sleep 0.2; done
    sleep 1
    victim=$(ranksOf "^$run train slow.hadal" | awk '$2 == 2 { print $1 }')
    begin=$(date +%s)
    kill -$signal "$victim" || fail "no rank 2 to stop"
    wait $job
    status=$?
    seconds=$(($(date +%s) - begin))
    [ $status != 0 ] && [ $seconds -lt 20 ] || fail "SIG$signal: status $status after $seconds s"
    grep -Eq '^hadal-run: rank [013]: .*step [0-9]+, ([FBIW][01]\.[0-9]+, command [0-9]+: |)[a-z]' stderr || fail "SIG$signal: says $(cat stderr)"
    [ $signal = KILL ] || grep -q 'without an answer from rank' stderr || fail "SIGSTOP: says $(cat stderr)"
    works 4 train slow.hadal --resume last $train --steps $(($(ls last | tail -1 | sed 's/step-0*//') + 1)) --checkpoint-dir last --keep 2
  done
}

"$part"
[ $failures = 0 ] || exit 1
echo "all passed"
