#!/usr/bin/env python3
"""The learning rates of a compiled module, over whole runs, are those of the formulas here.

schedules.py BIN MODEL_FOLDER      MODEL_FOLDER: a small model, for the rates depend on none
"""

import json, math, random, subprocess, sys, tempfile
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parent.parent / "models"))
from tensors import save_ids

bin, model = map(Path, sys.argv[1:])


def warm(step, o, rest):
    return o["lr"] * step / o["warmup"] if step < o["warmup"] else rest


def constant(step, o):
    return warm(step, o, o["lr"])


def half_cosine(share, high, low):
    return low + (high - low) * (1 + math.cos(math.pi * min(max(share, 0), 1))) / 2


def cosine(step, o):
    return warm(
        step,
        o,
        half_cosine((step - o["warmup"]) / (o["steps"] - o["warmup"]), o["lr"], o["final-lr"]),
    )


def wsd(step, o):
    stable = o["steps"] - math.floor(o["steps"] * o["lr-decay-share"] + 0.5)
    share = max(0, step - stable) / (o["steps"] - stable)
    return warm(step, o, o["lr"] + (o["final-lr"] - o["lr"]) * share)


def report(step, o):  # DeepSeek-V3, section 4.2: 10T tokens constant, 4.3T cosine, 333B, 167B
    hold = o.get("hold", o["steps"] * 10000 // 14800)
    if step > o["steps"] * 14633 // 14800:
        return o.get("last-lr", o["lr"] * 7.3e-6 / 2.2e-4)
    fall = o["steps"] * 14300 // 14800
    return warm(
        step,
        o,
        half_cosine((step - hold) / (fall - hold), o["lr"], o.get("final-lr", o["lr"] / 10)),
    )


def run(module, folder, options):
    words = [x for k, v in options.items() for x in (f"--{k}", str(v))]
    log = folder / "log"
    subprocess.run(
        [
            bin / "hadal-run",
            "train",
            module,
            "--init-seed",
            "1",
            "--input",
            folder / "ids",
            "--log",
            log,
            *words,
        ],
        check=True,
        stderr=subprocess.PIPE,
    )
    return [json.loads(line) for line in log.read_text().splitlines()]


draw = random.Random(7)
with tempfile.TemporaryDirectory() as t:
    folder = Path(t)
    module = folder / "t.hadal"
    save_ids(folder / "ids", [[4 * row + i for i in range(4)] for row in range(4)])
    subprocess.run(
        [
            bin / "hadal-compile",
            model,
            "--mode=train",
            "--micro-batch=1",
            "--micro-batches=4",
            "--seq=4",
            "-o",
            module,
        ],
        check=True,
    )
    for name, formula, more in (
        ("constant", constant, {}),
        ("cosine", cosine, {"final-lr": 2e-6}),
        ("cosine", cosine, {"final-lr": 0.0}),
        ("wsd", wsd, {"final-lr": 1e-6, "lr-decay-share": 0.3}),
        ("wsd", wsd, {"final-lr": 0.0, "lr-decay-share": 1.0, "warmup": 0}),
        ("report", report, {}),
        ("report", report, {"hold": 9, "final-lr": 3e-5, "last-lr": 1e-6}),
    ):
        options = {
            "lr": draw.choice([1e-3, 2.2e-4, 3e-5]),
            "warmup": draw.randint(0, 5),
            "steps": draw.randint(45, 60),
            "schedule": name,
        } | more
        steps = run(module, folder, options)
        assert [s["step"] for s in steps] == list(range(1, options["steps"] + 1))
        for s in steps:
            wanted = formula(s["step"], options)
            # The cosine is an f32 one, and the rate an f32.
            assert (
                abs(s["lr"] - wanted) <= 1e-6 * options["lr"]
            ), f"{options}, step {s['step']}: {s['lr']}, wanted {wanted}"
    print("all passed")
