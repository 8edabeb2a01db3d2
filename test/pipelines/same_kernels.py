#!/usr/bin/env python3
"""A graph's text is all that decides what it compiles to, and its locations decide nothing.

same_kernels.py BIN MODEL: the model of the folder MODEL, compiled for generation, for training in
each precision with each choice of what is recomputed, and for training on ranks: directly, from
the text of its graph, and from that text without locations. All three are the same kernels.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

binaries, model = Path(sys.argv[1]), sys.argv[2]

TRAIN = ["--mode=train", "--micro-batch=2", "--seq=8", "--products=fma"]
JOBS = [["--mode=generate"]]
for precision in ("fp32", "bf16"):
    for policy in ("none", "report", "all"):
        JOBS.append([*TRAIN, f"--precision={precision}", f"--recompute={policy}"])
RANKS = ["--micro-batches=4", "--pp=2", "--ep=2", "--precision=bf16", "--recompute=report"]
JOBS.append([*TRAIN, *RANKS])


def run(tool: str, *arguments: str) -> str:
    command = [binaries / tool, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, f"{command}: {done.stderr}"
    return done.stdout


def check(job, folder: Path) -> str:
    """The kernels of `job`."""
    graph, stripped = folder / "graph.mlir", folder / "stripped.mlir"
    wanted = run("hadal-compile", model, *job, "--emit=kernels")
    assert "exec.launch" in wanted, job
    run("hadal-compile", model, *job, "--emit=graph", "-o", graph)
    run("hadal-opt", graph, "--strip-debuginfo", "-o", stripped)
    # The text says what job it is for, but for the processor.
    products = [word for word in job if word.startswith("--products")]
    for text in (graph, stripped):
        got = run("hadal-compile", text, *products, "--emit=kernels")
        assert got == wanted, f"{model} {' '.join(job)}: {text.name} compiles to other kernels"
    return wanted


def main():
    made = []
    with tempfile.TemporaryDirectory() as folder:
        for job in JOBS:
            made.append(check(job, Path(folder)))
    # The jobs differ, or their equality says nothing.
    assert len(set(made)) == len(made), "two jobs have the same kernels"
    print(f"{len(made)} jobs, {sum(len(text) for text in made)} bytes of kernels")


main()
