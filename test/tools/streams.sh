#!/usr/bin/env bash
# "-" and pipes wherever a file stands, in every tool: the same bytes as with files, one clear line
# where that cannot be, and a reader that leaves early.
#     streams.sh BIN SOURCE
bin=$1 source=$2
. "$(dirname "$0")/helpers.sh"
run=$bin/hadal-run inspect=$bin/hadal-inspect plan=$bin/hadal-plan
export XDG_CACHE_HOME=$dir/cache
"$bin/WriteFakeModel" "$dir" && "$bin/WriteFakeTraining" "$dir/t" || exit 1
cd "$dir" || exit 1

# equal NAME FILE: what was printed is FILE.
equal() { cmp -s stdout "$2" || fail "$1: $(head -c 200 stdout | tr -d '\0')"; }
# quiet NAME: ./stderr has no line that an error would have.
quiet() { ! grep -q '^hadal' stderr || fail "$1 says: $(cat stderr)"; }

# Inputs of hadal-run.
model=(m.hadal --weights ckpt)
printf '[[1, 2, 3], [4, 5]]' >rows.json
printf '1 2 3\n4 5\n' >rows.txt
printf 'hello\nIn the beginning\n' >prompts
seq 1 200 >text
works "$run" generate "${model[@]}" --input rows.json --max-new-tokens 5 && cp stdout rows.out
works "$run" generate "${model[@]}" --prompt-file prompts --max-new-tokens 5 && cp stdout prompts.out
works "$run" score "${model[@]}" --text text && cp stdout score.out
works "$run" logits "${model[@]}" --input in.safetensors -o logits.out
works "$run" logits "${model[@]}" --input in.safetensors --routes routes.safetensors -o routed.out
for rows in rows.json rows.txt; do
  works "$run" generate "${model[@]}" --input - --max-new-tokens 5 <$rows
  equal "--input - of $rows" rows.out
  works "$run" generate "${model[@]}" --input <(cat $rows) --max-new-tokens 5
  equal "--input <(cat $rows)" rows.out
done
works "$run" generate "${model[@]}" --prompt-file - --max-new-tokens 5 <prompts
equal '--prompt-file -' prompts.out
works "$run" score "${model[@]}" --text - <text
equal '--text -' score.out
works "$run" logits "${model[@]}" --input - -o - <in.safetensors
equal 'logits --input - -o -' logits.out
works "$run" logits "${model[@]}" --input in.safetensors --routes - -o piped.out < <(cat routes.safetensors)
cmp -s piped.out routed.out || fail "--routes - gives another result"
works "$run" logits - --weights ckpt --input in.safetensors -o piped.out <m.hadal
cmp -s piped.out logits.out || fail "a module from standard input gives another result"
works "$run" generate "${model[@]}" --config - --input rows.json < <(echo 'max-new-tokens = 5')
equal '--config -' rows.out
refused "standard input: 'nonsense' is no option of generate" \
  "$run" generate "${model[@]}" --config - --input rows.json < <(echo 'nonsense = 1')

# A pipe whose writer comes late, and one that nothing writes to.
mkfifo late never-written
(sleep 1; cat rows.json >late) &
works "$run" generate "${model[@]}" --input late --max-new-tokens 5
equal 'a writer that comes late' rows.out
wait
refused 'never-written: is a pipe that nothing writes to' \
  timeout 60 "$run" generate "${model[@]}" --input never-written
refused 'standard input: Bad file descriptor' "$run" generate "${model[@]}" --input - <&-
refused 'standard input: Is a directory' "$run" generate "${model[@]}" --input - <.
refused 'standard input: row 0: wants token ids' "$run" generate "${model[@]}" --input - < <(echo '[["x"]]')
refused 'standard input: line 1: is not UTF-8' "$run" generate "${model[@]}" --prompt-file - < <(printf 'caf\351')
refused 'standard input: wants a module of hadal-compile' "$inspect" - </dev/null

# Outputs of hadal-run: the file alone on standard output; what is printed else goes to stderr.
works "$run" generate "${model[@]}" --prompt hello --max-new-tokens 5 -o file.out && cp stdout text.out
works "$run" generate "${model[@]}" --prompt hello --max-new-tokens 5 -o -
equal 'generate -o -' file.out
head -c "$(wc -c <text.out)" stderr | cmp -s - text.out || fail "generate -o - loses the text: $(cat stderr)"
works "$run" generate "${model[@]}" --prompt hello --max-new-tokens 5 --stats -
grep -q '^{"sequences":1,.*}$' stdout && [ "$(wc -l <stdout)" = 1 ] || fail "--stats -: $(cat stdout)"
works "$run" score "${model[@]}" --text text --trace -
head -c 30 stdout | grep -q '"displayTimeUnit"' || fail "--trace -: $(head -c 100 stdout)"
grep -q '^nll ' stderr || fail "score --trace - loses its line: $(cat stderr)"
works "$run" generate "${model[@]}" --prompt hello --max-new-tokens 5 -o >(cat >process.out)
wait $!
cmp -s process.out file.out || fail "-o >(cat) has $(wc -c <process.out) bytes"

# A training run: data, log and page.
train=(train t/t.hadal --weights t/ckpt --lr 0.02 --steps 4)
works "$run" "${train[@]}" --data t/a.txt --log file.jsonl --checkpoint-dir one
works "$run" "${train[@]}" --data - --log - --checkpoint-dir two <t/a.txt
untimed() { sed 's/"tokens_per_second": .*"violation"/"violation"/' "$@"; }
[ "$(untimed stdout)" = "$(untimed file.jsonl)" ] || fail "--log -: $(cat stdout)"
quiet 'train --data - --log -'
cmp -s one/step-00000004/model.safetensors two/step-00000004/model.safetensors || fail "--data - trains otherwise"
works "$run" "${train[@]}" --data t/b.jsonl --log file.jsonl
works "$run" "${train[@]}" --data <(cat t/b.jsonl) --log -
[ "$(untimed stdout)" = "$(untimed file.jsonl)" ] || fail "JSON lines from a pipe: $(cat stdout stderr)"
works "$run" "${train[@]}" --data t/a.txt --html - --checkpoint-dir three --checkpoint-every 1
[ "$(grep -c '<!doctype html>' stdout)" = 1 ] && grep -q '<polyline' stdout || fail "--html -: $(grep -c '<!doctype' stdout) pages"
refused 'standard input: is JSON by its first line' "$run" "${train[@]}" --data - < <(echo '{"x": 1}')

# What cannot be.
refused '--weights: wants a folder, - is standard input' "$run" generate m.hadal --weights - --prompt x -o never
refused '--checkpoint-dir: wants a folder' "$run" "${train[@]}" --data t/a.txt --checkpoint-dir -
refused '--input and --routes: standard input can be only one file' \
  "$run" logits "${model[@]}" --input - --routes /dev/stdin -o never
refused 'MODULE and --text: standard input' "$run" score - --weights ckpt --text -
refused '--data: standard input' "$run" "${train[@]}" --data - -
refused '--trace and -o: standard output can be only one file' \
  "$run" logits "${model[@]}" --input in.safetensors -o - --trace -
refused '--trace and --json: standard output' "$run" score "${model[@]}" --text text --json --trace -
[ ! -e ./- ] || fail "there is a file named -"

# The tools without a compiler.
works "$inspect" m.hadal --json && cp stdout json.out
works "$inspect" - --json <m.hadal
[ "$(sed 's/standard input/m.hadal/' stdout)" = "$(cat json.out)" ] || fail "inspect -: $(head -c 200 stdout)"
works "$inspect" m.hadal --html page.html
works "$inspect" m.hadal --html -
equal 'inspect --html -' page.html
refused '--html and --json: standard output' "$inspect" m.hadal --html - --json
works "$plan" --schedule=dualpipe --pp=4 --micro-batches=8 --html page.html
works "$plan" --schedule=dualpipe --pp=4 --micro-batches=8 --html -
equal 'plan --html -' page.html
refused '--html and --order: standard output' "$plan" --schedule=dualpipe --pp=4 --micro-batches=8 --html - --order

# A reader that leaves early: quietly, by SIGPIPE, or a line where that is ignored.
left() {
  ("$@"; echo $? >status) 2>stderr | head -c 1 >/dev/null
  [ "$(cat status)" = 141 ] && ! grep -q . stderr || fail "$* | head: status $(cat status), $(cat stderr)"
  (trap '' PIPE; "$@"; echo $? >status) 2>stderr | head -c 1 >/dev/null
  [ "$(cat status)" = 1 ] && [ "$(grep -c 'standard output: ' stderr)" = 1 ] || fail "$* | head, SIGPIPE ignored: status $(cat status), $(cat stderr)"
}
left "$plan" --schedule=dualpipe --pp=64 --micro-batches=256 --timeline
left "$plan" --schedule=dualpipe --pp=64 --micro-batches=256 --html -

[ -x "$bin/hadal-compile" ] || { passed; exit; }

# The tools with one.
mini=$source/test/frontend/models/mini
echo 'func.func @f(%x: tensor<4xf32>) -> tensor<4xf32> { return %x : tensor<4xf32> }' >f.mlir
works "$bin/hadal-compile" f.mlir -o f.hadal
works "$bin/hadal-compile" - -o - <f.mlir
equal 'hadal-compile - -o -' f.hadal
works "$bin/hadal-compile" <(cat f.mlir) -o piped.hadal
cmp -s piped.hadal f.hadal || fail "a .mlir file through a pipe compiles to another module"
works "$bin/hadal-compile" "$mini" --emit=graph -o graph.mlir
works "$bin/hadal-compile" - --emit=graph -o - <"$mini/config.json"
equal 'config.json as standard input' graph.mlir
works "$bin/hadal-compile" - --mode=train --seq=8 --emit=graph <"$mini/config.json"
"$bin/hadal-compile" - -o never < <(echo nonsense) 2>stderr
[ $? = 1 ] && grep -q 'standard input.*:1:1' stderr || fail "a mistake in standard input: $(cat stderr)"
refused 'standard input: wants a folder with config.json or a .mlir file, is a ZIP archive' \
  "$bin/hadal-compile" - -o never < <(printf 'PK\3\4')
works "$bin/hadal-opt" graph.mlir --mla-specialize -o opt.mlir
works "$bin/hadal-opt" - --mla-specialize -o - <graph.mlir
equal 'hadal-opt -' opt.mlir
works "$bin/hadal-opt" <(cat graph.mlir) --mla-specialize
equal 'hadal-opt <(cat)' opt.mlir
config=$source/test/frontend/models/deepseek-v3-671b/config.json
works "$plan" "$(dirname "$config")" --pp=16 --ep=64 --trace trace.json && cp stdout plan.out
works "$plan" - --pp=16 --ep=64 <"$config"
equal 'hadal-plan -' plan.out
works "$plan" "$(dirname "$config")" --pp=16 --ep=64 --cluster - <"$source/examples/clusters/h800x2048.json"
equal '--cluster -' plan.out
works "$plan" "$(dirname "$config")" --pp=16 --ep=64 --trace -
equal 'plan --trace -' trace.json
cmp -s stderr plan.out || fail "plan --trace - loses the report"
refused 'INPUT and --cluster: standard input' "$plan" - --cluster - <"$config"
left "$bin/hadal-compile" "$source/test/frontend/models/deepseek-v3-671b" --emit=graph
left "$bin/hadal-compile" "$source/test/frontend/models/deepseek-v3-671b" --emit=graph -o -
passed
