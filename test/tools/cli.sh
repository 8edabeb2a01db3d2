#!/usr/bin/env bash
# hadal-run's commands over the fake model: what they print, what they write, and how they fail.
#     cli.sh HADAL_RUN WRITE_FAKE_MODEL
run=$1 write=$2
. "$(dirname "$0")/helpers.sh"
"$write" "$dir" "$run" || exit 1
cd "$dir" || exit 1

# Token ids of rows; the same bits on any number of threads.
works "$run" generate m.hadal --weights ckpt --input in.safetensors --max-new-tokens 9 --threads 1 --stats stats -o one
works "$run" generate m.hadal --weights ckpt/model.safetensors --input in.safetensors --max-new-tokens 9 --threads 3 -o three
cmp -s one three || fail "generate depends on the number of threads"
grep -q 'prefill 6 tokens .* tokens/s' stderr || fail "generate prints no figures: $(cat stderr)"
grep -q '"prefill_tokens":6,.*"first_token_seconds":' stats || fail "--stats: $(cat stats)"
works "$run" generate m.hadal --weights ckpt --input in.safetensors --max-new-tokens 9
[ "$(wc -l <stdout)" = 2 ] || fail "generate without -o prints $(cat stdout)"

# Devices: those there are, the module's own, and what is none.
works "$run" devices
grep -q '^cpu  *[a-z0-9_]*, [0-9]* threads$' stdout || fail "devices prints: $(cat stdout)"
grep -q '^cuda' stdout || fail "devices says nothing of GPUs: $(cat stdout)"
works "$run" generate m.hadal --device cpu --weights ckpt --input in.safetensors --max-new-tokens 9 --stats stats -o named
cmp -s one named || fail "--device cpu gives other tokens than the module's device"
grep -q '"device":"cpu"' stats || fail "--stats names no device: $(cat stats)"
for name in gpu cuda: cuda:x cuda:-1 CPU emulated:0; do
  refused "device '$name': wants cpu, cuda:N or emulated" "$run" logits m.hadal --device $name --weights ckpt --input in.safetensors -o never
done
refused 'cuda:99' "$run" logits m.hadal --device cuda:99 --weights ckpt --input in.safetensors -o never
refused '--emulator-seed: is for the device emulated, this is cpu' "$run" logits m.hadal --emulator-seed 7 --weights ckpt --input in.safetensors -o never

# No more memory than positions, whatever --max-new-tokens says.
(ulimit -v 4000000; exec "$run" generate m.hadal --weights ckpt --input in.safetensors --max-new-tokens 2000000000 --ignore-eos -o all) \
  2>stderr || fail "generate to the last position: $(cat stderr)"
grep -q 'stopped at the model.s last position' stderr || fail "generate to the last position says $(cat stderr)"

# Text: the continuation alone; sampling follows the seed.
works "$run" generate m.hadal --weights ckpt --prompt hello --max-new-tokens 12 --temperature 1 --seed 5
cp stdout first
works "$run" generate m.hadal --weights ckpt --prompt hello --max-new-tokens 12 --temperature 1 --seed 5
cmp -s stdout first || fail "the same seed gives another text"
works "$run" generate m.hadal --weights ckpt --prompt hello --max-new-tokens 12 --temperature 1 --seed 6
cmp -s stdout first && fail "another seed gives the same text"

# Stop tokens and texts end a row; a stop text is cut off, across the borders of tokens, which are a byte here.
works "$run" generate m.hadal --weights ckpt --prompt hello --max-new-tokens 40 --ignore-eos
all=$(tr -d '\0' <stdout)
stop=$(tr -cd 'a-zA-Z0-9' <stdout | tail -c 1)
works "$run" generate m.hadal --weights ckpt --prompt hello --max-new-tokens 40 --ignore-eos --stop "$stop" --stop nowhere
printf '%s\n' "${all%%"$stop"*}" | cmp -s - <(tr -d '\0' <stdout) || fail "--stop $stop gives $(cat stdout) of $all"
works "$run" generate m.hadal --weights ckpt --input in.safetensors --max-new-tokens 9 --ignore-eos
third=$(head -n 1 stdout | cut -d ' ' -f 3)
works "$run" generate m.hadal --weights ckpt --input in.safetensors --max-new-tokens 9 --ignore-eos --stop-token "$third"
[ "$(head -n 1 stdout | tr ' ' '\n' | grep -n "^$third$" | cut -d : -f 1)" = "$(head -n 1 stdout | wc -w)" ] || fail "--stop-token $third gives $(cat stdout)"
# generation_config.json beside the weights goes before the module.
echo "{\"eos_token_id\": [$third]}" >ckpt/generation_config.json
works "$run" generate m.hadal --weights ckpt --input in.safetensors --max-new-tokens 9
[ "$(head -n 1 stdout | tr ' ' '\n' | grep -n "^$third$" | cut -d : -f 1)" = "$(head -n 1 stdout | wc -w)" ] || fail "generation_config.json: $(cat stdout)"
echo '{"eos_token_id": "x"}' >ckpt/generation_config.json
refused 'generation_config.json: eos_token_id: wants token ids' "$run" generate m.hadal --weights ckpt --input in.safetensors -o never
rm ckpt/generation_config.json

# A file of prompts: each on a line, as alone; line breaks as \n.
printf 'hello\nIn the beginning\r\nhello' >prompts
works "$run" generate m.hadal --weights ckpt --prompt-file prompts --max-new-tokens 12 -o prompts.out
[ "$(wc -l <stdout)" = 3 ] && [ "$(sed -n 1p stdout)" = "$(sed -n 3p stdout)" ] || fail "--prompt-file prints $(cat stdout)"
printf 'hello\n\nx\n' >gap
refused 'gap: line 2: has no text' "$run" generate m.hadal --weights ckpt --prompt-file gap -o never
printf 'hello\ncaf\351\n' >latin
refused 'latin: line 2: is not UTF-8' "$run" generate m.hadal --weights ckpt --prompt-file latin -o never

# Rows of different lengths: each as if it were alone, whatever stands in its padding.
works "$run" generate m.hadal --weights ckpt --input masked.safetensors --max-new-tokens 9
cp stdout masked
works "$run" generate m.hadal --weights ckpt --input lengths.safetensors --max-new-tokens 9
cmp -s stdout masked || fail "a mask and lengths give $(cat masked) and $(cat stdout)"
works "$run" generate m.hadal --weights ckpt --input in.safetensors --max-new-tokens 9
[ "$(head -n 1 stdout)" = "$(head -n 1 masked)" ] || fail "a masked row gives $(head -n 1 masked), alone $(head -n 1 stdout)"
works "$run" logits m.hadal --weights ckpt --input masked.safetensors --dump -o masked.out
for wrong in "hole.safetensors: attention_mask: row 0: has a hole at column 2" "empty.safetensors: attention_mask: row 0: leaves no token" \
  "two.safetensors: attention_mask: row 0: wants 0 or 1, got 2" "disagree.safetensors: lengths: row 1: wants 1 to 4 tokens, got 5" \
  "shifted.safetensors: position_ids: row 0: the tokens of a row have 0, 1, 2 ..., got 1" "unknown.safetensors: tensor 'token_type_ids' has no meaning here"; do
  refused "$wrong" "$run" logits m.hadal --weights ckpt --input "${wrong%%:*}" -o never
  refused "$wrong" "$run" generate m.hadal --weights ckpt --input "${wrong%%:*}" -o never
done

works "$run" logits m.hadal --weights ckpt --input in.safetensors -o plain
works "$run" logits m.hadal --weights ckpt --input in.safetensors --dump --trace trace.json -o dump
works "$run" logits m.hadal --weights ckpt --input in.safetensors --dump --routes routes.safetensors -o routed
grep -q '"fake_prefill"' trace.json || fail "the trace names no kernel"
cmp -s dump routed && fail "--routes changes nothing"
[ "$(wc -c <dump)" -gt "$(wc -c <plain)" ] || fail "--dump adds nothing"

seq 1 200 >text
works "$run" score m.hadal --weights ckpt --text text
grep -Eq '^nll [0-9.]+ perplexity [0-9.einf+]+ over 640 tokens in 5 windows, a rest of 47 left out$' stdout || fail "score prints $(cat stdout)"
works "$run" score m.hadal --weights ckpt --text text --window 10 --stride 5 --json
grep -q '"tokens":691,"windows":138,"rest":0,"window":10,"stride":5,"bos":false}' stdout || fail "score --json prints $(cat stdout)"
seq 1 20 >short
works "$run" score m.hadal --weights ckpt --text short
grep -q 'over 50 tokens in 1 window$' stdout || fail "score of a short text prints $(cat stdout)"

# An executable that carries its module.
works ./exe --help
works ./exe generate --weights ckpt --input in.safetensors --max-new-tokens 9 -o carried
cmp -s one carried || fail "the executable that carries the module answers otherwise"
refused 'exe: ' ./exe generate --weights nowhere --input in.safetensors -o never

# Output that could not be written.
for command in "generate m.hadal --weights ckpt --prompt x" "generate m.hadal --weights ckpt --input in.safetensors" "score m.hadal --weights ckpt --text text" \
  "score m.hadal --weights ckpt --text text --json"; do
  "$run" $command >/dev/full 2>stderr
  [ $? = 1 ] && grep -q 'standard output: ' stderr || fail "$command >/dev/full: $(cat stderr)"
done

# Wrong use and bad input.
refused 'subcommand' "$run"
refused '--nonsense' "$run" generate m.hadal --weights ckpt --prompt x --nonsense
refused 'input' "$run" logits m.hadal --weights ckpt -o never
refused 'weights' "$run" generate m.hadal --prompt x
refused '' "$run" generate m.hadal --weights ckpt
refused '' "$run" generate m.hadal --weights ckpt --prompt x --input in.safetensors
refused 'max-new-tokens' "$run" generate m.hadal --weights ckpt --prompt x --max-new-tokens 0
refused 'max-new-tokens' "$run" generate m.hadal --weights ckpt --prompt x --max-new-tokens many
refused 'threads' "$run" generate m.hadal --weights ckpt --prompt x --threads 0
refused 'top-p' "$run" generate m.hadal --weights ckpt --prompt x --top-p 1.5
refused 'no tokens' "$run" generate m.hadal --weights ckpt --prompt ''
refused 'nowhere.hadal' "$run" logits nowhere.hadal --weights ckpt --input in.safetensors -o never
refused 'nowhere' "$run" logits m.hadal --weights nowhere --input in.safetensors -o never
refused 'nowhere' "$run" logits m.hadal --weights ckpt --input nowhere -o never
refused 'nowhere' "$run" logits m.hadal --weights ckpt --input in.safetensors -o nowhere/never
refused 'nowhere' "$run" generate m.hadal --weights ckpt --prompt x --stats nowhere/stats
refused 'token id 1000000' "$run" logits m.hadal --weights ckpt --input big.safetensors -o never
refused 'token id 1099511627776' "$run" logits m.hadal --weights ckpt --input wide.safetensors -o never
refused '[6]' "$run" logits m.hadal --weights ckpt --input flat.safetensors -o never
refused '[1, 0]' "$run" logits m.hadal --weights ckpt --input none.safetensors -o never
refused "no tensor 'input_ids'" "$run" logits m.hadal --weights ckpt --input other.safetensors -o never
refused '201 tokens' "$run" generate m.hadal --weights ckpt --input long.safetensors -o never
refused 'different experts' "$run" logits m.hadal --weights ckpt --input in.safetensors --routes same.safetensors -o never
refused "no tensor 'router.0.topk_ids'" "$run" logits m.hadal --weights ckpt --input in.safetensors --routes other.safetensors -o never
printf x >one
refused 'one: the text has 1 token, nothing to score' "$run" score m.hadal --weights ckpt --text one
: >empty
refused 'empty: the text has 0 tokens' "$run" score m.hadal --weights ckpt --text empty
printf 'caf\351\n' >latin1
refused 'latin1: is not UTF-8' "$run" score m.hadal --weights ckpt --text latin1
refused 'a window has 201 tokens, the model has 200 positions' "$run" score m.hadal --weights ckpt --text text --window 201
refused 'a stride of 9 tokens passes over some' "$run" score m.hadal --weights ckpt --text text --window 8 --stride 9
refused 'names no bos_token' "$run" score m.hadal --weights ckpt --text text --bos
refused 'nothing' "$run" call m.hadal @nothing --weights ckpt -o never
refused 'checkpoint with --weights' "$run" call m.hadal @argmax --input in.safetensors -o never
head -c 1000 m.hadal >cut.hadal
refused 'cut.hadal' "$run" logits cut.hadal --weights ckpt --input in.safetensors -o never
head -c 70 ckpt/model.safetensors >cut.safetensors
refused 'cut.safetensors' "$run" logits m.hadal --weights cut.safetensors --input in.safetensors -o never
rm ckpt/tokenizer.json
refused 'tokenizer.json' "$run" generate m.hadal --weights ckpt --prompt x

works "$run" --help
works "$run" --version
passed
