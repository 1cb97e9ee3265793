"""One DICOM file's header, by pydicom: opened safely, large values left on disk, values as plain numbers and texts."""

from __future__ import annotations

import io
import math
import warnings
import zlib
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO

import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filereader import read_dataset
from pydicom.tag import BaseTag
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from .private import PRIVATE_TAGS
from .signature import form_of

FALSE_LENGTH = "it is cut short or states a false length"

PIXEL_ELEMENTS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")

GE_BIG_ENDIAN_PIXELS = UID("1.2.840.113619.5.2")
"""An old syntax of GE: implicit elements, little endian but for the pixels."""

_IMPLICIT = (ImplicitVRLittleEndian, GE_BIG_ENDIAN_PIXELS)

_MOST_UNPACKED = 1 << 29
"""Bytes that a deflated file may unpack to."""

_DEFERRED = 1 << 14
"""Bytes of a value from which on it stays on disk."""

_WANTED = (
    "SpecificCharacterSet", "ImageType", "SOPClassUID", "SOPInstanceUID", "Modality", "SeriesDescription",
    "SliceThickness", "SpacingBetweenSlices", "EchoTime", "InversionTime", "TriggerTime", "FlipAngle",
    "DiffusionBValue", "DiffusionGradientOrientation", "ComplexImageComponent", "AcquisitionTime",
    "NominalCardiacTriggerDelayTime", "StudyInstanceUID", "SeriesInstanceUID", "SeriesNumber", "AcquisitionNumber",
    "InstanceNumber", "ImagePositionPatient", "ImageOrientationPatient", "TemporalPositionIdentifier",
    "ImagesInAcquisition", "ConcatenationUID", "InConcatenationTotalNumber", "StackID", "SamplesPerPixel",
    "PhotometricInterpretation", "PlanarConfiguration", "NumberOfFrames", "Rows", "Columns", "PixelSpacing",
    "ImagerPixelSpacing", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "PixelPaddingValue",
    "PixelPaddingRangeLimit", "RescaleIntercept", "RescaleSlope", "ModalityLUTSequence",
    "DetectorInformationSequence", "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence",
    *PIXEL_ELEMENTS,
)
_TAGS = [*(pydicom.tag.Tag(word) for word in _WANTED), *PRIVATE_TAGS]

_ASCII = {"CS", "DS", "IS", "UI"}
"""Representations of plain letters and decimals: split here, since pydicom's own objects for them take most of the time
of a long list of files.
"""


def read_header(path: Path, everything: bool = False) -> Dataset | None:
    """Read a file's elements (those that place and explain its pixels, or all of them); None where it is no DICOM.

    Values above 16 kB stay on disk: their place is found with ``stored_at``. The result has ``file_meta``.

    Raises
    ------
    OSError : the file cannot be opened.
    ValueError : in words, where it is damaged: cut short, a false length, endless sequences.
    """
    with path.open("rb") as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom's remarks on values that break the standard
        begin = form_of(file.read(132))
        if not begin:
            return None
        file.seek(0)
        try:
            return _read(file, begin, everything)
        except (_DamagedError, MemoryError):
            raise
        except RecursionError:
            raise ValueError("it holds sequences too deep within each other") from None
        except Exception:  # for bytes that are no elements pydicom raises whatever its parts raise
            raise ValueError(FALSE_LENGTH) from None


class _DamagedError(ValueError):
    """Words of our own."""


def _read(file: BinaryIO, begin: str, everything: bool) -> Dataset:
    tags: list[BaseTag | int] | None = None if everything else [*_TAGS]
    deferred = None if everything else _DEFERRED
    if begin == "bare":
        return pydicom.dcmread(file, force=True, defer_size=deferred, specific_tags=tags)
    file.seek(132)
    meta = read_dataset(file, False, True, stop_when=lambda tag, *_: tag.group != 2)
    syntax = uid(meta.get("TransferSyntaxUID", ""))
    if not syntax:
        first = file.read(6)
        file.seek(-len(first), io.SEEK_CUR)
        syntax = ExplicitVRLittleEndian if first[4:].isalpha() else ImplicitVRLittleEndian
    content: BinaryIO = file
    if syntax == DeflatedExplicitVRLittleEndian:
        content, deferred = io.BytesIO(_unpacked(file)), None
    dataset = read_dataset(content, syntax in _IMPLICIT, syntax != ExplicitVRBigEndian, defer_size=deferred,
                           specific_tags=tags)
    dataset.file_meta = FileMetaDataset(meta)
    return dataset


def _unpacked(file: BinaryIO) -> bytes:
    unpack = zlib.decompressobj(-zlib.MAX_WBITS)
    content = unpack.decompress(file.read(), _MOST_UNPACKED)
    if unpack.unconsumed_tail:
        raise _DamagedError(f"it unpacks to more than {_MOST_UNPACKED:,} bytes")
    if not unpack.eof:
        raise _DamagedError(FALSE_LENGTH)
    return content


def syntax_of(dataset: Dataset) -> UID:
    """Transfer syntax; where none is stated it is implicit or explicit as the elements look."""
    stated = text(dataset.file_meta, "TransferSyntaxUID")
    if stated:
        return uid(stated)
    return ImplicitVRLittleEndian if dataset.original_encoding[0] else ExplicitVRLittleEndian


def uid(value: str) -> UID:
    """A UID as it stands there: pydicom remarks on those that break the standard."""
    return UID(value, pydicom.config.IGNORE)


def text(dataset: Dataset | None, keyword: str) -> str:
    """A value as printable text, several joined by a backslash as they are stored; empty where it is absent."""
    value = _value(dataset, keyword)
    if value is None:
        return ""
    joined = "\\".join(map(str, value)) if _is_several(value) else str(value)
    return "".join(c for c in joined if c.isprintable()).strip()


def numbers(dataset: Dataset | None, keyword: str, count: int) -> tuple[float, ...] | None:
    """``count`` finite numbers; None where the element is absent or holds anything else.

    Some writers put a decimal comma, which is nothing else in DICOM.
    """
    value = _value(dataset, keyword)
    if value is None or value == "":
        return None
    try:
        found = tuple(float(one.replace(",", ".") if isinstance(one, str) else one)
                      for one in (value if _is_several(value) else [value]))
    except (TypeError, ValueError):
        return None
    return found if len(found) == count and all(map(math.isfinite, found)) else None


def number(dataset: Dataset | None, keyword: str) -> float | None:
    """One finite number, or None."""
    found = numbers(dataset, keyword, 1)
    return None if found is None else found[0]


def whole(dataset: Dataset | None, keyword: str, otherwise: int = 0) -> int:
    """One whole number; ``otherwise`` where it is absent or none."""
    found = number(dataset, keyword)
    return otherwise if found is None else int(found)


def items(dataset: Dataset | None, keyword: str) -> Sequence[Dataset]:
    """Items of a sequence; empty where it is absent or something else."""
    value = _value(dataset, keyword)
    return value if isinstance(value, pydicom.Sequence) else ()


def _is_several(value: Any) -> bool:
    return isinstance(value, (list, tuple, pydicom.multival.MultiValue))


def _value(dataset: Dataset | None, keyword: str) -> Any:
    """Value of an element, a list where it has several; None where it is absent or breaks its representation."""
    if dataset is None:
        return None
    tag = _tag(keyword)
    try:
        raw: Any = dataset.get_item(tag, keep_deferred=True)
        if raw is None:
            return None
        if isinstance(raw.value, bytes) and raw.VR in _ASCII:
            return raw.value.decode("ascii").strip("\0 ").split("\\")
        if isinstance(raw.value, bytes) and raw.VR == "US" and len(raw.value) == 2:
            return int.from_bytes(raw.value, "little" if raw.is_little_endian else "big")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return dataset[tag].value
    except RecursionError:
        raise ValueError("it holds sequences too deep within each other") from None
    except Exception:  # as above: a value that is none
        return None


@cache
def _tag(keyword: str) -> BaseTag:
    return pydicom.tag.Tag(keyword)
