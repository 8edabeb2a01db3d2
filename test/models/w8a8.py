#!/usr/bin/env python3
"""W8A8 generation: a BF16 folder has the bits of the FP8 folder that is made of it, and rows those
of themselves alone; scales of other types, blocks of other sizes, the latent cache in codes.

    w8a8.py BIN MODELS rows|scales|blocks
    w8a8.py BIN MODELS goldens FOLDER ...

MODELS: the folder of small checkpoints beside this file. FOLDER: holds ckpt-fp8 and
golden_fp8.safetensors.

Python's own library only. Exit status 1 when a claim fails.
"""

import json, math, random, struct, subprocess, sys, tempfile
from pathlib import Path

from frame import Frame
from tensors import load, load_raw, save_ids, save_raw

bin, models, part, folders = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], sys.argv[4:]
frame = Frame(bin, f"w8a8 {part}")
claim, run = frame.claim, frame.run
ROWS = [[5, 9, 33, 2, 60, 7, 7, 12], [1, 40, 3, 18, 22, 50, 31, 8]]
SCALE = "_scale_inv"


def decode(code):
    """The number of an E4M3 code."""
    exponent, fraction = code >> 3 & 15, code & 7
    size = math.ldexp(8 + fraction, exponent - 10) if exponent else math.ldexp(fraction, -9)
    return -size if code & 0x80 else size


def bf16(x):
    """The upper half of an f32 that has no more bits."""
    return struct.pack("<f", x)[2:]


def write(name, tensors, config):
    folder = t / name
    folder.mkdir()
    save_raw(folder / "model.safetensors", tensors)
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def logits(module, weights, rows, *words):
    save_ids(t / "rows", rows)
    out = t / "out"
    words = [*words, "--weights", weights, "--input", t / "rows", "-o", out]
    run("hadal-run", "logits", module, *words)
    return load(out)["logits"][1].tobytes()


def generated(module, weights):
    """Greedy tokens and what they were chosen by."""
    save_ids(t / "rows", ROWS)
    words = ["--weights", weights, "--input", t / "rows", "--max-new-tokens", 12, "--ignore-eos"]
    run("hadal-run", "generate", module, *words, "--logprobs", 4, "-o", t / "out")
    return (t / "out").read_bytes()


def compiled(name, folder, *words):
    run("hadal-compile", folder, *words, "-o", t / name)
    return t / name


def distance(a, b):
    """Of logits, as a share of the largest."""
    a, b = (struct.unpack(f"<{len(x) // 4}f", x) for x in (a, b))
    return max(abs(x - y) for x, y in zip(a, b)) / max(map(abs, a))


ATTENTION = """
func.func @f(%ql: tensor<?x3x200xf32>, %qr: tensor<?x3x6xf32>, %cache: tensor<?x206xf32>,
             %rest: tensor<?x8xf32>, %codes: tensor<?x200xf8E4M3FN>, %table: tensor<?x?xi32>,
             %positions: tensor<?xi32>) -> (tensor<?x3x200xf32>, tensor<?x3x200xf32>) {
  %a = mla.latent_attention %ql, %qr, %cache, %table, %positions
      {scale = 0.3 : f32, page_tokens = 4 : i64}
      : tensor<?x3x200xf32>, tensor<?x3x6xf32>, tensor<?x206xf32>, tensor<?x?xi32>, tensor<?xi32>
      -> tensor<?x3x200xf32>
  %b = mla.latent_attention %ql, %qr, %rest, %table, %positions
      codes(%codes : tensor<?x200xf8E4M3FN>)
      {scale = 0.3 : f32, page_tokens = 4 : i64, tile = 128 : i64}
      : tensor<?x3x200xf32>, tensor<?x3x6xf32>, tensor<?x8xf32>, tensor<?x?xi32>, tensor<?xi32>
      -> tensor<?x3x200xf32>
  return %a, %b : tensor<?x3x200xf32>, tensor<?x3x200xf32>
}
"""


def attention_over_codes():
    random.seed(3)
    lengths, page, slots = [5, 70, 1], 4, 96
    pages, table, width = random.sample(range(slots // page), slots // page), [], 19
    for length in lengths:
        used = [pages.pop() for _ in range(-(-length // page))]
        table += used + [0] * (width - len(used))
    floats = lambda x: struct.pack(f"<{len(x)}f", *x)
    normal = lambda count: floats([random.gauss(0, 1) for _ in range(count)])
    ints = lambda x: struct.pack(f"<{len(x)}i", *x)
    codes = bytes(random.randrange(127) + random.choice((0, 128)) for _ in range(slots * 200))
    scales = struct.unpack(
        f"<{2 * slots}f", floats([random.uniform(1e-3, 2e-3) for _ in range(2 * slots)])
    )
    cache, rest = b"", b""
    for s in range(slots):
        key = normal(6)
        numbers = [decode(codes[s * 200 + k]) * scales[2 * s + k // 128] for k in range(200)]
        cache += floats(numbers) + key
        rest += floats(scales[2 * s : 2 * s + 2]) + key
    rows = len(lengths)
    inputs = {
        "arg0": ("F32", [rows, 3, 200], normal(rows * 600)),
        "arg1": ("F32", [rows, 3, 6], normal(rows * 18)),
        "arg2": ("F32", [slots, 206], cache),
        "arg3": ("F32", [slots, 8], rest),
        "arg4": ("F8_E4M3", [slots, 200], codes),
        "arg5": ("I32", [rows, width], ints(table)),
        "arg6": ("I32", [rows], ints([length - 1 for length in lengths])),
    }
    save_raw(t / "in", inputs)
    (t / "f.mlir").write_text(ATTENTION)
    module = compiled("f.hadal", t / "f.mlir")
    run("hadal-run", "call", module, "@f", "--input", t / "in", "-o", t / "out")
    out = load(t / "out")
    claim("attention over codes has the bits of their numbers", out["result0"] == out["result1"])
    claim("and is not zero", any(out["result0"][1]))


def rows():
    """Rows in codes: the same bits whatever weights were packed from, and beside any other rows."""
    # A BF16 folder of the codes' numbers, smaller, and the FP8 folder that is made of it.
    numbers = [bf16(decode(code) / 1024) if code & 0x7F != 0x7F else b"" for code in range(256)]
    wide = {
        n: (
            ("BF16", shape, b"".join(numbers[c] for c in data))
            if dtype == "F8_E4M3"
            else (dtype, shape, data)
        )
        for n, (dtype, shape, data) in stored.items()
        if n not in scales
    }
    plain = {k: v for k, v in config.items() if k != "quantization_config"}
    wide = write("wide", wide, plain)
    run("hadal-compile", wide, "--quantize=fp8", "--emit=checkpoint", "-o", t / "fp8")
    of_wide = compiled("wide.hadal", wide, "--precision=fp8")
    of_fp8 = compiled("fp8.hadal", t / "fp8", "--precision=fp8")
    rows_as_they_are = compiled("w8a16.hadal", t / "fp8")
    both = logits(of_fp8, t / "fp8", ROWS)
    claim("weights that are packed are those that are written", logits(of_wide, wide, ROWS) == both)
    off = distance(logits(rows_as_they_are, t / "fp8", ROWS), both)
    claim("rows are rounded, and not to anything else", 1e-4 < off < 0.2, off)
    claim("one thread has the same bits", logits(of_wide, wide, ROWS, "--threads", 1) == both)
    for i, row in enumerate(ROWS):
        alone = logits(of_fp8, t / "fp8", [row])
        claim(
            f"row {i} alone has the same bits", alone == both[i * len(alone) : (i + 1) * len(alone)]
        )
    verified = run("hadal-inspect", of_wide, "--verify")
    claim("the module computes what was meant", "verified" in verified, verified)

    # The latent is rounded before the cache, where codes lose nothing. Other rows lose.
    kept = compiled("kept.hadal", t / "fp8", "--precision=fp8", "--cache=fp8")
    claim(
        "codes in the cache have the bits of numbers",
        generated(kept, t / "fp8") == generated(of_fp8, t / "fp8"),
    )
    described = run("hadal-inspect", kept)
    claim("the cache is in codes", "cache.1.codes" in described, described[:400])
    rounded = compiled("rounded.hadal", t / "fp8", "--cache=fp8")
    claim(
        "a cache in codes rounds other latents",
        generated(rounded, t / "fp8") != generated(rows_as_they_are, t / "fp8"),
    )

    # Latents of several tiles, the last of them short: the bits of a cache of their numbers.
    attention_over_codes()


def scales_of_other_types():
    # Scales of other types mean the same numbers.
    for dtype in ("BF16", "F8_E8M0"):
        less, same = {}, {}
        for n, (_, shape, data) in scales.items():
            bits = struct.unpack(f"<{len(data) // 4}I", data)
            keep = 0xFFFF0000 if dtype == "BF16" else 0x7F800000
            same[n] = ("F32", shape, struct.pack(f"<{len(bits)}I", *(b & keep for b in bits)))
            shift, letter = (16, "H") if dtype == "BF16" else (23, "B")
            less[n] = (
                dtype,
                shape,
                struct.pack(f"<{len(bits)}{letter}", *(b >> shift for b in bits)),
            )
        less = write(dtype, {**stored, **less}, config)
        same = write(dtype + ".f32", {**stored, **same}, config)
        for words in ((), ("--precision=fp8",)):
            got = logits(compiled("s.hadal", less, *words), less, ROWS)
            want = logits(compiled("f.hadal", same, *words), same, ROWS)
            claim(f"scales in {dtype} have the bits of f32 {words}", got == want)
    # Training begins with them, too.
    gradients = []
    for folder in (less, same):
        module = compiled("t.hadal", folder, "--mode=train", "--seq=8", "--micro-batch=2")
        words = [module, "--weights", folder, "--input", t / "rows", "-o", t / "out"]
        run("hadal-run", "gradients", *words)
        gradients.append((t / "out").read_bytes())
    claim("training reads scales in F8_E8M0", gradients[0] == gradients[1])
    words = ["gradients", t / "t.hadal", "--weights", less, "--input", t / "rows", "-o", t / "no"]
    done = subprocess.run([bin / "hadal-run", *words], capture_output=True, text=True)
    line = "module wants F32, file has F8_E8M0; compile that folder"
    claim("and says which it reads", done.returncode == 1 and line in done.stderr, done.stderr)

    # One type for all of a folder; generation reads each as it is.
    some = next(n for n in scales if "experts" not in n)
    of_other_type = {some: load_raw(less / "model.safetensors")[some]}
    mixed = {**load_raw(same / "model.safetensors"), **of_other_type}
    mixed = write("mixed", mixed, config)
    compiled("mixed.hadal", mixed)
    words = (mixed, "--mode=train", "--seq=8", "-o", t / "no")
    done = subprocess.run([bin / "hadal-compile", *words], capture_output=True, text=True)
    line = "training wants scales of one element type, got "
    claim("mixed scales are refused", done.returncode == 1 and line in done.stderr, done.stderr)
    claim("before anything is written", not (t / "no").exists())

    name, (dtype, shape, data) = next(iter(scales.items()))
    count = shape[0] * shape[1]
    half = write("half", {**stored, name: ("F16", shape, b"\0\x3c" * count)}, config)
    for tensor, line in ((half, f"{name} wants F32, BF16 or F8_E8M0, got F16"),):
        done = subprocess.run(
            [bin / "hadal-compile", tensor, "-o", t / "no"], capture_output=True, text=True
        )
        claim(
            "scales in F16 are refused", done.returncode == 1 and line in done.stderr, done.stderr
        )
    last = data[:-4] + struct.pack("<f", math.nan)
    nan = write("nan", {**stored, name: (dtype, shape, last)}, config)
    words = ["logits", t / "f.hadal", "--weights", nan, "--input", t / "rows", "-o", t / "no"]
    done = subprocess.run([bin / "hadal-run", *words], capture_output=True, text=True)
    claim(
        "NaN scales are refused",
        done.returncode == 1 and f"{name} holds NaN" in done.stderr,
        done.stderr,
    )


def blocks():
    # Blocks of other sizes: each of 128 x 128 as four of 64 x 64 with its scale.
    fine = {}
    for n, (dtype, shape, data) in scales.items():
        rows, columns = stored[n[: -len(SCALE)]][1]
        sizes = [-(-rows // 64), -(-columns // 64)]
        at = lambda i, j: data[4 * (i // 2 * shape[1] + j // 2) :][:4]
        fine[n] = (
            dtype,
            sizes,
            b"".join(at(i, j) for i in range(sizes[0]) for j in range(sizes[1])),
        )
    blocks = {**config["quantization_config"], "weight_block_size": [64, 64]}
    fine = write("fine", {**stored, **fine}, {**config, "quantization_config": blocks})
    want = logits(compiled("c.hadal", models / "quantized"), models / "quantized", ROWS)
    off = distance(logits(compiled("fine.hadal", fine), fine, ROWS), want)
    claim("blocks of 64 x 64 mean the same numbers", off < 1e-5, off)
    off = distance(logits(compiled("fine.hadal", fine, "--precision=fp8"), fine, ROWS), want)
    claim("and take rows of codes in tiles of 64", 1e-4 < off < 0.2, off)


def goldens():
    for folder in map(Path, folders):
        golden = load(folder / "golden_fp8.safetensors")
        (count, length), ids = golden["input_ids"]
        rows = [list(ids[i * length : (i + 1) * length]) for i in range(count)]
        weights = folder / "ckpt-fp8"
        for words, key in (
            (("--precision=fp8",), "logits_w8a8_simulated"),
            ((), "logits_dequant_weights_fp32_act"),
        ):
            got = logits(compiled("g.hadal", weights, *words), weights, rows)
            shape, want = golden[key]
            got, width, errors = struct.unpack(f"<{len(got) // 4}f", got), shape[-1], []
            for i in range(0, len(want), width):
                most = max(map(abs, want[i : i + width]))
                errors.append(
                    max(abs(a - b) for a, b in zip(got[i : i + width], want[i : i + width])) / most
                )
            # A single code that falls the other way moves its row by percents.
            middle = sorted(errors)[len(errors) // 2]
            claim(f"{folder.name}: {key}", middle < 1e-3, f"median row {middle}")


with tempfile.TemporaryDirectory() as t:
    t = Path(t)
    stored = load_raw(models / "quantized" / "model.safetensors")
    config = json.loads((models / "quantized" / "config.json").read_text())
    scales = {n: v for n, v in stored.items() if n.endswith(SCALE)}
    {"rows": rows, "scales": scales_of_other_types, "blocks": blocks, "goldens": goldens}[part]()
frame.end()
