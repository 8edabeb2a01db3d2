#!/usr/bin/env python3
"""Training in FP8: what must not change a bit, what checkpoints hold, and how it differs from f32.

    fp8_bits.py BIN FOLDER PART [MPIRUN]      FOLDER holds a checkpoint

PART: bits, that threads, recomputation, a text of the graph and a stop on the way change none;
ranks, that layouts and schedules do not; numbers, that gradients are near those of f32; options,
that these change them.
"""

import json, random, subprocess, sys, tempfile
from pathlib import Path

from frame import Frame
from tensors import load, load_raw, save_ids

bin, folder, part = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
mpirun = sys.argv[4:]
config = json.loads((folder / "config.json").read_text())
frame = Frame(bin, f"{folder.name} {part}")
claim, run = frame.claim, frame.run
rows, length, steps = 8, 40, 3

with tempfile.TemporaryDirectory() as t:
    t = Path(t)
    draw = random.Random(7)
    token = lambda: draw.randrange(config["vocab_size"])
    save_ids(t / "in", [[token() for _ in range(length)] for _ in range(rows)])

    def compile(name, *more, precision="fp8", batches=rows):
        run(
            "hadal-compile",
            folder,
            "--mode=train",
            f"--micro-batch={rows // batches}",
            f"--micro-batches={batches}",
            f"--seq={length}",
            f"--precision={precision}",
            *more,
            "-o",
            t / name,
        )

    def words(name, log, *more, steps=steps):
        weights = () if "--resume" in more else ("--weights", folder)
        inputs = ("--input", t / "in", "--steps", steps, "--lr", "1e-3", "--log", t / log)
        return [str(w) for w in ("train", t / name, *weights, *inputs, *more)]

    def losses(log):
        kept = ("loss", "mtp_loss", "balance_loss", "grad_norm")
        lines = map(json.loads, (t / log).read_text().splitlines())
        return [[line[key] for key in kept] for line in lines]

    def train(name, log, *more, **others):
        run("hadal-run", *words(name, log, *more, **others))
        return losses(log)

    def same_files(one, other):
        names = [p.relative_to(t / one) for p in (t / one).rglob("*.safetensors")]
        return names and all(
            (t / one / name).read_bytes() == (t / other / name).read_bytes() for name in names
        )

    if part == "bits":
        compile("m.hadal", "--sum-groups=2")
        wanted = train("m.hadal", "log", "--threads", 1, "--checkpoint-dir", t / "whole")
        claim("losses fall", wanted[-1][0] < wanted[0][0], str(wanted))
        claim("three threads", train("m.hadal", "log3", "--threads", 3) == wanted)
        for policy in ("report", "all"):
            compile("again.hadal", "--sum-groups=2", f"--recompute={policy}")
            claim(f"--recompute={policy}", train("again.hadal", policy) == wanted)
        # The text of a graph says all of it, the moments that FP8 has by itself, too.
        compile("graph.mlir", "--sum-groups=2", "--emit=graph")
        run("hadal-compile", t / "graph.mlir", "-o", t / "text.hadal")
        claim(
            "a graph's text compiles to the same module",
            (t / "text.hadal").read_bytes() == (t / "m.hadal").read_bytes(),
        )
        # Codes are made anew when a run goes on.
        train("m.hadal", "log2", "--checkpoint-dir", t / "half", steps=2)
        rest = train("m.hadal", "rest", "--checkpoint-dir", t / "half", "--resume", t / "half")
        claim("a run that was stopped", rest == wanted[2:], f"{rest} {wanted}")
        last = f"step-{steps:08}"
        claim("its checkpoint", same_files(f"whole/{last}", f"half/{last}"))
        stored = load_raw(t / "whole" / last / "model.safetensors")
        moments = load_raw(t / "whole" / last / "optimizer/state.safetensors")
        claim(
            "checkpoints hold weights and moments alone",
            all(kind == "F32" for kind, _, _ in stored.values())
            and not any(n.startswith(("codes", "scales")) for n in {**stored, **moments}),
        )
        # Their upper halves.
        cut = [d for n, (kind, _, d) in moments.items() if n.startswith("first_moment.")]
        claim(
            "moments are BF16",
            cut and all(not any(d[0::4]) and not any(d[1::4]) for d in cut),
        )

    if part == "ranks":
        compile("m.hadal", "--sum-groups=4")
        wanted = train("m.hadal", "log", "--checkpoint-dir", t / "one")
        for layout in (
            "--pp=2 --schedule=zb1p",
            "--ep=2 --dispatch=fp8 --recompute=report",
            "--dp=2",
            "--pp=2 --ep=2 --schedule=dualpipe",
        ):
            options = layout.split()
            size = 1
            for option in options:
                if option[:5] in ("--pp=", "--ep=", "--dp="):
                    size *= int(option[5:])
            compile("r.hadal", "--sum-groups=4", *options)
            done = subprocess.run(
                [
                    *mpirun,
                    "--allow-run-as-root",
                    "--oversubscribe",
                    "--bind-to",
                    "none",
                    "-n",
                    str(size),
                    bin / "hadal-run",
                    *words("r.hadal", "rlog", "--checkpoint-dir", t / "many"),
                ],
                capture_output=True,
                text=True,
                timeout=200,
            )
            if done.returncode:
                claim(layout, False, done.stderr.strip()[-500:])
                continue
            claim(f"{layout}: losses", losses("rlog") == wanted, f"{losses('rlog')} {wanted}")
            claim(
                f"{layout}: checkpoint",
                same_files(f"one/step-{steps:08}", f"many/step-{steps:08}"),
            )
            run("hadal-inspect", t / "r.hadal", "--verify")
            for p in sorted((t / "many").rglob("*"), reverse=True):
                p.rmdir() if p.is_dir() else p.unlink()

    if part == "numbers":
        compile("f32.hadal", precision="fp32", batches=1)
        compile("fp8.hadal", batches=1)
        inputs = ("--weights", folder, "--input", t / "in")
        told = json.loads(
            run(
                "hadal-run",
                "gradients",
                t / "fp8.hadal",
                "--compare",
                t / "f32.hadal",
                *inputs,
                "--json",
                "-o",
                t / "gradients",
            )
        )
        claim("near f32, not equal", 0.9 < told["cosine"] < 0.99999, str(told["cosine"]))
        claim("all of them", len(told["tensors"]) == len(load(t / "gradients")) - 1)
        off = {e["name"]: e["relative_error"] for e in told["tensors"]}
        claim("the worst first", list(off.values()) == sorted(off.values(), reverse=True))

    if part == "options":
        # Promotion every 128 matters in sums that the tensor core cuts.
        compile("fp8.hadal", batches=1)
        for options in ("accumulate=hopper", "accumulate=hopper interval=0", "scales=pow2"):
            compile("other.hadal", f"--fp8={options}", batches=1)
            compared = ("--compare", t / "fp8.hadal", "--weights", folder, "--input", t / "in")
            last = run("hadal-run", "gradients", t / "other.hadal", *compared).splitlines()[-1]
            claim(f"--fp8={options} changes something", 0 < float(last.split()[0]) < 1, last)
frame.end()
