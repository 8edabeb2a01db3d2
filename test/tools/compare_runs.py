#!/usr/bin/env python3
"""hadal-compare-runs on logs that can be checked by hand, and what it refuses.

    compare_runs.py HADAL_COMPARE_RUNS
"""

import json, math, subprocess, sys, tempfile
from pathlib import Path

tool = sys.argv[1]


def run(*words):
    p = subprocess.run([tool, *map(str, words)], capture_output=True, text=True, timeout=60)
    return p.returncode, p.stdout, p.stderr


with tempfile.TemporaryDirectory() as t:
    t = Path(t)

    def log(name, losses, first=1):
        line = (
            '{{"step": {}, "loss": {}, "mtp_loss": 0, "balance_loss": 0, "grad_norm": 1,'
            ' "lr": 0.1, "tokens_per_second": 1, "tflops": 0, "memory_bytes": 1, "violation": []}}'
        )
        (t / name).write_text("".join(line.format(first + i, l) + "\n" for i, l in enumerate(losses)))
        return t / name

    # Means of the last two: 2.02 and 2, 3 and 3; +1 % and 0.
    a, b = log("a", [9, 2.03, 2.01]), log("b", [8, 2, 2])
    c, d = log("c", [9, 3, 3]), log("d", [8, 3.5, 2.5])
    status, out, err = run(
        "--of", a, c, "--with", b, d, "--names", "X&Y", "Z", "--last", 2, "--html", t / "page.html"
    )
    assert status == 0, err
    told = json.loads(out)
    close = lambda x, y: math.isclose(x, y, rel_tol=1e-6, abs_tol=1e-9)
    assert close(told["relative_difference"], 0.005) and close(told["standard_error"], 0.005), out
    assert [close(p["relative_difference"], w) for p, w in zip(told["pairs"], (0.01, 0))] == [
        True,
        True,
    ], out
    assert close(told["pairs"][1]["Z"], 3) and told["steps"] == 3 and told["last"] == 2, out
    page = (t / "page.html").read_text()
    assert page.count("<polyline") >= 3 and "+0.500 % ± 0.500 %" in page and "X&amp;Y" in page, page

    # One pair has no standard error.
    status, out, err = run("--of", a, "--with", b, "--last", 2)
    assert status == 0 and json.loads(out)["standard_error"] is None, out + err

    log("short", [1, 2])
    log("late", [1, 2, 3], first=2)
    (t / "text").write_text("hello\n")
    for wanted, words in (
        ("wants as many logs", ("--of", a, c, "--with", b, "--last", 2)),
        ("short: has 2 steps", ("--of", a, "--with", t / "short", "--last", 2)),
        ("wants at least 4 steps", ("--of", a, "--with", b, "--last", 4)),
        ("late: line 1: wants the log of step 1", ("--of", t / "late", "--with", b, "--last", 2)),
        ("text: line 1", ("--of", t / "text", "--with", b, "--last", 2)),
        ("nowhere", ("--of", t / "nowhere", "--with", b, "--last", 2)),
    ):
        status, out, err = run(*words, "--html", t / "never")
        assert status == 1 and wanted in err and not out and not (t / "never").exists(), (
            wanted,
            status,
            out,
            err,
        )
