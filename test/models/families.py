#!/usr/bin/env python3
"""Training of the families beside deepseek_v3: gradients are those of the loss, the first step leaves what has no gradient alone,
losses fall, checkpoints compile; and F16 weights are a start.

    families.py BIN FOLDER       FOLDER holds the checkpoint: v2, v2-lite, glm, youtu or float16

Along each tested tensor the loss's slope by a central difference is held against the gradient in that direction. Python's own
library only. Exit status 1 when a claim fails.
"""

import json, math, random, struct, sys, tempfile
from pathlib import Path

from frame import Frame
from tensors import load, load_raw, save_ids, save_raw

bin, folder = Path(sys.argv[1]), Path(sys.argv[2])
frame = Frame(bin, folder.name)
claim, run = frame.claim, frame.run


def floats(tensor):
    dtype, _, content = tensor
    return [v for v, in struct.iter_unpack({"F32": "<f", "F16": "<e"}[dtype], content)]


def moved(tensor, direction, by):
    """The tensor in F32, `by` times `direction` added."""
    return (
        "F32",
        tensor[1],
        struct.pack(
            f"<{len(direction)}f", *(v + by * d for v, d in zip(floats(tensor), direction))
        ),
    )


def losses(log):
    return [json.loads(line) for line in log.read_text().splitlines()]


with tempfile.TemporaryDirectory() as t:
    t = Path(t)
    name, rng = folder.name, random.Random(folder.name)
    config = json.loads((folder / "config.json").read_text())
    rows = [[rng.randrange(2, config["vocab_size"]) for _ in range(12)] for _ in range(2)]
    save_ids(t / "in", rows)
    # A heavy balance loss, so that its gradient counts.
    compile = ("--mode=train", "--micro-batch=2", "--seq=12", "--balance-weight=0.05")
    run("hadal-compile", folder, *compile, "-o", t / "m.hadal")

    def over_rows(command, weights, *more):
        run("hadal-run", command, t / "m.hadal", "--weights", weights, "--input", t / "in", *more)

    over_rows("gradients", folder, "-o", t / "out")
    gradients, weights = load(t / "out"), load_raw(folder / "model.safetensors")
    claim(
        "a gradient a tensor",
        {n for n in weights if "correction_bias" not in n} == set(gradients) - {"loss"},
        str({n for n in weights if "correction_bias" not in n} ^ (set(gradients) - {"loss"})),
    )

    wide = {
        n: ("F32", w[1], struct.pack(f"<{len(floats(w))}f", *floats(w))) for n, w in weights.items()
    }
    changed = t / "changed"
    changed.mkdir(exist_ok=True)
    (changed / "config.json").write_text(json.dumps(config))

    def total(tensor, direction, by):
        save_raw(
            changed / "model.safetensors", wide | {tensor: moved(weights[tensor], direction, by)}
        )
        over_rows("train", changed, "--steps", 1, "--log", t / "log")
        step = losses(t / "log")[0]
        return step["loss"] + step["balance_loss"]

    last = config["num_hidden_layers"] - 1
    tested = [
        n
        for n in weights
        if n.endswith(
            (
                f"layers.{last}.mlp.gate.weight",
                f"layers.{last}.self_attn.kv_b_proj.weight",
                f"layers.{last}.mlp.experts.1.down_proj.weight",
                "layers.0.mlp.up_proj.weight",
            )
        )
    ]
    for tensor in tested:
        gradient = gradients[tensor][1]
        norm = math.sqrt(sum(g * g for g in gradient))
        if norm == 0:
            continue
        direction = [g / norm for g in gradient]
        # Small enough that no choice of experts changes, large enough for losses in f32.
        step = 2e-3
        slope = (total(tensor, direction, step) - total(tensor, direction, -step)) / (2 * step)
        claim(
            f"the slope along {tensor}",
            abs(slope - norm) <= 5e-3 * norm + 3e-4,
            f"{slope} for {norm}",
        )

    over_rows(
        "train",
        folder,
        "--steps",
        8,
        "--lr",
        "1e-2",
        "--log",
        t / "log",
        "--checkpoint-dir",
        t / f"{name}-out",
        "--threads",
        1,
    )
    curve = [step["loss"] for step in losses(t / "log")]
    claim("the loss falls", curve[-1] < curve[0] - 0.3, str(curve))
    after = load_raw(t / f"{name}-out/step-00000008/model.safetensors")
    claim(
        "a checkpoint has the tensors it began with",
        set(after) == set(weights),
        str(set(after) ^ set(weights)),
    )
    run("hadal-compile", t / f"{name}-out/step-00000008", "--emit=graph", "-o", t / "graph.mlir")
    over_rows("train", folder, "--steps", 8, "--lr", "1e-2", "--log", t / "log2", "--threads", 2)
    claim("the same bits on two threads", [s["loss"] for s in losses(t / "log2")] == curve)
frame.end()
