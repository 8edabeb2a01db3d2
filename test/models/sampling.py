#!/usr/bin/env python3
"""--top-k, --top-p, --min-p, --repetition-penalty and --logprobs against plain loops, over the logits that generate writes.

sampling.py BIN MODEL
"""

import itertools, json, math, subprocess, sys, tempfile
from pathlib import Path

from tensors import load

bin_, model = (Path(p).resolve() for p in sys.argv[1:3])
work = Path(tempfile.mkdtemp())
failures = 0


def claim(what, holds, detail=""):
    global failures
    if not holds:
        failures += 1
        print(f"FAIL {what}: {detail}")


def run(*words):
    done = subprocess.run(
        [str(bin_ / words[0]), *map(str, words[1:])], capture_output=True, text=True, timeout=120
    )
    if done.returncode:
        sys.exit(f"{' '.join(map(str, words))}: {done.stderr}")
    return done.stdout


def uniform(seed, step):
    """The number that row and place draw: SplitMix64 twice (runtime/inference/TokenChooser.h)."""
    mask = (1 << 64) - 1

    def mix(x):
        x = (x + 0x9E3779B97F4A7C15) & mask
        x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & mask
        x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & mask
        return x ^ (x >> 31)

    return (mix(mix(seed) ^ step) >> 40) * 2.0**-24


def penalized(logits, seen, penalty):
    return [
        (x * penalty if x < 0 else x / penalty) if i in seen else x for i, x in enumerate(logits)
    ]


def ranked(values):
    """Places of the values, largest first, lower places first among equals."""
    return sorted(range(len(values)), key=lambda i: (-values[i], i))


def chosen(logits, draw, temperature, k, p, least):
    """(token, how near the draw is to the border between two tokens)."""
    most = max(logits)
    weights = [math.exp((x - most) / temperature) for x in logits]
    order = ranked(weights)[: k or None]
    total, inside, mass = sum(weights[i] for i in order), set(), 0.0
    for i in order:
        if mass < p * total * (1 - 1e-12):
            inside.add(i)
        mass += weights[i]
    sums = list(
        itertools.accumulate(
            w if i in inside and w >= least else 0.0 for i, w in enumerate(weights)
        )
    )
    place = draw * sums[-1]
    return (
        next(i for i, s in enumerate(sums) if s > place),
        min(abs(s - place) for s in sums) / sums[-1],
    )


module, rows = work / "m.hadal", [[1, 2, 3], [9, 8, 7, 6, 5]]
run("hadal-compile", model, "-o", module)
(work / "rows.json").write_text(json.dumps(rows))
(work / "rows.txt").write_text("\n".join(" ".join(map(str, r)) for r in rows) + "\n")
base = [
    "hadal-run",
    "generate",
    module,
    "--weights",
    model,
    "--input",
    work / "rows.json",
    "--ignore-eos",
    "--max-new-tokens",
    24,
]


def generate(*flags):
    """Tensors as lists of lists, by name."""
    run(*base, "-o", work / "out.safetensors", *flags)

    def nested(shape, data):
        if len(shape) == 1:
            return list(data)
        step = len(data) // shape[0]
        return [nested(shape[1:], data[i * step : (i + 1) * step]) for i in range(shape[0])]

    return {
        name: nested(shape, data) for name, (shape, data) in load(work / "out.safetensors").items()
    }


greedy = generate("--logprobs", 5)
claim(
    "rows as text are those of JSON",
    run(*[work / "rows.txt" if w == work / "rows.json" else w for w in base]) == run(*base),
)
for name in ("rows.txt", "rows.json"):  # as some editors write them
    marked = work / f"marked-{name}"
    marked.write_bytes(b"\xef\xbb\xbf" + (work / name).read_bytes() + b"\n\n")
    claim(
        f"a byte order mark before {name}",
        run(*[marked if w == work / "rows.json" else w for w in base]) == run(*base),
    )
for text, said in (
    ("1 2\n\n3\n", "row 1: has no tokens"),
    ("1 -2\n", "row 0: wants token ids from 0 to "),
    ("1 2.5\n", ", got 2.5"),
):
    (work / "bad.txt").write_text(text)
    done = subprocess.run(
        [
            str(bin_ / base[0]),
            *[str(work / "bad.txt" if "rows" in str(w) else w) for w in base[1:]],
        ],
        capture_output=True,
        text=True,
    )
    claim(f"{text!r} is refused", done.returncode == 1 and said in done.stderr, done.stderr)
for row in range(len(rows)):
    for place, logits in enumerate(greedy["logits"][row]):
        where, token = f"row {row}, token {place}", greedy["tokens"][row][place]
        most = max(logits)
        rest = most + math.log(sum(math.exp(x - most) for x in logits))
        claim(f"{where}: greedy takes the likeliest", token == ranked(logits)[0], token)
        claim(
            f"{where}: --logprobs, ids",
            greedy["top_ids"][row][place] == ranked(logits)[:5],
            greedy["top_ids"][row][place],
        )
        claim(
            f"{where}: --logprobs, of the likeliest",
            all(
                abs(got - (logits[i] - rest)) < 2e-5
                for got, i in zip(greedy["top_logprobs"][row][place], ranked(logits))
            ),
        )
        claim(
            f"{where}: --logprobs, of the chosen",
            abs(greedy["logprobs"][row][place] - (logits[token] - rest)) < 2e-5,
        )

for temperature, k, p, least, penalty in (
    (1, 0, 1, 0, 1),
    (1.5, 3, 1, 0, 1),
    (1.5, 1, 1, 0, 1),
    (2, 20, 0.7, 0, 1),
    (2, 0, 1, 0.3, 1),
    (1, 0, 0.9, 0.05, 1),
    (1.3, 10, 0.9, 0.2, 1.5),
    (0.9, 0, 1, 0, 0.7),
    (0, 0, 1, 0, 2),
):
    flags = [
        "--temperature",
        temperature,
        "--top-k",
        k,
        "--top-p",
        p,
        "--min-p",
        least,
        "--repetition-penalty",
        penalty,
    ]
    out = generate(*flags, "--seed", 7)
    for row, prompt in enumerate(rows):
        seen = set(prompt)
        for place, token in enumerate(out["tokens"][row]):
            scores = penalized(out["logits"][row][place], seen, penalty)
            want, margin = (
                (ranked(scores)[0], 1)
                if temperature == 0
                else chosen(scores, uniform(7 + row, place), temperature, k, p, least)
            )
            # At a border between two tokens f32 and f64 may differ.
            claim(
                " ".join(map(str, flags)),
                token == want or margin < 1e-5,
                f"row {row}, token {place}: {token}, wanted {want}",
            )
            seen.add(token)


def refuses(what, word, *words):
    done = subprocess.run(
        [str(bin_ / words[0]), *map(str, words[1:])], capture_output=True, text=True, timeout=60
    )
    claim(
        f"{what} refused",
        done.returncode == 1 and word in done.stderr and done.stderr.count("\n") == 1,
        done.stderr,
    )


for flags, word in (
    (["--top-k", "-1"], "top-k"),
    (["--min-p", "1.5"], "min-p"),
    (["--repetition-penalty", "0"], "repetition-penalty"),
    (["--logprobs", "100000"], "logprobs"),
    (["--logprobs", "0"], "logprobs"),
):
    refuses(f"{' '.join(flags)} is", word, *base, "-o", work / "never", *flags)
for name, text, word in (
    ("a", "[[1, 2], [3, 1000000]]", "row 1"),
    ("b", "1 2\n3 x\n", "row 1: wants token ids"),
    ("c", "[]", "rows of token ids"),
    ("d", "{\"x\": 1}", "'x'"),
    ("e", "[[1.5]]", "1.5"),
):
    (work / name).write_text(text)
    started = ("hadal-run", "generate", module, "--weights", model, "--input", work / name)
    refuses(f"rows {text!r} are", word, *started)
print("all passed" if not failures else f"{failures} failed")
sys.exit(bool(failures))
