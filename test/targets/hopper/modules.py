#!/usr/bin/env python3
"""Modules for a GPU and for the device that stands in for one, as hadal-inspect --json tells them.

modules.py BIN MODEL: the same kernels in both, all of them serial where --tiers says so; ptxas, if
there is any, takes each of them and says what it needs.
"""

import json
import pathlib
import subprocess
import sys
import tempfile


def check(claim, holds, got=""):
    if not holds:
        sys.exit(f"FAIL: {claim}: {got}")


def main():
    tools, model = pathlib.Path(sys.argv[1]), sys.argv[2]

    def run(tool, *words):
        done = subprocess.run([tools / tool, *map(str, words)], capture_output=True, text=True)
        check(f"{tool} {words}", done.returncode == 0, done.stderr[-500:])
        return done.stdout

    with tempfile.TemporaryDirectory() as folder:
        def module(target, *words):
            out = pathlib.Path(folder) / f"{target}.hadal"
            run("hadal-compile", model, f"--target={target}", "--tiers=serial", *words, "-o", out)
            return json.loads(run("hadal-inspect", out, "--json"))

        gpu, emulated = module("sm_90a"), module("sm_90a-emulated")
        about = gpu["target"]
        check("a GPU's target", (about["family"], about["processor"]) == ("nvptx", "sm_90a"), about)
        check("its code is PTX", gpu["codes"][0]["format"] == "PTX", gpu["codes"][0])
        about = emulated["target"]
        check("the stand-in's target", (about["family"], about["processor"]) ==
              ("emulated", "sm_90a") and "avx2" in about["features"] + ["avx2"] * (
                  "neon" in about["features"]), about)
        check("its code is one shared object",
              [c["format"] for c in emulated["codes"]] == ["shared object"], emulated["codes"])
        check("there are kernels", len(gpu["kernels"]) > 20, len(gpu["kernels"]))
        for a, b in zip(gpu["kernels"], emulated["kernels"], strict=True):
            same = {k: a[k] for k in b} == b
            check("both run the same launches", same, (a, b))
            check("kernels are serial", (a["tier"], a["threads"], a["tasks_per_block"]) ==
                  ("serial", 32, 32), a)
        if not gpu["target"].get("ptxas"):
            print("SKIPPED: no ptxas, kernels were not assembled")
            return
        for number, kernel in enumerate(gpu["kernels"]):
            check("each kernel has a cubin of its own", kernel["cubin"] == number + 1, kernel)
            check("ptxas counts registers", 8 <= kernel["registers"] <= 255, kernel)
            check("a block fits into a multiprocessor", kernel["blocks_per_sm"] >= 1, kernel)
        print(f"ptxas took {len(gpu['kernels'])} kernels")


main()
