"""Raw NRRD files between the GUI and its worker: written and mapped into memory at the disk's own speed.

SimpleITK copies every array into an image of its own first, which a click in a large volume has to wait for.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

TYPES = {
    "int8": "signed char", "uint8": "unsigned char", "int16": "short", "uint16": "unsigned short",
    "int32": "int", "uint32": "unsigned int", "int64": "longlong", "uint64": "ulonglong",
    "float32": "float", "float64": "double",
}
"""numpy's name of a type to NRRD's."""

_MAX_HEADER_BYTES = 1 << 16


def header(
    array: npt.NDArray[np.generic], ijk_to_lps: npt.NDArray[np.float64], keys: Mapping[str, str] | None = None
) -> bytes:
    """Header of a raw, little-endian file for an array KJI on a grid (4x4, mm), blank line included.

    ``keys`` are written as NRRD's key/value pairs, for readers to show.
    """
    vectors = " ".join("({})".format(",".join(repr(float(v)) for v in ijk_to_lps[:3, axis])) for axis in range(3))
    lines = [
        "NRRD0005",
        f"type: {TYPES[array.dtype.name]}",
        "dimension: 3",
        "space: left-posterior-superior",
        "sizes: {} {} {}".format(*array.shape[::-1]),
        f"space directions: {vectors}",
        "kinds: domain domain domain",
        "endian: little",
        "encoding: raw",
        "space origin: ({})".format(",".join(repr(float(v)) for v in ijk_to_lps[:3, 3])),
    ]
    for key, value in (keys or {}).items():
        lines.append("{}:={}".format(key, value.replace("\\", "\\\\").replace("\n", "\\n")))
    return ("\n".join(lines) + "\n\n").encode("utf-8")


def write_raw(
    path: Path, array: npt.NDArray[np.generic], ijk_to_lps: npt.NDArray[np.float64],
    keys: Mapping[str, str] | None = None,
) -> None:
    """Write an array KJI on a grid (4x4, mm) as one raw file. Raises ``OSError`` where the disk does not take it."""
    voxels = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
    with path.open("wb") as file:
        file.write(header(voxels, ijk_to_lps, keys))
        file.write(voxels.data.cast("B"))


def open_raw(path: Path) -> npt.NDArray[np.generic]:
    """Voxels KJI of a raw NRRD file with three axes, mapped into memory: only what is looked at is read.

    Raises ``ValueError`` for any other file, or one whose size is not what its header says.
    """
    with path.open("rb") as file:
        start = file.read(_MAX_HEADER_BYTES)
    head, blank, _rest = start.partition(b"\n\n")
    if not head.startswith(b"NRRD") or not blank:
        raise ValueError(f"{path.name} is no NRRD file")
    offset = len(head) + len(blank)
    fields = dict(line.split(": ", 1) for line in head.decode("utf-8", "replace").splitlines() if ": " in line)
    types = {nrrd: numpy for numpy, nrrd in TYPES.items()}
    sizes = [int(number) for number in fields.get("sizes", "").split()]
    if fields.get("encoding") != "raw" or fields.get("type") not in types or len(sizes) != 3:
        raise ValueError(f"{path.name} is no raw NRRD volume")
    dtype = np.dtype(types[fields["type"]]).newbyteorder(">" if fields.get("endian") == "big" else "<")
    if path.stat().st_size != offset + dtype.itemsize * int(np.prod(sizes)):
        raise ValueError(f"{path.name} is incomplete")
    return np.memmap(path, dtype=dtype, mode="r", offset=offset, shape=tuple(sizes[::-1]))
