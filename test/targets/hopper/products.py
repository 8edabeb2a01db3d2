#!/usr/bin/env python3
"""Products on tensor cores, each kind once, with sizes beside the tiles' edges.

products.py BIN: ptxas, if there is any, takes each kernel without spills and warnings, and with all
registers of its blocks; on the emulated device each product is that of the CPU's kernels, within
what tensor cores' sums allow, with any order of threads and copies, and a row's bits are those of
the row alone.
"""

import array
import json
import pathlib
import random
import struct
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent.parent / "models"))
from frame import Frame
from tensors import load, save_raw

frame = Frame(sys.argv[1], "hopper-products")
draw = random.Random(1)
SOURCE = HERE / "Inputs" / "products.mlir"
EXPERTS, TOKENS = 4, 9
# Sums of bf16 are f32; those of codes keep 13 bits, and are promoted.
CODES = ("codes", "codes_odd", "grouped_codes", "grouped_pair_codes")
# Of these the order of threads and copies is changed: each way to fill a stage.
SHUFFLED = ("rows_f32", "codes", "parts", "grouped_pair_codes", "weights_codes")


def f32(numbers):
    return "F32", array.array("f", numbers).tobytes()


def held(*shape):
    """Numbers that bf16 holds, as f32."""
    kind, content = f32(draw.randrange(-128, 129) / 64 for _ in range(size(shape)))
    return kind, list(shape), content


def bf16(*shape):
    _, _, content = held(*shape)
    return "BF16", list(shape), b"".join(content[i + 2 : i + 4] for i in range(0, len(content), 4))


def f16(*shape):
    return "F16", list(shape), struct.pack(
        f"<{size(shape)}e", *(draw.gauss(0, 1) for _ in range(size(shape))))


def normal(*shape):
    kind, content = f32(draw.gauss(0, 1) for _ in range(size(shape)))
    return kind, list(shape), content


def codes(*shape):
    """E4M3 up to 8: sums of the products in an epilogue stay finite."""
    return "F8_E4M3", list(shape), bytes(
        draw.randrange(0x50) | draw.randrange(2) << 7 for _ in range(size(shape)))


def scales(*shape):
    kind, content = f32(0.01 + draw.random() / 50 for _ in range(size(shape)))
    return kind, list(shape), content


def i32(numbers):
    return "I32", [len(numbers)], array.array("i", numbers).tobytes()


def size(shape):
    count = 1
    for n in shape:
        count *= n
    return count


def tiles(n):
    return -(-n // 128)


def groups(counts):
    offsets = [sum(counts[:e]) for e in range(EXPERTS + 1)]
    active = [e for e in range(EXPERTS) if counts[e]]
    return i32(offsets), i32(active + [-1] * (EXPERTS - len(active)))


def inputs(m, counts):
    """{function: its arguments}, `m` rows of each dense product."""
    offsets, active = groups(counts)
    rows = sum(counts)
    source = i32([draw.randrange(TOKENS) for _ in range(rows)])
    e = EXPERTS
    return {
        "rows_f32": [held(m, 136), bf16(72, 136)],
        "rows_bf16": [bf16(m, 136), bf16(72, 136)],
        "odd": [held(m, 73), bf16(45, 73)],
        "inner_n": [held(m, 72), bf16(72, 40)],
        "weights_f32": [held(m, 72), held(40, 72)],
        "batched": [held(m, 3, 72), bf16(3, 40, 72)],
        "codes": [codes(m, 272), scales(m, 3), codes(72, 272), scales(1, 3)],
        "codes_odd": [codes(m, 201), scales(m, 2), codes(45, 201), scales(1, 2)],
        "grouped": [held(rows, 136), bf16(e, 72, 136), offsets, active],
        "grouped_codes": [codes(TOKENS, 272), codes(e, 72, 272), offsets, active, source,
                          scales(TOKENS, 3), scales(e, 1, 3)],
        "pair": [held(m, 136), bf16(72, 136), bf16(72, 136)],
        "grouped_pair_codes": [codes(TOKENS, 272), codes(e, 72, 272), offsets, active, source,
                               scales(TOKENS, 3), scales(e, 1, 3), codes(e, 72, 272),
                               scales(e, 1, 3)],
        "parts": [normal(m, 72), normal(40, 72)],
        "parts_left": [normal(m, 72), bf16(40, 72)],
        "parts_half": [normal(m, 72), f16(40, 72)],
        "parts_batched": [normal(m, 3, 72), normal(3, 72, 40)],
        "weights_codes": [normal(m, 272), codes(72, 272), scales(1, 3)],
        "grouped_pair_weights_codes": [normal(TOKENS, 136), codes(e, 72, 136), offsets, active,
                                       source, scales(e, 1, 2), codes(e, 72, 136),
                                       scales(e, 1, 2)],
    }


def call(module, function, arguments, *words):
    save_raw(folder / "in", {f"arg{i}": a for i, a in enumerate(arguments)})
    frame.run("hadal-run", "call", module, f"@{function}", "--input", folder / "in", *words,
              "-o", folder / "out")
    return load(folder / "out")["result0"][1]


def compare(function, got, want):
    largest = max(map(abs, want), default=0)
    apart = max((abs(a - b) for a, b in zip(got, want, strict=True)), default=0)
    allowed = (3e-3 if function in CODES else 2e-6) * largest
    frame.claim(f"{function}: {len(want)} numbers are the CPU's", apart <= allowed,
                f"{apart} apart, the largest is {largest}")


def first_rows(arguments, m, few):
    """The same product of its first rows: of what has `m` rows."""
    return [(kind, [few, *shape[1:]], content[: len(content) // m * few])
            if shape[0] == m else (kind, shape, content) for kind, shape, content in arguments]


def assembled():
    frame.run("hadal-compile", SOURCE, "--target=sm_90a", "-o", folder / "gpu.hadal")
    module = json.loads(frame.run("hadal-inspect", folder / "gpu.hadal", "--json"))
    kernels = [k for k in module["kernels"] if k["tier"] == "tensor"]
    frame.claim("each product is a tensor kernel", len(kernels) == len(inputs(1, [1, 0, 0, 0])),
                [(k["name"], k["tier"]) for k in module["kernels"]])
    if not module["target"].get("ptxas"):
        return print("SKIPPED: no ptxas, kernels were not assembled")
    for k in kernels:
        frame.claim(f"{k['name']}: no spills", k["spill_bytes"] == 0, k["spill_bytes"])
        frame.claim(f"{k['name']}: no warnings", not k["warnings"], k["warnings"])
        frame.claim(f"{k['name']}: 168 registers to hand on", k["registers"] == 168, k["registers"])
        if k["opcodes"]:
            frame.claim(f"{k['name']}: on tensor cores, without local memory",
                        any(o.startswith(("HGMMA", "QGMMA")) for o in k["opcodes"]) and
                        not any(o.startswith(("HMMA", "LDL", "STL")) for o in k["opcodes"]),
                        k["opcodes"])


with tempfile.TemporaryDirectory() as name:
    folder = pathlib.Path(name)
    assembled()
    cpu, emulated = folder / "cpu.hadal", folder / "emulated.hadal"
    frame.run("hadal-compile", SOURCE, "--cpu=x86-64-v3", "-o", cpu)
    frame.run("hadal-compile", SOURCE, "--target=sm_90a-emulated", "-o", emulated)
    for m, counts in ((1, [0, 3, 1, 0]), (130, [129, 0, 5, 2])):
        for function, arguments in inputs(m, counts).items():
            got = call(emulated, function, arguments, "--device", "emulated")
            compare(function, got, call(cpu, function, arguments))
            if m == 1:
                continue
            if function in SHUFFLED:
                again = call(emulated, function, arguments, "--device", "emulated",
                             "--emulator-seed", 7)
                frame.claim(f"{function}: another order, the same bits", again == got)
            if not function.startswith("grouped"):
                few = call(emulated, function, first_rows(arguments, m, 3), "--device", "emulated")
                frame.claim(f"{function}: bits of rows do not depend on those beside them",
                            few == got[: len(few)])
frame.end()
