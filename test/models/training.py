#!/usr/bin/env python3
"""The goldens of training (make_training_golden.py): losses, gradients, routing biases; and what must not change a bit.

    training.py BIN FOLDER [PART]      FOLDER holds training.safetensors and the checkpoint

PART: goldens; bits, what must not change them; further, prediction left out, moments and averages.
Without it all of them.

Python's own library only. Exit status 1 when a claim fails.
"""

import json, math, struct, subprocess, sys, tempfile
from pathlib import Path

from frame import Frame
from tensors import load

bin, folder = Path(sys.argv[1]), Path(sys.argv[2])
parts = sys.argv[3:] or ["goldens", "bits", "further"]
config = json.loads((folder / "config.json").read_text())
frame = Frame(bin, folder.name)
claim, run = frame.claim, frame.run


def save_ids(path, shape, ids):
    head = json.dumps(
        {"input_ids": {"dtype": "I64", "shape": shape, "data_offsets": [0, 8 * len(ids)]}}
    ).encode()
    head += b" " * (-len(head) % 8)
    Path(path).write_bytes(struct.pack("<Q", len(head)) + head + ids.tobytes())


def near(what, got, want, tolerance, floor=0.0):
    scale = max(max(map(abs, want)), floor) or 1
    error = max((abs(a - b) for a, b in zip(got, want)), default=0) / scale
    claim(
        f"{what} within {tolerance}",
        len(got) == len(want) and error <= tolerance,
        f"error {error:.2g}",
    )


with tempfile.TemporaryDirectory() as t:
    t = Path(t)
    golden = load(folder / "training.safetensors")
    shape, ids = golden["input_ids"]
    rows, length = shape
    (steps, columns), curve = golden["curve"]
    save_ids(t / "in", shape, ids)

    def compile(name, *more):
        run(
            "hadal-compile",
            folder,
            "--mode=train",
            f"--micro-batch={rows}",
            f"--seq={length}",
            *more,
            "-o",
            t / name,
        )

    def train(name, log, *more):
        weights = () if "--resume" in more else ("--weights", folder)
        run(
            "hadal-run",
            "train",
            t / name,
            *weights,
            "--input",
            t / "in",
            "--steps",
            steps,
            "--lr",
            "1e-3",
            "--log",
            t / log,
            *more,
        )
        return [json.loads(line) for line in (t / log).read_text().splitlines()]

    losses = lambda log: [
        (step["loss"], step["mtp_loss"], step["balance_loss"], step["grad_norm"]) for step in log
    ]

    compile("m.hadal")
    log = train(
        "m.hadal",
        "log",
        "--threads",
        1,
        "--checkpoint-dir",
        t / "checkpoints",
        "--checkpoint-every",
        1,
    )

    if "goldens" in parts:
        run(
            "hadal-run",
            "gradients",
            t / "m.hadal",
            "--weights",
            folder,
            "--input",
            t / "in",
            "-o",
            t / "out",
        )
        out = load(t / "out")
        near("the loss", out["loss"][1], curve[:1], 1e-5)
        wanted = {
            name.removeprefix("gradient."): values
            for name, (_, values) in golden.items()
            if name.startswith("gradient.")
        }
        claim(
            "a gradient a parameter",
            set(out) == set(wanted) | {"loss"},
            str(set(out) ^ set(wanted)),
        )
        for name, (norm, *samples) in wanted.items():
            values = out[name][1]
            near(
                f"the norm of {name}'s gradient",
                [math.sqrt(math.fsum(v * v for v in values))],
                [norm],
                5e-5,
                1e-6,
            )
            near(
                f"{name}'s gradient",
                [values[i * 7919 % len(values)] for i in range(len(samples))],
                samples,
                5e-5,
                norm / math.sqrt(len(values)),
            )

        for i, key in enumerate(("loss", "mtp_loss", "balance_loss", "grad_norm")):
            near(
                f"{key} of {steps} steps",
                [step[key] for step in log],
                curve[i::columns],
                3e-4 if key == "grad_norm" else 1e-4,
            )
        after = load(t / "checkpoints/step-00000001/model.safetensors")
        for name, (_, values) in golden.items():
            if name.startswith("bias."):
                near(f"{name} after a step", after[name.removeprefix("bias.")][1], values, 1e-6)

    if "bits" in parts:
        claim(
            "the same bits on two threads",
            losses(train("m.hadal", "log2", "--threads", 2)) == losses(log),
        )
        for policy in ("report", "all"):
            compile("again.hadal", f"--recompute={policy}")
            claim(
                f"the same bits with --recompute={policy}",
                losses(train("again.hadal", "log3", "--threads", 2)) == losses(log),
            )

    last = t / f"checkpoints/step-{steps:08}"
    layers = config["num_hidden_layers"]
    further = "further" in parts
    if further and config["num_nextn_predict_layers"]:
        # Prediction left out: its own tensors stay, the copies in its layer are what embedding and head are now.
        compile("without.hadal", "--mtp-weight=0")
        run(
            "hadal-run",
            "train",
            t / "without.hadal",
            "--weights",
            last,
            "--input",
            t / "in",
            "--steps",
            1,
            "--checkpoint-dir",
            t / "without",
        )
        before, after = load(last / "model.safetensors"), load(
            t / "without/step-00000001/model.safetensors"
        )
        claim("the same tensors without prediction", set(before) == set(after))
        for name in before:
            tail = name.removeprefix(f"model.layers.{layers}.")
            shared = {
                "embed_tokens.weight": "model.embed_tokens.weight",
                "shared_head.head.weight": "lm_head.weight",
            }.get(tail)
            if shared:
                claim(
                    f"{name} is a copy",
                    after[name] == after[shared] and after[name] != before[name],
                )
            elif tail != name:
                claim(f"{name} stays", after[name] == before[name])
    elif further and config["first_k_dense_replace"] == layers:  # the quickest to compile
        # BF16 moments stay near F32 ones, and a resumed run has the bits of one that never stopped.
        compile("short.hadal", "--moments=bf16", "--average")
        more = ("--average-decay", "0.9", "--checkpoint-dir")
        whole = train("short.hadal", "log4", *more, t / "whole", "--checkpoint-every", 2)
        near("losses with BF16 moments", [step["loss"] for step in whole], curve[::columns], 2e-3)
        (t / "half").mkdir()
        (t / "whole/step-00000002").rename(t / "half/step-00000002")
        train("short.hadal", "log5", *more, t / "half", "--resume", t / "half")
        name = f"step-{steps:08}/optimizer/state.safetensors"
        claim(
            "resumed moments have the same bits",
            (t / "whole" / name).read_bytes() == (t / "half" / name).read_bytes(),
        )
        words = ("--resume", t / "half", "--input", t / "in", "--steps", steps)
        done = subprocess.run(
            [bin / "hadal-run", "train", t / "m.hadal", *map(str, words)],
            capture_output=True,
            text=True,
        )
        claim(
            "other moments are told",
            done.returncode == 0 and 'moments "fp32" (was "bf16")' in done.stderr,
            done.stderr,
        )
        state = load(t / "whole" / name)
        claim(
            "moments are BF16",
            all(
                struct.unpack("<I", struct.pack("<f", v))[0] & 0xFFFF == 0
                for v in state["first_moment.lm_head.weight"][1]
            ),
        )
        # Averages are a model of their own, which lags behind the weights.
        last = t / "whole" / f"step-{steps:08}"
        weights, averages = load(last / "model.safetensors"), load(
            last / "average/model.safetensors"
        )
        claim(
            "averages have all tensors, and lag behind",
            averages.keys() == weights.keys()
            and averages["lm_head.weight"] != weights["lm_head.weight"],
        )
        claim(
            "resumed averages have the same bits",
            (last / "average/model.safetensors").read_bytes()
            == (t / "half" / last.name / "average/model.safetensors").read_bytes(),
        )
frame.end()
