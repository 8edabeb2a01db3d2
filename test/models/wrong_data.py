#!/usr/bin/env python3
"""Nothing runs on the wrong data: each input is one that looks right, and gives one line that names what differs.

    wrong_data.py BIN FOLDER configurations|tensors|files
    wrong_data.py BIN FOLDER generating-ranks|training-ranks MPIRUN
                                               ranks that were told different things

FOLDER holds a small checkpoint.

Python's own library only. Exit status 1 when a claim fails.
"""

import json, os, shutil, struct, subprocess, sys, tempfile
from pathlib import Path

from tensors import save_ids

bin, folder = Path(sys.argv[1]), Path(sys.argv[2])
part, mpirun = sys.argv[3], sys.argv[4] if len(sys.argv) > 4 else None
failures = []


def claim(what, holds, detail=""):
    if not holds:
        failures.append(what)
        print(f"FAIL {what}: {detail}")


def raw(path):
    """{name: [dtype, shape, bytes]} of a safetensors file."""
    blob = Path(path).read_bytes()
    length = struct.unpack("<Q", blob[:8])[0]
    data = blob[8 + length :]
    header = json.loads(blob[8 : 8 + length])
    return {
        n: [t["dtype"], t["shape"], data[slice(*t["data_offsets"])]]
        for n, t in header.items()
        if n != "__metadata__"
    }


def write(path, tensors):
    header, at = {}, 0
    for name, (dtype, shape, data) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [at, at + len(data)]}
        at += len(data)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    Path(path).write_bytes(
        struct.pack("<Q", len(text)) + text + b"".join(t[2] for t in tensors.values())
    )


def changed(name, config=None, tensors=None, drop=()):
    """A copy of the folder with other values of the configuration and other tensors."""
    to = t / name
    to.mkdir()
    here = {**base_config, **(config or {})}
    (to / "config.json").write_text(json.dumps({k: v for k, v in here.items() if k not in drop}))
    write(to / "model.safetensors", {**base_tensors, **(tensors or {})})
    return to


def run(*words, ranks=None):
    """Of one process; with `ranks` each rank adds its own words."""
    command = [bin / words[0], *words[1:]]
    if ranks:
        command = [mpirun, "--allow-run-as-root", "--oversubscribe", "--bind-to", "none"]
        for i, own in enumerate(ranks):
            command += ([":"] if i else []) + ["-n", "1", bin / words[0], *words[1:], *own]
    p = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=120)
    lines = [
        line
        for line in p.stderr.splitlines()
        if line.startswith(words[0] + ": ") and ": note: " not in line
    ]
    return p.returncode, lines, p.stderr


def works(what, *words, ranks=None):
    status, _, said = run(*words, ranks=ranks)
    claim(f"{what} works", status == 0, said[-300:])
    return said


def refused(what, wants, *words, ranks=None):
    never = t / "never"
    status, lines, said = (
        run(*words, "-o", never, ranks=ranks) if words[1] != "train" else run(*words, ranks=ranks)
    )
    claim(f"{what} is refused", status == 1, f"exit {status}: {said[-300:]}")
    claim(f"{what} is told by '{wants}'", len(lines) == 1 and wants in lines[0], said[-400:])
    claim(f"{what} leaves nothing", not never.exists())


def over_rows(command, weights):
    """The words of a command of the training module over the same rows."""
    return "hadal-run", command, training, "--weights", weights, "--input", train_rows


def with_value(name, bits):
    """Tensor `name` with its last element replaced."""
    dtype, shape, data = base_tensors[name]
    return {name: [dtype, shape, data[: -len(bits)] + bits]}


def same_logits():
    """What the folder itself gives."""
    if not (t / "same.out").exists():
        words = ("--weights", folder, "--input", rows, "-o", t / "same.out")
        works("the folder itself", "hadal-run", "logits", module, *words)
    return (t / "same.out").read_bytes()


def configurations():
    """A module knows the values that change numbers, in whatever words a checkpoint has them."""

    def logits(weights):
        return ("hadal-run", "logits", module, "--weights", weights, "--input", rows)

    for key, value, text in (
        ("rope_theta", 500000.0, "rope_theta is 500000, "),
        ("routed_scaling_factor", 1.0, "routed_scaling_factor is 1, "),
        ("norm_topk_prob", False, "norm_topk_prob is false, "),
        ("rms_norm_eps", 1e-5, "rms_norm_eps is 1e-05, "),
        ("rope_interleave", False, "rope_interleave is false, "),
        ("topk_group", 1, "topk_group of n_group is 1 of 4, "),
        ("rope_scaling", {"rope_type": "yarn", "factor": 4.0}, "rope_scaling is yarn, "),
    ):
        other = changed(f"other-{key}", {key: value})
        refused(
            f"another {key}", text + "module " + str(module) + " was compiled with ", *logits(other)
        )
        refused(f"another {key} in training", text, *over_rows("train", other), "--steps", 1)
        refused(f"another {key} for gradients", text, *over_rows("gradients", other))
    log = t / "log"
    said = works(
        "--allow-config-change",
        *over_rows("train", t / "other-rope_theta"),
        "--steps",
        1,
        "--allow-config-change",
        "--log",
        log,
        "--checkpoint-dir",
        t / "changed-ck",
    )
    claim(
        "--allow-config-change is noted", "note: " in said and "rope_theta is 500000" in said, said
    )
    kept = json.loads((t / "changed-ck/step-00000001/optimizer/training.json").read_text())[
        "settings"
    ]
    claim(
        "--allow-config-change stands in the settings",
        "rope_theta" in json.dumps(kept.get("config_change")),
        str(kept),
    )
    steps = [json.loads(line) for line in log.read_text().splitlines()]
    claim(
        "--allow-config-change stands in the log, at its first step",
        "rope_theta was" in steps[0].get("config_change", ""),
        str(steps),
    )
    works(
        "the checkpoint of a changed configuration goes on",
        "hadal-run",
        "train",
        training,
        "--resume",
        t / "changed-ck",
        "--input",
        train_rows,
        "--steps",
        2,
        "--checkpoint-dir",
        t / "changed-ck",
    )

    words = {
        "rope_parameters": {"rope_theta": 10000, "rope_type": "default"},
        "dtype": base_config.get("torch_dtype"),
        "max_position_embeddings": 128,
    }
    same = changed("same", words, drop=("rope_theta", "rope_scaling", "torch_dtype"))
    works("other words for the same", *logits(same), "-o", t / "words.out")
    claim("and gives the same", (t / "words.out").read_bytes() == same_logits())
    shutil.copytree(folder, t / "bare")
    (t / "bare/config.json").unlink()
    works("weights without config.json", *logits(t / "bare"), "-o", t / "bare.out")
    claim("they give the same", (t / "bare.out").read_bytes() == same_logits())


def tensors():
    """Names that the model has no place for, numbers that are none, a head beside a tied table."""
    bias = {"model.layers.0.self_attn.o_proj.bias": ["F32", [4], bytes(16)]}
    table = {"model.layers.0.self_attn.rotary_emb.inv_freq": ["F32", [4], bytes(16)]}
    both = changed("bias", tensors=bias)
    for command in (
        ("logits", module, "--input", rows),
        ("generate", module, "--input", rows),
        ("gradients", training, "--input", train_rows),
        ("train", training, "--input", train_rows, "--steps", 1),
    ):
        refused(
            f"{command[0]} with a further tensor",
            "self_attn.o_proj.bias",
            "hadal-run",
            *command,
            "--weights",
            both,
        )
    works(
        "a tensor that changes nothing",
        "hadal-run",
        "logits",
        module,
        "--weights",
        changed("table", tensors=table),
        "--input",
        rows,
        "-o",
        t / "table.out",
    )
    claim("and changes nothing", (t / "table.out").read_bytes() == same_logits())

    bits = {"F32": (b"\0\0\xc0\x7f", b"\0\0\x80\xff"), "BF16": (b"\xc0\x7f", b"\x80\xff")}
    for name in (
        "model.layers.1.mlp.experts.3.down_proj.weight",
        "model.layers.1.mlp.gate.e_score_correction_bias",
        "model.embed_tokens.weight",
        "lm_head.weight",
        "model.norm.weight",
    ):
        for bad in bits[base_tensors[name][0]]:
            other = changed(f"{bad.hex()}-{name}", tensors=with_value(name, bad))
            refused(
                f"{bad.hex()} in {name}",
                f"{name} holds NaN or an infinite value",
                "hadal-run",
                "logits",
                module,
                "--weights",
                other,
                "--input",
                rows,
            )
        refused(
            f"training on {name}", f"{name} is not finite", *over_rows("train", other), "--steps", 2
        )

    # A checkpoint whose moments are broken is not gone on from.
    works("a checkpoint", *over_rows("train", folder), "--steps", 1, "--checkpoint-dir", t / "ck")


def heads():
    """A tied model whose file has a head: an equal one changes nothing, another one is used."""
    head, table = base_tensors["lm_head.weight"], base_tensors["model.embed_tokens.weight"]
    other, same = changed("tied-other", {"tie_word_embeddings": True}), changed(
        "tied-same", {"tie_word_embeddings": True}, {"lm_head.weight": table}
    )
    none = changed("tied-none", {"tie_word_embeddings": True})
    write(
        none / "model.safetensors", {n: v for n, v in base_tensors.items() if n != "lm_head.weight"}
    )
    said = works(
        "compiling another head", "hadal-compile", other, "--mode=generate", "-o", t / "other.hadal"
    )
    claim("another head is noted", "note: " in said and "lm_head.weight" in said, said)
    claim(
        "an equal head is not",
        "note: "
        not in works(
            "compiling an equal head",
            "hadal-compile",
            same,
            "--mode=generate",
            "-o",
            t / "tied.hadal",
        ),
    )

    def logits(m, weights):
        return "hadal-run", "logits", m, "--weights", weights, "--input", rows

    works("another head", *logits(t / "other.hadal", other), "-o", t / "other.out")
    claim("another head is used", (t / "other.out").read_bytes() == same_logits())
    works("an equal head", *logits(t / "tied.hadal", same), "-o", t / "tied.out")
    works("no head", *logits(t / "tied.hadal", none), "-o", t / "none.out")
    claim(
        "an equal head is no head", (t / "tied.out").read_bytes() == (t / "none.out").read_bytes()
    )
    refused(
        "another head where the module has one matrix",
        "lm_head.weight is other than model.embed_tokens.weight",
        *logits(t / "tied.hadal", other),
    )
    (other / "config.json").unlink()
    refused(
        "also without config.json",
        "lm_head.weight is other than model.embed_tokens.weight",
        *logits(t / "tied.hadal", other),
    )
    refused(
        "no head where the module has one",
        "tie_word_embeddings is true",
        *logits(t / "other.hadal", none),
    )


def files():
    """Paths that are nothing, pipes, headers that are wrong by a byte, weights of another type, layers that are not there."""

    def logits(weights, input=rows):
        return "hadal-run", "logits", module, "--weights", weights, "--input", input

    refused(
        "a folder that is not there",
        "nowhere: no such file or folder",
        "hadal-run",
        "generate",
        module,
        "--weights",
        "nowhere",
        "--prompt",
        "x",
    )
    short = changed("short")
    blob = bytearray((short / "model.safetensors").read_bytes())
    blob[:8] = struct.pack("<Q", struct.unpack("<Q", blob[:8])[0] - 1)
    (short / "model.safetensors").write_bytes(blob)
    refused("a header that is short by one", "model.safetensors: ", *logits(short))
    os.mkfifo(t / "pipe")
    silent = "pipe: is a pipe that nothing writes to"
    refused("a pipe as input", silent, *logits(folder, t / "pipe"))
    refused("a pipe as weights", "pipe: wants a regular file", *logits(t / "pipe"))
    refused(
        "a pipe as module",
        silent,
        "hadal-run",
        "logits",
        t / "pipe",
        "--weights",
        folder,
        "--input",
        rows,
    )

    def other_type(dtype, data):
        if dtype == "F32":
            return "BF16", b"".join(data[i + 2 : i + 4] for i in range(0, len(data), 4))
        return "F32", b"".join(b"\0\0" + data[i : i + 2] for i in range(0, len(data), 2))

    wide = t / "wide"
    wide.mkdir()
    (wide / "config.json").write_text(json.dumps(base_config))
    write(
        wide / "model.safetensors",
        {
            n: [other_type(d, b)[0], s, other_type(d, b)[1]] if "correction" not in n else [d, s, b]
            for n, (d, s, b) in base_tensors.items()
        },
    )
    refused(
        "weights of another type", f"; compile {wide} for a module of these weights", *logits(wide)
    )

    announced = changed("announced", {"num_nextn_predict_layers": 1})
    only = t / "announced-config"
    only.mkdir()
    shutil.copy(announced / "config.json", only)
    works(
        "a module with MTP", "hadal-compile", only, "--mode=train", "--seq=8", "-o", t / "mtp.hadal"
    )
    refused(
        "layers of MTP that are not there",
        "--mtp-weight=0",
        "hadal-run",
        "train",
        t / "mtp.hadal",
        "--weights",
        announced,
        "--input",
        train_rows,
        "--steps",
        1,
    )


def rank_inputs(length):
    """Files of rows for two ranks, of other rows, and a folder of other weights."""
    two, other_rows = t / "two", t / "other-two"
    save_ids(two, [[*range(5, 5 + length)]] * 2)
    save_ids(other_rows, [[*range(5, 5 + length)], [*range(5, 4 + length), 11]])
    other = changed(
        "other-weights",
        tensors=with_value(
            "model.norm.weight",
            b"\x40\x40" if base_tensors["model.norm.weight"][0] == "BF16" else b"\0\0\x40\x40",
        ),
    )
    return two, other_rows, other


def generating_ranks():
    """Two ranks that were told different things, or have different things under the same name."""
    other_model = changed("other-rope_theta", {"rope_theta": 500000.0})
    for ep, name in ((folder, "ep2"), (other_model, "ep2-other")):
        works(name, "hadal-compile", ep, "--mode=generate", "--ep=2", "-o", t / f"{name}.hadal")
    two, other_rows, other = rank_inputs(3)
    generate = [
        "hadal-run",
        "generate",
        "--max-new-tokens",
        3,
        "--ignore-eos",
        "--rank-timeout",
        20,
    ]
    m, w, i = [t / "ep2.hadal"], ["--weights", folder], ["--input", two]
    for what, wants, words, own in (
        (
            "weights",
            "rank 1 has weights other than rank 0",
            generate + m + i,
            [w, ["--weights", other]],
        ),
        ("modules", "rank 1", generate + w + i, [m, [t / "ep2-other.hadal"]]),
        (
            "rows",
            "rank 1 has rows of --input other than rank 0",
            generate + m + w,
            [i, ["--input", other_rows]],
        ),
        (
            "lengths",
            "rank 1 has --seed 7, rank 0 has --seed 0",
            generate + m + w + i,
            [[], ["--seed", 7]],
        ),
        (
            "temperatures",
            "rank 1 has --temperature 0.9, rank 0 has --temperature 0",
            generate + m + w + i,
            [[], ["--temperature", 0.9]],
        ),
        (
            "outputs",
            "rank 1 has --trace given, rank 0 has no --trace",
            generate + m + w + i,
            [[], ["--trace", t / "trace"]],
        ),
        ("options that are none", "rank 1: ", generate + m + w + i, [[], ["--temperature", "hot"]]),
    ):
        status, lines, said = run(*words, ranks=own)
        claim(
            f"other {what} on rank 1",
            status == 1 and any(wants in line for line in lines),
            f"exit {status}: {said[-500:]}",
        )


def training_ranks():
    """The same in training."""
    words = ("--mode=train", "--ep=2", "--micro-batches=2", "--seq=8")
    works("train-ep2", "hadal-compile", folder, *words, "-o", t / "train-ep2.hadal")
    two, other_rows, other = rank_inputs(8)
    train = ["hadal-run", "train", t / "train-ep2.hadal", "--steps", 2, "--rank-timeout", 20]
    w, i = ["--weights", folder], ["--input", two]
    drawn = ["--init-seed", 1]
    for what, wants, words, own in (
        (
            "seeds",
            "rank 1 has --init-seed 2, rank 0 has --init-seed 1",
            train + i,
            [drawn, ["--init-seed", 2]],
        ),
        (
            "rates",
            "rank 1 has --lr 0.5, rank 0 has --lr ",
            train + i + drawn + ["--lr", "3e-4"],
            [[], []],
        ),
        (
            "rows",
            "rank 1 has rows of --input other than rank 0",
            train + drawn,
            [i, ["--input", other_rows]],
        ),
        ("weights", "rank 1 has weights other than rank 0", train + i, [w, ["--weights", other]]),
        (
            "schedules",
            "rank 1 has --lr-schedule cosine, rank 0 has --lr-schedule constant",
            train + i + drawn,
            [[], ["--schedule", "cosine"]],
        ),
    ):
        if what == "rates":
            words, own = train + i + drawn, [["--lr", "3e-4"], ["--lr", 0.5]]
        status, lines, said = run(*words, ranks=own)
        claim(
            f"other {what} on rank 1 in training",
            status == 1 and any(wants in line for line in lines),
            f"exit {status}: {said[-500:]}",
        )
    words = train + i + drawn
    works("a default that one rank spells out", *words, ranks=[[], ["--schedule", "constant"]])
    # A rank that is stopped before MPI has started ends the job, by a line of another one.
    stopped = (
        f'if [ "$OMPI_COMM_WORLD_RANK" = 1 ]; then kill -STOP $$; fi; exec {bin}/hadal-run train {t}/train-ep2.hadal --steps 1 --init-seed 1 '
        f'--input {two} --rank-timeout 3'
    )
    command = [
        mpirun,
        "--allow-run-as-root",
        "--oversubscribe",
        "--bind-to",
        "none",
        "-n",
        "2",
        "sh",
        "-c",
        stopped,
    ]
    p = subprocess.run(command, capture_output=True, text=True, timeout=60)
    claim(
        "a stopped rank ends the job",
        p.returncode == 1 and "hadal-run: rank 0: 3 s without all ranks at the start" in p.stderr,
        p.stderr[-300:],
    )
    works(
        "other words for one number",
        *train,
        *i,
        *drawn,
        ranks=[["--lr", "1e-3"], ["--lr", "0.001"]],
    )


with tempfile.TemporaryDirectory() as t:
    t = Path(t)
    base_config, base_tensors = json.loads((folder / "config.json").read_text()), raw(
        folder / "model.safetensors"
    )
    rows, train_rows, module, training = t / "rows", t / "train-rows", t / "m.hadal", t / "t.hadal"
    save_ids(rows, [[5, 6, 7, 8], [9, 10, 11, 12]])
    save_ids(train_rows, [[5, 6, 7, 8, 9, 10, 11, 12]])
    if not part.endswith("-ranks"):
        works("compiling", "hadal-compile", folder, "--mode=generate", "-o", module)
        works("compiling", "hadal-compile", folder, "--mode=train", "--seq=8", "-o", training)
    if part == "generating-ranks":
        generating_ranks()
    elif part == "training-ranks":
        training_ranks()
    elif part == "configurations":
        configurations()
    elif part == "tensors":
        tensors()
        heads()
    elif part == "files":
        files()
    else:
        sys.exit(f"no part {part}")

if failures:
    sys.exit(1)
print("all passed")
