"""A scan in memory and how it gets there: any supported file or DICOM series becomes one float32 array on one grid."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from stat import S_ISDIR
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk  # noqa: N813 - its customary name

from ..errors import InputError
from ..words import shown
from .geometry import Geometry
from .intensity import in_order
from .io.damage import not_finite
from .io.dicom.signature import is_dicom
from .io.discovery import Case, discover
from .io.formats import (
    PACKED,
    PICTURE_SUFFIXES,
    SUPPORTED,
    VOLUME_SUFFIXES,
    check_file,
    header_of_pair,
    safe_name,
    stat_path,
    stem_of,
    suffix_of,
)
from .io.integrity import Stated, check_integrity
from .io.itk import read_header, read_voxels
from .io.nifti import NiftiForms
from .io.pictures import gray_of, read_picture

if TYPE_CHECKING:
    from .io.dicom.series import Series

__all__ = ["MAX_VOXELS", "Case", "Volume", "discover", "read_volume", "to_sitk", "volume_from_array"]

Array = npt.NDArray[np.float32]

MAX_VOXELS = 512 * 512 * 1024
"""Largest accepted volume: 1 GiB as float32; a header that claims more is refused before anything is allocated."""

SAME_GRID_MM = 1e-3
"""A sform that lies this close to ITK's reading of a NIfTI file is that one, but for the rounding of its numbers."""

_NIFTI_LABEL_INTENTS = {"1002": "a label map", "1005": "RGB vectors", "1006": "displacement vectors",
                        "1007": "vectors", "1011": "a shape", "2001": "a time series"}

@dataclass(frozen=True, eq=False)
class Volume:
    """One scan.

    Parameters
    ----------
    array : KJI (slices, rows, columns), float32, contiguous, finite.
    geometry : the grid, kept exactly as it was read.
    name : short, safe as part of a file name.
    source : where it was read from; empty for arrays.
    spacing_known : false for pictures (PNG, JPEG, …) and other files without it, whose spacing of 1 mm means nothing.
    modality : DICOM modality (``MR``, ``CT``, …) and series description, where the file states them.
    notes : what the file leaves open, such as which side is left; they become warnings of the result.
    forms : qform and sform of a NIfTI file as they stand there, so that what is written lies on it for every program.
    dicom_files : files of the scan's DICOM series, where whoever loaded it knows them and ``source`` does not name it.
    """

    array: Array
    geometry: Geometry
    name: str
    source: str = ""
    spacing_known: bool = True
    modality: str | None = None
    notes: tuple[str, ...] = ()
    forms: NiftiForms | None = None
    dicom_files: tuple[str, ...] = ()

    @property
    def has_volumes(self) -> bool:
        """Whether what is in it has a volume in ml: several slices of known spacing."""
        return self.spacing_known and 1 not in self.geometry.size_ijk

    @cached_property
    def ordered(self) -> Array:
        """Some of the voxels in ascending order, which stand for all of them; see `intensity.in_order`."""
        return in_order(self.array)

    @cached_property
    def content_hash(self) -> str:
        """SHA-256 of the voxels and the grid, independent of file name and format; computed when first asked for."""
        # "+ 0.0" turns the -0.0 of some formats into 0.0.
        digest = hashlib.sha256(np.asarray(self.array.shape, "<i8").tobytes())
        digest.update(np.ascontiguousarray(self.geometry.ijk_to_lps + 0.0, "<f8").tobytes())
        digest.update(np.ascontiguousarray(self.array, "<f4").data)
        return digest.hexdigest()


def read_volume(path: str | Path) -> Volume:
    """Read a scan: NRRD, NIfTI, MetaImage, a DICOM series, or a 2D gray picture.

    A DICOM folder must hold one series; of several, name one as ``folder#SeriesInstanceUID`` or ``folder#number``
    (SeriesNumber). One DICOM file stands for its whole series. Rescale slope and intercept are applied; values keep
    the scanner's units otherwise. The grid is that of the header (of NIfTI the sform, or the qform
    where no sform is set or it is sheared).

    Raises
    ------
    InputError : the path does not exist, is damaged or incomplete, or is not one real-valued 3D (or 2D) image.
    """
    path = Path(path)
    if "#" in str(path):
        from .io.dicom.series import series_at

        series = series_at(path)
        if series is not None:
            return _read_series(series)
    if S_ISDIR(stat_path(path)):
        return _read_single_series(path)
    check_file(path)
    if is_dicom(path):
        return _read_single_series(path)
    suffix = suffix_of(path)
    if suffix in (".hdr", ".img"):
        return _read_file(_whole_pair(path), VOLUME_SUFFIXES[suffix])
    if suffix in VOLUME_SUFFIXES:
        return _read_file(path, VOLUME_SUFFIXES[suffix])
    if suffix in PICTURE_SUFFIXES:
        return _read_picture(path)
    if suffix in PACKED:
        raise InputError(f'"{shown(path.name)}" is packed.', "Unpack it first, and give what was in it.")
    raise InputError(f'"{shown(path.name)}" is of no supported format.', f"Give {SUPPORTED}.")


def volume_from_array(array: npt.ArrayLike, ijk_to_ras: npt.ArrayLike, name: str, source: str = "",
                      spacing_known: bool = True, modality: str | None = None) -> Volume:
    """Volume of an array KJI and a 4x4 index-to-RAS matrix, as Slicer's nodes give them; the array is copied.

    Raises ``InputError`` for anything but a real-valued 2D or 3D array with finite values and an orthogonal grid.
    """
    values = np.asarray(array)
    if values.ndim == 2:
        values = values[np.newaxis]
    if values.ndim != 3 or not (np.issubdtype(values.dtype, np.number) or values.dtype == bool):
        raise InputError(f"An array of shape {values.shape} and type {values.dtype} is not a volume.",
                         "Give a real-valued array with the axes K, J, I.")
    if np.iscomplexobj(values):
        raise InputError("The volume holds complex numbers.", "Give its magnitude.")
    geometry = Geometry.from_ijk_to_ras(ijk_to_ras, values.shape[::-1])
    return _volume(values, geometry, name, source, spacing_known, modality)


def to_sitk(array: npt.NDArray[np.generic], geometry: Geometry) -> sitk.Image:
    """SimpleITK image of an array KJI on a grid (voxels copied, numbers of the grid exact)."""
    if array.shape != geometry.shape_kji:
        raise ValueError(f"array of shape {array.shape} does not lie on a grid of shape {geometry.shape_kji}")
    image = sitk.GetImageFromArray(array)
    image.SetOrigin(geometry.origin_lps)
    image.SetSpacing(geometry.spacing)
    image.SetDirection(geometry.direction_lps.ravel().tolist())
    return image


def _volume(values: npt.NDArray[np.generic], geometry: Geometry, name: str, source: str, spacing_known: bool,
            modality: str | None) -> Volume:
    with np.errstate(over="ignore", invalid="ignore"):
        array = np.array(values, dtype=np.float32, order="C").reshape(geometry.shape_kji)
    bad = int(array.size - np.count_nonzero(np.isfinite(array)))
    if bad:
        raise not_finite(name, bad)
    return Volume(array, geometry, safe_name(name), source, spacing_known, modality)


def _whole_pair(path: Path) -> Path:
    header = header_of_pair(path)
    if header is None:
        raise InputError(f'"{shown(path.name)}" is one of two files (.hdr and .img), and the other is not there.',
                         "Put both into one folder.")
    return header


def _read_picture(path: Path) -> Volume:
    values = read_picture(path)
    _check_size(path, values.shape[::-1])
    geometry = Geometry(values.shape[::-1], (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), np.eye(3))
    return _volume(values, geometry, stem_of(path), str(path), False, None)


def _read_file(path: Path, reader_name: str) -> Volume:
    stated = check_integrity(path)
    reader = read_header(path, reader_name)
    _refuse_by_metadata(path, reader)
    geometry = _geometry_of(path, reader, stated)
    _refuse_channels(path, reader)
    image = read_voxels(reader, path)  # it owns what the view shows
    values = sitk.GetArrayViewFromImage(image)
    if stated.void_shift:
        values = values - stated.void_shift
    volume = _volume(values, geometry, stem_of(path), str(path), stated.spacing_known, None)
    return replace(volume, notes=stated.notes, forms=stated.forms)


def _read_single_series(path: Path) -> Volume:
    from .io.dicom.series import single_series

    return _read_series(single_series(path))


def _read_series(series: Series) -> Volume:
    """Read the slices of a series, which are checked and in order."""
    from .io.dicom.pixels import read_pixels

    stack, first = series.stack, Path(series.stack.frames[0].file.path)
    _check_size(first, stack.geometry.size_ijk)
    values = read_pixels(stack.frames)
    if values.ndim > 3:
        values = gray_of(first, values)
    volume = _volume(values, stack.geometry, series.name, series.source, stack.spacing_known, series.modality)
    return replace(volume, notes=series.notes)


def _refuse_by_metadata(path: Path, reader: sitk.ImageFileReader) -> None:
    """Refuse what the header itself declares to be something other than a scan."""
    kind = None
    if reader.HasMetaDataKey("intent_code"):
        kind = _NIFTI_LABEL_INTENTS.get(reader.GetMetaData("intent_code"))
    if any(re.match(r"Segment\d+_", key) for key in reader.GetMetaDataKeys()):
        kind = "a segmentation"
    if kind:
        raise InputError(f'"{shown(path.name)}" holds {kind}, not a scan.', "Give the scan that it belongs to.")


def _geometry_of(path: Path, reader: sitk.ImageFileReader, stated: Stated) -> Geometry:
    """The grid of a header; 2D images become one slice, trailing axes of one frame are dropped."""
    size, dimension = reader.GetSize(), reader.GetDimension()
    frames = [n for n in size[3:] if n != 1]
    if frames:
        raise InputError(f'"{shown(path.name)}" has {dimension} dimensions with {frames[0]} frames or channels, '
                         "not one volume.", "Extract one 3D volume from it first.")
    _check_size(path, size)
    kept = min(dimension, 3)
    origin, spacing, direction = np.zeros(3), np.ones(3), np.eye(3)
    origin[:kept] = reader.GetOrigin()[:kept]
    spacing[:kept] = reader.GetSpacing()[:kept]
    direction[:kept, :kept] = np.reshape(reader.GetDirection(), (dimension, dimension))[:kept, :kept]
    signs = np.array(stated.signs)
    i, j, k = (*size, 1, 1)[:3]
    x, y, z = (origin * signs).tolist()
    sform = None if stated.forms is None else stated.forms.sform()
    if stated.forms is not None and spacing.min() <= 0:  # pixdim is a distance: its sign counts for nothing
        form = stated.forms.qform() if sform is None else sform
        if form is not None:
            return Geometry.from_ijk_to_ras(form, (i, j, k))
        spacing = np.abs(spacing)
    read = Geometry((i, j, k), (x, y, z), (spacing[0], spacing[1], spacing[2]), direction * signs[:, np.newaxis])
    if sform is None or (np.abs(sform - read.ijk_to_ras) @ [i, j, k, 1]).max() < SAME_GRID_MM:
        return read
    return Geometry.from_ijk_to_ras(sform, (i, j, k))


def _check_size(path: Path, size: Sequence[int]) -> None:
    voxels = int(np.prod([int(n) for n in size], dtype=object))
    if voxels > MAX_VOXELS:
        raise InputError(f'"{shown(path.name)}" has {" x ".join(str(n) for n in size)} voxels, more than the limit of '
                         f"{MAX_VOXELS:,}.", "Crop or resample it first.")


def _refuse_channels(path: Path, reader: sitk.ImageFileReader) -> None:
    channels = reader.GetNumberOfComponents()
    if "complex" in sitk.GetPixelIDValueAsString(reader.GetPixelID()):
        raise InputError(f'"{shown(path.name)}" holds complex numbers.', "Give its magnitude image.")
    if channels > 1:
        raise InputError(f'"{shown(path.name)}" holds {channels} values a voxel (color or vectors), not one.',
                         "Give a volume with one gray value a voxel.")
