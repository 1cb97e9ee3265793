"""DICOM series: which slices belong together, in which order, and whether any is missing, doubled or out of line."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk  # noqa: N813 - its customary name

from ...errors import InputError
from ...words import reason, shown
from ..geometry import ORTHONORMAL_TOLERANCE
from .dicom_elements import check_elements
from .dicom_frames import Frames, read_frames
from .integrity import damaged
from .itk import read_header

POSITION_TOLERANCE = 0.02
"""Deviation of a slice's position from an even stack, as a fraction of the slice distance, plus 0.01 mm."""

_IMAGE_CLASSES = re.compile(rb"1\.2\.840\.10008\.5\.1\.4\.1\.1\.(1|2|3|4|6|7|12|20|77|128|130|481\.1)[.\d]*")
"""SOP classes of images; reports, contours and states of the same folder are passed over."""

_NOT_SCANS = {"SEG", "RTSTRUCT", "RTDOSE", "SR", "PR", "KO", "REG"}


@dataclass(frozen=True)
class Series:
    """A complete, evenly spaced stack of slices, ordered along the normal of its slices.

    ``direction`` holds three rows of a 3x3 matrix whose columns are the axes of i, j, k in LPS; mm throughout. What is
    not ``oriented`` does not state how it lies. ``frame_order`` sorts the frames of one file of several.
    """

    files: tuple[str, ...]
    name: str
    source: str
    modality: str | None
    origin: tuple[float, float, float]
    pixel_spacing: tuple[float, float]
    slice_spacing: float
    direction: tuple[tuple[float, ...], ...]
    columns: int
    rows: int
    spacing_known: bool
    oriented: bool = True
    frame_order: tuple[int, ...] = ()


@dataclass(frozen=True)
class _Slice:
    file: str
    uid: str
    number: str
    description: str
    modality: str
    frames: int
    frame_distance_stated: bool
    size: tuple[int, int]
    spacing: tuple[float, float] | None
    position: tuple[float, ...] | None
    axes: tuple[float, ...] | None


def is_dicom(path: Path) -> bool:
    """Whether a file carries the DICOM signature (after its preamble)."""
    try:
        with path.open("rb") as file:
            return file.read(132)[128:] == b"DICM"
    except OSError:
        return False


def series_at(path: Path) -> Series | None:
    """The series that ``folder#uid`` or ``folder#number`` names, or ``None`` where ``path`` has no such form."""
    folder, mark, choice = str(path).rpartition("#")
    if not mark or not choice or os.path.lexists(path) or not Path(folder).is_dir():
        return None
    found = _scan(Path(folder))
    matches = [s for uid, s in found.items() if choice in (uid, s[0].number)]
    if len(matches) != 1:
        raise InputError(f'"{shown(folder)}" holds {len(matches) or "no"} series "{shown(choice)}".', _choices(found))
    return _assemble(matches[0], Path(folder), choice if len(found) > 1 else "")


def single_series(path: Path) -> Series:
    """The one series of a folder, or the series in its folder that the file ``path`` belongs to.

    Raises ``InputError`` where there is none, more than one, or an incomplete one.
    """
    folder = path if path.is_dir() else path.parent
    found = _scan(folder)
    if path != folder:
        own = [slices for slices in found.values() if any(Path(s.file) == path for s in slices)]
        if not own:
            raise InputError(f'"{shown(path.name)}" is a DICOM file without an image.',
                             "Give the folder of the image series.")
        return _assemble(own[0], folder, own[0][0].uid if len(found) > 1 else "")
    if not found:
        raise InputError(f'The folder "{shown(folder)}" holds no DICOM images.',
                         "Give the folder that directly contains the slices of one series.")
    if len(found) > 1:
        raise InputError(f'The folder "{shown(folder)}" holds {len(found)} DICOM series.', _choices(found))
    return _assemble(next(iter(found.values())), folder, "")


def list_series(folder: Path) -> list[str]:
    """Series of a folder (not its subfolders) as the paths that ``read_volume`` takes; empty without DICOM."""
    found = _scan(folder)
    return [str(folder)] if len(found) == 1 else [f"{folder}#{uid}" for uid in found]


def _choices(found: dict[str, list[_Slice]]) -> str:
    """Hint that names the series one may choose."""
    listed = [f"#{s[0].number or uid} ({', '.join(filter(None, [s[0].description, s[0].modality]))} {len(s)} slices)"
              for uid, s in list(found.items())[:8]]
    more = f" and {len(found) - 8} more" if len(found) > 8 else ""
    return f"Choose one as FOLDER#NUMBER or FOLDER#SeriesInstanceUID: {'; '.join(listed)}{more}."


def _scan(folder: Path) -> dict[str, list[_Slice]]:
    """Image slices of a folder by series UID, in order of series number."""
    series: dict[str, list[_Slice]] = defaultdict(list)
    for file in _files(folder):
        if is_dicom(file):
            entry = _header(file)
            if entry is not None:
                series[entry.uid].append(entry)
    return dict(sorted(series.items(), key=lambda item: (int(item[1][0].number or 0), item[0])))


def _files(folder: Path) -> Iterator[Path]:
    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        raise InputError(f'The folder "{shown(folder)}" cannot be listed: {reason(error)}.',
                         "Check its permissions.") from None
    for entry in entries:
        if entry.name.upper() != "DICOMDIR" and entry.is_file():
            yield entry


def _header(file: Path) -> _Slice | None:
    """The tags that place one slice; ``None`` for DICOM objects that are not images."""
    try:
        stored = check_elements(file)
        reader = read_header(file, "GDCMImageIO")
    except (InputError, ValueError) as error:
        # Reports and broken slices fail alike; the file's meta header tells which it is.
        with file.open("rb") as stream:
            head = stream.read(1024)
        at = head.find(b"\x02\x00\x02\x00UI")
        if at >= 0 and not _IMAGE_CLASSES.match(head[at + 8 : at + 72]):
            return None
        raise error if isinstance(error, InputError) else damaged(file, str(error)) from None
    modality = _tag(reader, "0008|0060")
    if modality in _NOT_SCANS:
        return None
    size = reader.GetSize()
    _check_pixels(file, reader, stored)
    number = _tag(reader, "0020|0011")
    return _Slice(str(file), _tag(reader, "0020|000e"), number if number.lstrip("-").isdigit() else "",
                  _tag(reader, "0008|103e"), modality, size[2] if len(size) > 2 else 1, _distance_stated(reader),
                  (size[0], size[1]), _pair(_numbers(reader, "0028|0030", 2)), _numbers(reader, "0020|0032", 3),
                  _numbers(reader, "0020|0037", 6))


def _check_pixels(file: Path, reader: sitk.ImageFileReader, stored: int | None) -> None:
    """Refuse a slice with fewer bytes than its rows and columns need; GDCM would fill it with zeros."""
    bits = _numbers(reader, "0028|0100", 1) or (8.0,)
    needed = int(np.prod(reader.GetSize(), dtype=np.int64)) * reader.GetNumberOfComponents() * int(bits[0]) // 8
    if stored is not None and stored < needed:
        raise damaged(file, f"it has fewer than the {needed:,} bytes of pixels that it states")


def _distance_stated(reader: sitk.ImageFileReader) -> bool:
    """Whether ITK's distance of the frames is the one that the file states; for most kinds of images it takes 1 mm."""
    stated = _numbers(reader, "0018|0088", 1)
    return stated is not None and reader.GetDimension() > 2 and abs(reader.GetSpacing()[2] - stated[0]) < 1e-3


def _tag(reader: sitk.ImageFileReader, key: str) -> str:
    text = reader.GetMetaData(key) if reader.HasMetaDataKey(key) else ""
    return "".join(c for c in text.encode("utf-8", "replace").decode() if c.isprintable()).strip()


def _numbers(reader: sitk.ImageFileReader, key: str, count: int) -> tuple[float, ...] | None:
    try:
        values = tuple(float(v) for v in _tag(reader, key).split("\\"))
    except ValueError:
        return None
    return values if len(values) == count and bool(np.all(np.isfinite(values))) else None


def _pair(row_column: tuple[float, ...] | None) -> tuple[float, float] | None:
    """PixelSpacing is stated row distance first; the grid wants i (columns) first."""
    return None if row_column is None or min(row_column) <= 0 else (row_column[1], row_column[0])


def _assemble(slices: list[_Slice], folder: Path, choice: str) -> Series:
    """Order the slices of one series by position; refuse what is not one even stack."""
    name = folder.resolve().name + (f"_{slices[0].number or choice[-12:]}" if choice else "")
    source = f"{folder}#{choice}" if choice else str(folder)
    modality = " ".join(filter(None, [slices[0].modality, slices[0].description])) or None
    frames = read_frames(Path(slices[0].file)) if len(slices) == 1 and slices[0].frames > 1 else None
    if frames is not None:
        return _assemble_frames(slices[0], frames, name, source, modality)
    if len(slices) == 1:
        if slices[0].frames > 1 and not slices[0].frame_distance_stated:
            called = shown(Path(slices[0].file).name)
            raise InputError(f'The {slices[0].frames} frames of "{called}" do not state where they lie.',
                             "Convert it to NRRD or NIfTI with a tool that knows such files.")
        # One file: ITK's own reading of it counts (a slice, or frames at one stated distance).
        return Series((slices[0].file,), name, source, modality, (0.0, 0.0, 0.0), (1.0, 1.0), 1.0,
                      tuple(map(tuple, np.eye(3))), *slices[0].size, slices[0].spacing is not None,
                      slices[0].axes is not None)
    first = slices[0]
    _refuse_mixture(slices, folder)
    if first.axes is None or any(s.position is None for s in slices):
        raise InputError(f'The slices of "{shown(folder)}" do not state their position and orientation.',
                         "Convert the series to NRRD or NIfTI with a tool that knows its order.")
    row, column = np.array(first.axes[:3]), np.array(first.axes[3:])
    normal = np.cross(row, column)
    if abs(float(np.linalg.norm(normal)) - 1.0) > ORTHONORMAL_TOLERANCE:
        raise InputError(f'The rows and columns of the slices of "{shown(folder)}" are not perpendicular.',
                         "Export the series again from its source.")
    positions = np.array([s.position for s in slices], dtype=np.float64)
    order = np.argsort(positions @ normal, kind="stable")
    spacing = _even_spacing(positions[order], normal, folder)
    direction = np.stack([row, column, normal], axis=1)
    x, y, z = positions[order[0]].tolist()
    return Series(tuple(slices[n].file for n in order), name, source, modality, (x, y, z),
                  first.spacing or (1.0, 1.0), spacing, tuple(map(tuple, direction)), *first.size,
                  first.spacing is not None)


def _assemble_frames(file: _Slice, frames: Frames, name: str, source: str, modality: str | None) -> Series:
    """Order the frames of one file by position; refuse what is not one even stack."""
    called, path = shown(Path(file.file).name), Path(file.file)
    if len(frames.positions) != file.frames:
        raise InputError(f'"{called}" states {len(frames.positions)} positions for its {file.frames} frames.',
                         "Convert it to NRRD or NIfTI with a tool that knows such files.")
    if len(frames.axes) != 1 or len(frames.spacings) != 1:
        raise InputError(f'The frames of "{called}" differ in orientation or pixel spacing, or do not state them.',
                         "Export each stack of slices by itself.")
    row, column = np.array(frames.axes[0][:3]), np.array(frames.axes[0][3:])
    normal = np.cross(row, column)
    positions = np.array(frames.positions, dtype=np.float64)
    order = np.argsort(positions @ normal, kind="stable")
    spacing = _even_spacing(positions[order], normal, path)
    x, y, z = positions[order[0]].tolist()
    return Series((file.file,), name, source, modality, (x, y, z), _pair(frames.spacings[0]) or (1.0, 1.0), spacing,
                  tuple(map(tuple, np.stack([row, column, normal], axis=1))), *file.size, True,
                  frame_order=tuple(order.tolist()))


def _refuse_mixture(slices: list[_Slice], folder: Path) -> None:
    first = slices[0]
    hint = "Put the slices of one orientation and size into a folder of their own."
    if any(s.frames > 1 for s in slices):
        raise InputError(f'The series in "{shown(folder)}" has {len(slices)} files with several frames each.',
                         "Give one multi-frame file alone, or convert the series to NRRD or NIfTI.")
    if any(s.size != first.size for s in slices):
        raise InputError(f'The slices of "{shown(folder)}" differ in size '
                         f"({first.size[0]} x {first.size[1]} and others).", hint)
    if any((s.axes is None) != (first.axes is None)
           or (s.axes is not None and first.axes is not None and not np.allclose(s.axes, first.axes, atol=1e-3))
           for s in slices):
        raise InputError(f'The slices of "{shown(folder)}" differ in orientation (a localizer, or mixed series).', hint)
    if any((s.spacing is None) != (first.spacing is None)
           or (s.spacing is not None and first.spacing is not None and not np.allclose(s.spacing, first.spacing, 1e-3))
           for s in slices):
        raise InputError(f'The slices of "{shown(folder)}" differ in pixel spacing.', hint)


def _even_spacing(positions: npt.NDArray[np.float64], normal: npt.NDArray[np.float64], folder: Path) -> float:
    """Distance of the sorted slices in mm."""
    along = positions @ normal
    steps = np.diff(along)
    typical = float(np.median(steps[steps > 0.01])) if np.any(steps > 0.01) else 0.0
    doubled = int(np.count_nonzero(steps <= 0.01))
    if doubled:
        raise InputError(f'{doubled} slices of "{shown(folder)}" lie at the position of another (copies, or several '
                         "time points or echoes).", "Keep one slice for each position.")
    tolerance = POSITION_TOLERANCE * typical + 0.01
    gaps = steps - typical
    if np.any(np.abs(gaps) > tolerance):
        lost = np.rint(steps / typical) - 1
        if np.all(np.abs(steps - (lost + 1) * typical) <= tolerance * (lost + 1)) and lost.min() >= 0:
            raise InputError(f'{int(lost.sum())} slices of "{shown(folder)}" are missing between '
                             f"{along[0]:.1f} and {along[-1]:.1f} mm.", "Export the whole series again.")
        raise InputError(f'The slices of "{shown(folder)}" are unevenly spaced ({steps.min():.2f} to {steps.max():.2f} '
                         "mm).", "Resample the series to an even spacing first (in Slicer: the DICOM import does).")
    sideways = positions - positions[0] - np.outer(along - along[0], normal)
    if np.abs(sideways).max() > tolerance:
        raise InputError(f'The slices of "{shown(folder)}" are shifted against each other (tilted gantry).',
                         "Resample the series to an orthogonal grid first (in Slicer: the DICOM import does).")
    return float((along[-1] - along[0]) / (len(along) - 1))
