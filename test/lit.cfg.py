# Tests of hadal's tools: FileCheck on IR, and programs that are compiled, run and compared with the references.

import os
import subprocess

import lit.formats
import lit.util

config.name = "hadal"
config.test_format = lit.formats.ShTest(execute_external=False)
config.suffixes = [".mlir", ".test"]
config.excludes = ["lit.cfg.py", "lit.site.cfg.py", "reference", "Inputs"]

config.test_source_root = os.path.dirname(__file__)
# Runs for another device have a folder of their own: both may run at the same time.
kind = [lit_config.params[name] for name in ("device", "tiers") if name in lit_config.params]
config.test_exec_root = os.path.join(config.hadal_build_dir, "test", *kind)

# Our own tools first, then FileCheck and not from LLVM.
path = [config.hadal_tools_dir, config.llvm_tools_dir, config.environment.get("PATH", "")]
config.environment["PATH"] = os.path.pathsep.join(path)

config.substitutions.append(("%python", config.python))

# Tests compile the same small models again and again.
config.environment["HADAL_CACHE_DIR"] = os.environ.get(
    "HADAL_CACHE_DIR", os.path.join(config.hadal_build_dir, "cache")
)

# Lets a substitution that a test DEFINEs stand inside another one.
config.recursiveExpansionLimit = 4

# A tool that is missing would let `not hadal-opt` pass.
for tool in ["hadal-opt", "FileCheck", "not"]:
    if not lit.util.which(tool, config.environment["PATH"]):
        lit_config.fatal(f"{tool} is missing from {path[0]} and {path[1]}")

# Products in AMX tiles run where the processor and the system have them.
if (
    subprocess.run(
        [
            "hadal-compile",
            os.path.join(config.test_source_root, "exec", "panels_matmul.mlir"),
            "--products=tiles",
            "--emit=graph",
        ],
        env=config.environment,
        capture_output=True,
        timeout=60,
    ).returncode
    == 0
):
    config.available_features.add("tiles")
else:
    lit_config.note("no AMX: tests of products in tiles are skipped")

# Processors that multiply pairs of bf16, whether or not kernels do so here.
try:
    with open("/proc/cpuinfo") as cpuinfo:
        flags = cpuinfo.read().split()
except OSError:
    flags = []
if "avx512_bf16" in flags and "avx512vl" in flags:
    config.available_features.add("pairs")
else:
    lit_config.note("no AVX-512-BF16: tests of products of pairs are skipped")
