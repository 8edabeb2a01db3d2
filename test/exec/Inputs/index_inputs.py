"""Calls the functions of index_inputs.mlir with right inputs, and with wrong ones, which are refused by one line that names what is wrong."""

import json, random, struct, subprocess, sys
from pathlib import Path

module, work = sys.argv[1], Path(sys.argv[2])
work.mkdir(parents=True, exist_ok=True)
failures = 0


def fail(text):
    global failures
    failures += 1
    print("FAIL:", text)


def floats(*shape):
    count = 1
    for n in shape:
        count *= n
    return "F32", list(shape), [0.25 * (i % 7) - 0.5 for i in range(count)]


def ids(values, shape=None, dtype="I32"):
    return dtype, list(shape or [len(values)]), list(values)


def save(path, tensors):
    head, data = {}, b""
    for i, (dtype, shape, values) in enumerate(tensors):
        raw = struct.pack(
            "<%d%s" % (len(values), {"F32": "f", "I32": "i", "I64": "q"}[dtype]), *values
        )
        head["arg%d" % i] = {
            "dtype": dtype,
            "shape": shape,
            "data_offsets": [len(data), len(data) + len(raw)],
        }
        data += raw
    text = json.dumps(head).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


def call(function, tensors):
    save(work / "in", tensors)
    (work / "out").unlink(missing_ok=True)
    done = subprocess.run(
        [
            "hadal-run",
            "call",
            module,
            "@" + function,
            "--threads",
            "1",
            "--input",
            work / "in",
            "-o",
            work / "out",
        ],
        capture_output=True,
        text=True,
        timeout=60,
    )
    lines = done.stderr.splitlines()
    if (
        done.returncode not in (0, 1)
        or (done.returncode == 1) != (len(lines) == 1)
        or (work / "out").exists() != (done.returncode == 0)
    ):
        fail(
            "@%s exits with %d, says %r\n  %s"
            % (
                function,
                done.returncode,
                done.stderr,
                [t if t[0] != "F32" else t[:2] for t in tensors],
            )
        )
    return done.returncode, done.stderr


# function: arguments, and changes of one argument with what the line holds. An empty list of rows is right, too, where it stands.
T = 5
cases = {
    "dispatch": (
        [floats(T, 8), ids([4, 0, 0, 2])],
        [
            (1, ids([4, 5]), "argument 'arg1' wants values in [0, 5), element 1 is 5"),
            (1, ids([0, -1]), "element 1 is -1"),
            (1, ids([2**31 - 1]), "[0, 5)"),
            (1, ids([-(2**31)]), "[0, 5)"),
            (0, floats(0, 8), "wants values in [0, 0)"),
            (1, ids([]), None),
        ],
    ),
    "route": (
        [floats(2, 8), floats(8), ids([0, 7, 3, 3], [2, 2])],
        [
            (
                2,
                ids([0, 8, 0, 0], [2, 2]),
                "argument 'arg2' wants values in [0, 8), element 1 is 8",
            ),
            (2, ids([0] * 6, [3, 2]), "dimension 0 of 'arg2' is 3"),
        ],
    ),
    "nll": (
        [floats(2, 8), ids([0, 7])],
        [
            (1, ids([0, 8]), "argument 'arg1' wants values in [0, 8), element 1 is 8"),
            (1, ids([-1, 0]), "element 0 is -1"),
            (1, ids([0] * 3), "dimension 0 of 'arg1' is 3"),
        ],
    ),
    "nll_of_argmax": ([floats(2, 8)], []),
    "penalize": (
        [floats(2, 8), floats(2), ids([0, 1, 3]), ids([0, 7, 3])],
        [
            (3, ids([0, 7, 8]), "argument 'arg3' wants values in [0, 8), element 2 is 8"),
            (2, ids([0, 1, 4]), "'arg2'"),
            (2, ids([0, 3]), "'arg2'"),
        ],
    ),
    "plan": (
        [ids([0, 7, 3, 3], [2, 2])],
        [
            (0, ids([0, 1, 8, 0], [2, 2]), "element 2 is 8"),
            (0, ids([-1, 1], [1, 2]), "element 0 is -1"),
            (0, ids([], [0, 2]), None),
        ],
    ),
    "plan_sends": (
        [ids([0, 7, 3, -1], [2, 2]), ids([1, 2, 1, 1])],
        [
            (0, ids([0, 8], [1, 2]), "element 1 is 8"),
            (1, ids([1, 0, 2, 0]), "counts whose rows are 2 in all, got 3"),
            (1, ids([3, 0, -1, 0]), "element 2 is -1"),
            (1, ids([2**31 - 1, 0, 2**31 - 1, 0]), "got 4294967294"),
        ],
    ),
    "grouped": (
        [
            floats(3, 8),
            floats(4, 6, 8),
            ids([0, 2, 2, 3, 4]),
            ids([0, 2, 3, -1]),
            ids([0, 1, 2, 0]),
        ],
        [
            (2, ids([0, 2, 1, 3, 4]), "offsets that ascend from 0 to 4, element 2 is 1 after 2"),
            (2, ids([0, 2, 2, 3, 5]), "the last is 5"),
            (2, ids([1, 2, 2, 3, 4]), "element 0 is 1"),
            (2, ids([0, 0, 0, 0, 2**31 - 1]), "the last is"),
            (3, ids([0, 1, 2, 3]), "element 1 is 1, not 2"),
            (3, ids([0, 2, 3, 4]), "element 3 is 4, not -1"),
            (3, ids([-1, -1, -1, -1]), "the groups of 'arg2'"),
            (4, ids([0, 1, 3, 0]), "element 2 is 3"),
            (4, ids([0, 1]), "offsets that ascend from 0 to 2"),
        ],
    ),
    "grouped_grad": (
        [floats(4, 8), floats(4, 6), ids([0, 2, 2, 3, 4]), ids([0, 2, 3, -1]), floats(4, 6, 8)],
        [
            (2, ids([0, 2, 2, 3, 9]), "the last is 9"),
            (3, ids([0, 2, 3, 3]), "element 3 is 3"),
            (1, floats(5, 6), "dimension 0 of 'arg1' is 5"),
        ],
    ),
    "quantize_groups": (
        [floats(5, 8), ids([0, 2, 2, 4, 5])],
        [
            (1, ids([0, 2, 1, 4, 5]), "'arg1'"),
            (1, ids([0, 2, 2, 4, 6]), "'arg1'"),
            (1, ids([1, 2, 2, 4, 5]), "'arg1'"),
        ],
    ),
    "dequantize": (
        [floats(5, 8), floats(3, 8)],
        [(1, floats(2, 8), "dimension 0 of 'arg1' is 2")],
    ),
    "coded_grad": (
        [
            floats(4, 8),
            floats(4, 6),
            ids([0, 2, 2, 3, 4]),
            ids([0, 2, 3, -1]),
            floats(4, 6, 8),
        ],
        [
            (2, ids([0, 2, 1, 3, 4]), "'arg2'"),
            (3, ids([0, 1, 2, 3]), "'arg3'"),
            (3, ids([0, 2, 4, -1]), "'arg3'"),
            (1, floats(3, 6), "is 3"),
        ],
    ),
    "combine": (
        [floats(4, 8), ids([0, 1, 2, 3], [2, 2]), ids([0, 7, 1, 2], [2, 2]), floats(2, 2)],
        [
            (1, ids([0, 1, 2, 4], [2, 2]), "[0, 4), element 3 is 4"),
            (1, ids([-1, 1, 2, 3], [2, 2]), "element 0 is -1"),
            (2, ids([0, 8, 1, 2], [2, 2]), "[0, 8)"),
            (0, floats(5, 8), "'arg1'"),
            (3, floats(3, 2), "dimension 0 of 'arg3' is 3"),
        ],
    ),
    "combine_grad": (
        [floats(4, 8), ids([3, 1, 2, 0], [2, 2]), floats(2, 2), floats(2, 8)],
        [
            (1, ids([0, 1, 2, 2], [2, 2]), "all different, elements 2 and 3 are both 2"),
            (1, ids([0, 1, 2, 4], [2, 2]), "[0, 4)"),
        ],
    ),
    "route_grad": (
        [floats(2, 8), ids([0, 7, 1, 2], [2, 2]), floats(2, 2)],
        [(1, ids([0, 8, 1, 2], [2, 2]), "[0, 8)"), (0, floats(3, 8), "dimension 0 of")],
    ),
    "balance": (
        [floats(T, 8), ids([0, 2, 5])],
        [
            (1, ids([0, 2, 6]), "the last is 6"),
            (1, ids([]), "dimension 0 of 'arg1' is 0, wants at least 1"),
            (1, ids([0, 6, 5]), "element 2 is 5 after 6"),
        ],
    ),
    "balance_chosen": (
        [floats(2, 8), ids([0, 2]), ids([0, 7, 1, 2], [2, 2])],
        [(2, ids([0, 8, 1, 2], [2, 2]), "'arg2' wants values in [0, 8), element 1 is 8")],
    ),
    "scatter": (
        [floats(2, 8), ids([9, 9]), floats(10, 8)],
        [
            (1, ids([0, 10]), "[0, 10), element 1 is 10"),
            (1, ids([0, 1, 2]), "dimension 0 of 'arg1' is 3"),
        ],
    ),
    "attention": (
        [
            floats(T, 2, 4),
            floats(T, 2, 4),
            floats(T, 2, 4),
            floats(T, 4),
            floats(T, 2, 4),
            ids([0, 3, 5]),
        ],
        [
            (5, ids([0, 3, 4]), "the last is 4"),
            (5, ids([0, 9, 5]), "after 9"),
            (5, ids([-3, 3, 5]), "element 0 is -3"),
            (5, ids([]), "at least 1"),
            (2, floats(T - 1, 2, 4), "dimension 0 of 'arg2' is 4, wants dimension 0 of 'arg0', 5"),
            (5, ids([0, 2**31 - 1]), "the last is 2147483647"),
        ],
    ),
    "append": (
        [floats(2, 4), floats(2, 2), ids([3, 0]), floats(4, 6)],
        [
            (2, ids([3, 4]), "[0, 4), element 1 is 4"),
            (2, ids([1, 1]), "elements 0 and 1 are both 1"),
            (2, ids([0, -1]), "element 1 is -1"),
            (3, floats(0, 6), "[0, 0)"),
        ],
    ),
    "latent": (
        [floats(2, 2, 4), floats(2, 2, 2), floats(8, 6), ids([0, 0, 1, 0], [2, 2]), ids([3, 7])],
        [
            (3, ids([0, 0, 2, 0], [2, 2]), "[0, 2), element 2 is 2"),
            (4, ids([3, 8]), "[0, 8), element 1 is 8"),
            (4, ids([-1, 0]), "element 0 is -1"),
            (2, floats(7, 6), "mod(dimension 0 of 'arg2', 4) is 3, wants 0"),
            (3, ids([0, 1], [2, 1]), "[0, 4), element 1 is 7"),
            (3, ids([0] * 6, [3, 2]), "dimension 0 of 'arg3' is 3"),
        ],
    ),
    "embed": (
        [floats(10, 8), ids([0, 9], dtype="I64")],
        [
            (1, ids([10], dtype="I64"), "[0, 10), element 0 is 10"),
            (1, ids([2**32 + 1], dtype="I64"), "is 4294967297"),
            (1, ids([-1], dtype="I64"), "is -1"),
            (1, ids([], dtype="I64"), None),
        ],
    ),
    "narrowed": (
        [floats(10, 8), ids([0, 9], dtype="I64")],
        [(1, ids([2**32 + 1], dtype="I64"), "is 4294967297"), (1, ids([-1], dtype="I64"), "is -1")],
    ),
    "clamped": ([floats(10, 8), ids([0, 2, -7, 100, -(2**31), 2**31 - 1])], []),
    "experts": (
        [floats(T, 8), floats(T, 4), floats(4), floats(4, 8, 8)],
        [
            (1, ("F32", [T, 4], [float("nan")] * (4 * T)), None),
            (1, floats(T + 1, 4), "dimension 0 of"),
            (0, floats(T - 1, 8), "dimension 0 of"),
        ],
    ),
    "add": (
        [floats(T, 8), floats(T, 8)],
        [
            (1, floats(T + 1, 8), "dimension 0 of 'arg1' is 6, wants dimension 0 of 'arg0', 5"),
            (1, floats(T, 7), "'arg1' wants F32 [5, 8], got F32 [5, 7]"),
        ],
    ),
    "halves": (
        [floats(4, 8)],
        [(0, floats(5, 8), "dimension 0 of 'arg0'"), (0, floats(0, 8), None)],
    ),
    "first_three": (
        [floats(4, 8)],
        [(0, floats(2, 8), "dimension 0 of 'arg0' is 2, wants at least 3")],
    ),
    "products": (
        [floats(2, 3), floats(3, 4)],
        [(1, floats(2, 4), "is 2, wants dimension 1 of 'arg0', 3")],
    ),
}

chance = random.Random(1)
edges = [-(2**31), -1, 0, 1, 2, 7, 8, 9, 10, 255, 65536, 2**30, 2**31 - 1]
for function, (right, wrong) in cases.items():
    status, said = call(function, right)
    if status:
        fail("@%s refuses right inputs: %s" % (function, said))
    for argument, value, pattern in wrong:
        status, said = call(function, right[:argument] + [value] + right[argument + 1 :])
        if pattern is None and status:
            fail("@%s refuses right inputs: %s" % (function, said))
        if pattern is not None and (status != 1 or pattern not in said):
            fail(
                "@%s wants %r of argument %d, got exit %d, %s"
                % (function, pattern, argument, status, said)
            )
    # Anything at all: refused, or it runs.
    for _ in range(6):
        tensors = list(right)
        for i in chance.sample(range(len(right)), chance.randint(1, len(right))):
            dtype, shape, values = right[i]
            shape, values = list(shape), list(values)
            if dtype == "F32" or chance.random() < 0.3:
                d = chance.randrange(len(shape))
                shape[d] = max(0, shape[d] + chance.choice([-2, -1, 1, 2, 9]))
                count = 1
                for n in shape:
                    count *= n
                values = (values * (count // max(1, len(values)) + 1) + [0] * count)[:count]
            if dtype != "F32" and values:
                values[chance.randrange(len(values))] = chance.choice(edges)
            tensors[i] = dtype, shape, values
        call(function, tensors)
sys.exit(failures > 0)
