"""Pictures (PNG, JPEG, BMP, TIFF), by Pillow: whole, upright, and gray."""

from __future__ import annotations

import struct
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, ImageSequence, TiffImagePlugin, UnidentifiedImageError

from ...errors import InputError
from ...words import reason, shown
from .damage import damaged, refuse_giant
from .formats import suffix_of

GRAY_TOLERANCE = 3
"""Largest difference of the colors (of 255) in a picture that is gray; JPEG's color transform rounds."""

_FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".bmp": "BMP", ".tif": "TIFF", ".tiff": "TIFF"}
_PHOTOMETRIC, _WHITE_IS_ZERO = 262, 0
_SAMPLE_FORMAT, _UNSIGNED, _SIGNED = 339, 1, 2
"""Elements of a TIFF that say what its numbers mean."""
_FAILURES = (OSError, ValueError, SyntaxError, EOFError, OverflowError, struct.error, KeyError, TypeError, IndexError,
             ZeroDivisionError)
"""What Pillow's readers raise for bad files."""


def read_picture(path: Path) -> npt.NDArray[Any]:
    """Values of a gray picture KJI, K being the pages of a TIFF, turned upright as its EXIF data say.

    Raises ``InputError`` where it is damaged, in color, partly transparent, or too large.
    """
    if _FORMATS[suffix_of(path)] == "JPEG":
        _check_marks(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's, on large pictures and broken tags
            # Pillow maps named files into memory, and scrambles plain TIFF that is turned by a quarter: not open ones.
            with path.open("rb") as file, Image.open(file, formats=[_FORMATS[suffix_of(path)]]) as picture:
                _refuse_deep_colors(path, picture)
                pages = getattr(picture, "n_frames", 1) if picture.format == "TIFF" else 1
                refuse_giant(path, (*picture.size, pages), np.dtype(np.float64).itemsize)
                shots = ImageSequence.Iterator(picture) if pages > 1 else [picture]
                read = [_values(path, one) for one in shots]
    except Image.DecompressionBombError:
        raise InputError(f'"{shown(path.name)}" states more than the limit of pixels.', "Crop or resample it first.") \
            from None
    except UnidentifiedImageError:
        raise _unidentified(path) from None
    except MemoryError:
        raise InputError(f'There is not enough memory to read "{shown(path.name)}".',
                         "Close other programs, or crop or resample the picture.") from None
    except _FAILURES as error:
        raise damaged(path, reason(error, 160) or "unreadable") from None
    if len({one.shape for one in read}) > 1:
        raise InputError(f'The pages of "{shown(path.name)}" differ in size.', "Save each picture by itself.")
    return np.stack(read)


def gray_of(path: Path, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The one gray value of pixels whose colors (last axis; one or three, and perhaps their opacity) are equal.

    Raises ``InputError`` for colors that differ, and where the picture is partly transparent.
    """
    count = values.shape[-1]
    colors, opacity = values[..., : 3 if count >= 3 else 1], values[..., 3 if count >= 3 else 1 :]
    if np.ptp(colors.astype(np.float32), axis=-1).max() > GRAY_TOLERANCE:
        raise InputError(f'"{shown(path.name)}" is a color picture.', "Give a gray-scale image without annotations.")
    if opacity.size and opacity.min() != opacity.max():
        raise InputError(f'"{shown(path.name)}" is partly transparent.', "Save it without transparency.")
    return values[..., 0]


def _unidentified(path: Path) -> InputError:
    """Why Pillow knows no picture in a file; ``Image.open`` does not tell."""
    try:
        with path.open("rb") as file, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            TiffImagePlugin.TiffImageFile(file)
    except _FAILURES as error:
        if "pixel mode" in str(error):
            return InputError(f'The pixels of "{shown(path.name)}" are of a kind that is not read (such as floats of '
                              "64 bits).", "Save it with 8 or 16 bits a pixel, or as NRRD or NIfTI.")
    return damaged(path, "its header cannot be read")


def _refuse_deep_colors(path: Path, picture: Image.Image) -> None:
    """Pillow would read 16 bits a color as 8."""
    if picture.mode in ("RGB", "RGBA") and any("16" in str(tile[3]) for tile in getattr(picture, "tile", ())):
        raise InputError(f'"{shown(path.name)}" is a color picture of 16 bits a color.',
                         "Save it as a gray-scale picture of 16 bits.")


def _values(path: Path, shot: Image.Image) -> npt.NDArray[Any]:
    """Gray values of a picture or page, upright."""
    stated = getattr(shot, "tag_v2", {})
    inverse, (sign, *_) = stated.get(_PHOTOMETRIC) == _WHITE_IS_ZERO, stated.get(_SAMPLE_FORMAT, (0,))
    picture = ImageOps.exif_transpose(shot)
    if picture.mode in ("LA", "La", "PA"):
        picture = picture.convert("LA")
    elif picture.mode == "P":
        picture = picture.convert("RGBA" if "transparency" in picture.info else "RGB")
    elif picture.mode in ("CMYK", "YCbCr", "LAB", "HSV", "RGBa"):
        picture = picture.convert("RGB")
    values = np.asarray(picture)
    if (picture.mode, sign) in (("I", _UNSIGNED), ("L", _SIGNED)):  # Pillow has one mode for both signs
        values = values.view("u4" if sign == _UNSIGNED else "i1")
    if inverse and picture.mode not in ("1", "L"):  # those Pillow turns over itself
        values = np.iinfo(values.dtype).max - values if values.dtype.kind == "u" else -values.astype(np.float64)
    return gray_of(path, values) if values.ndim > 2 else values


def _check_marks(path: Path) -> None:
    """Refuse a JPEG without its signature or its end: Pillow fills with gray what is missing."""
    content = path.read_bytes()
    if not content.startswith(b"\xff\xd8"):
        raise damaged(path, "the JPEG signature is missing")
    if content.rfind(b"\xff\xd9") < content.find(b"\xff\xda"):
        raise damaged(path, "its end is missing")
