"""What one DICOM file shows: its frames, where each lies, what its numbers mean, and what tells it from the others."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import Dataset
from pydicom.uid import UID, ExplicitVRBigEndian

from ....errors import InputError
from ....words import shown
from ..damage import damaged
from .dataset import FALSE_LENGTH, PIXEL_ELEMENTS, items, number, numbers, read_header, syntax_of, text, uid, whole
from .private import b_value, slices_in_mosaic

Numbers = tuple[float, ...]

MARKS: Mapping[str, str] = {
    "stack": "stack {}", "part": "{}", "kind": "{}", "echo": "echo {} ms", "inversion": "inversion {} ms",
    "flip": "flip angle {}", "b": "b {}", "direction": "direction {}", "file": "{}",
}
"""What tells frames at one place apart, in this order, and how a volume is called by it. See also ``TIMES``."""

TIMES = ("phase", "acquisition", "trigger", "time")
"""Marks whose values differ from slice to slice within one volume too; their order tells the volumes."""

_PARTS = {"M": "magnitude", "P": "phase", "R": "real", "I": "imaginary", "MAGNITUDE": "magnitude", "PHASE": "phase",
          "REAL": "real", "IMAGINARY": "imaginary"}
"""Of complex numbers: in the image type of classic files, in ComplexImageComponent of enhanced ones."""


@dataclass(frozen=True)
class ImageFile:
    """How the pixels of a file are stored.

    Attributes
    ----------
    path : of the file.
    series, number, description, modality : SeriesInstanceUID, SeriesNumber (digits, or empty), description, modality.
    image_type : ImageType, its parts joined by a backslash.
    syntax : transfer syntax.
    element : keyword of the pixels.
    count, rows, columns, channels : frames, and the size of each.
    bits, stored, high, signed : bits allocated, stored, place of the highest one; whether values are signed.
    photometric : photometric interpretation.
    begin, length : bytes before the first pixel, and of the pixels; no length (0xFFFFFFFF) where they are compressed.
        In a deflated file there is no such place: -1.
    padding : first and last stored value that fill what was not scanned, or None.
    swapped : bytes of 8-bit pixels lie in words of the other order (big endian).
    expected : ImagesInAcquisition, 0 where it is not stated.
    concatenation, parts : ConcatenationUID of an image in several files and how many they are; empty and 0 elsewhere.
    """

    path: str
    series: str
    number: str
    description: str
    modality: str
    image_type: str
    syntax: UID
    element: str
    count: int
    rows: int
    columns: int
    channels: int
    bits: int
    stored: int
    high: int
    signed: bool
    photometric: str
    begin: int
    length: int
    padding: tuple[int, int] | None
    swapped: bool
    expected: int
    concatenation: str
    parts: int

    @property
    def colored(self) -> bool:
        """Whether its pixels are colors, if perhaps all of them gray."""
        return self.channels > 1 or not self.photometric.startswith("MONOCHROME")


@dataclass(frozen=True)
class Frame:
    """One slice: frame ``index`` of a file.

    ``position`` (of the center of the first pixel), ``axes`` (of a row, of a column) are LPS, mm, None where they are
    not stated; ``spacing`` is the distance of columns and rows, ``thickness`` that of slices, mm. A value is
    ``slope * stored + intercept``. ``marks`` are the names of ``MARKS`` and ``TIMES`` with the frame's values;
    ``instance`` its number in the series or stack.
    """

    file: ImageFile
    index: int
    position: Numbers | None
    axes: Numbers | None
    spacing: tuple[float, float] | None
    thickness: float | None
    slope: float
    intercept: float
    marks: Mapping[str, str | float]
    instance: int | None


@dataclass(frozen=True)
class Entry:
    """A file of a folder: its frames, or the ``problem`` that stops the series it belongs to (empty: not known)."""

    path: str
    series: str
    frames: tuple[Frame, ...]
    problem: InputError | None = None


def read_entry(path: Path) -> Entry | None:
    """Look at a file's header; None for what is no DICOM, and for DICOM objects that are no scans (plans, reports …).

    An image is what its class says, or what has pixels where the class is a maker's own. Raises ``OSError`` where the
    file cannot be opened.
    """
    try:
        dataset = read_header(path)
    except ValueError as error:
        return Entry(str(path), "", (), damaged(path, str(error)))
    if dataset is None or not _is_image(dataset):
        return None
    series = text(dataset, "SeriesInstanceUID")
    try:
        file = _image_file(path, dataset)
        return Entry(str(path), series, tuple(_frames(file, dataset)))
    except ValueError as error:
        return Entry(str(path), series, (), damaged(path, str(error)))
    except InputError as error:
        return Entry(str(path), series, (), error)


def _is_image(dataset: Dataset) -> bool:
    """By the name of its class: segmentations, doses, parametric maps and spectra have pixels too, but are no scans."""
    for stated in (text(dataset.file_meta, "MediaStorageSOPClassUID"), text(dataset, "SOPClassUID")):
        keyword = uid(stated).keyword
        if keyword:
            return "ImageStorage" in keyword
    return _pixel_element(dataset) is not None and whole(dataset, "Rows") > 0


def _pixel_element(dataset: Dataset) -> str | None:
    return next((word for word in PIXEL_ELEMENTS if word in dataset), None)


def _image_file(path: Path, dataset: Dataset) -> ImageFile:
    element = _pixel_element(dataset)
    if element is None:
        raise ValueError(FALSE_LENGTH)
    rows, columns, count = whole(dataset, "Rows"), whole(dataset, "Columns"), whole(dataset, "NumberOfFrames", 1)
    bits, channels = whole(dataset, "BitsAllocated"), whole(dataset, "SamplesPerPixel", 1)
    if min(rows, columns, count, bits, channels) < 1:
        raise ValueError("it does not state the size of its picture")
    stored = whole(dataset, "BitsStored", bits)
    high = whole(dataset, "HighBit", stored - 1)
    if not 1 <= stored <= high + 1 <= bits:
        raise ValueError(f"it states {stored} bits up to bit {high} of {bits}")
    if items(dataset, "ModalityLUTSequence"):
        raise InputError(f'"{shown(path.name)}" gives its values by a table (Modality LUT), which is not read.',
                         "Convert it to NRRD or NIfTI with a tool that knows such files.")
    image_type = text(dataset, "ImageType")
    if "MOSAIC" in image_type.split("\\") or slices_in_mosaic(dataset) > 1:
        raise InputError(f'"{shown(path.name)}" is a mosaic: all slices of a volume in one picture.',
                         "Convert the series to NIfTI with dcm2niix, or export it as enhanced MR.")
    raw: Any = dataset.get_item(element, keep_deferred=True)
    deflated = syntax_of(dataset).is_deflated
    length = len(raw.value) if deflated else raw.length
    given = text(dataset, "SeriesNumber")
    file = ImageFile(
        str(path), text(dataset, "SeriesInstanceUID"), given if given.lstrip("-").isdigit() else "",
        text(dataset, "SeriesDescription"), text(dataset, "Modality"), image_type, syntax_of(dataset), element, count,
        rows, columns, channels, bits, stored, high, whole(dataset, "PixelRepresentation") == 1,
        text(dataset, "PhotometricInterpretation") or "MONOCHROME2",
        -1 if deflated else raw.value_tell,
        length, _padding(dataset, bits), bits == 8 and raw.VR == "OW" and syntax_of(dataset) == ExplicitVRBigEndian,
        whole(dataset, "ImagesInAcquisition"), text(dataset, "ConcatenationUID"),
        whole(dataset, "InConcatenationTotalNumber"))
    _check_length(file, path.stat().st_size)
    return file


def _check_length(file: ImageFile, size: int) -> None:
    """Refuse pixels that are fewer than stated, or reach beyond the end of the file."""
    if file.length == 0xFFFFFFFF:
        return
    if file.begin >= 0 and file.begin + file.length > size:
        raise ValueError(FALSE_LENGTH)
    halved = file.photometric == "YBR_FULL_422"
    pixels = file.count * file.rows * file.columns * file.channels
    needed = (pixels * file.bits // 8) * (2 if halved else 3) // 3
    if file.length < needed:
        raise ValueError(f"it has fewer than the {needed:,} bytes of pixels that it states")


def _padding(dataset: Dataset, bits: int) -> tuple[int, int] | None:
    """Range of stored values that fill what was not scanned."""
    first = number(dataset, "PixelPaddingValue")
    if first is None:
        return None
    last = number(dataset, "PixelPaddingRangeLimit")
    span, signed = 1 << bits, whole(dataset, "PixelRepresentation") == 1

    def as_stored(value: float) -> int:
        inside = int(value) % span  # some writers give -2000 as 63536, or the other way round
        return inside - span if signed and inside >= span // 2 else inside

    ends = sorted((as_stored(first), as_stored(first if last is None else last)))
    return ends[0], ends[1]


def _frames(file: ImageFile, dataset: Dataset) -> Iterator[Frame]:
    groups = items(dataset, "PerFrameFunctionalGroupsSequence")
    shared = items(dataset, "SharedFunctionalGroupsSequence")
    if groups or shared:
        if len(groups) not in (0, file.count):
            raise InputError(f'"{shown(Path(file.path).name)}" describes {len(groups)} of its {file.count} frames.',
                             "Convert it to NRRD or NIfTI with a tool that knows such files.")
        for index in range(file.count):
            yield _enhanced_frame(file, index, dataset, groups[index] if groups else None,
                                  shared[0] if shared else None)
    elif file.count == 1:
        yield _plain_frame(file, dataset)
    else:
        yield from _film(file, dataset)


def _plain_frame(file: ImageFile, dataset: Dataset) -> Frame:
    slope, intercept = _scale(dataset)
    spacing = numbers(dataset, "PixelSpacing", 2) or numbers(dataset, "ImagerPixelSpacing", 2)
    distance = number(dataset, "SpacingBetweenSlices") or number(dataset, "SliceThickness")
    weighting = number(dataset, "DiffusionBValue")
    known = {
        "stack": text(dataset, "StackID"), "part": _part(text(dataset, "ComplexImageComponent"), file.image_type),
        "kind": file.image_type, "echo": number(dataset, "EchoTime"), "inversion": number(dataset, "InversionTime"),
        "flip": number(dataset, "FlipAngle"), "b": b_value(dataset) if weighting is None else weighting,
        "direction": _direction(dataset), "phase": number(dataset, "TemporalPositionIdentifier"),
        "acquisition": number(dataset, "AcquisitionNumber"),
        "trigger": number(dataset, "TriggerTime") or number(dataset, "NominalCardiacTriggerDelayTime"),
        "time": number(dataset, "AcquisitionTime"),
    }
    instance = number(dataset, "InstanceNumber")
    return Frame(file, 0, numbers(dataset, "ImagePositionPatient", 3), numbers(dataset, "ImageOrientationPatient", 6),
                 _pair(spacing), abs(distance) if distance else None, slope, intercept, _stated(known),
                 None if instance is None else int(instance))


def _enhanced_frame(file: ImageFile, index: int, dataset: Dataset, own: Dataset | None,
                    shared: Dataset | None) -> Frame:
    """A frame by its functional groups alone, its own before the shared ones; what stands elsewhere does not count."""

    def group(keyword: str) -> Dataset | None:
        found = items(own, keyword) or items(shared, keyword)
        return found[0] if found else None

    def first(keyword: str, sequence: str) -> Dataset | None:
        inner = items(group(keyword), sequence)
        return inner[0] if inner else None

    measures, content, diffusion = group("PixelMeasuresSequence"), group("FrameContentSequence"), \
        group("MRDiffusionSequence")
    scale = group("PixelValueTransformationSequence")
    slope, intercept = _scale(dataset if scale is None else scale)
    types = [group(keyword) for keyword in ("MRImageFrameTypeSequence", "CTImageFrameTypeSequence",
                                            "PETFrameTypeSequence")]
    kind = next((one for one in types if one is not None), None)
    kind_text = text(kind, "FrameType")
    distance = number(measures, "SpacingBetweenSlices") or number(measures, "SliceThickness")
    timing = group("MRTimingAndRelatedParametersSequence")
    known = {
        "stack": text(content, "StackID"), "part": _part(text(kind, "ComplexImageComponent"), kind_text),
        "kind": kind_text, "echo": number(group("MREchoSequence"), "EffectiveEchoTime"),
        "inversion": number(group("MRModifierSequence"), "InversionTimes"), "flip": number(timing, "FlipAngle"),
        "b": number(diffusion, "DiffusionBValue"),
        "direction": _direction(first("MRDiffusionSequence", "DiffusionGradientDirectionSequence")),
        "phase": number(content, "TemporalPositionIndex") or number(
            group("TemporalPositionSequence"), "TemporalPositionTimeOffset"),
        "acquisition": number(content, "FrameAcquisitionNumber"),
        "trigger": number(group("CardiacSynchronizationSequence"), "NominalCardiacTriggerDelayTime"),
        "time": number(content, "FrameAcquisitionDateTime"),
    }
    instance = number(content, "InStackPositionNumber")
    return Frame(file, index, numbers(group("PlanePositionSequence"), "ImagePositionPatient", 3),
                 numbers(group("PlaneOrientationSequence"), "ImageOrientationPatient", 6),
                 _pair(numbers(measures, "PixelSpacing", 2)), abs(distance) if distance else None, slope, intercept,
                 _stated(known), None if instance is None else int(instance))


def _film(file: ImageFile, dataset: Dataset) -> Iterator[Frame]:
    """Frames without functional groups, at one stated distance along the normal; else without a place.

    A secondary capture has no such distance, whatever it states: it may show anything.
    """
    detectors = items(dataset, "DetectorInformationSequence")  # nuclear medicine
    place = detectors[0] if detectors else dataset
    axes = numbers(place, "ImageOrientationPatient", 6) or numbers(dataset, "ImageOrientationPatient", 6)
    origin = numbers(place, "ImagePositionPatient", 3) or numbers(dataset, "ImagePositionPatient", 3)
    distance = number(dataset, "SpacingBetweenSlices")
    capture = "SecondaryCapture" in uid(text(dataset, "SOPClassUID")).keyword
    slope, intercept = _scale(dataset)
    spacing = _pair(numbers(dataset, "PixelSpacing", 2))
    turned = np.array(axes or (1, 0, 0, 0, 1, 0))
    step = np.cross(turned[:3], turned[3:]) * (distance or 0.0)
    for index in range(file.count):
        known = distance and not capture
        position = tuple((np.array(origin or (0, 0, 0)) + index * step).tolist()) if known else None
        yield Frame(file, index, position, axes, spacing, abs(distance) if distance else None, slope, intercept, {},
                    None)


def _scale(dataset: Dataset | None) -> tuple[float, float]:
    slope, intercept = number(dataset, "RescaleSlope"), number(dataset, "RescaleIntercept")
    for value, keyword in ((slope, "RescaleSlope"), (intercept, "RescaleIntercept")):
        if value is None and text(dataset, keyword):
            raise ValueError(f"its {keyword} is no number")
    return (1.0 if slope is None or slope == 0 else slope), intercept or 0.0


def _pair(row_column: Numbers | None) -> tuple[float, float] | None:
    """PixelSpacing is stated row distance first; the grid wants i (columns) first."""
    return None if row_column is None or min(row_column) <= 0 else (row_column[1], row_column[0])


def _part(component: str, image_type: str) -> str:
    """Part of complex numbers, where it is stated; MIXED frames and the like have none."""
    words = [component, *image_type.split("\\")[2:]]
    return next((_PARTS[word] for word in words if word in _PARTS), "")


def _direction(dataset: Dataset | None) -> str:
    found = numbers(dataset, "DiffusionGradientOrientation", 3)
    return "" if found is None else " ".join(f"{one:.3f}" for one in found)


def _stated(marks: Mapping[str, str | float | None]) -> dict[str, str | float]:
    return {name: value for name, value in marks.items() if value not in (None, "")}  # type: ignore[misc]
