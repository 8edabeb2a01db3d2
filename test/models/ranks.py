#!/usr/bin/env python3
"""Experts on ranks, in inference: every file and every line is that of one rank, bit for bit.

    ranks.py BIN MPIRUN LAYOUTS FOLDER [OPTION ...]
        LAYOUTS: EP or EPxNODES, with commas; FOLDER holds a checkpoint, itself or in FOLDER/ckpt;
        OPTION: of hadal-compile

Logits with all that --dump gives, forced routes, tokens of greedy and drawn generation, and where the folder has a tokenizer and val.txt the score.
Python's own library only. Exit status 1 when a claim fails.
"""

import json, subprocess, sys, tempfile
from pathlib import Path

from frame import Frame
from tensors import load, save_ids

bin, mpirun, layouts, folder = (
    Path(sys.argv[1]),
    sys.argv[2],
    sys.argv[3].split(","),
    Path(sys.argv[4]),
)
options = sys.argv[5:]
checkpoint = folder / "ckpt" if (folder / "ckpt").exists() else folder
config = json.loads((checkpoint / "config.json").read_text())
frame = Frame(bin, folder.name)
claim = frame.claim


def run(ranks, tool, *words, status=0):
    prefix = (
        [mpirun, "--allow-run-as-root", "--oversubscribe", "--bind-to", "none", "-n", str(ranks)]
        if ranks > 1
        else []
    )
    p = subprocess.run(
        [*prefix, bin / tool, *map(str, words)], capture_output=True, text=True, timeout=120
    )
    if bool(p.returncode) != bool(status):
        sys.exit(
            f"FAIL {folder.name}: {ranks} x {tool} {' '.join(map(str, words))}: exit {p.returncode}: {p.stderr.strip()}"
        )
    return (
        p.stdout
        if not status
        else [line for line in p.stderr.splitlines() if line.startswith(tool + ": ")]
    )


def same(ranks, one, command, *words):
    """Two micro-batches end as one did."""
    two = one.parent / "two"
    run(ranks, "hadal-run", command, *words, "--micro-batches", 2, "-o", two)
    claim(f"{command}: two micro-batches have the same bits", two.read_bytes() == one.read_bytes())
    two.unlink()


def work(ranks, module, t, out):
    """All that a module is asked for; gives the lines that it prints, and what it counts."""
    common, said, counts = (module, "--weights", checkpoint, "--threads", 1), [], []
    # Five rows: ranks have different numbers of them. One row: most have none.
    for rows in ("five", "one"):
        run(
            ranks,
            "hadal-run",
            "logits",
            *common,
            "--input",
            t / rows,
            "--dump",
            "-o",
            out / f"{rows}.logits",
        )
        same(ranks, out / f"{rows}.logits", "logits", *common, "--input", t / rows, "--dump")
        for name, drawn in (
            ("greedy", []),
            ("drawn", ["--temperature", 0.9, "--top-p", 0.9, "--seed", 3]),
        ):
            words = (*common, "--input", t / rows, "--max-new-tokens", 8, *drawn)
            run(
                ranks,
                "hadal-run",
                "generate",
                *words,
                "--stats",
                out / "stats",
                "-o",
                out / f"{rows}.{name}",
            )
            stats = json.loads((out / "stats").read_text())
            if ranks > 1 and drawn:
                same(ranks, out / f"{rows}.{name}", "generate", *words)
            counts.append([stats[key] for key in ("sequences", "prefill_tokens", "decode_tokens")])
            if rows == "five" and drawn:
                said.append(run(ranks, "hadal-run", "generate", *words))
    (out / "stats").unlink()
    if load(out / "five.logits").keys() >= {f"router.{config['first_k_dense_replace']}.topk_ids"}:
        routed = (*common, "--input", t / "five", "--routes", out / "five.logits")
        run(ranks, "hadal-run", "logits", *routed, "-o", out / "five.routed")
        same(ranks, out / "five.routed", "logits", *routed)
    if (folder / "val.txt").exists():
        (t / "text").write_text((folder / "val.txt").read_text()[:6000])
        said.append(run(ranks, "hadal-run", "score", *common, "--text", t / "text"))
        claim(
            "two micro-batches have the same score",
            run(ranks, "hadal-run", "score", *common, "--text", t / "text", "--micro-batches", 2)
            == said[-1],
        )
        said.append(
            run(
                ranks,
                "hadal-run",
                "generate",
                *common,
                "--prompt",
                "In the beginning",
                "--max-new-tokens",
                12,
            )
        )
    return said, counts


with tempfile.TemporaryDirectory() as t:
    t = Path(t)
    seed, rows = 1, []
    for _ in range(5):
        rows.append([])
        for _ in range(11):
            seed = seed * 6364136223846793005 + 1442695040888963407 & (1 << 64) - 1
            rows[-1].append((seed >> 33) % config["vocab_size"])
    save_ids(t / "five", rows)
    save_ids(t / "one", rows[2:3])
    modules = {}
    for layout in ["1", *layouts]:
        ranks, _, nodes = layout.partition("x")
        modules[layout] = t / f"m{layout}.hadal"
        run(
            1,
            "hadal-compile",
            checkpoint,
            "--mode=generate",
            f"--ep={ranks}",
            f"--nodes={nodes or 1}",
            *options,
            "-o",
            modules[layout],
        )
    (t / "1").mkdir()
    want = work(1, modules["1"], t, t / "1")
    for layout in layouts:
        ranks = int(layout.partition("x")[0])
        (t / layout).mkdir()
        got = work(ranks, modules[layout], t, t / layout)
        claim(f"{layout}: the same lines and counts", got == want, f"{got} {want}")
        for file in sorted((t / "1").iterdir()):
            claim(
                f"{layout}: {file.name} has the same bits",
                file.read_bytes() == (t / layout / file.name).read_bytes(),
            )

    if options:
        frame.end()

    # Rows that travel in fewer bits end close: bf16 has 8 of each number, and no choice of experts may change with them.
    run(
        1,
        "hadal-compile",
        checkpoint,
        "--mode=generate",
        "--ep=2",
        "--dispatch=bf16",
        "--combine=bf16",
        "-o",
        t / "bf16",
    )
    run(
        2,
        "hadal-run",
        "logits",
        t / "bf16",
        "--weights",
        checkpoint,
        "--input",
        t / "five",
        "--routes",
        t / "1/five.logits",
        "-o",
        t / "short",
    )
    exact, short = load(t / "1/five.logits")["logits"][1], load(t / "short")["logits"][1]
    error = max(abs(a - b) for a, b in zip(exact, short)) / max(map(abs, exact))
    claim("bf16 rows end close, and are short", 0 < error < 2e-2, f"error {error}")

    # Wrong use: a line, from one rank, and no output.
    first, never = layouts[0], t / "never"
    ranks = int(first.partition("x")[0])
    words = ("--weights", checkpoint, "--input", t / "five", "-o", never)
    for wants, ranks_started, module, more in (
        (f"wants {ranks} ranks: mpirun -n {ranks} hadal-run", 1, modules[first], words),
        (f"is for {ranks} ranks, mpirun started {ranks + 1}", ranks + 1, modules[first], words),
        ("is for 1 rank, mpirun started 2", 2, modules["1"], words),
        ("nowhere", ranks, modules[first], ("--weights", "nowhere", *words[2:])),
    ):
        said = run(ranks_started, "hadal-run", "logits", module, *more, status=1)
        claim(f"says '{wants}' once", len(said) == 1 and wants in said[0], str(said))
        claim("leaves no output", not never.exists())

frame.end()
