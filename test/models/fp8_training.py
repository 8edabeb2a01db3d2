#!/usr/bin/env python3
"""A step in FP8 near the golden of the recipe (shared/oracle/fp8): its loss, and all gradients.

    fp8_training.py BIN ORACLE      ORACLE holds fp8/fp8_steps.safetensors and nano-fp8

Codes are cliffs: two right implementations differ once one falls the other way. All gradients of
the recipe in f32 are at 0.03 of the golden, those without FP8 at 0.19.
Python's own library only. Exit status 1 when a claim fails.
"""

import math, sys, tempfile
from pathlib import Path

from frame import Frame
from tensors import load, save_ids

bin, oracle = Path(sys.argv[1]), Path(sys.argv[2])
frame = Frame(bin, "nano-fp8")
model = oracle / "nano-fp8"
golden = load(oracle / "fp8" / "fp8_steps.safetensors")
prefix = "step.grad.sample."

with tempfile.TemporaryDirectory() as t:
    t = Path(t)
    (rows, length), ids = load(model / "golden_fp8.safetensors")["input_ids"]
    save_ids(t / "in", [list(ids[r * length : (r + 1) * length]) for r in range(rows)])
    off = ("--mtp-weight=0", "--balance-weight=0", "--bias-step=0")
    shape = (f"--micro-batch={rows}", f"--seq={length}")
    frame.run(
        *("hadal-compile", model / "ckpt", "--mode=train", "--precision=fp8", *shape, *off),
        *("-o", t / "m.hadal"),
    )
    frame.run(
        *("hadal-run", "gradients", t / "m.hadal", "--weights", model / "ckpt"),
        *("--input", t / "in", "-o", t / "out"),
    )
    out = load(t / "out")

want = golden["step.loss"][1][0]
frame.claim("the loss", abs(out["loss"][1][0] - want) <= 1e-4 * want, (out["loss"][1][0], want))
distance = size = 0.0
for name in (name for name in golden if name.startswith(prefix)):
    sample, values = golden[name][1], out[name.removeprefix(prefix)][1]
    step = next(p for p in (7919, 7907, 7901, 7883) if math.gcd(p, len(values)) == 1)
    weight = len(values) / len(sample)
    for i, wanted in enumerate(sample):
        distance += weight * (values[i * step % len(values)] - wanted) ** 2
        size += weight * wanted**2
frame.claim("all gradients", 0 < distance < 0.01 * size, f"at {math.sqrt(distance / size):.3f}")
frame.end()
