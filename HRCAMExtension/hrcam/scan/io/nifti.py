"""NIfTI: is the file whole, and which of its two positions counts?

A header may state where the scan lies twice: as qform (turn and shift) and as sform (any matrix), each with a code that
says to which space it leads. By the standard's rule the sform counts where its code is not 0, else the qform.
"""

from __future__ import annotations

import gzip
import math
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
import numpy.typing as npt

from ...errors import InputError
from ...words import shown
from .damage import SIDES_UNKNOWN, damaged, expect, not_finite, refuse_giant

Matrix = npt.NDArray[np.float64]

_CHUNK = 1 << 20  # a multiple of every voxel size
_TRAILER = 16 << 20
"""Bytes that may follow the voxels; more is a decompression bomb or another file."""

_SIDES_CONTRADICT = ("The file states two orientations that contradict each other (qform and sform): the sform was "
                     "taken, left and right may be swapped.")
_PLACES_CONTRADICT = ("The file states two positions, up to {apart:.0f} mm apart (qform and sform): the sform was "
                      "taken.")
_SHEARED = "The sform of the file is sheared or singular, which no grid can be: the qform was taken."
_SIZES_CONTRADICT = "The file states two voxel sizes that contradict each other: sizes in mm and ml may be wrong."
_TURN_TOLERANCE = 0.05
"""Largest difference of direction cosines (about 3 degrees) that still is one orientation."""
_PLACE_TOLERANCE_MM = 1.0
_SIZE_TOLERANCE = 0.02
_SHEAR_TOLERANCE = 1e-3

_MILLIMETERS = {1: 1000.0, 3: 0.001}
"""Code of the unit of lengths (meter, micrometer) to mm; others are mm or not stated."""

_BYTES = {2: 1, 4: 2, 8: 4, 16: 4, 32: 8, 64: 8, 128: 3, 256: 1, 512: 2, 768: 4, 1024: 8, 1280: 8, 1536: 16,
                1792: 16, 2048: 32, 2304: 4}
"""Datatype to bytes a voxel. ITK goes by the datatype, so the header's own number of bits may not be believed."""



@dataclass(frozen=True)
class NiftiForms:
    """Both positions of a NIfTI header as they stand there, in mm: the header may state meters or micrometers.

    Attributes
    ----------
    codes : of qform and sform; 0 where it is not set.
    pixdim : qfac (negative for a left-handed qform) and the distances along i, j, k in mm.
    quaternion : of the qform: b, c, d, and its shift in mm, RAS.
    rows : of the sform, three rows of four, index to RAS mm.
    """

    codes: tuple[int, int]
    pixdim: tuple[float, ...]
    quaternion: tuple[float, ...]
    rows: tuple[float, ...]

    def sform(self) -> Matrix | None:
        """4x4, index to RAS mm; None where its code is 0 or it is sheared or singular."""
        if self.codes[1] <= 0:
            return None
        matrix = np.vstack([np.reshape(self.rows, (3, 4)).astype(np.float64), [0, 0, 0, 1]])
        lengths = np.linalg.norm(matrix[:3, :3], axis=0)
        if not lengths.all():
            return None
        turned = matrix[:3, :3] / lengths
        return matrix if np.abs(turned.T @ turned - np.eye(3)).max() <= _SHEAR_TOLERANCE else None

    def qform(self) -> Matrix | None:
        """4x4, index to RAS mm; None where its code is 0."""
        if self.codes[0] <= 0:
            return None
        b, c, d = (float(q) for q in self.quaternion[:3])
        a = math.sqrt(max(0.0, 1.0 - b * b - c * c - d * d))
        turned = np.array([
            [a * a + b * b - c * c - d * d, 2 * (b * c - a * d), 2 * (b * d + a * c)],
            [2 * (b * c + a * d), a * a + c * c - b * b - d * d, 2 * (c * d - a * b)],
            [2 * (b * d - a * c), 2 * (c * d + a * b), a * a + d * d - b * b - c * c],
        ])
        matrix = np.eye(4)
        matrix[:3, :3] = turned * (1.0, 1.0, -1.0 if self.pixdim[0] < 0 else 1.0) * np.abs(self.pixdim[1:4])
        matrix[:3, 3] = self.quaternion[3:]
        return matrix


@dataclass(frozen=True)
class _Header:
    """What is checked: bytes before the voxels, bytes in all, NumPy type of float voxels (or none), bytes of a voxel,
    voxels along each axis; what it states of its position; and the shift of values that counts for nothing, since no
    slope goes with it.
    """

    offset: int
    needed: int
    floats: str
    item: int
    sizes: tuple[int, ...]
    forms: NiftiForms
    void_shift: float


def check_nifti(path: Path) -> tuple[NiftiForms, float, tuple[str, ...]]:
    """Read a NIfTI file or pair to its end; its positions, a shift of values that is void by the standard but that ITK
    adds (else 0), and notes on what the positions leave open.

    Raises ``InputError``, or what gzip raises, where it is not whole.
    """
    data = path if path.suffix.lower() != ".hdr" else path.with_suffix(".img" if path.suffix == ".hdr" else ".IMG")
    with path.open("rb") as file:
        stream = _unpacked(file)
        if stream is not file and path.suffix.lower() == ".nii":
            raise damaged(path, "it is packed with gzip: name it .nii.gz")
        header = _header(path, stream.read(348))
    with data.open("rb") as file:
        stream = _unpacked(file)
        length, bad = 0, 0
        for chunk in _chunks(stream, header.offset):
            if header.floats and length >= header.offset:
                whole = max(0, min(len(chunk), header.needed - length)) // header.item
                bad += whole - int(np.isfinite(np.frombuffer(chunk, header.floats, whole)).sum())
            length += len(chunk)
            if length > header.needed + _TRAILER:
                raise damaged(path, f"it unpacks to far more than the {header.needed:,} bytes its header states")
        expect(path, length, header.needed)
    if bad:
        raise not_finite(path.name, bad)
    return header.forms, header.void_shift, _notes(header.forms, header.sizes)


def _unpacked(file: IO[bytes]) -> IO[bytes]:
    packed = file.read(2) == b"\x1f\x8b"
    file.seek(0)
    return gzip.GzipFile(fileobj=file) if packed else file  # type: ignore[return-value]


def _chunks(stream: IO[bytes], first: int) -> Iterator[bytes]:
    """The ``first`` bytes, then the others, in pieces of bounded size that never hold both."""
    while first and (chunk := stream.read(min(first, _CHUNK))):
        first -= len(chunk)
        yield chunk
    while chunk := stream.read(_CHUNK):
        yield chunk


def _header(path: Path, header: bytes) -> _Header:
    """Read a NIfTI-1 header of either byte order; refuse sizes and positions that ITK would mend silently.

    ITK turns a spacing of 0 or NaN into 1 mm, and voxels of NaN into 0.
    """
    if len(header) < 348:
        raise damaged(path, "the header is cut short")
    pair = path.suffix.lower() == ".hdr"
    for order in "<>":
        version = struct.unpack_from(f"{order}i", header)[0]
        if version == 348 and header[344:348] == (b"ni1\0" if pair else b"n+1\0"):
            dim = struct.unpack_from(f"{order}8h", header, 40)
            kind = struct.unpack_from(f"{order}h", header, 70)[0]
            pixdim = struct.unpack_from(f"{order}4f", header, 76)
            offset = struct.unpack_from(f"{order}f", header, 108)[0]
            codes = struct.unpack_from(f"{order}2h", header, 252)
            places = struct.unpack_from(f"{order}6f", header, 256), struct.unpack_from(f"{order}12f", header, 280)
            scale = _MILLIMETERS.get(header[123] & 7, 1.0)
            if scale != 1.0:
                pixdim = (pixdim[0], *(scale * one for one in pixdim[1:]))
                places = ((*places[0][:3], *(scale * one for one in places[0][3:])),
                          tuple(scale * one for one in places[1]))
        elif version == 540 and header[4:7] == b"n+2":
            raise InputError(f'"{shown(path.name)}" is a NIfTI-2 file, which ITK cannot read.',
                             "Save it as NIfTI-1 or NRRD.")
        elif version == 348 and pair:
            raise InputError(f'"{shown(path.name)}" is an Analyze file, which does not state which side is left.',
                             "Convert the scan from its source to NIfTI or NRRD.")
        else:
            continue
        if not 1 <= dim[0] <= 7 or min(dim[1 : dim[0] + 1]) < 1 or not (0 if pair else version) <= offset < 1 << 31:
            raise damaged(path, f"impossible dimensions {dim[0]}: {', '.join(map(str, dim[1:]))}")
        forms = NiftiForms(codes, pixdim, *places)
        placed = forms.sform() is not None  # it states the spacing too
        if not placed and not all(math.isfinite(s) and s != 0 for s in pixdim[1 : 1 + min(dim[0], 3)]):
            raise damaged(path, f"the spacing {' x '.join(f'{s:g}' for s in pixdim[1:])} mm is impossible")
        if not all(math.isfinite(v) for used, values in zip(codes, places, strict=True) if used > 0 for v in values):
            raise damaged(path, "its position in space is not finite")
        item = _BYTES.get(kind)
        if item is None:
            raise damaged(path, f"unknown type of voxels {kind}")
        sizes = dim[1 : dim[0] + 1]
        refuse_giant(path, sizes, item)
        floats = f"{order}f{item}" if kind in (16, 64) else ""
        slope, shift = struct.unpack_from(f"{order}2f", header, 112)
        return _Header(int(offset), int(offset) + math.prod(sizes) * item, floats, item, sizes, forms,
                       shift if slope == 0 and math.isfinite(shift) else 0.0)
    raise damaged(path, "the NIfTI signature is missing")


def _notes(forms: NiftiForms, sizes: Sequence[int]) -> tuple[str, ...]:
    """What the positions leave open, and which of two that differ was taken."""
    if max(forms.codes) <= 0:
        return (SIDES_UNKNOWN.format(why="qform and sform are not set"),)
    sform, qform = forms.sform(), forms.qform()
    if sform is None:
        return (_SHEARED,) if forms.codes[1] > 0 and qform is not None else ()
    notes = []
    lengths = np.linalg.norm(sform[:3, :3], axis=0)
    if qform is not None:
        if np.abs((qform / np.linalg.norm(qform, axis=0))[:3, :3] - sform[:3, :3] / lengths).max() > _TURN_TOLERANCE:
            notes.append(_SIDES_CONTRADICT)
        elif (apart := _apart(sform, qform, sizes)) > _PLACE_TOLERANCE_MM:
            notes.append(_PLACES_CONTRADICT.format(apart=apart))
    stated = np.abs(forms.pixdim[1 : 1 + min(len(sizes), 3)])
    if np.any(np.abs(lengths[: len(stated)] - stated) > _SIZE_TOLERANCE * stated):
        notes.append(_SIZES_CONTRADICT)
    return tuple(notes)


def _apart(one: Matrix, other: Matrix, sizes: Sequence[int]) -> float:
    """Largest distance of the scan's corners in mm."""
    last = [n - 1 for n in (*sizes, 1, 1)[:3]]
    corners = np.array(np.meshgrid(*([0, n] for n in last), [1])).reshape(4, -1)
    return float(np.linalg.norm(((one - other) @ corners)[:3], axis=0).max())
