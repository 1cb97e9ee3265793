"""Where the frames of one multi-frame DICOM file lie.

ITK's reader knows it for frames in ascending, even order alone; to others it gives a spacing of 1 mm or a negative one
without a word, and it takes time points for slices. So the positions that the file states are read from its bytes.
"""

from __future__ import annotations

import mmap
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

_NUMBERS = re.compile(rb" *[-+]?[0-9.]+(?:[eE][-+]?[0-9]+)? *(?:\\ *[-+]?[0-9.]+(?:[eE][-+]?[0-9]+)? *)*\0?")
_LONGEST = 110
"""Bytes of six numbers."""

_POSITION, _ORIENTATION, _SPACING = b"\x20\x00\x32\x00", b"\x20\x00\x37\x00", b"\x28\x00\x30\x00"
"""ImagePositionPatient, ImageOrientationPatient, PixelSpacing; little endian, as all files of today."""


@dataclass(frozen=True)
class Frames:
    """What a file states of its frames.

    Attributes
    ----------
    positions : of each frame, in the file's order; LPS, mm.
    axes : the different orientations of rows and columns that occur.
    spacings : the different distances of rows and columns that occur, mm.
    """

    positions: tuple[tuple[float, ...], ...]
    axes: tuple[tuple[float, ...], ...]
    spacings: tuple[tuple[float, ...], ...]


def read_frames(file: Path) -> Frames | None:
    """Read what a file states of its frames, or None where it states no more than one position."""
    with file.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as content:
        positions = tuple(_values(content, _POSITION, 3))
        if len(positions) < 2:
            return None
        axes, spacings = _values(content, _ORIENTATION, 6), _values(content, _SPACING, 2)
        return Frames(positions, _different(axes), _different(spacings))


def _values(content: mmap.mmap, tag: bytes, count: int) -> Iterator[tuple[float, ...]]:
    """Every value of a tag, however deep in sequences; its representation is explicit (``DS``) or implicit."""
    for found in re.finditer(re.escape(tag) + rb"(?:DS(..)|(..)\0\0)", content, re.DOTALL):
        length = int.from_bytes(found[1] or found[2], "little")
        text = content[found.end() : found.end() + length] if length <= _LONGEST else b""
        if _NUMBERS.fullmatch(text):
            try:
                values = tuple(float(one) for one in text.rstrip(b"\0 ").split(b"\\"))
            except ValueError:
                continue
            if len(values) == count and bool(np.all(np.isfinite(values))):
                yield values


def _different(values: Iterator[tuple[float, ...]]) -> tuple[tuple[float, ...], ...]:
    found: list[tuple[float, ...]] = []
    for one in values:
        if not any(np.allclose(one, other, rtol=1e-3, atol=1e-3) for other in found):
            found.append(one)
    return tuple(found)
