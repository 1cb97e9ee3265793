"""One array as NIfTI, packed fast, and whole."""

from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk  # noqa: N813 - its customary name

from ..scan.geometry import Geometry
from ..scan.io.nifti import NiftiForms
from ..scan.volume import SAME_GRID_MM, to_sitk

NOTE_LENGTH = 79
"""Letters of NIfTI's description."""

_HEADER = 352
_GZIP_HEADER = b"\x1f\x8b\x08\0\0\0\0\0\0\xff"
_LAST_BLOCK = b"\x03\0"
"""Empty, and marked as the last one of a deflate stream."""

_PIECE, _SAMPLE, _WORTH = 1 << 17, 1 << 8, 0.8
"""Bytes that are packed or stored as one; bytes at every sixteenth place that are looked at; and the share of these
that packing may leave at most.
"""



def write_nifti(path: Path, array: np.ndarray[Any, Any], geometry: Geometry, note: str,
                forms: NiftiForms | None = None) -> None:
    """Write an array KJI on its grid as ``.nii.gz``; ``note`` is its description, `NOTE_LENGTH` letters at most.

    ``forms`` are both positions of the scan with their codes: the file gets them as they are, so that it lies on the
    scan whichever of them a program goes by.

    Raises ``OSError`` or ``RuntimeError`` where it cannot be written whole.
    """
    image = to_sitk(np.ascontiguousarray(array), geometry)
    image.SetMetaData("ITK_FileNotes", note.encode("ascii", "replace").decode("ascii")[:NOTE_LENGTH])
    plain = path.with_name(path.name.removesuffix(".gz"))
    sitk.WriteImage(image, str(plain))
    del image
    if forms is not None and _lies_there(forms, geometry):
        _state_forms(plain, forms)
    _pack(plain, path)
    plain.unlink()
    _expect_whole(path, _HEADER + array.nbytes)


def _lies_there(forms: NiftiForms, geometry: Geometry) -> bool:
    """Whether the position that counts is that of the grid; a scan that was moved or resampled has left it."""
    sform = forms.sform()
    stated = forms.qform() if sform is None else sform
    return stated is not None and bool(
        (np.abs(stated - geometry.ijk_to_ras) @ [*geometry.size_ijk, 1]).max() < SAME_GRID_MM)


def _state_forms(plain: Path, forms: NiftiForms) -> None:
    """Replace the positions in the header of a file that ITK wrote."""
    with plain.open("r+b") as file:
        for place, layout, values in ((76, "4f", forms.pixdim), (252, "2h", forms.codes),
                                      (256, "6f", forms.quaternion), (280, "12f", forms.rows)):
            file.seek(place)
            file.write(struct.pack(f"={layout}", *values))


def _pack(plain: Path, packed: Path) -> None:
    """Gzip a file piece by piece, each as `_deflated` finds it worth, as one stream that every program unpacks."""
    checksum = length = 0
    with plain.open("rb") as source, packed.open("wb") as target:
        target.write(_GZIP_HEADER)
        while piece := source.read(_PIECE):
            checksum, length = zlib.crc32(piece, checksum), length + len(piece)
            target.write(_deflated(piece))
        target.write(_LAST_BLOCK + struct.pack("<2I", checksum, length % (1 << 32)))


def _deflated(piece: bytes) -> bytes:
    """A part of a deflate stream that ends at a whole byte, so that each part can be packed in its own way.

    Maps of floats hold hardly any pattern: packed they are a tenth smaller, which takes a tenth of a whole scan's time
    (docs/PERFORMANCE.md). So they are stored; what has runs, such as labels and empty slices, is packed.
    """
    sample = b"".join(piece[start : start + _SAMPLE] for start in range(0, len(piece), 32 * _SAMPLE))
    level = 1 if len(zlib.compress(sample, 1)) < _WORTH * len(sample) else 0
    stream = zlib.compressobj(level, zlib.DEFLATED, -zlib.MAX_WBITS, zlib.DEF_MEM_LEVEL, zlib.Z_RLE)
    return stream.compress(piece) + stream.flush(zlib.Z_FULL_FLUSH)


def _expect_whole(path: Path, length: int) -> None:
    """Raise ``OSError`` unless a gzip file states the length that it should have: ITK is silent about a full disk.

    The length is the last thing that is written, so whatever was cut off before shows here without unpacking.
    """
    with path.open("rb") as file:
        file.seek(-4, os.SEEK_END)
        stated = int.from_bytes(file.read(4), "little")
    if stated != length % (1 << 32):
        raise OSError(f"only a part of {path.name} could be written")
