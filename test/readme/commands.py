#!/usr/bin/env python3
"""Runs the `$` lines of every README, as a newcomer would after the quickstart, and compares what
they print.

commands.py BIN SOURCE [only|without TITLE ...]

TITLE: of sections ("Ship") whose commands alone are run, or are left out. Each README's commands
run in one bash, in order, in a folder that looks like a clone after the quickstart (which trains
for a few steps only). Indented lines below a command, up to the next one, are what it prints on
stdout or stderr: a number stands for any number, "..." for anything, and a line of "..." for any
lines. Text after five or more spaces of a command line is a remark.
"""

import os, re, shutil, subprocess, sys, tempfile
from pathlib import Path

bin_, source = (Path(p).resolve() for p in sys.argv[1:3])
choice, titles = (sys.argv[3:] or ["without"])[0], sys.argv[4:]
readmes = [
    str(p.relative_to(source))
    for p in sorted(source.rglob("README.md"))
    if "build" not in p.parts[len(source.parts) :][0]
]
failures, seen = 0, set()


def fail(where, text):
    global failures
    failures += 1
    print(f"FAIL {where}: {text}")


def commands(text):
    """(line number, command, expected lines) of each command of the sections to run."""
    found, lines, i, title = [], text.splitlines(), 0, ""
    while i < len(lines):
        m = re.match(r"^    \$ (.*)", lines[i])
        if lines[i].startswith("#"):
            title = lines[i].lstrip("# ")
            seen.add(title)
        if not m or title and (title in titles) != (choice == "only"):
            i += 1
            continue
        number, command = i + 1, m.group(1)
        while command.endswith("\\"):
            i += 1
            command = command[:-1] + lines[i].strip()
        i += 1
        expected = []
        while (
            i < len(lines)
            and not lines[i].startswith("    $ ")
            and (not lines[i].strip() or lines[i].startswith("    "))
        ):
            expected.append(lines[i][4:])
            i += 1
        while expected and not expected[-1].strip():
            expected.pop()
        found.append((number, re.sub(r" {5,}\S.*$", "", command), expected))
    return found


def pattern(expected):
    parts = []
    for line in expected:
        if line.strip() in ("...", "…"):
            parts.append(r"(?:.*\n)*")
            continue
        words = re.split(r"(\.\.\.|…|-?\d[\d,]*(?:\.\d+)?(?:e[+-]?\d+)?)", line.rstrip())
        parts.append(
            "".join(
                (
                    ".*"
                    if w in ("...", "…")
                    else (
                        r"-?\d[\d,]*(?:\.\d+)?(?:e[+-]?\d+)?"
                        if re.match(r"-?\d", w)
                        else re.sub(r"(\\ )+", " +", re.escape(w))
                    )
                )
                for w in words
            )
            + r" *\n"
        )
    return re.compile("".join(parts))


def clone(folder):
    """A folder that looks like a clone after the quickstart."""
    for entry in source.iterdir():
        if entry.name not in ("build", ".git") and not entry.name.startswith("build-"):
            os.symlink(entry, folder / entry.name)
    (folder / "build").mkdir()
    os.symlink(bin_, folder / "build" / "bin")
    done = subprocess.run(
        ["examples/quickstart/run"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=600,
        env={**os.environ, "HADAL_BIN": "build/bin", "STEPS": "4", "PWD": str(folder)},
    )
    if done.returncode:
        sys.exit(f"the quickstart fails: {done.stdout[-500:]}{done.stderr[-1500:]}")


def run(readme, folder):
    listed = commands((source / readme).read_text())
    if not listed:
        return 0
    # Each command's output lies in a file of its own; the shell goes on with the state that the one before left.
    outputs, script = Path(tempfile.mkdtemp(dir=folder)), "set -u\n"
    for i, (_, command, _) in enumerate(listed):
        script += f"{{ {command}\n}} >{outputs}/{i}.out 2>{outputs}/{i}.err </dev/null; echo $? >{outputs}/{i}.status\n"
    env = {
        **os.environ,
        "PATH": f"{bin_}:{os.environ['PATH']}",
        "OMPI_ALLOW_RUN_AS_ROOT": "1",
        "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
        "HADAL_CACHE_DIR": os.environ.get("HADAL_CACHE_DIR", str(folder / "cache")),
    }
    try:
        subprocess.run(["bash", "-c", script], cwd=folder, env=env, timeout=600)
    except subprocess.TimeoutExpired:
        fail(readme, "takes more than ten minutes")
    for i, (number, command, expected) in enumerate(listed):
        where = f"{readme}:{number}: $ {command}"
        if "mpirun" in command and not shutil.which("mpirun"):
            print(f"SKIPPED {where}: there is no mpirun")
            continue
        read = lambda end: (
            (outputs / f"{i}.{end}").read_text(errors="replace")
            if (outputs / f"{i}.{end}").exists()
            else ""
        )
        out, err, status = read("out"), read("err"), read("status").strip()
        if status != "0":
            fail(where, f"exit status {status or 'none'}: {err[-400:]}")
        elif (
            expected
            and not pattern(expected).fullmatch(out)
            and not pattern(expected).fullmatch(err)
        ):
            fail(where, f"prints\n{out[:800]}{err[:400]}\nnot\n" + "\n".join(expected))
    return len(listed)


folder = Path(tempfile.mkdtemp())
try:
    clone(folder)
    count = sum(run(readme, folder) for readme in readmes)
finally:
    shutil.rmtree(folder, ignore_errors=True)
print(f"{count} commands, {failures} failed")
for title in set(titles) - seen:
    fail("every README", f"no section is called {title}")
if not count:
    print("no README shows a command")
sys.exit(failures > 0 or not count)
