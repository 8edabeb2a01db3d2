#!/usr/bin/env python3
"""A model on the emulated device: serial kernels give the CPU's bits, in serving and in training.

    emulated.py BIN FOLDER serving|training|ranks [MPIRUN]

FOLDER holds config.json. The CPU is x86-64-v3, which is what emulated kernels are compiled for.
"""

import json, sys, tempfile
from pathlib import Path

from frame import Frame
from tensors import save_ids

bin, folder, part = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
mpirun = sys.argv[4:]
frame = Frame(bin, folder.name)

CPU = ("--cpu=x86-64-v3",)
SERIAL = ("--target=sm_90a-emulated", "--tiers=serial")


def on_device(seed):
    return "--device", "emulated", "--emulator-seed", seed


def compiled(out, *words):
    frame.run("hadal-compile", *words, "-o", out)
    return out


def same(what, one, other):
    frame.claim(f"{what}: the CPU's bits", one.read_bytes() == other.read_bytes())


def serving(t, weights):
    """Logits of prefill, and tokens that decoding makes, with their logits."""
    cpu, serial = compiled(t / "cpu", weights, *CPU), compiled(t / "serial", weights, *SERIAL)
    save_ids(t / "in", [[5, 9, 2, 30, 7, 11, 3], [12, 4, 8, 15, 16, 23, 6]])
    given = ("--weights", weights, "--input", t / "in")
    tokens = (*given, "--max-new-tokens", 4, "--ignore-eos")
    frame.run("hadal-run", "logits", cpu, *given, "-o", t / "cpu.logits")
    frame.run("hadal-run", "generate", cpu, *tokens, "-o", t / "cpu.tokens")
    for seed in (1, 2):
        more = ("--trace", t / "trace", "-o", t / "out")
        frame.run("hadal-run", "logits", serial, *on_device(seed), *given, *more)
        same(f"logits, seed {seed}", t / "out", t / "cpu.logits")
    # Without --device: on what the module is for.
    more = ("--stats", t / "stats", "--check-memory", "-o", t / "out")
    frame.run("hadal-run", "generate", serial, *tokens, *more)
    same("decoding", t / "out", t / "cpu.tokens")
    stats = json.loads((t / "stats").read_text())
    frame.claim("figures name the device", stats["device"] == "emulated", stats)
    frame.claim("its memory holds the weights", stats["device_peak_bytes"] > 10_000, stats)
    events = json.loads((t / "trace").read_text())["traceEvents"]
    launched = {event["name"] for event in events if event.get("cat") == "kernel"}
    module = json.loads(frame.run("hadal-inspect", serial, "--json"))
    others = launched - {kernel["name"] for kernel in module["kernels"]}
    frame.claim("a trace names the module's kernels", launched and not others, others)


JOB = ("--mode=train", "--micro-batch=1", "--micro-batches=4", "--sum-groups=4", "--seq=7")


def save_rows(t, weights):
    rows = [[(31 * i + 7 * row + i * i) % 38 + 2 for i in range(7)] for row in range(4)]
    save_ids(t / "in", rows)
    return "--weights", weights, "--input", t / "in"


def train(t, name, *words, launcher=("hadal-run",)):
    """The folder of the checkpoint that two steps of the module `name` leave."""
    out = t / f"{name}.out"
    given = ("--steps", 2, "--lr", "1e-3", "--checkpoint-dir", out)
    frame.run(*launcher, "train", t / name, *words, *given)
    return out / "step-00000002"


def same_steps(what, one, other):
    for file in sorted(other.glob("*.safetensors")):
        same(f"{what}, {file.name}", one / file.name, file)


def training(t, weights):
    """Gradients, and what two steps make of weights and moments."""
    given = save_rows(t, weights)
    steps = {}
    for name, target, device in (("cpu", CPU, ()), ("serial", SERIAL, on_device(5))):
        compiled(t / name, weights, *JOB, *target)
        more = (*device, *given, "-o", t / f"{name}.gradients")
        frame.run("hadal-run", "gradients", t / name, *more)
        steps[name] = train(t, name, *device, *given)
    same("gradients", t / "serial.gradients", t / "cpu.gradients")
    same_steps("two steps", steps["serial"], steps["cpu"])


def ranks(t, weights):
    """Experts on two ranks, and a pipeline, with a device for each rank: what one CPU makes."""
    given = save_rows(t, weights)
    compiled(t / "cpu", weights, *JOB, *CPU)
    one = train(t, "cpu", *given)
    for name, layout in (("ep2", ("--ep=2",)), ("pp2", ("--pp=2", "--schedule=dualpipe"))):
        compiled(t / name, weights, *JOB, *SERIAL, *layout)
        launcher = (mpirun[0], "--allow-run-as-root", "--oversubscribe", "-n", 2, bin / "hadal-run")
        steps = train(t, name, *on_device(3), *given, launcher=launcher)
        same_steps(name, steps, one)


with tempfile.TemporaryDirectory() as t:
    t = Path(t)
    make = (folder, "--dtype", "bf16", "--seed", 1, "-o", t / "weights")
    frame.run("hadal-make-checkpoint", *make)
    {"serving": serving, "training": training, "ranks": ranks}[part](t, t / "weights")
frame.end()
