"""A volume as a network sees it, and the way back of its maps to the volume's own grid.

2D models see slices as a radiologist does: axial with anterior up and the patient's right on the image's left, coronal
with superior up and right on the left, sagittal with superior up and anterior on the left. Slices are taken along the
volume's own index axes (the closest ones to the plane), so an oblique volume is read in its own, unresampled planes:
only transpositions, flips and in-plane resampling lie between the grid and the network, all undone exactly.

3D models see the whole volume with axes D, H, W growing to superior, posterior and left.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from ..errors import InputError
from .geometry import PLANES, Geometry
from .intensity import Scale, find_scale, normalize, scale_of
from .resample import AxisFit, fit_axis
from .volume import Volume

__all__ = ["Plan", "SlicePlan", "VolumePlan", "normalize", "plan_slices", "plan_volume", "planes_to_read"]

Array = npt.NDArray[np.float32]

SIDE_MULTIPLE = 32
"""Inputs larger than the model's own size grow in such steps: the stride of the deepest common level."""

LARGEST_SIDE = 2048
"""Longest side of a network's input; beyond it a header's spacing is wrong rather than the patient large."""

THICKEST = 1.75
"""Slices of a scan that is read across them are no thicker than so many pixels of the model."""

SLAB_SHARE = 0.5
"""A scan that is read across its slices reaches through at least this share of its longest side."""

FOREGROUND_VALUE = 0.1
EMPTY_FRACTION = 0.001
"""A slice is empty when at most this share of its pixels exceeds `FOREGROUND_VALUE` after normalization."""

_LEFT, _POSTERIOR, _SUPERIOR = 0, 1, 2
_DISPLAY = {
    "axial": ((_POSTERIOR, 1), (_LEFT, 1)),
    "coronal": ((_SUPERIOR, -1), (_LEFT, 1)),
    "sagittal": ((_SUPERIOR, -1), (_POSTERIOR, 1)),
}
"""Plane to (patient axis, direction of growth) of the displayed rows (downwards) and columns (to the right)."""

_CANONICAL_3D = ((_SUPERIOR, 1), (_POSTERIOR, 1), (_LEFT, 1))


class HasMetadata(Protocol):
    """The part of a bundle that preparing needs."""

    @property
    def metadata(self) -> Mapping[str, Any]:
        """The bundle's metadata document."""
        ...


class Plan(Protocol):
    """What is shown to a network, item by item (slices or whole volumes), and how its maps go back."""

    @property
    def volume(self) -> Volume:
        """The scan."""
        ...

    @property
    def count(self) -> int:
        """Number of items."""
        ...

    @property
    def size(self) -> tuple[int, ...]:
        """Spatial size of the network's input."""
        ...

    def load(self, chosen: slice) -> Array:
        """Prepare some of the items: ``N×1×*size``, float32."""
        ...

    def restore(self, maps: npt.ArrayLike) -> Array:
        """Maps ``count×*size`` back to ``KJI`` on the input's grid."""
        ...

    def add(self, grid: Array, chosen: slice, maps: Array) -> None:
        """Add some items' maps, as `restore` places them, to a grid KJI; maps of a coarser grid are up-sampled."""
        ...


@dataclass(frozen=True, eq=False)
class SlicePlan:
    """The slices of one plane of a volume.

    Parameters
    ----------
    volume : the scan.
    plane : axial, coronal or sagittal.
    axis : index axis (0 i, 1 j, 2 k) that steps through the slices.
    indices : slices shown to the network, along ``axis``; the other ones are empty (background alone).
    rows, columns : fit of the displayed rows and columns.
    scale : intensity scale, one for all slices or one for each of ``indices``.
    """

    volume: Volume
    plane: str
    axis: int
    indices: tuple[int, ...]
    rows: AxisFit
    columns: AxisFit
    scale: Scale | tuple[Scale, ...]

    @property
    def count(self) -> int:
        """Number of slices shown to the network."""
        return len(self.indices)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the network's input."""
        return self.rows.padded, self.columns.padded

    def load(self, chosen: slice) -> Array:
        """Prepare some of ``indices``: N×1×H×W, normalized, resampled and padded."""
        images = displayed(self.volume.array, self.volume.geometry, self.plane)[list(self.indices[chosen])]
        if isinstance(self.scale, Scale):
            images = self.scale.apply(images)
        else:
            images = np.stack([scale.apply(one) for scale, one in zip(self.scale[chosen], images, strict=True)])
        fitted = self.columns.forward(self.rows.forward(images, 1), 2)
        return np.ascontiguousarray(fitted[:, None], np.float32)

    def restore(self, maps: npt.ArrayLike) -> Array:
        """Maps ``count×H×W`` of the network's size to float32 KJI on the input's grid; 0 on empty slices."""
        given = np.asarray(maps)
        if given.shape != (self.count, *self.size):
            raise ValueError(f"maps have shape {given.shape} instead of {(self.count, *self.size)}")
        grid = np.zeros(self.volume.geometry.shape_kji, np.float32)
        self.add(grid, slice(0, self.count), given)
        return grid

    def add(self, grid: Array, chosen: slice, maps: npt.ArrayLike) -> None:
        """Add the maps of some of ``indices`` to a grid KJI: all of a large volume's maps need not exist at once."""
        view = displayed(grid, self.volume.geometry, self.plane)
        for index, one in zip(self.indices[chosen], np.asarray(maps), strict=True):
            fitted = np.asarray(one, np.float32)
            view[index] += self.columns.backward(self.rows.backward(fitted, 0), 1)


@dataclass(frozen=True, eq=False)
class VolumePlan:
    """A whole volume for a 3D model, one item.

    Parameters
    ----------
    volume : the scan.
    fits : fit of the axes D (to superior), H (to posterior) and W (to left).
    scale : intensity scale.
    """

    volume: Volume
    fits: tuple[AxisFit, AxisFit, AxisFit]
    scale: Scale

    @property
    def count(self) -> int:
        """One: the volume."""
        return 1

    @property
    def size(self) -> tuple[int, int, int]:
        """Depth, height and width of the network's input."""
        d, h, w = (fit.padded for fit in self.fits)
        return d, h, w

    def load(self, chosen: slice = slice(0, 1)) -> Array:
        """Prepare the volume, 1×1×D×H×W; ``chosen`` is there for the sake of `Plan`."""
        fitted = self.scale.apply(_oriented(self.volume.array, self.volume.geometry, _CANONICAL_3D))
        for axis, fit in enumerate(self.fits):
            fitted = fit.forward(fitted, axis)
        return np.ascontiguousarray(fitted[None, None], np.float32)[chosen]

    def restore(self, maps: npt.ArrayLike) -> Array:
        """A map ``1×D×H×W`` of the network's size to float32 KJI on the input's grid."""
        fitted = np.asarray(maps, np.float32)
        if fitted.shape != (1, *self.size):
            raise ValueError(f"maps have shape {fitted.shape} instead of {(1, *self.size)}")
        grid = np.zeros(self.volume.geometry.shape_kji, np.float32)
        self.add(grid, slice(0, 1), fitted)
        return grid

    def add(self, grid: Array, chosen: slice, maps: npt.ArrayLike) -> None:
        """Add the map to a grid KJI; ``chosen`` is there for the sake of `Plan`."""
        fitted = np.asarray(maps, np.float32)[0]
        for axis, fit in enumerate(self.fits):
            fitted = fit.backward(fitted, axis)
        view = _oriented(grid, self.volume.geometry, _CANONICAL_3D)
        view += fitted


def plan_slices(volume: Volume, bundle: HasMetadata, plane: str = "auto") -> SlicePlan:
    """Plan how a 2D model reads a volume.

    In-plane, slices are resampled to the bundle's ``input.spacing_mm``; where the volume's spacing is unknown (PNG)
    they are scaled until they fill the bundle's size. Shorter slices are padded with background to ``input.size``,
    longer ones make the input larger, to a multiple of 32: nothing is cropped.

    Parameters
    ----------
    volume : the scan.
    bundle : a 2D model; only ``metadata["input"]`` is read.
    plane : axial, coronal or sagittal: slices along the closest index axis. "auto": the first of `planes_to_read`.

    Raises
    ------
    InputError : unknown plane; a spacing that makes slices absurdly large; nothing but background.
    """
    inputs = bundle.metadata["input"]
    geometry = volume.geometry
    plane = planes_to_read(volume, bundle, plane)[0]
    images = displayed(volume.array, geometry, plane)
    rows, columns = _fit_slices(volume, inputs, plane, images.shape[1:])
    scaling = inputs["intensity"]
    scale: Scale | tuple[Scale, ...]
    if scaling.get("per", "volume") == "slice":
        scales = [find_scale(image, scaling) for image in images]
        indices = tuple(n for n, one in enumerate(scales) if not _is_empty(images[n], one))
        scale = tuple(scales[n] for n in indices)
    else:
        scale = scale_of(volume.ordered, scaling)
        indices = tuple(n for n, image in enumerate(images) if not _is_empty(image, scale))
    if not indices:
        raise InputError(f'"{volume.name}" shows nothing but background.', "Check that it is the scan you meant.")
    return SlicePlan(volume, plane, geometry.axis_of(plane), indices, rows, columns, scale)


def planes_to_read(volume: Volume, bundle: HasMetadata, plane: str = "auto") -> tuple[str, ...]:
    """Names of the planes that a 2D model reads a volume in: one, or all three.

    Parameters
    ----------
    volume : the scan.
    bundle : a 2D model; only ``metadata["input"]`` is read.
    plane : axial, coronal, sagittal or all. "auto": the model's best choice (``input.best_plane``; axial where it
        states none) if the scan's voxels are small in every direction, so that the same scan is read alike however it
        is stored; else the acquisition plane, if the model knows it.

    Raises
    ------
    InputError : unknown plane; all planes of a single slice.
    """
    geometry, inputs = volume.geometry, bundle.metadata["input"]
    if plane == "auto":
        plane = _choose_plane(volume, inputs)
    if plane != "all":
        geometry.axis_of(plane)
        return (plane,)
    if 1 in geometry.size_ijk:
        raise InputError(f'"{volume.name}" is a single slice and has no three planes.', "Leave the plane at auto.")
    return tuple(reversed(PLANES))


def plan_volume(volume: Volume, bundle: HasMetadata) -> VolumePlan:
    """Plan how a 3D model reads a volume: all three axes resampled to ``input.spacing_mm``, padded to ``input.size``.

    Raises ``InputError`` for a single slice, and for a spacing that makes the input absurdly large.
    """
    inputs = bundle.metadata["input"]
    if min(volume.geometry.size_ijk) == 1:  # its neighbors would be nothing but padding
        raise InputError(f'"{volume.name}" is a single slice, but the model reads whole volumes.',
                         "Give the whole scan, or choose a 2D model.")
    fits = _fit_volume(volume, inputs)
    return VolumePlan(volume, fits, scale_of(volume.ordered, inputs["intensity"]))


def expected_inputs(
    geometry: Geometry, bundle: HasMetadata, plane: str = "auto"
) -> list[tuple[tuple[int, ...], int]]:
    """Size of the network's input for scans on a grid, and how many there are at most where no slice is empty; one
    entry a plane that is read.

    For getting ready before there is a scan; parameters and errors as of `planes_to_read` and `plan_volume`.
    """
    inputs = bundle.metadata["input"]
    volume = Volume(np.broadcast_to(np.float32(0), geometry.shape_kji), geometry, "")
    if len(inputs["size"]) == 3:
        return [(tuple(fit.padded for fit in _fit_volume(volume, inputs)), 1)]
    found: list[tuple[tuple[int, ...], int]] = []
    for one in planes_to_read(volume, bundle, plane):
        count, *shape = displayed(volume.array, geometry, one).shape
        found.append((tuple(fit.padded for fit in _fit_slices(volume, inputs, one, tuple(shape))), count))
    return found


def displayed(array: npt.NDArray[Any], geometry: Geometry, plane: str) -> npt.NDArray[Any]:
    """A view S×H×W of an array KJI: the slices of ``plane`` as a radiologist sees them; S counts index-axis slices."""
    return _oriented(array, geometry, _DISPLAY[plane], first=geometry.axis_of(plane))


def display_spacing(geometry: Geometry, plane: str) -> tuple[float, float]:
    """Mm between displayed rows, and between displayed columns, of `displayed`."""
    rows, columns = (geometry.patient_axes.index(axis) for axis, _ in _DISPLAY[plane])
    return geometry.spacing[rows], geometry.spacing[columns]


def display_position(geometry: Geometry, plane: str, ijk: Sequence[float]) -> tuple[float, float]:
    """Row and column, in `displayed`, of an index (i, j, k)."""
    where = []
    for patient_axis, wanted in _DISPLAY[plane]:
        axis = geometry.patient_axes.index(patient_axis)
        flipped = geometry.direction_lps[patient_axis, axis] * wanted < 0
        where.append(geometry.size_ijk[axis] - 1 - ijk[axis] if flipped else float(ijk[axis]))
    return where[0], where[1]


def _fit_slices(
    volume: Volume, inputs: Mapping[str, Any], plane: str, shape: tuple[int, ...]
) -> tuple[AxisFit, AxisFit]:
    height, width = (int(n) for n in inputs["size"])
    spacing, target = display_spacing(volume.geometry, plane), per_axis(inputs["spacing_mm"], 2)
    if not volume.spacing_known:
        spacing, target = (1.0, 1.0), [max(shape[0] / height, shape[1] / width)] * 2
    rows = fit_axis(shape[0], spacing[0], target[0], height, SIDE_MULTIPLE)
    columns = fit_axis(shape[1], spacing[1], target[1], width, SIDE_MULTIPLE)
    _check_sides((rows, columns))
    return rows, columns


def _fit_volume(volume: Volume, inputs: Mapping[str, Any]) -> tuple[AxisFit, AxisFit, AxisFit]:
    geometry, fits = volume.geometry, []
    targets = per_axis(inputs["spacing_mm"], 3)
    for (patient_axis, _), size, target in zip(_CANONICAL_3D, inputs["size"], targets, strict=True):
        axis = geometry.patient_axes.index(patient_axis)
        fits.append(fit_axis(geometry.size_ijk[axis], geometry.spacing[axis], target, size, SIDE_MULTIPLE))
    _check_sides(fits)
    return fits[0], fits[1], fits[2]


def per_axis(spacing: float | Sequence[float], axes: int) -> list[float]:
    """A bundle's ``spacing_mm`` for each axis of the network's input; one number stands for all."""
    return [float(one) for one in spacing] if isinstance(spacing, Sequence) else [float(spacing)] * axes


def _choose_plane(volume: Volume, inputs: Mapping[str, Any]) -> str:
    acquired = volume.geometry.acquisition_plane
    trained = [one for one in inputs.get("planes", PLANES) if one in PLANES]
    if not trained or 1 in volume.geometry.size_ijk:
        return acquired
    best = str(inputs.get("best_plane", "axial" if "axial" in trained else trained[0]))
    return best if acquired not in trained or fits_in_all_planes(volume, inputs) else acquired


def fits_in_all_planes(volume: Volume, inputs: Mapping[str, Any]) -> bool:
    """Whether slices across the acquired ones are as good: neither coarse nor, as a slab's, a strip of the head."""
    geometry, across = volume.geometry, volume.geometry.acquisition_axis
    coarsest = THICKEST * max(per_axis(inputs["spacing_mm"], 2))
    whole = geometry.extent_mm[across] >= SLAB_SHARE * max(geometry.extent_mm)
    return volume.spacing_known and whole and geometry.spacing[across] <= coarsest


def _check_sides(fits: Sequence[AxisFit]) -> None:
    longest = max(fit.padded for fit in fits)
    if longest > LARGEST_SIDE:
        raise InputError(f"At the model's spacing the volume would be {longest} pixels wide.",
                         "Check the spacing in the volume's header.")


def _is_empty(image: npt.NDArray[Any], scale: Scale) -> bool:
    if not scale.high > scale.low:
        return True
    floor = scale.low + FOREGROUND_VALUE * (scale.high - scale.low)
    return bool(np.count_nonzero(image > floor) <= EMPTY_FRACTION * image.size)


def _oriented(
    array: npt.NDArray[Any], geometry: Geometry, shown: Sequence[tuple[int, int]], first: int | None = None
) -> npt.NDArray[Any]:
    """A view of an array KJI with the given patient axes, growing as asked; ``first`` is an index axis put before."""
    axes = [geometry.patient_axes.index(patient_axis) for patient_axis, _ in shown]
    flips = [
        slice(None, None, -1 if geometry.direction_lps[patient_axis, axis] * wanted < 0 else 1)
        for (patient_axis, wanted), axis in zip(shown, axes, strict=True)
    ]
    if first is not None:
        axes, flips = [first, *axes], [slice(None), *flips]
    return np.transpose(array, [2 - axis for axis in axes])[tuple(flips)]
