#!/usr/bin/env python3
"""The text part of a larger model: golden.py's claims on FOLDER's model with a prefix before every name, its configuration in
text_config, and tensors of another part beside it; and a training step whose checkpoint keeps these names and tensors.

    nested.py BIN FOLDER

Python's own library only. Exit status 1 when a claim fails.
"""

import json, shutil, struct, subprocess, sys, tempfile
from pathlib import Path

from tensors import load, load_raw, save_ids, save_raw

bin, folder = Path(sys.argv[1]), Path(sys.argv[2])
config = json.loads((folder / "config.json").read_text())
text = {k: v for k, v in config.items() if k != "torch_dtype"}
whole = {
    "model_type": "kimi_k25",
    "dtype": config["torch_dtype"],
    "text_config": text,
    "vision_config": {"hidden_size": 4},
}


def run(tool, *words):
    p = subprocess.run([bin / tool, *map(str, words)], capture_output=True, text=True, timeout=300)
    if p.returncode:
        sys.exit(
            f"FAIL nested: {tool} {' '.join(map(str, words))}: exit {p.returncode}: {p.stderr.strip()}"
        )
    return p.stderr


def claim(what, holds):
    if not holds:
        sys.exit(f"FAIL nested: {what}")


with tempfile.TemporaryDirectory() as t:
    t = Path(t)
    own = load_raw(folder / "model.safetensors")
    for place, rename in {
        "published": lambda n: "language_model." + n,
        "transformers": lambda n: (
            n.replace("model.", "model.language_model.", 1) if n.startswith("model.") else n
        ),
    }.items():
        model = t / place
        model.mkdir()
        (model / "config.json").write_text(json.dumps(whole))
        vision = {
            "vision_tower.patch_embed.proj.weight": ("F32", [2, 3], struct.pack("<6f", *range(6)))
        }
        save_raw(
            model / "model.safetensors",
            {rename(name): tensor for name, tensor in own.items()} | vision,
        )
        note = run("hadal-compile", model, "--emit=graph", "-o", t / "graph.mlir")
        claim("the naming is said: " + note, rename("model.") in note and note.count("\n") == 1)
    shutil.copy(folder / "golden.safetensors", t / "published")
    # golden.py reads sizes from the configuration; they are in text_config here.
    (t / "published/ckpt").mkdir()
    for name in ("config.json", "model.safetensors"):
        shutil.move(t / "published" / name, t / "published/ckpt" / name)
    sizes = json.dumps(whole | {k: v for k, v in text.items() if k != "model_type"})
    (t / "published/ckpt/config.json").write_text(sizes)
    p = subprocess.run(
        [sys.executable, Path(__file__).parent / "golden.py", bin, t / "published"], timeout=600
    )
    claim("golden.py passes", p.returncode == 0)

    published = t / "published/ckpt"
    (published / "config.json").write_text(json.dumps(whole))
    save_ids(t / "in", [list(range(2, 10))])
    run("hadal-compile", published, "--mode=train", "--seq=8", "-o", t / "t.hadal")
    run(
        "hadal-run",
        "train",
        t / "t.hadal",
        "--weights",
        published,
        "--input",
        t / "in",
        "--steps",
        1,
        "--checkpoint-dir",
        t / "out",
    )
    after, before = load_raw(t / "out/step-00000001/model.safetensors"), load_raw(
        published / "model.safetensors"
    )
    claim("a checkpoint has the same names", set(after) == set(before))
    claim(
        "another part's tensors stay as they are",
        after["vision_tower.patch_embed.proj.weight"]
        == vision["vision_tower.patch_embed.proj.weight"],
    )
    run("hadal-compile", t / "out/step-00000001", "--emit=graph", "-o", t / "graph.mlir")
print("nested: all passed")
