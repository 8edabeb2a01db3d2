#!/usr/bin/env python3
"""Programs whose n-th write, fsync, rename, mmap ... fails, does half, or never comes because of a SIGKILL.

    faults.py FAULTS.so train HADAL_RUN WRITE_FAKE_TRAINING
    faults.py FAULTS.so generate HADAL_RUN WRITE_FAKE_MODEL
    faults.py FAULTS.so compile HADAL_COMPILE

After an error: exit status 1, one line that names a file, nothing half-written. After a kill: nothing half-written under a final name.
After half a write: the same files as ever. A training run goes on from what is there, to the bits of one that nothing disturbed.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

FAULTS = {
    "write": ["ENOSPC", "short", "kill"],
    "fsync": ["EIOonce", "kill"],
    "rename": ["EIO", "kill"],
    "mmap": ["ENOMEM"],
    "mkostemp": ["ENOSPC"],
    "mkdir": ["ENOSPC", "kill"],
    "read": ["EIO", "short"],
}
# What os.replace and mkostemp leave behind when a process is killed.
TEMPORARY = re.compile(r"\.[A-Za-z0-9]{6}$")

library, failures = os.path.abspath(sys.argv[1]), 0


def fail(what):
    global failures
    failures += 1
    print(f"FAIL: {what}", file=sys.stderr)


def run(command, folder, **environment):
    return subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )


def chosen(count, most):
    """At most `most` of 1 .. count, the first and the last among them."""
    return sorted({1 + round(i * (count - 1) / max(most - 1, 1)) for i in range(min(most, count))})


def files_of(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


class Case:
    """A command in a folder of its own, whole and then disturbed."""

    def __init__(self, name, start, command, outputs, varying=(), most=10, finish=None):
        self.name, self.start, self.command = name, start, [str(word) for word in command]
        self.outputs = outputs  # names below the folder that the command may make
        self.varying = varying  # of these those that hold times
        self.most, self.finish = most, finish
        self.temporary = start.parent / "temporary"  # a killed program may leave files there
        self.temporary.mkdir(exist_ok=True)

    def attempt(self, fault):
        work = self.start.parent / "work"
        shutil.rmtree(work, ignore_errors=True)
        shutil.copytree(self.start, work)
        return work, run(
            self.command,
            work,
            LD_PRELOAD=library,
            TMPDIR=str(self.temporary),
            HADAL_FAULT=fault,
            HADAL_FAULT_COUNTS=str(self.start.parent / "counts"),
        )

    def check(self):
        work, result = self.attempt("")
        if result.returncode:
            fail(f"{self.name}: exits with {result.returncode} undisturbed: {result.stderr}")
            return
        self.whole = self.made(work)
        counts = dict(
            line.split() for line in (self.start.parent / "counts").read_text().splitlines()
        )
        tried = 0
        for call, kinds in FAULTS.items():
            for kind in kinds:
                for number in chosen(int(counts[call]), self.most):
                    fault = f"{call}:{number}:{kind}"
                    self.check_one(f"{self.name}, {fault}", call, kind, *self.attempt(fault))
                    tried += 1
        print(
            f"{self.name}: {tried} faults over {', '.join(f'{n} x {c}' for c, n in counts.items())}"
        )

    def made(self, folder):
        before = files_of(self.start)
        return {name: data for name, data in files_of(folder).items() if before.get(name) != data}

    def check_one(self, what, call, kind, work, result):
        says = result.stderr[-600:]
        if kind == "short":
            if result.returncode:
                fail(f"{what}: exits with {result.returncode}: {says}")
            self.compare(what, work, True)
            return
        if kind == "kill":
            if result.returncode != -signal.SIGKILL:
                fail(f"{what}: exits with {result.returncode}: {says}")
        elif result.returncode == 0 and call == "mmap":
            self.compare(what, work, True)  # there are other ways to read a file
            return
        elif result.returncode == 0 and call == "read" and self.finish:
            self.compare(what, work, True)  # an old checkpoint that cannot be read is kept
            return
        else:
            self.check_message(what, result, says)
        self.compare(what, work, False, mayLeave=kind == "kill")
        if self.finish:
            self.finish(self, what, work)

    def check_message(self, what, result, says):
        program = os.path.basename(self.command[0])
        lines = [line for line in result.stderr.splitlines() if line.startswith(program + ": ")]
        if result.returncode != 1:
            fail(f"{what}: exits with {result.returncode}: {says}")
        elif len(lines) != 1 or lines[0] != result.stderr.splitlines()[-1]:
            fail(f"{what}: wants one line of {program}, the last: {says}")
        elif not any(
            word.rstrip(":")
            and os.path.exists(os.path.join(self.start, word.rstrip(":").split(": ")[0]))
            or any(output in word for output in self.outputs)
            for word in lines[0].split()[1:]
        ):
            fail(f"{what}: names no file: {says}")

    def compare(self, what, work, isWhole, mayLeave=False):
        """What was made is what the undisturbed command makes, all of it or some of it."""
        made = self.made(work)
        for name, data in made.items():
            if name not in self.whole and (
                TEMPORARY.search(name) or ".part" in name or ".old" in name
            ):
                if not mayLeave:
                    fail(f"{what}: leaves {name}")
            elif name not in self.whole:
                if not self.finish:
                    fail(f"{what}: makes {name}")
            elif not isSame(name, data, self.whole[name], self.varying) and not (
                self.finish and not isWhole
            ):
                fail(
                    f"{what}: {name} is another one, of {len(data)} bytes for {len(self.whole[name])}"
                )
        for name in self.whole if isWhole else []:
            if name not in made:
                fail(f"{what}: lacks {name}")


def isSame(name, data, wanted, varying):
    if name.endswith(".jsonl"):
        return untimed(data) == untimed(wanted)
    return name in varying or data == wanted


def untimed(log):
    return re.sub(
        rb'"(tokens_per_second|[a-z_]*seconds|tflops|mfu|[a-z_]*flops[a-z_]*|[a-z_]*bytes)": [^,}]*',
        b"",
        log,
    )


def train(scratch, program, write):
    start = scratch / "start"
    start.mkdir()
    subprocess.run([write, start], check=True)
    command = [
        program,
        "train",
        "t.hadal",
        "--data",
        "a.txt",
        "b.jsonl",
        "--tokenizer",
        "ckpt",
        "--lr",
        "0.02",
        "--checkpoint-dir",
        "out",
        "--checkpoint-every",
        "2",
        "--average-decay",
        "0.9",
    ]
    first = run(
        [
            *command,
            "--weights",
            "ckpt",
            "--token-cache",
            "other",
            "--steps",
            "2",
            "--log",
            "log.jsonl",
        ],
        start,
    )
    if first.returncode:
        sys.exit(first.stderr)
    shutil.rmtree(start / "other")
    command += [
        "--token-cache",
        "cache",
        "--steps",
        "6",
        "--keep",
        "2",
        "--log",
        "log.jsonl",
        "--resume",
        "out",
    ]

    def goOn(case, what, work):
        steps = sorted(p.name for p in (work / "out").iterdir() if p.name.startswith("step-"))
        if not steps or steps[-1] < "step-00000002":
            fail(f"{what}: the last whole checkpoint is gone: {steps}")
        if (work / "log.jsonl").exists() and any(
            not line.endswith("}") for line in (work / "log.jsonl").read_text().splitlines()[:-1]
        ):
            fail(f"{what}: the log has a broken line")
        again = run(case.command, work)
        if again.returncode:
            fail(f"{what}: does not go on: {again.stderr[-600:]}")
            return
        for name in (
            "out/step-00000006/model.safetensors",
            "out/step-00000006/optimizer/state.safetensors",
            "out/step-00000006/average/model.safetensors",
            "log.jsonl",
        ):
            if not isSame(name, (work / name).read_bytes(), case.whole[name], ()):
                fail(f"{what}: goes on to another {name}")
        if left := [
            p.name
            for p in (work / "out").iterdir()
            if p.name != ".lock" and not p.name.startswith("step-")
        ]:
            fail(f"{what}: the next run leaves {left}")

    Case(
        "train",
        start,
        [*command, "--html", "page.html", "--stats", "stats"],
        ["out", "log.jsonl", "cache", "page.html", "stats"],
        varying=("page.html", "stats"),
        most=8,
        finish=goOn,
    ).check()


def generate(scratch, program, write):
    start = scratch / "start"
    start.mkdir()
    subprocess.run([write, start], check=True)
    common = ["m.hadal", "--weights", "ckpt", "--input", "in.safetensors"]
    Case(
        "generate",
        start,
        [program, "generate", *common, "--max-new-tokens", "9", "--stats", "stats", "-o", "answer"],
        ["answer", "stats"],
        varying=("stats",),
    ).check()
    Case(
        "logits",
        start,
        [program, "logits", *common, "--dump", "--trace", "trace.json", "-o", "answer"],
        ["answer", "trace.json"],
        varying=("trace.json",),
    ).check()


FUNCTION = """func.func @f(%x: tensor<4xf32>) -> tensor<4xf32> {
  %e = tensor.empty() : tensor<4xf32>
  %y = linalg.add ins(%x, %x : tensor<4xf32>, tensor<4xf32>) outs(%e : tensor<4xf32>) -> tensor<4xf32>
  return %y : tensor<4xf32>
}
"""


def compile_(scratch, program):
    start = scratch / "start"
    start.mkdir()
    (start / "f.mlir").write_text(FUNCTION)
    Case(
        "compile",
        start,
        [program, "f.mlir", "--cpu=x86-64-v3", "--no-cache", "-o", "f.hadal"],
        ["f.hadal", "temporary/hadal-"],
        most=4,
    ).check()


with tempfile.TemporaryDirectory() as scratch:
    {"train": train, "generate": generate, "compile": compile_}[sys.argv[2]](
        Path(scratch), *sys.argv[3:]
    )
if failures:
    sys.exit(1)
print("all passed")
