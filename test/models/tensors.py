"""Reads safetensors files, and writes token ids, with Python's own library, for the scripts beside it."""

import array, json, struct
from pathlib import Path

codes = {"F32": "f", "I32": "i", "I64": "q"}


def load(path):
    """{name: (shape, array)}; tensors of other types are left out."""
    blob = Path(path).read_bytes()
    length = struct.unpack("<Q", blob[:8])[0]
    out = {}
    for name, t in json.loads(blob[8 : 8 + length]).items():
        if name != "__metadata__" and t["dtype"] in codes:
            first, last = t["data_offsets"]
            out[name] = t["shape"], array.array(
                codes[t["dtype"]], blob[8 + length + first : 8 + length + last]
            )
    return out


def load_raw(path):
    """{name: (dtype, shape, bytes)} of all tensors."""
    blob = Path(path).read_bytes()
    length = struct.unpack("<Q", blob[:8])[0]
    head = json.loads(blob[8 : 8 + length])
    head.pop("__metadata__", None)
    return {
        n: (
            t["dtype"],
            t["shape"],
            blob[8 + length + t["data_offsets"][0] : 8 + length + t["data_offsets"][1]],
        )
        for n, t in head.items()
    }


def save_raw(path, tensors):
    head, data = {}, b""
    for name, (dtype, shape, content) in tensors.items():
        head[name] = {
            "dtype": dtype,
            "shape": shape,
            "data_offsets": [len(data), len(data) + len(content)],
        }
        data += content
    text = json.dumps(head).encode()
    text += b" " * (-len(text) % 8)
    Path(path).write_bytes(struct.pack("<Q", len(text)) + text + data)


def save_ids(path, rows):
    data = b"".join(struct.pack(f"<{len(row)}q", *row) for row in rows)
    head = json.dumps(
        {
            "input_ids": {
                "dtype": "I64",
                "shape": [len(rows), len(rows[0])],
                "data_offsets": [0, len(data)],
            }
        }
    ).encode()
    head += b" " * (-len(head) % 8)
    Path(path).write_bytes(struct.pack("<Q", len(head)) + head + data)
