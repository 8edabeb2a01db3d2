#!/usr/bin/env python3
"""A golden folder end to end: compile, logits, routing, cache, generation, threads, batches, and that decoding decodes.

    golden.py BIN FOLDER      FOLDER holds golden.safetensors and the checkpoint, itself or in FOLDER/ckpt

Python's own library only. Exit status 1 when a claim fails.
"""

import array, json, sys, tempfile
from pathlib import Path

from frame import Frame
from tensors import load, save_ids

bin, folder = Path(sys.argv[1]), Path(sys.argv[2])
checkpoint = folder / "ckpt" if (folder / "ckpt").exists() else folder
config = json.loads((checkpoint / "config.json").read_text())
frame = Frame(bin, folder.name)
claim, run = frame.claim, frame.run


def near(what, got, want, tolerance=2e-5):
    claim(f"{what} has shape {want[0]}", got[0] == want[0], f"has {got[0]}")
    scale = max(map(abs, want[1])) or 1
    error = max((abs(a - b) for a, b in zip(got[1], want[1])), default=0) / scale
    claim(f"{what} within {tolerance}", error <= tolerance, f"error {error:.2g}")


def rows_of(tensor):
    (count, width), data = tensor
    return [list(data[i * width : (i + 1) * width]) for i in range(count)]


with tempfile.TemporaryDirectory() as t:
    t = Path(t)
    golden = load(folder / "golden.safetensors")
    rows, module = rows_of(golden["input_ids"]), t / "m.hadal"
    length, new = len(rows[0]), golden["greedy_tokens"][0][1]
    save_ids(t / "in", rows)
    run("hadal-compile", checkpoint, "--mode=generate", "-o", module)
    weights = (module, "--weights", checkpoint)

    run(
        "hadal-run",
        "logits",
        *weights,
        "--input",
        t / "in",
        "--dump",
        "--threads",
        2,
        "-o",
        t / "out",
    )
    out = load(t / "out")
    for name, want in golden.items():
        if name == "logits" or name.startswith(("hidden.", "cache.")):
            near(name, out[name], want)
        elif name.endswith("topk_ids") and int(name.split(".")[1]) < config["num_hidden_layers"]:
            claim(f"{name} equal", [sorted(r) for r in rows_of(out[name])] == rows_of(want))

    run(
        "hadal-run",
        "logits",
        *weights,
        "--input",
        t / "in",
        "--threads",
        1,
        "--dump",
        "-o",
        t / "one",
    )
    claim("the same bits on one thread", (t / "one").read_bytes() == (t / "out").read_bytes())
    for i, row in enumerate(rows):
        save_ids(t / "row", [row])
        run("hadal-run", "logits", *weights, "--input", t / "row", "-o", t / "alone")
        n = length * config["vocab_size"]
        claim(
            f"row {i} alone has the same bits",
            load(t / "alone")["logits"][1] == out["logits"][1][i * n : (i + 1) * n],
        )

    def generate(ids, count, *more):
        save_ids(t / "ids", ids)
        run(
            "hadal-run",
            "generate",
            *weights,
            "--input",
            t / "ids",
            "--max-new-tokens",
            count,
            "--ignore-eos",
            "--stats",
            t / "stats",
            *more,
            "-o",
            t / "gen",
        )
        return load(t / "gen"), json.loads((t / "stats").read_text())

    made, _ = generate(rows, new)
    claim("greedy tokens equal", rows_of(made["tokens"]) == rows_of(golden["greedy_tokens"]))
    # Decoding token by token gives what one pass over the whole sequence gives.
    whole = [row + tokens for row, tokens in zip(rows, rows_of(made["tokens"]))]
    save_ids(t / "whole", [row[:-1] for row in whole])
    run("hadal-run", "logits", *weights, "--input", t / "whole", "-o", t / "whole_out")
    all_logits, vocab, again = (
        load(t / "whole_out")["logits"][1],
        config["vocab_size"],
        array.array("f"),
    )
    for i in range(len(rows)):
        start = (i * (length + new - 1) + length - 1) * vocab
        again.extend(all_logits[start : start + new * vocab])
    near("decode's logits", made["logits"], ([len(rows), new, vocab], again))
    # A step's work grows by attention over the cache only: by as many FLOPs a position whatever the prompt, and few.
    steps = {n: generate([(whole[0] * 9)[:n]], 2)[1]["decode_flops"] for n in (8, 40, 72)}
    heads = config["num_attention_heads"] * config["num_hidden_layers"]
    per_position = 2 * heads * (2 * config["kv_lora_rank"] + config["qk_rope_head_dim"])
    claim(
        "work of a step grows linearly", steps[72] - steps[40] == steps[40] - steps[8], str(steps)
    )
    claim(
        "work of a step grows by attention",
        0 < steps[40] - steps[8] <= 1.5 * 32 * per_position,
        f"{steps}, {per_position} a position",
    )
    # Sampling: the seed decides, not the number of threads.
    one, _ = generate(rows, 8, "--temperature", 0.9, "--top-p", 0.9, "--seed", 3, "--threads", 1)
    two, _ = generate(rows, 8, "--temperature", 0.9, "--top-p", 0.9, "--seed", 3, "--threads", 3)
    claim("samples repeat", one == two)

    inspected = json.loads(run("hadal-inspect", module, "--json"))
    cache = config["num_hidden_layers"] * (config["kv_lora_rank"] + config["qk_rope_head_dim"])
    claim(
        "the cache holds the latent and the rope key",
        inspected["cache_elements_per_token"] == cache,
    )

    def kinds(commands):
        for c in commands:
            yield next(
                k
                for k in ("launch", "copy", "call", "repeat", "skip_if_zero", "record", "wait")
                if k in c
            )
            yield from kinds(c.get("body", []))

    symbols = {k["symbol"] for k in inspected["kernels"]}
    for program in inspected["programs"]:
        claim(
            f"@{program['name']} computes by kernels", "launch" in set(kinds(program["commands"]))
        )
        claim(
            f"@{program['name']} launches kernels of the module",
            all(c.get("launch", next(iter(symbols))) in symbols for c in program["commands"]),
        )
    run(
        "hadal-run",
        "logits",
        *weights,
        "--input",
        t / "in",
        "--trace",
        t / "trace.json",
        "-o",
        t / "out",
    )
    traced = json.loads((t / "trace.json").read_text())["traceEvents"]
    events = [e for e in traced if e.get("cat") == "kernel"]
    claim("the trace names kernels", events and all(e["name"] in symbols for e in events))
    layers = {e["name"] for e in traced if e.get("cat") == "layer"}
    claim(
        "the trace names layers",
        {f"layer {i}" for i in range(config["num_hidden_layers"])} | {"embed_tokens"} <= layers,
    )
frame.end()
