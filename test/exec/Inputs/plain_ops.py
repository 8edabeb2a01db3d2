"""Calls the functions of plain_ops.mlir and compares with Python's own arithmetic.

plain_ops.py MODULE WORK
"""

import math
import struct
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "models"))
from tensors import load_raw, save_raw

module, work = sys.argv[1], Path(sys.argv[2])
work.mkdir(parents=True, exist_ok=True)


def f32(x: float) -> float:
    return struct.unpack("<f", struct.pack("<f", x))[0]


def bf16(x: float) -> float:
    """To the nearest, ties to even."""
    bits = struct.unpack("<I", struct.pack("<f", x))[0]
    bits = (bits + 0x7FFF + (bits >> 16 & 1)) & 0xFFFF0000
    return struct.unpack("<f", struct.pack("<I", bits))[0]


def pack(dtype: str, values) -> bytes:
    whole = struct.pack(f"<{len(values)}f", *values)
    return (
        whole if dtype == "F32" else b"".join(whole[i + 2 : i + 4] for i in range(0, len(whole), 4))
    )


def unpack(dtype: str, content: bytes):
    if dtype == "BF16":
        content = b"".join(b"\0\0" + content[i : i + 2] for i in range(0, len(content), 2))
    return struct.unpack(f"<{len(content) // 4}f", content)


def check(function: str, dtype: str, inputs, shape, wanted, tolerance=0.0):
    """`inputs`: shape and values of each argument. `tolerance` is relative."""
    tensors = {f"arg{i}": (dtype, s, pack(dtype, v)) for i, (s, v) in enumerate(inputs)}
    save_raw(work / "in", tensors)
    command = [
        "hadal-run",
        "call",
        module,
        "@" + function,
        "--input",
        work / "in",
        "-o",
        work / "out",
    ]
    subprocess.run(command, check=True, timeout=60)
    ((got_dtype, got_shape, content),) = load_raw(work / "out").values()
    assert (got_dtype, got_shape) == (dtype, shape), (function, got_dtype, got_shape)
    got = unpack(dtype, content)
    assert len(got) == len(wanted) > 0
    for g, w in zip(got, wanted):
        assert abs(g - w) <= tolerance * abs(w), (function, g, w)


a = [bf16(0.37 * (i % 11) - 1.5) for i in range(15)]
b = [bf16(0.29 * (i % 7) - 0.8) for i in range(15)]
w = [bf16(0.31 * (i % 9) - 1.1) for i in range(35)]

check("add", "F32", [([3, 5], a), ([3, 5], b)], [3, 5], [f32(x + y) for x, y in zip(a, b)])
# The polynomial of exp is within an ulp or two of the right value.
check("exp", "F32", [([3, 5], a)], [3, 5], [math.exp(x) for x in a], tolerance=2**-22)
check("choose", "F32", [([3, 5], a)], [3, 5], [max(-2 * x, x) for x in a])
check("quarter", "F32", [([3, 5], a)], [3, 5], [x / 4 for x in a])

products = []
for i in range(3):
    for j in range(7):
        total = 0.0
        for k in range(5):
            total = bf16(f32(total + a[5 * i + k] * w[7 * k + j]))
        products.append(total)
check("matmul_bf16", "BF16", [([3, 5], a), ([5, 7], w)], [3, 7], products)
# An ulp of bf16, where exp's last bit decides a tie.
larger = [max(bf16(math.exp(x)), y) for x, y in zip(a, b)]
check("max_exp_bf16", "BF16", [([3, 5], a), ([3, 5], b)], [3, 5], larger, tolerance=2**-7)
