"""Reads safetensors files with Python's own library, for the scripts beside it."""
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
            out[name] = t["shape"], array.array(codes[t["dtype"]], blob[8 + length + first : 8 + length + last])
    return out
