#!/usr/bin/env python3
"""Serial kernels on the emulated device compute the CPU's bits: a model that reads, decodes, trains.

bits.py BIN FOLDER: FOLDER holds a checkpoint. The CPU's kernels are for x86-64-v3; where this
machine does not run them, it says so and exits with 77.
"""

import json
import pathlib
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "models"))
from tensors import save_ids  # noqa: E402

ROW = [3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8, 9, 7, 9, 3, 2]
TRAIN = ["--mode=train", "--micro-batch=2", f"--seq={len(ROW)}", "--mtp-weight=0"]
STEPS = ["--steps", "2", "--lr", "1e-3", "--schedule", "constant", "--clip", "1"]


def main():
    tools, weights = pathlib.Path(sys.argv[1]), sys.argv[2]

    def run(tool, *words, refusal=None):
        done = subprocess.run([tools / tool, *map(str, words)], capture_output=True, text=True)
        if refusal and refusal in done.stderr:
            print(f"SKIPPED: {done.stderr.strip()}")
            sys.exit(77)
        if done.returncode != 0:
            sys.exit(f"FAIL: {tool} {words}: {done.stderr[-500:]}")

    with tempfile.TemporaryDirectory() as folder:
        at = pathlib.Path(folder)
        rows = at / "rows.safetensors"
        save_ids(rows, [ROW, ROW[::-1]])
        modules = {"cpu": "--cpu=x86-64-v3", "emulated": "--target=sm_90a-emulated"}

        def same(what, options, *words, output="-o"):
            files = {}
            for device, target in modules.items():
                module, files[device] = at / f"{device}.hadal", at / f"{what}.{device}"
                tiers = ["--tiers=serial"] if device == "emulated" else []
                run("hadal-compile", weights, target, *tiers, *options, "-o", module)
                run("hadal-run", words[0], module, "--device", device, "--weights", weights,
                    "--input", rows, *words[1:], output, files[device], refusal="wants a CPU with")
            texts = [f.read_bytes() for f in files.values()]
            if output == "--log":  # apart from what a step took
                texts = [[{k: r[k] for k in ("loss", "grad_norm")}
                          for r in map(json.loads, t.decode().splitlines())] for t in texts]
            if texts[0] != texts[1] or not texts[0]:
                sys.exit(f"FAIL: {what}: not the CPU's bits")
            print(f"{what}: the CPU's bits")

        same("logits", [], "logits")
        same("tokens", [], "generate", "--max-new-tokens", 4, "--ignore-eos")
        for precision in ("fp32", "fp8"):
            training = TRAIN + [f"--precision={precision}"]
            same(f"{precision} gradients", training, "gradients")
        same("losses", TRAIN, "train", *STEPS, output="--log")


main()
