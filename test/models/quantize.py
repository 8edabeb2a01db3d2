#!/usr/bin/env python3
"""hadal-compile --quantize=fp8 --emit=checkpoint: codes, scales, names, files, and what it refuses.

    quantize.py BIN MODELS [FOLDER ...]
        MODELS: the folder of small checkpoints beside this file
        FOLDER: holds ckpt, and ckpt-fp8 as it has to become

Python's own library only. Exit status 1 when a claim fails.
"""

import fcntl, json, math, os, random, resource, shutil, struct, subprocess, sys, tempfile
from pathlib import Path

from frame import Frame
from tensors import load_raw, save_raw

bin, models, folders = Path(sys.argv[1]), Path(sys.argv[2]), map(Path, sys.argv[3:])
frame = Frame(bin, "quantize")
claim, run = frame.claim, frame.run
LEAVES = "q_proj q_a_proj q_b_proj kv_a_proj_with_mqa kv_b_proj o_proj gate_proj up_proj down_proj"


def is_projection(name):
    return name.endswith(".weight") and name.split(".")[-2] in LEAVES.split()


def f32(x):
    return struct.unpack("<f", struct.pack("<f", x))[0]


def values(dtype, data):
    if dtype == "BF16":
        data = b"".join(b"\0\0" + data[i : i + 2] for i in range(0, len(data), 2))
    code = "e" if dtype == "F16" else "f"
    return struct.unpack(f"<{len(data) // struct.calcsize(code)}{code}", data)


def encode(x):
    """The nearest E4M3 code, ties to even."""
    size = abs(x)
    exponent = max(math.frexp(size)[1] - 1, -6) if size else -6
    n = round(math.ldexp(size, 3 - exponent))
    return (n + (exponent + 6) * 8 if n >= 8 else n) | (0x80 if math.copysign(1, x) < 0 else 0)


def quantized(tensor):
    """Codes and scales, one number after the other."""
    dtype, (rows, columns), data = tensor
    x, codes, scales = values(dtype, data), bytearray(rows * columns), []
    for r in range(0, rows, 128):
        for c in range(0, columns, 128):
            places = [
                i * columns + j
                for i in range(r, min(r + 128, rows))
                for j in range(c, min(c + 128, columns))
            ]
            largest = max(abs(x[p]) for p in places)
            scale = max(f32(largest / 448), 2.0**-126) if largest else 1.0
            scales.append(scale)
            for p in places:
                codes[p] = encode(f32(x[p] / scale))
    blocks = [-(-rows // 128), -(-columns // 128)]
    return (
        ("F8_E4M3", [rows, columns], bytes(codes)),
        ("F32", blocks, struct.pack(f"<{len(scales)}f", *scales)),
    )


def load_dir(folder):
    tensors = {}
    for file in sorted(Path(folder).glob("*.safetensors")):
        tensors.update(load_raw(file))
    return tensors


def quantize(folder, to):
    run("hadal-compile", folder, "--quantize=fp8", "--emit=checkpoint", "-o", to)


def meets_reference(what, source, got):
    want = {}
    for name, tensor in source.items():
        want[name] = tensor
        if is_projection(name):
            want[name], want[name + "_scale_inv"] = quantized(tensor)
    claim(f"{what}: the same names", set(got) == set(want), sorted(set(got) ^ set(want))[:4])
    for name in set(got) & set(want):
        claim(f"{what}: {name}", tuple(got[name]) == tuple(want[name]))


def refused(what, pattern, *words, limit=None):
    """One line that holds `pattern`, and nothing new in the folder."""
    before = sorted(t.iterdir())
    done = subprocess.run(
        [bin / "hadal-compile", "--quantize=fp8", "--emit=checkpoint", *map(str, words)],
        capture_output=True,
        text=True,
        timeout=300,
        preexec_fn=limit,
    )
    said = done.stderr.strip()
    claim(f"{what} is refused", done.returncode == 1, f"exit {done.returncode}")
    claim(f"{what} is one line", pattern in said and "\n" not in said, said)
    claim(f"{what} leaves nothing", sorted(t.iterdir()) == before, sorted(t.iterdir()))


with tempfile.TemporaryDirectory() as t:
    t = Path(t)
    # One file, with what lies beside it. MTP layers are quantized, too.
    plain = t / "plain"
    shutil.copytree(models / "mtp", plain)
    (plain / "training.safetensors").unlink()
    (plain / "notes.txt").write_text("kept")
    (plain / "old.bin").write_text("weights of another format")
    quantize(plain, t / "q")
    source = load_dir(plain)
    claim("there are MTP projections", any("eh_proj" in n for n in source))
    meets_reference("mtp", source, load_dir(t / "q"))
    config = json.loads((t / "q" / "config.json").read_text())
    wanted = json.loads((plain / "config.json").read_text())
    wanted["quantization_config"] = {
        "activation_scheme": "dynamic",
        "fmt": "e4m3",
        "quant_method": "fp8",
        "weight_block_size": [128, 128],
    }
    claim("config.json has quantization_config and what it had", config == wanted)
    claim("other files are copied", (t / "q" / "notes.txt").read_text() == "kept")
    claim("other weights are not", not (t / "q" / "old.bin").exists())
    claim("nothing else is left", sorted(p.name for p in t.iterdir()) == ["plain", "q"])

    # transformers finds a single file of another name by an index alone.
    part = "model-00001-of-00001.safetensors"
    (plain / "model.safetensors").rename(plain / part)
    quantize(plain, t / "one")
    index = json.loads((t / "one" / "model.safetensors.index.json").read_text())
    claim(
        "an index names a single file",
        index["weight_map"] == {name: part for name in load_dir(t / "q")},
    )
    claim("of the same bytes", load_dir(t / "one") == load_dir(t / "q"))

    # Several files of several types: the same files, and an index. Every tensor is aligned.
    parts = t / "parts"
    parts.mkdir()
    config = json.loads((models / "small" / "config.json").read_text())
    wide, hidden = 300, config["hidden_size"]
    (parts / "config.json").write_text(json.dumps({**config, "intermediate_size": wide}))
    tensors = load_raw(models / "small" / "model.safetensors")
    random.seed(7)
    odd = "model.layers.0.mlp.up_proj.weight"
    for leaf, dtype, shape in (
        ("gate", "F32", [wide, hidden]),
        ("up", "F16", [wide, hidden]),
        ("down", "BF16", [hidden, wide]),
    ):
        x = [random.gauss(0, 1) * 2.0 ** random.randint(-9, 3) for _ in range(wide * hidden)]
        data = struct.pack(f"<{len(x)}{'e' if dtype == 'F16' else 'f'}", *x)
        if dtype == "BF16":
            data = b"".join(data[i + 2 : i + 4] for i in range(0, len(data), 4))
        tensors[f"model.layers.0.mlp.{leaf}_proj.weight"] = (dtype, shape, data)
    names = sorted(tensors)
    for i in range(2):
        save_raw(
            parts / f"model-0000{i + 1}-of-00002.safetensors", {n: tensors[n] for n in names[i::2]}
        )
    places = {n: f"model-0000{i + 1}-of-00002.safetensors" for i in range(2) for n in names[i::2]}
    (parts / "model.safetensors.index.json").write_text(json.dumps({"weight_map": places}))
    quantize(str(parts) + "/", str(t / "q2") + "/")
    got = load_dir(t / "q2")
    meets_reference("two files", tensors, got)
    index = json.loads((t / "q2" / "model.safetensors.index.json").read_text())
    claim("the index names all tensors", set(index["weight_map"]) == set(got))
    claim(
        "and their bytes",
        index["metadata"]["total_size"] == sum(len(d) for _, _, d in got.values()),
    )
    for file in sorted((t / "q2").glob("*.safetensors")):
        blob = file.read_bytes()
        length = struct.unpack("<Q", blob[:8])[0]
        for name, entry in json.loads(blob[8 : 8 + length]).items():
            claim(
                f"the index has the place of {name}",
                name == "__metadata__" or index["weight_map"][name] == file.name,
            )
            if name != "__metadata__":
                size = {"F32": 4, "BF16": 2, "F16": 2, "F8_E4M3": 1}[entry["dtype"]]
                claim(f"{name} is aligned", (8 + length + entry["data_offsets"][0]) % size == 0)
    run("hadal-compile", t / "q2", "--emit=graph", "-o", t / "graph.mlir")

    # What cannot be.
    refused("an output that is there", f"{t / 'q'}: is there already", plain, "-o", t / "q")
    refused(
        "an FP8 folder",
        "is FP8 already (quantization_config in config.json)",
        t / "q",
        "-o",
        t / "never",
    )
    refused(
        "a folder without weights",
        "wants model.safetensors",
        models / "../frontend/models/tiny",
        "-o",
        t / "never",
    )
    refused("no folder to write in", "there is no folder", plain, "-o", t / "no" / "where")
    part = t / ".never.part"
    part.mkdir()
    held = os.open(part, os.O_RDONLY)
    fcntl.flock(held, fcntl.LOCK_EX)
    refused("a second run", "another run is writing there", plain, "-o", t / "never")
    os.close(held)
    (part / "left").write_text("by a run that was killed")
    quantize(plain, t / "never")
    names = sorted(p.name for p in (t / "never").iterdir())
    claim("what a killed run left is gone", names == sorted(p.name for p in (t / "one").iterdir()))
    shutil.rmtree(t / "never")
    refused(
        "another mode",
        "--mode: means nothing to --emit=checkpoint",
        plain,
        "--mode=generate",
        "-o",
        t / "never",
    )
    small = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
    refused("a full disk", "File too large", plain, "-o", t / "never", limit=small)
    missing = t / "missing"
    missing.mkdir()
    shutil.copy(parts / "config.json", missing)
    save_raw(missing / "model.safetensors", {n: v for n, v in tensors.items() if n != odd})
    refused("a missing tensor", f"{odd} wants shape", missing, "-o", t / "never")
    dtype, shape, data = tensors[odd]
    data = data[:-2] + struct.pack("<H", 0x7E00)
    save_raw(missing / "model.safetensors", {**tensors, odd: (dtype, shape, data)})
    refused("NaN", f"{odd} holds NaN or an infinite value", missing, "-o", t / "never")
    for words, line in (
        (["--emit=checkpoint"], "--emit=checkpoint wants --quantize=fp8"),
        (["--quantize=fp8"], "--quantize: is for --emit=checkpoint"),
    ):
        done = subprocess.run(
            [bin / "hadal-compile", plain, *words, "-o", t / "never"],
            capture_output=True,
            text=True,
        )
        claim(line, done.returncode == 1 and line in done.stderr, done.stderr)

    for folder in folders:
        quantize(folder / "ckpt", t / folder.name)
        got, want = load_dir(t / folder.name), load_dir(folder / "ckpt-fp8")
        claim(f"{folder.name}: the golden's names", set(got) == set(want))
        for name in set(got) & set(want):
            claim(f"{folder.name}: {name} is the golden's", tuple(got[name]) == tuple(want[name]))
frame.end()
