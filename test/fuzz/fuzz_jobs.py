#!/usr/bin/env python3
"""Graphs of jobs whose attributes say something else.

fuzz_jobs.py BIN MODEL COUNT [SEED]: the graphs of the model of the folder MODEL, for generation,
for training, for both on ranks. COUNT mutants of each, with parameters of attributes dropped, of
another type or another number, go through hadal-compile and passes that read them: diagnostics
are wanted.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

binaries, model, count = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
seed = sys.argv[4] if len(sys.argv) > 4 else "1"

TRAIN = ["--mode=train", "--micro-batch=2", "--seq=8", "--moments=bf16", "--recompute=all"]
RANKS = ["--micro-batches=4", "--pp=2", "--ep=2", "--nodes=2", "--dispatch=fp8"]
JOBS = {"generate": [], "train": TRAIN, "ranks": TRAIN + RANKS, "inference": ["--ep=2"]}

STEPS = ["compile", "hadal-cut-chunks", "moe-shard-experts{ranks=2}", "exec-form-programs"]

with tempfile.TemporaryDirectory() as folder:
    for name, options in JOBS.items():
        graph = f"{folder}/{name}.mlir"
        make = [binaries / "hadal-compile", model, *options, "--emit=graph", "-o", graph]
        subprocess.run(make, check=True, timeout=60)
        fuzz = [binaries / "hadal-fuzz-ir", "--parameters", "--seed", seed, "--count", count]
        for step in STEPS:
            done = subprocess.run([*fuzz, "--only", step, graph], capture_output=True, text=True)
            print(f"{name}, {step}: {done.stdout}{done.stderr}")
            # Some are valid: other numbers within their ranges.
            assert done.returncode == 0 and ", 0 of them valid" not in done.stdout, name
