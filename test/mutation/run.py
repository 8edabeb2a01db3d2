#!/usr/bin/env python3
# Mutation test: makes one change at a time in a copy of the sources, builds the unit test that should notice it, and wants that
# test to fail.
#     run.py [--only REGEX] [--list] [--fresh] [--jobs 1] [--mutants FILE] [--build FOLDER]
# mutants.txt has the changes. The copy, its build and the results so far lie in build/mutation: the tree itself is never changed, and a
# run that was stopped goes on where it was. A mutant that was caught is not tried again unless its file, its text or a test has changed.
# Exit status 1 where a mutant no longer fits the sources, where a test fails without any change, or where more than --allowed survive.

import argparse
import hashlib
import json
import os
import re
import shutil
import string
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# What each test is built from, and where the sources of the test lie.
TARGETS = {
    "comm": ["InProcessTest"],
    "drivers": ["DriversTest"],
    "parallel": ["ParallelTest"],
    "runtime": ["RuntimeTest"],
    "schedule": ["ScheduleTest"],
    "tokenizer": ["TokenizerTest"],
    "training": ["TrainingTest"],
    "verify-ranks": ["VerifyTest"],
    "wrong-data": ["WrongDataTest"],
}
WORD = "_" + string.ascii_letters + string.digits
SECONDS = 120  # for a test; a mutant that hangs is caught


class Mutant:
    def __init__(self, number, file, tests, old, new, why):
        self.number, self.file, self.tests, self.old, self.new, self.why = (
            number,
            file,
            tests,
            old,
            new,
            why,
        )

    def key(self):
        return f"{self.file}: {self.old} -> {self.new}"

    def pattern(self):
        """The old text, with white space and line ends wherever code may have them."""
        words = re.findall(r"\w+|[^\w\s]", self.old)
        text = re.escape(words[0])
        for before, word in zip(words, words[1:]):
            apart = before[-1] in WORD and word[0] in WORD
            text += (r"\s+" if apart else r"\s*") + re.escape(word)
        return re.compile(text)

    def apply(self, text):
        """The text with the one change made."""
        return self.pattern().sub(lambda _: self.new, text)

    def place(self):
        """Line of the one place of the old text; an error text where there are none or several."""
        text = (ROOT / self.file).read_text() if (ROOT / self.file).exists() else ""
        found = list(self.pattern().finditer(text))
        if len(found) != 1:
            return None, f"{self.file}: '{self.old}' stands there {len(found)} times, wants 1"
        return text[: found[0].start()].count("\n") + 1, None


def read_mutants(path):
    """Blocks of 'FILE: TEST...', '- old text', '+ new text'; a comment above says what goes wrong."""
    mutants, head, old, why = [], None, None, ""
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if line.startswith("#"):
            why = line[1:].strip()
        elif line.startswith("- ") and head:
            old = line[2:]
        elif line == "+" or line.startswith("+ "):
            if old is None:
                sys.exit(f"{path}: line {number}: no '- ' line before it")
            mutants.append(Mutant(len(mutants) + 1, head[0], head[1], old, line[2:], why))
            old, why = None, ""
        elif line.strip():
            file, _, tests = line.partition(": ")
            head = (file, tests.split())
            if unknown := [t for t in head[1] if t not in TARGETS] or not head[1]:
                sys.exit(
                    f"{path}: line {number}: wants tests among {', '.join(TARGETS)}, got {unknown}"
                )
    return mutants


def copy_sources(copy):
    """Brings the copy up to date; files that have not changed keep their times, so that little is built again."""
    files = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    wanted = {f for f in files.stdout.splitlines() if (ROOT / f).is_file()}
    for old in [
        p for p in copy.rglob("*") if p.is_file() and str(p.relative_to(copy)) not in wanted
    ]:
        old.unlink()
    for name in wanted:
        write_if_changed(copy / name, (ROOT / name).read_bytes(), (ROOT / name).stat().st_mode)


def write_if_changed(path, data, mode=None):
    if path.exists() and path.read_bytes() == data:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    if mode is not None:
        path.chmod(mode)


def configure(build, copy):
    """The runtime and its tests alone, with little optimization: what takes long is compiling."""
    main = ROOT / "build" / "CMakeCache.txt"
    cache = {}
    if shutil.which("clang++-22"):
        cache = {"CMAKE_C_COMPILER": "clang-22", "CMAKE_CXX_COMPILER": "clang++-22"}
    if main.exists():
        cache = dict(
            re.findall(
                r"^(CMAKE_C(?:XX)?_COMPILER|CMAKE_EXE_LINKER_FLAGS):[A-Z]+=(.*)$",
                main.read_text(),
                re.M,
            )
        )
    options = [f"-D{name}={value}" for name, value in cache.items()]
    subprocess.run(
        [
            "cmake",
            "-G",
            "Ninja",
            "-S",
            copy,
            "-B",
            build,
            "-DHADAL_COMPILER=OFF",
            "-DCMAKE_BUILD_TYPE=Debug",
            "-DCMAKE_CXX_FLAGS_DEBUG=-O1",
            *options,
        ],
        check=True,
        stdout=subprocess.DEVNULL,
    )


def make(build, targets, jobs):
    return subprocess.run(
        ["ninja", "-C", build, "-j", str(jobs), "--quiet", *targets], capture_output=True, text=True
    )


def run_test(build, name):
    """Whether the test passes."""
    environment = {**os.environ, "GTEST_FAIL_FAST": "1"}
    command = [
        "ctest",
        "--test-dir",
        str(build),
        "-R",
        f"^{name}$",
        "--timeout",
        str(SECONDS),
        "--no-tests=error",
    ]
    return (
        subprocess.run(
            command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ).returncode
        == 0
    )


def digest(copy, mutant, quick):
    """Of the mutated file and, unless `quick`, the sources of all tests: what a result holds for."""
    sum = hashlib.sha256((copy / mutant.file).read_bytes())
    for path in sorted(
        p
        for p in (copy / "test").rglob("*")
        if p.suffix in (".cpp", ".h", ".json", ".txt") and "mutation" not in p.parts
    ):
        if not quick:
            sum.update(path.read_bytes())
    return sum.hexdigest()


def main():
    parser = argparse.ArgumentParser(
        description="Makes one change at a time and wants a unit test to fail."
    )
    parser.add_argument(
        "--only", default="", help="mutants whose file or text this regular expression finds"
    )
    parser.add_argument(
        "--list",
        action="store_true",
        help="only checks that all mutants fit the sources, and lists them",
    )
    parser.add_argument("--fresh", action="store_true", help="forgets earlier results")
    parser.add_argument(
        "--quick",
        action="store_true",
        help="what was caught counts as caught though tests have changed since (while writing tests)",
    )
    parser.add_argument("--jobs", type=int, default=1, help="of the build")
    parser.add_argument("--allowed", type=int, default=3, help="survivors that are no failure")
    parser.add_argument("--mutants", type=Path, default=Path(__file__).parent / "mutants.txt")
    parser.add_argument("--build", type=Path, default=ROOT / "build" / "mutation")
    options = parser.parse_args()

    mutants = [m for m in read_mutants(options.mutants) if re.search(options.only, m.key())]
    problems = [problem for m in mutants if (problem := m.place()[1])]
    for problem in problems:
        print(problem, file=sys.stderr)
    if options.list:
        for m in mutants:
            print(f"{m.number:3} {m.file}:{m.place()[0]}  {m.old}  ->  {m.new or '(nothing)'}")
    if problems or options.list:
        print(f"{len(mutants)} mutants, {len(problems)} do not fit")
        return bool(problems)

    copy, build, known = (
        options.build / "tree",
        options.build / "build",
        options.build / "results.json",
    )
    options.build.mkdir(parents=True, exist_ok=True)
    copy_sources(copy)
    configure(build, copy)
    results = json.loads(known.read_text()) if known.exists() and not options.fresh else {}
    tests = sorted({t for m in mutants for t in m.tests})
    whole = make(build, sorted({x for t in tests for x in TARGETS[t]}), options.jobs)
    if whole.returncode:
        sys.exit(
            f"the build fails without any change:\n{whole.stdout[-2000:]}{whole.stderr[-2000:]}"
        )
    if failing := [
        t for t in tests if not (run_test(build, t) or run_test(build, t))
    ]:  # twice: the machine may be busy
        sys.exit(f"fails without any change: {', '.join(failing)}")

    caught, survivors = 0, []
    for m in mutants:
        path, begin = copy / m.file, time.time()
        result = results.get(m.key(), {})
        state = digest(copy, m, options.quick)
        if result.get("state") != state or result["outcome"] == "survived":
            original = path.read_bytes()
            try:
                path.write_text(m.apply(original.decode()))
                built = make(build, sorted({x for t in m.tests for x in TARGETS[t]}), options.jobs)
                failed = next(
                    (t for t in m.tests if built.returncode == 0 and not run_test(build, t)), None
                )
            finally:
                path.write_bytes(original)
            if built.returncode:
                sys.exit(f"{m.key()}: does not compile, so says nothing:\n{built.stdout[-2000:]}")
            outcome = f"by {failed}" if failed else "survived"
            result = results[m.key()] = {"state": state, "outcome": outcome}
            known.write_text(json.dumps(results, indent=1))
        caught += result["outcome"] != "survived"
        if result["outcome"] == "survived":
            survivors.append(m)
        print(
            f"{m.number:3}  {result['outcome']:16} {time.time() - begin:5.0f} s  {m.file}:{m.place()[0]}  {m.why or m.old}",
            flush=True,
        )
    for m in survivors:
        print(f"survived: {m.file}:{m.place()[0]}: {m.old}  ->  {m.new or '(nothing)'}")
    print(f"{caught} caught, {len(survivors)} survived")
    return len(survivors) > options.allowed


if __name__ == "__main__":
    sys.exit(main())
