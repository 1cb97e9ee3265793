"""Raw NRRD files on the same machine: written and opened without a library and without copying more than is needed."""

from __future__ import annotations

from pathlib import Path

import numpy as np

TYPES = {
    "int8": "signed char", "uint8": "unsigned char", "int16": "short", "uint16": "unsigned short",
    "int32": "int", "uint32": "unsigned int", "int64": "longlong", "uint64": "ulonglong",
    "float32": "float", "float64": "double",
}
"""numpy's name of a type to NRRD's."""

_MAX_HEADER_BYTES = 1 << 16


def header(array: np.ndarray, ijkToLps: np.ndarray) -> bytes:
    """Header of a raw, little-endian file for an array KJI on a grid (4x4, mm), blank line included."""
    vectors = " ".join("({})".format(",".join(repr(float(v)) for v in ijkToLps[:3, axis])) for axis in range(3))
    lines = (
        "NRRD0004",
        f"type: {TYPES[array.dtype.name]}",
        "dimension: 3",
        "space: left-posterior-superior",
        "sizes: {} {} {}".format(*array.shape[::-1]),
        f"space directions: {vectors}",
        "kinds: domain domain domain",
        "endian: little",
        "encoding: raw",
        "space origin: ({})".format(",".join(repr(float(v)) for v in ijkToLps[:3, 3])),
    )
    return ("\n".join(lines) + "\n\n").encode("ascii")


def openRaw(path: Path) -> np.ndarray:
    """Voxels KJI of a raw NRRD file with three axes, mapped into memory: only what is looked at is read.

    Raises ``ValueError`` for any other file, or one whose size is not what its header says.
    """
    with path.open("rb") as file:
        start = file.read(_MAX_HEADER_BYTES)
    head, blank, _rest = start.partition(b"\n\n")
    if not head.startswith(b"NRRD") or not blank:
        raise ValueError(f"{path.name} is no NRRD file")
    offset = len(head) + len(blank)
    fields = dict(line.split(": ", 1) for line in head.decode("ascii", "replace").splitlines() if ": " in line)
    types = {theirs: ours for ours, theirs in TYPES.items()}
    sizes = [int(number) for number in fields.get("sizes", "").split()]
    if fields.get("encoding") != "raw" or fields.get("type") not in types or len(sizes) != 3:
        raise ValueError(f"{path.name} is no raw NRRD volume")
    order = ">" if fields.get("endian") == "big" else "<"
    dtype = np.dtype(types[fields["type"]]).newbyteorder(order)
    if path.stat().st_size != offset + dtype.itemsize * int(np.prod(sizes)):
        raise ValueError(f"{path.name} is incomplete")
    return np.memmap(path, dtype=dtype, mode="r", offset=offset, shape=tuple(sizes[::-1]))
