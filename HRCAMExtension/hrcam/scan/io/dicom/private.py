"""What makers state in elements of their own: b-values of diffusion, and slices laid out side by side.

Sources: the makers' conformance statements, as pydicom's private dictionary and dcm2niix have them.
"""

from __future__ import annotations

import struct
from typing import Any

from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.tag import BaseTag, Tag

_B_VALUES = {
    Tag(0x0019100C): "SIEMENS MR HEADER",
    Tag(0x00431039): "GEMS_PARM_01",
    Tag(0x20011003): "Philips Imaging DD 001",
    Tag(0x00651009): "Image Private Header",
}
"""Element to the creator of its block; the last one is United Imaging's."""
_MOSAIC, _MOSAIC_CREATOR = Tag(0x0019100A), "SIEMENS MR HEADER"
_GE_OFFSET = 100_000
"""GE adds multiples of it to a b-value."""

PRIVATE_TAGS = sorted({_MOSAIC, *_B_VALUES, *(Tag(tag.group, 0x10) for tag in (_MOSAIC, *_B_VALUES))})
"""Elements that are read, and those that name the creators of their blocks."""


def b_value(dataset: Dataset) -> float | None:
    """Diffusion weighting in s/mm² as the maker states it; None where none does."""
    for tag, creator in _B_VALUES.items():
        found = _number(dataset, tag, creator)
        if found is not None:
            return found % _GE_OFFSET if creator == "GEMS_PARM_01" else found
    return None


def slices_in_mosaic(dataset: Dataset) -> int:
    """Number of slices that a picture of Siemens shows side by side; 0 where it is none."""
    return int(_number(dataset, _MOSAIC, _MOSAIC_CREATOR) or 0)


def _number(dataset: Dataset, tag: BaseTag, creator: str) -> float | None:
    """The first number of a private element; None where the block is another maker's, or it holds no number."""
    try:
        if str(dataset[Tag(tag.group, 0x10)].value).strip() != creator:
            return None
        value: Any = dataset[tag].value
        if isinstance(value, bytes):  # its representation is not stated
            value = _unpacked(value)
        return float(value[0] if isinstance(value, (MultiValue, list)) else value)
    except (KeyError, ValueError, TypeError, IndexError, struct.error):
        return None


def _unpacked(value: bytes) -> float | str:
    text = value.split(b"\\")[0].strip(b" \0")
    if text.replace(b".", b"").replace(b"-", b"").isdigit():
        return text.decode("ascii")
    kinds = {2: "<H", 4: "<f", 8: "<d"}
    return float(struct.unpack(kinds.get(len(value), "<d"), value)[0])
