"""Errors for files that are not whole, and what a header leaves open."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from ...errors import InputError
from ...words import shown
from .formats import suffix_of

LONGEST = 8 * 512 * 512 * 1024
"""Bytes of the largest volume that is read, as doubles. What states more is not unpacked to see whether it is true."""

SIDES_UNKNOWN = "The file does not state how the patient lies ({why}): left and right may be swapped."

_KINDS = {".nii": "NIfTI", ".nii.gz": "NIfTI", ".hdr": "NIfTI", ".img": "NIfTI", ".nrrd": "NRRD",
          ".nhdr": "NRRD", ".mha": "MetaImage",
          ".mhd": "MetaImage", ".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".bmp": "BMP", ".tif": "TIFF",
          ".tiff": "TIFF"}


def damaged(path: Path, why: str) -> InputError:
    """The error for a file that is not what its name says."""
    return InputError(f'"{shown(path.name)}" is damaged or not a valid {_KINDS.get(suffix_of(path), "DICOM")} file '
                      f"({why.strip().rstrip('.')}).", "Copy, convert or export it again from its source.")


def refuse_giant(path: Path, sizes: Sequence[int], item: int) -> None:
    """Refuse a header that promises more than is ever read, before anything is unpacked."""
    if math.prod(sizes) * item > LONGEST:
        raise InputError(f'"{shown(path.name)}" states {" x ".join(map(str, sizes))} voxels, more than the limit.',
                         "Crop or resample it first.")


def not_finite(name: str, voxels: int) -> InputError:
    """The error for a scan with voxels that are no numbers."""
    return InputError(f'"{shown(name)}" holds {voxels:,} voxels that are not finite numbers (NaN or infinite).',
                      "Replace them, for example by the background value, and try again.")


def expect(path: Path, length: int, needed: int) -> None:
    """Refuse a file that is shorter than its header states."""
    if length < needed:
        raise damaged(path, f"it ends after {length:,} of {needed:,} bytes")
