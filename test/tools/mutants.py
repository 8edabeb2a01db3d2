#!/usr/bin/env python3
"""hadal-kernel-mutants over a product on tensor cores: each dropped synchronization is noticed.

mutants.py BIN: with so many rows that each stage of the pipeline is filled again; with one row none
is, and the tool says which mutants were missed.
"""

import json
import pathlib
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "models"))
from tensors import save_raw  # noqa: E402

PRODUCT = """
#left = affine_map<(m, n, k) -> (m, k)>
#right = affine_map<(m, n, k) -> (n, k)>
#out = affine_map<(m, n, k) -> (m, n)>
func.func @product(%x: tensor<ROWSx48xbf16>, %w: tensor<70x48xbf16>) -> tensor<ROWSx70xf32> {
  %zero = arith.constant 0.0 : f32
  %empty = tensor.empty() : tensor<ROWSx70xf32>
  %init = linalg.fill ins(%zero : f32) outs(%empty : tensor<ROWSx70xf32>) -> tensor<ROWSx70xf32>
  %y = linalg.matmul indexing_maps = [#left, #right, #out]
      ins(%x, %w : tensor<ROWSx48xbf16>, tensor<70x48xbf16>)
      outs(%init : tensor<ROWSx70xf32>) -> tensor<ROWSx70xf32>
  return %y : tensor<ROWSx70xf32>
}
"""
CAUGHT = {"race", "deadlock", "poison", "trap", "wrong"}


def check(claim, holds, got=""):
    if not holds:
        sys.exit(f"FAIL: {claim}: {got}")


def main():
    tool = pathlib.Path(sys.argv[1]) / "hadal-kernel-mutants"
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)

        def run(*words):
            return subprocess.run([tool, *map(str, words)], capture_output=True, text=True)

        many = folder / "many.mlir"
        many.write_text(PRODUCT.replace("ROWS", "700"))
        done = run(many, "--seeds", 4, "--json", "-o", folder / "m.json")
        check("all mutants of 700 rows are caught", done.returncode == 0, done.stderr[-600:])
        found = json.loads((folder / "m.json").read_text())
        check("each is caught", {m["outcome"] for m in found} <= CAUGHT, found)
        kinds = {m["kind"] for m in found}
        check("the kinds of a product", kinds >= {"mbarrier_init", "mbarrier_wait", "barrier",
                                                  "mbarrier_arrive", "wgmma_wait"}, kinds)
        check("ops, lines, reasons and kernels are named", all(
            m["location"].startswith("hopper.") and "line" in m["location"] and m["reason"]
            and "matmul" in m["kernel"] for m in found), found[0])

        one = folder / "one.mlir"
        one.write_text(PRODUCT.replace("ROWS", "1"))
        save_raw(folder / "one.safetensors", {"arg0": ("BF16", [1, 48], bytes(96)),
                                              "arg1": ("BF16", [70, 48], bytes(70 * 96))})
        done = run(one, "--seeds", 1, "--function", "product", "--input",
                   folder / "one.safetensors")
        lines = done.stdout.splitlines()
        missed = [line for line in lines if line.startswith("missed")]
        check("one row never waits for an empty stage", done.returncode == 1 and
              any("wait empty" in line for line in missed), done.stdout)
        check("the others are caught", len(lines) > len(missed) > 0, lines)
        check("one line says how many are not", done.stderr.splitlines() == [
            f"hadal-kernel-mutants: {len(missed)} of {len(lines)} mutants were not caught"],
            done.stderr)

        done = run(folder / "none.mlir", "-o", folder / "never.json")
        check("a missing file is one line", done.returncode == 1 and
              len(done.stderr.splitlines()) == 1 and not (folder / "never.json").exists(),
              done.stderr)
    print("all passed")


main()
