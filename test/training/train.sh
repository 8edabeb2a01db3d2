#!/usr/bin/env bash
# hadal-run train and gradients over the fake training job: what they print, what they write, and how they fail; fifty kills.
#     train.sh HADAL_RUN WRITE_FAKE_TRAINING
run=$1 write=$2
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../tools/helpers.sh"
export XDG_CACHE_HOME=$dir/cache

"$write" "$dir" || exit 1
cd "$dir" || exit 1

# refused PATTERN WORDS...: exit status 1, nothing on stdout, PATTERN in the last line of stderr, which is the only one that the
# program says of itself; no output.
refused() {
  local pattern=$1 status
  shift
  rm -rf never
  "$@" >stdout 2>stderr
  status=$?
  [ $status = 1 ] || fail "$* exits with $status"
  [ "$(grep -c '^hadal-run: ' stderr)" = 1 ] || fail "$* says: $(cat stderr)"
  tail -1 stderr | grep -qF -- "$pattern" || fail "$* wants '$pattern', says: $(cat stderr)"
  [ ! -s stdout ] || fail "$* prints $(cat stdout)"
  [ ! -e never ] || fail "$* leaves an output"
}
# The log without its times.
untimed() { sed 's/"tokens_per_second": .*"violation"/"violation"/' "$@"; }
train() { "$run" train t.hadal --lr 0.02 --warmup 3 "$@"; }

works "$run" gradients t.hadal --weights ckpt --input in.safetensors -o grads
grep -q 'model.layers.1.mlp.experts.2.up_proj.weight' grads && grep -q '"loss"' grads || fail "gradients: $(head -c 500 grads)"
grep -q 'correction_bias' grads && fail "gradients of a routing bias"
# How far they are from another module's: from their own not at all, a line per tensor and one of all of them.
works "$run" gradients t.hadal --compare t.hadal --weights ckpt --input in.safetensors -o same
cmp -s grads same || fail "--compare changes the gradients"
[ "$(wc -l <stdout)" = 6 ] || fail "--compare prints $(cat stdout)"
for name in model.embed_tokens.weight model.layers.1.mlp.experts.{0,1,2}.up_proj.weight 'all 4 tensors; loss .*'; do
  grep -qE "^ +0 +1\.00000000 +[0-9.e-]+ +[0-9.e-]+ +$name\$" stdout || fail "--compare has no line of $name: $(cat stdout)"
done
works "$run" gradients t.hadal --compare t.hadal --weights ckpt --input in.safetensors --json
[ "$(wc -l <stdout)" = 1 ] && grep -q '^{"module":"t.hadal","reference":"t.hadal","loss":[0-9.]*,"reference_loss":[0-9.]*,"relative_error":0.0,"cosine":1.0,.*"shape":\[260,2\]' stdout ||
  fail "--compare --json prints $(cat stdout)"

# Twenty steps at once, and ten and ten; the same checkpoint, tensor for tensor.
works train --weights ckpt --input in.safetensors --steps 20 --log whole.jsonl --checkpoint-dir whole --average-decay 0.9 --html whole.html --stats stats
[ "$(wc -l <whole.jsonl)" = 20 ] || fail "the log has $(wc -l <whole.jsonl) lines"
grep -q '^{"step": 1, "loss": [0-9.e-]*, "mtp_loss": [0-9.e-]*, "balance_loss": 0.5, "grad_norm": [0-9.e-]*, "lr": 0.0066666[0-9]*, "tokens_per_second": [0-9.e+]*, "tflops": [0-9.e+-]*, "memory_bytes": [0-9]*, "violation": \[[0-9.e-]*\]}$' whole.jsonl ||
  fail "the log begins with $(head -1 whole.jsonl)"
grep -q '<polyline' whole.html || fail "the report has no curve"
grep -q '"predicted_peak_bytes":1048576' stats || fail "--stats: $(cat stats)"
grep -q '20 steps, 640 tokens' stderr || fail "train prints $(cat stderr)"
works train --weights ckpt --input in.safetensors --steps 10 --log half.jsonl --checkpoint-dir half --checkpoint-every 5 --average-decay 0.9
works train --input in.safetensors --steps 20 --log rest.jsonl --checkpoint-dir half --checkpoint-every 5 --resume half --average-decay 0.9 --keep 2
[ "$(ls half | tr '\n' ' ')" = "step-00000015 step-00000020 " ] || fail "--keep 2 keeps $(ls half)"
cmp -s half/step-00000020/model.safetensors whole/step-00000020/model.safetensors || fail "the resumed weights differ"
cmp -s half/step-00000020/optimizer/state.safetensors whole/step-00000020/optimizer/state.safetensors || fail "the resumed moments differ"
[ "$(untimed half.jsonl rest.jsonl)" = "$(untimed whole.jsonl)" ] || fail "the resumed log differs"
cmp -s half/step-00000020/average/model.safetensors whole/step-00000020/average/model.safetensors || fail "the resumed averages differ"
cmp -s whole/step-00000020/average/model.safetensors whole/step-00000020/model.safetensors && fail "averages are the weights"
cmp -s whole/step-00000020/average/config.json whole/step-00000020/config.json || fail "averages have another configuration"
grep -q '"torch_dtype": "float32"' whole/step-00000020/config.json || fail "config.json: $(cat whole/step-00000020/config.json)"
cmp -s ckpt/tokenizer.json half/step-00000020/tokenizer.json || fail "no tokenizer in the checkpoint"
for name in model.layers.9.eh_proj.weight model.layers.2.embed_tokens.weight model.layers.1.mlp.experts.1.up_proj.weight; do
  grep -q "\"$name\"" half/step-00000020/model.safetensors || fail "the checkpoint lacks $name"
done
# The log of a run that goes on into the same file has each step once, whatever a killed run left there.
cp half.jsonl same.jsonl
printf '{"step": 11, "loss": 9}\n{"step": 12, "lo' >>same.jsonl
rm -rf half && works train --weights ckpt --input in.safetensors --steps 10 --checkpoint-dir half --average-decay 0.9
works train --input in.safetensors --steps 20 --log same.jsonl --resume half --average-decay 0.9
[ "$(untimed same.jsonl)" = "$(untimed whole.jsonl)" ] || fail "a continued log differs"

# Text: the same seed gives the same run on any number of threads; another order of data another.
works train --init-seed 3 --data a.txt b.jsonl --tokenizer ckpt --steps 200 --log one.jsonl --checkpoint-dir text --threads 1
works train --init-seed 3 --data a.txt b.jsonl --tokenizer ckpt --steps 200 --log three.jsonl --threads 3
[ "$(untimed one.jsonl)" = "$(untimed three.jsonl)" ] || fail "a run depends on the number of threads"
works train --init-seed 3 --data a.txt b.jsonl --tokenizer ckpt --steps 200 --log other.jsonl --data-seed 1
[ "$(untimed one.jsonl)" != "$(untimed other.jsonl)" ] || fail "--data-seed changes nothing"
works train --init-seed 4 --data a.txt b.jsonl --tokenizer ckpt --steps 3 --log other.jsonl
[ "$(head -3 one.jsonl | untimed)" != "$(untimed other.jsonl)" ] || fail "--init-seed changes nothing"
works train --init-seed 3 --data b.jsonl --tokenizer ckpt --steps 5 --mask-documents --fim-rate 0.5
[ "$(ls "$XDG_CACHE_HOME/hadal" | wc -l)" = 2 ] || fail "the token cache holds $(ls "$XDG_CACHE_HOME/hadal")"
# A folder and a pattern give the same run as the files that they stand for.
mkdir texts && cp a.txt b.jsonl texts/ && echo '# about' >texts/README.md
works train --init-seed 3 --data texts 'texts/*.txt' --tokenizer ckpt --steps 200 --log folder.jsonl
grep -q '^--data: takes 2 files, not texts/README.md: ' stderr || fail "a folder: $(cat stderr)"
[ "$(untimed one.jsonl)" = "$(untimed folder.jsonl)" ] || fail "a folder is other data than its files"
works train --data a.txt b.jsonl --steps 201 --resume text # the tokenizer from the checkpoint
for schedule in cosine report wsd; do
  works "$run" train t.hadal --init-seed 3 --input in.safetensors --steps 30 --lr 0.02 --lr-schedule $schedule --final-lr 0.001
done

# Validation: its loss in line, log and page, every so often and at the end; without it the run has the same bits.
works train --init-seed 3 --data a.txt --val-data b.jsonl 'texts/*.txt' --val-every 8 --tokenizer ckpt --steps 20 --log val.jsonl --html val.html --checkpoint-dir val
works train --init-seed 3 --data a.txt --tokenizer ckpt --steps 20 --log noval.jsonl --checkpoint-dir noval
[ "$(sed -n 's/^{"step": \([0-9]*\), "loss": [^,]*, "val_loss": .*/\1/p' val.jsonl | tr '\n' ' ')" = "8 16 20 " ] || fail "val_loss: $(grep val_loss val.jsonl)"
grep -q 'val [0-9.]*  ' stderr && fail "a run without validation shows one"
[ "$(untimed val.jsonl | sed 's/"val_loss": [^,]*, //')" = "$(untimed noval.jsonl)" ] || fail "validation changes the run"
for file in model.safetensors optimizer/state.safetensors; do
  cmp -s val/step-00000020/$file noval/step-00000020/$file || fail "validation changes $file"
done
grep -q 'Validation loss' val.html && grep -q '>validation<' val.html || fail "the page shows no validation"
works train --input in.safetensors --init-seed 3 --val-data b.jsonl --tokenizer ckpt --steps 3
grep -q '  val [0-9.]*  ' stderr || fail "no validation loss in the line: $(cat stderr)"

# The best of it is kept beside the checkpoints, which --keep does not count and --resume does not pick; a run that goes on knows how good it was.
grep -q '"val_data": "' val/step-00000020/optimizer/training.json || fail "training.json does not tell the validation data"
best=$(python3 - val.jsonl <<'END'
import json, sys
steps = [s for s in map(json.loads, open(sys.argv[1])) if "val_loss" in s]
print(min(steps, key=lambda s: s["val_loss"])["step"])
END
)
grep -q "\"step\": $best," val/best/optimizer/training.json || fail "best is not step $best: $(cat val/best/optimizer/training.json)"
works train --data a.txt --val-data b.jsonl 'texts/*.txt' --val-every 1 --tokenizer ckpt --steps 24 --log val-more.jsonl --checkpoint-dir val --resume val --keep 1
grep -q 'going on from val/step-00000020' stderr || fail "goes on from elsewhere: $(cat stderr)"
[ "$(ls val | tr '\n' ' ')" = "best step-00000024 " ] || fail "a run with a best keeps $(ls val)"
best=$(python3 - val.jsonl val-more.jsonl <<'END'
import json, sys
steps = [s for name in sys.argv[1:] for s in map(json.loads, open(name)) if "val_loss" in s]
print(min(steps, key=lambda s: s["val_loss"])["step"])
END
)
grep -q "\"step\": $best," val/best/optimizer/training.json || fail "best is not step $best after going on"

# A growing batch goes on exactly where it was, with the rows that come next.
works train --init-seed 3 --data a.txt b.jsonl --tokenizer ckpt --steps 12 --batch-ramp 1:8 --log ramp.jsonl --checkpoint-dir ramp --html ramp.html
works train --init-seed 3 --data a.txt b.jsonl --tokenizer ckpt --steps 5 --batch-ramp 1:8 --log ramp-a.jsonl --checkpoint-dir ramp-half
works train --data a.txt b.jsonl --steps 12 --batch-ramp 1:8 --log ramp-b.jsonl --resume ramp-half --checkpoint-dir ramp-half
[ "$(untimed ramp-a.jsonl ramp-b.jsonl)" = "$(untimed ramp.jsonl)" ] || fail "a growing batch does not resume"
cmp -s ramp/step-00000012/model.safetensors ramp-half/step-00000012/model.safetensors || fail "a growing batch resumes with other weights"
grep -q '"batch_ramp": "1:8"' ramp/step-00000012/optimizer/training.json || fail "training.json does not tell the ramp"
works train --init-seed 3 --data a.txt b.jsonl --tokenizer ckpt --steps 12 --log whole-batch.jsonl --peak-tflops 0.001
[ "$(untimed ramp.jsonl)" != "$(untimed whole-batch.jsonl)" ] || fail "--batch-ramp changes nothing"
grep -q '"mfu": ' whole-batch.jsonl || fail "--peak-tflops: $(head -1 whole-batch.jsonl)"

works train --input in.safetensors --steps 20 --resume whole # nothing is left to do

# A signal finishes the step, saves, and says how to go on; the run that does so is one that was never stopped.
logged() { # FILE: until it has lines
  for i in $(seq 400); do [ -s "$1" ] && return; sleep 0.05; done
  fail "$1 stays empty"
}
for signal in TERM INT HUP USR1; do
  rm -rf stopped*
  (exec "$run" train t.hadal --lr 0.02 --weights ckpt --input in.safetensors --steps 100000000 --log stopped.jsonl --html stopped.html \
    --checkpoint-dir stopped --average-decay 0.9) 2>stderr &
  process=$!
  logged stopped.jsonl
  kill -$signal $process
  wait $process
  status=$?
  [ $status = $((128 + $(kill -l $signal))) ] || fail "SIG$signal: exit status $status: $(cat stderr)"
  step=$(wc -l <stopped.jsonl)
  grep -q "^stopped by SIG$signal after step $step of 100000000; --resume stopped goes on from there$" stderr || fail "SIG$signal: says $(cat stderr)"
  grep -q "^$step steps, " stderr && [ -s stopped.html ] || fail "SIG$signal: no figures: $(cat stderr)"
  [ "$(ls -A stopped)" = "$(printf '.lock\nstep-%08d' "$step")" ] || fail "SIG$signal: leaves $(ls -A stopped)"
done
works "$run" train t.hadal --lr 0.02 --input in.safetensors --steps $((step + 20)) --log stopped.jsonl --checkpoint-dir stopped --resume stopped --average-decay 0.9
grep -q "^going on from $(printf 'stopped/step-%08d' "$step")$" stderr || fail "going on: says $(cat stderr)"
works "$run" train t.hadal --lr 0.02 --weights ckpt --input in.safetensors --steps $((step + 20)) --log never.jsonl --checkpoint-dir unstopped --average-decay 0.9
name=$(printf 'step-%08d' $((step + 20)))
diff -r "stopped/$name" "unstopped/$name" || fail "a run that was stopped differs"
[ "$(untimed stopped.jsonl)" = "$(untimed never.jsonl)" ] || fail "the log of a run that was stopped differs"
# Both signals wait when the process goes on, so that no step ends between them.
rm -rf stopped*
(exec "$run" train t.hadal --lr 0.02 --weights ckpt --input in.safetensors --steps 100000000 --log stopped.jsonl --checkpoint-dir stopped) 2>stderr &
process=$!
logged stopped.jsonl
kill -STOP $process
kill -TERM $process
kill -INT $process
kill -CONT $process
wait $process
status=$?
{ [ $status = 143 ] || [ $status = 130 ]; } && ! grep -q '^stopped by' stderr || fail "a second signal: status $status, says $(cat stderr)"
[ -z "$(ls stopped)" ] || fail "a second signal leaves $(ls stopped)"
# Without a folder nothing is kept, which is said twice.
(exec "$run" train t.hadal --lr 0.02 --weights ckpt --input in.safetensors --steps 100000000 --log stopped2.jsonl) 2>stderr &
process=$!
logged stopped2.jsonl
kill -TERM $process
wait $process
[ $? = 143 ] && grep -q 'nothing of this run will be kept' stderr && grep -q 'nothing of it is kept' stderr || fail "without a folder: $(cat stderr)"

# What a checkpoint's run did not have is told; damage is refused by file, and the newest whole checkpoint is named.
works train --weights ckpt --input in.safetensors --steps 4 --checkpoint-every 2 --checkpoint-dir cut
cp -r cut/step-00000002 cut/step-best
cp -r cut/step-00000002 cut/step-00000009.bak
works train --input in.safetensors --steps 4 --resume cut
grep -q 'going on from cut/step-00000004' stderr || fail "a copy: says $(cat stderr)"
truncate -s 100 cut/step-00000004/model.safetensors
refused 'cut/step-00000004/model.safetensors: is damaged' train --input in.safetensors --steps 5 --resume cut --log never --html never
tail -1 stderr | grep -q 'the newest whole checkpoint is cut/step-00000002: --resume cut/step-00000002 goes on from it$' || fail "damage: says $(cat stderr)"
rm cut/step-00000002/optimizer/state.safetensors
refused 'no other checkpoint beside it is whole' train --input in.safetensors --steps 5 --resume cut
cp cut/step-best/optimizer/state.safetensors cut/step-00000002/optimizer
works "$run" train t.hadal --lr 0.04 --warmup 3 --input in.safetensors --steps 5 --checkpoint-every 2 --checkpoint-dir cut --resume cut/step-00000002
grep -q '^other settings than those of cut/step-00000002: steps 5 (was 4), lr 0.04 (was 0.02)$' stderr || fail "other options: says $(cat stderr)"
[ "$(ls cut | tr '\n' ' ')" = 'step-00000002 step-00000004 step-00000004.replaced step-00000005 step-00000009.bak step-best ' ] ||
  fail "going back leaves $(ls cut)"
refused 'step-00000020 of an earlier run' train --input in.safetensors --steps 6 --resume cut --checkpoint-dir whole
sed -i 's/"format": 2/"format": 1/' cut/step-00000005/optimizer/training.json
refused 'training.json: is damaged' train --input in.safetensors --steps 6 --resume cut
printf '{"format": 7}' >cut/step-00000005/optimizer/training.json
refused 'training.json: has format 7' train --input in.safetensors --steps 6 --resume cut

# Weights in BF16 are for others: the run goes on with its own.
works train --weights ckpt --input in.safetensors --steps 10 --checkpoint-dir short --average-decay 0.9 --checkpoint-dtype bf16
grep -q '"torch_dtype": "bfloat16"' short/step-00000010/config.json && grep -q '"BF16"' short/step-00000010/model.safetensors ||
  fail "--checkpoint-dtype: $(cat short/step-00000010/config.json)"
works train --input in.safetensors --steps 20 --checkpoint-dir short --resume short --average-decay 0.9
diff -r short/step-00000020 whole/step-00000020 || fail "a run over BF16 checkpoints differs"
# Whoever watches a run may leave.
rm -rf short && (train --weights ckpt --input in.safetensors --steps 300 --checkpoint-dir short; echo $? >status) 2>&1 | head -1 >/dev/null
[ "$(cat status)" = 0 ] && [ -d short/step-00000300 ] || fail "a display that nobody reads ends a run: $(cat status)"
for option in "--keep 2" "--checkpoint-dtype bf16" "--checkpoint-every 1"; do
  refused "${option% *}: wants --checkpoint-dir" train --weights ckpt --input in.safetensors --steps 1 $option
done
refused '--checkpoint-dtype' train --weights ckpt --input in.safetensors --steps 1 --checkpoint-dtype f16

# The tokenizer stays when the checkpoint that it came from goes.
works train --init-seed 3 --data b.jsonl --tokenizer ckpt --steps 3 --checkpoint-dir kept --keep 1
works train --data b.jsonl --steps 6 --checkpoint-every 1 --resume kept --checkpoint-dir kept --keep 1
[ "$(ls kept)" = step-00000006 ] && cmp -s ckpt/tokenizer.json kept/step-00000006/tokenizer.json || fail "--keep 1 loses the tokenizer: $(ls kept/*)"

# Weights that are not finite are refused before step 1; a run that meets infinity stops, names the place, and leaves the last checkpoint.
refused 'model.layers.1.mlp.experts.0.up_proj.weight is not finite' "$run" train t.hadal --weights broken --input in.safetensors --steps 5 \
  --log never --checkpoint-dir never
"$run" train t.hadal --weights ckpt --input in.safetensors --steps 500 --lr 1e30 --checkpoint-dir blown --checkpoint-every 1 2>stderr
[ $? = 1 ] && grep -q 'step [0-9]*: .*the largest weight in model' stderr || fail "a run with a rate of 1e30 says $(cat stderr)"
[ -z "$(ls -A blown | grep part)" ] || fail "a part of a checkpoint stays: $(ls -A blown)"

# Options from a file: those of the command line win, other words are refused by name.
cat >run.toml <<'END'
# A run.
lr = 0.02
warmup = 3          # steps
steps = 12
init-seed = 3
data = ["a.txt", "b.jsonl"]
tokenizer = "ckpt"
mask-documents = true
END
works "$run" train t.hadal --config run.toml --log config.jsonl
works train --init-seed 3 --data a.txt b.jsonl --tokenizer ckpt --steps 12 --mask-documents --log plain.jsonl
[ "$(untimed config.jsonl)" = "$(untimed plain.jsonl)" ] || fail "--config is not what its options are"
works "$run" train t.hadal --config run.toml --init-seed 4 --steps 4 --log config.jsonl
[ "$(wc -l <config.jsonl)" = 4 ] || fail "the command line does not win over --config"
cp a.txt 'a#1.txt' && printf '[train]\ndata = "a#1.txt"\n[generate]\nseed = 7\n' >section.toml
works train --config section.toml --init-seed 3 --tokenizer ckpt --steps 3
echo 'larning-rate = 1' >unknown.toml && printf 'lr = 1\nsteps = 3\nlr = 2\n' >twice.toml && printf '[trian]\nlr = 1\n' >section.toml && echo 'lr = fast' >bad.toml
refused "unknown.toml: 'larning-rate' is no option of train" "$run" train t.hadal --config unknown.toml --weights ckpt --input in.safetensors --steps 1 --log never
refused "twice.toml: 'lr' stands there twice" "$run" train t.hadal --config twice.toml --weights ckpt --input in.safetensors --log never
refused "'trian.lr' belongs to no command" "$run" train t.hadal --config section.toml --weights ckpt --input in.safetensors --steps 1 --log never
refused "lr" "$run" train t.hadal --config bad.toml --weights ckpt --input in.safetensors --steps 1 --log never
refused "nowhere.toml" "$run" train t.hadal --config nowhere.toml --weights ckpt --input in.safetensors --steps 1 --log never

# Wrong use and bad input.
printf 'PAR1 ...' >rows.parquet && printf 'a\nb\351\n' >latin1.txt
base="train t.hadal --weights ckpt --input in.safetensors"
refused 'steps' "$run" $base
refused 'steps' "$run" $base --steps 0
refused '' "$run" train t.hadal --weights ckpt --steps 1
refused 'one of them' "$run" $base --init-seed 1 --steps 1
refused '--init-seed' "$run" train t.hadal --input in.safetensors --steps 1
refused 'schedule' "$run" $base --steps 1 --schedule linear
refused '--final-lr: --lr-schedule constant has no use for it' "$run" $base --steps 2 --final-lr 0.1 --log never
refused '--last-lr: --lr-schedule cosine has no use for it' "$run" $base --steps 2 --schedule cosine --last-lr 0.1
refused '--hold: --lr-schedule wsd has no use for it' "$run" $base --steps 2 --schedule wsd --hold 1
refused '--lr-decay-share: --lr-schedule constant has no use for it' "$run" $base --steps 2 --lr-decay-share 0.2
refused '--warmup: 3 steps are more than the 2 of --steps' "$run" $base --steps 2 --warmup 3 --log never
refused '--hold: the cosine cannot begin after step 99' "$run" $base --steps 100 --schedule report --hold 99
refused '--val-every: wants --val-data' "$run" $base --steps 2 --val-every 1
refused 'rows.parquet: is a Parquet file' "$run" $base --tokenizer ckpt --steps 2 --val-data rows.parquet --log never
refused '--batch-ramp: wants --data' "$run" $base --steps 2 --batch-ramp 1:2
refused '--batch-ramp: wants FROM:STEPS' "$run" train t.hadal --weights ckpt --data a.txt --steps 2 --batch-ramp 1
refused '--batch-ramp: begins with 2 micro-batches' "$run" train t.hadal --weights ckpt --data a.txt --steps 2 --batch-ramp 2:5
refused 'data-seed: want --data' "$run" $base --steps 2 --data-seed 5
refused 'beta1' "$run" $base --steps 1 --beta1 1
refused 'lr' "$run" $base --steps 1 --lr -1
# Not a number is no option's value, though it lies on no side of a bound.
for option in --lr --final-lr --weight-decay --clip --beta1 --beta2 --epsilon; do
  refused "$option: wants a number from 0 to" "$run" $base --steps 1 --log never $option nan
done
refused 'checkpoint-dir' "$run" $base --steps 1 --checkpoint-every 1
refused 'nowhere' "$run" $base --steps 1 --resume nowhere
refused 'nowhere' "$run" $base --steps 1 --log nowhere/never
refused 'nowhere' "$run" $base --steps 1 --html nowhere/never
refused 'earlier run' "$run" $base --steps 1 --checkpoint-dir whole
refused '20 steps' "$run" $base --steps 19 --resume whole
refused 'nowhere' "$run" train t.hadal --weights nowhere --input in.safetensors --steps 1 --log never --checkpoint-dir never
refused 'nowhere' "$run" train t.hadal --weights ckpt --input nowhere --steps 1 --log never --checkpoint-dir never
refused '[4, 8]' "$run" train t.hadal --weights ckpt --input shape.safetensors --steps 1 --checkpoint-dir never
refused 'token id 260' "$run" train t.hadal --weights ckpt --input big.safetensors --steps 1 --checkpoint-dir never
refused 'labels' "$run" train t.hadal --weights ckpt --input badlabels.safetensors --steps 1 --checkpoint-dir never
refused 'nothing to predict' "$run" train t.hadal --weights ckpt --input masked.safetensors --steps 1 --log never
refused 'is a training module' "$run" generate t.hadal --weights ckpt --input in.safetensors -o never
refused 'is a training module' "$run" logits t.hadal --weights ckpt --input in.safetensors -o never
refused 'tokenizer' "$run" train t.hadal --init-seed 1 --data a.txt --steps 1 --checkpoint-dir never
refused 'line 3' "$run" train t.hadal --weights ckpt --data bad.jsonl --steps 1 --checkpoint-dir never
refused 'rows.parquet: is a Parquet file' "$run" train t.hadal --weights ckpt --data a.txt rows.parquet --steps 1 --log never
refused 'latin1.txt: line 2, byte 2: 0xE9 is not UTF-8' "$run" train t.hadal --weights ckpt --data latin1.txt --steps 1 --log never
refused 'empty.txt' "$run" train t.hadal --weights ckpt --data empty.txt --steps 1 --checkpoint-dir never
refused 'has 4 tokens, a row has 8' "$run" train t.hadal --weights ckpt --data short.txt --steps 1 --checkpoint-dir never
refused 'nowhere' "$run" train t.hadal --weights ckpt --data nowhere --steps 1 --checkpoint-dir never
refused 'fim' "$run" $base --steps 1 --fim-rate 2
refused 'input' "$run" gradients t.hadal --weights ckpt -o never
refused '-o' "$run" gradients t.hadal --weights ckpt --input in.safetensors
refused 'json' "$run" gradients t.hadal --weights ckpt --input in.safetensors --json -o never
refused "renamed.hadal: trains no 'model.embed_tokens.weight', which t.hadal trains" "$run" gradients t.hadal --compare renamed.hadal --weights ckpt --input in.safetensors -o never
refused 'in.safetensors: input_ids: longer.hadal trains on [4, 16], file has [4, 8]' "$run" gradients t.hadal --compare longer.hadal --weights ckpt --input in.safetensors -o never
refused 'nowhere.hadal' "$run" gradients t.hadal --compare nowhere.hadal --weights ckpt --input in.safetensors -o never
refused 'token id 260' "$run" gradients t.hadal --weights ckpt --input big.safetensors -o never
refused 'nothing to predict' "$run" gradients t.hadal --weights ckpt --input masked.safetensors -o never
refused 'is not finite' "$run" gradients t.hadal --weights broken --input in.safetensors -o never

# A second run keeps off the first one's checkpoints.
mkdir busy
(flock -x 9; sleep 3) 9>busy/.lock &
sleep 0.3
refused 'another run' "$run" $base --steps 1 --checkpoint-dir busy
wait

works "$here/kill.sh" "$run" --kills 50 --steps 6000 --every 200 --delay 0.25 -- t.hadal --weights ckpt --data a.txt b.jsonl --lr 0.02
grep -q 'after 50 kills' stdout || fail "kill.sh says $(cat stdout)"

passed
