#!/usr/bin/env python3
"""Every path, option and tool that a README (or a pass's description) names is there.

names.py BIN SOURCE
"""

import re, subprocess, sys
from pathlib import Path

bin_, source = (Path(p).resolve() for p in sys.argv[1:3])
failures = []
# Options of programs that are not ours.
OTHERS = set(
    """--oversubscribe --allow-run-as-root --bind-to --test-dir --filter --output-on-failure --mca
    --install --prefix""".split()
)
TOOLS = ["hadal-compile", "hadal-run", "hadal-inspect", "hadal-plan", "hadal-opt"]


def help_of(*words):
    done = subprocess.run(
        [str(bin_ / words[0]), *words[1:], "--help"], capture_output=True, text=True, timeout=120
    )
    return done.stdout + done.stderr


def known_options():
    text = "".join(help_of(t) for t in TOOLS)
    for command in re.findall(r"^  ([a-z]+)  ", help_of("hadal-run"), re.M):
        text += help_of("hadal-run", command)
    for script in (
        list((source / "bench").iterdir())
        + list((source / "test").rglob("*.cpp"))
        + list((source / "test").rglob("*.py"))
    ):
        if script.is_file():
            text += script.read_text(errors="ignore")
    return set(re.findall(r"--[a-z][a-z0-9]*(?:-[a-z0-9]+)*", text)) | OTHERS


options = known_options() | {"--completion"}  # which --help leaves out
files = [
    p.relative_to(source)
    for p in source.rglob("*")
    if not {"build", ".git"} & set(p.relative_to(source).parts[:1])
]
names = {p.name for p in files} | {p.stem for p in files} | {str(p) for p in files}


def exists(path, folder):
    """A path from the README's folder, the root, or the end of one in the tree; x/* and x.{h,cpp} too."""
    path = path.rstrip("/").split("#")[0]
    found = re.match(r"(.*)\.\{([a-z,]+)\}$", path)
    if found:
        return all(exists(f"{found.group(1)}.{e}", folder) for e in found.group(2).split(","))
    if "*" in path:
        return any(folder.glob(path)) or any(source.glob(path)) or any(p.match(path) for p in files)
    return (
        (folder / path).exists()
        or (source / path).exists()
        or any(str(p).endswith("/" + path) for p in files)
    )


for readme in [p for p in source.rglob("*.md") if "build" not in p.relative_to(source).parts[0]] + [
    source / "passes/Passes.td"
]:
    where, text = readme.relative_to(source), readme.read_text()
    for number, line in enumerate(text.splitlines(), 1):
        for link in (
            re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", line) if readme.suffix == ".md" else []
        ):
            if not (readme.parent / link).exists():
                failures.append(f"{where}:{number}: links to {link}, which is not there")
        for name in re.findall(r"`([\w./{},*-]+)`", line):
            isPath = re.search(
                r"\.(cpp|h|td|mlir|py|sh|json|md|fbs|test|txt)$|\.\{h,cpp\}$", name
            ) or (name.endswith("/") and not name.startswith("/"))
            # X stands for any name; what is built is not in the source.
            if (
                isPath
                and "/" in name
                and "X" not in name.split("/")
                and not name.startswith("build/")
                and not exists(name, readme.parent)
            ):
                failures.append(f"{where}:{number}: names {name}, which is not there")
        if readme.name == "CHANGELOG.md":
            continue
        for option in re.findall(r"(?<![\w-])--[a-z][a-z0-9]*(?:-[a-z0-9]+)*", line):
            if option not in options:
                failures.append(f"{where}:{number}: names {option}, which no tool has")
for line in failures:
    print(line)
print(f"{len(failures)} names are not there")
sys.exit(bool(failures))
