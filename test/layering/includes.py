#!/usr/bin/env python3
"""Holds includes to the arrows of the house.

includes.py SOURCE: each folder of the source tree may include what the lists below have before it,
and itself. A new exception is a line in EXCEPTIONS, with its reason; one that no
include needs any more is an error, too. includes.py --wrong SOURCE: each file of that tree has to
break an arrow.
"""

import pathlib
import re
import sys

# Folders of passes/ in the order in which their passes run.
PASSES = ["analysis", "shard", "autodiff", "quantize", "specialize", "programs", "targets", "module"]

# What a folder of the root may include of the others.
HOUSE = {
    "dialects": set(),
    "runtime": set(),
    "frontend": {"dialects", "runtime"},
    "passes": {"dialects", "runtime"},
}

# What passes know of targets, and the one file that names them.
TARGET = "passes/targets/Target.h"
TARGET_TABLE = "passes/targets/Targets.cpp"
# Targets that use another: what Hopper's own emitters do not take, the CPU's do.
BUILDS_ON = {"passes/targets/hopper/": "passes/targets/cpu/"}

# Files of the tools that link the compiler; those of the others include nothing of it.
COMPILER_TOOLS = {
    "tools/hadal-compile.cpp",
    "tools/hadal-kernel-mutants.cpp",
    "tools/hadal-lsp-server.cpp",
    "tools/hadal-opt.cpp",
}
COMPILER_PARTS = ("tools/compile/", "tools/mutants/")

# (file, include): why it is allowed. There is none now.
EXCEPTIONS = {}

INCLUDE = re.compile(r'^\s*#\s*include\s+"([a-z]+/[^"]+)"', re.MULTILINE)


def place(path: str) -> int:
    """The place of a file of passes/ in running order; passes/Pipelines.cpp runs them all."""
    parts = path.split("/")
    if len(parts) == 2:
        return len(PASSES)
    return PASSES.index(parts[1])


def refusal(path: str, include: str) -> str:
    """What is wrong with an include; empty where nothing is."""
    own, other = path.split("/")[0], include.split("/")[0]
    if own == "tools":
        isCompiler = path in COMPILER_TOOLS or path.startswith(COMPILER_PARTS)
        if not isCompiler and other in ("passes", "dialects"):
            return "a tool without the compiler"
        return ""
    if other != own:
        known = HOUSE.keys() | {"tools", "test"}
        return f"stands above {own}/" if other in known - HOUSE[own] else ""
    if own == "dialects" and path.count("/") == 2 and include.count("/") == 2:
        return "" if include.split("/")[1] == path.split("/")[1] else "a dialect knows no other"
    if own == "passes" and include.count("/") > 1:
        if include.count("/") > 2 and include.startswith("passes/targets/"):
            folder = include[: include.rindex("/") + 1]
            here = path[: path.rindex("/") + 1]
            if here != folder and BUILDS_ON.get(here) != folder and path != TARGET_TABLE:
                return f"a target, which {TARGET_TABLE} alone may name"
        if place(include) > place(path) and include != TARGET:
            return "runs later"
    return ""


def files(source: pathlib.Path):
    """Sources that the arrows are about: (path, includes)."""
    for root in [*HOUSE, "tools"]:
        for file in sorted((source / root).rglob("*")):
            if file.suffix in (".h", ".cpp", ".inc"):
                yield file.relative_to(source).as_posix(), INCLUDE.findall(file.read_text())


def main() -> int:
    source = pathlib.Path(sys.argv[-1])
    mistakes, used, broken, seen = [], set(), set(), set()
    for path, includes in files(source):
        seen.add(path)
        parts = path.split("/")
        if parts[0] == "passes" and len(parts) > 2 and parts[1] not in PASSES:
            mistakes.append(f"{path}: its folder has no place in PASSES of {__file__}")
            continue
        for include in includes:
            what = refusal(path, include)
            if what and (path, include) in EXCEPTIONS:
                used.add((path, include))
            elif what:
                broken.add(path)
                mistakes.append(f"{path}: includes {include}: {what}")
    if "--wrong" in sys.argv:
        print("\n".join(mistakes))
        return not seen or seen != broken
    for entry in EXCEPTIONS.keys() - used:
        mistakes.append(f"{entry[0]} no longer includes {entry[1]}: take the exception out")
    if not seen:
        mistakes.append(f"{source}: nothing to look at")
    print("\n".join(mistakes) or f"{len(seen)} files")
    return bool(mistakes)


if __name__ == "__main__":
    sys.exit(main())
