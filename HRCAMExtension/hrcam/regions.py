"""Regions: connected components of evidence, measured where the patient is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from .geometry import Geometry
from .result import EvidenceLevel, Point, Region

Components = npt.NDArray[np.uint32]


def find_regions(
    evidence: npt.NDArray[np.float32],
    geometry: Geometry,
    levels: Sequence[EvidenceLevel],
    plane: str | None = None,
    minimum_ml: float = 0.0,
) -> list[Region]:
    """Connected components of ``evidence`` from the lowest level's threshold on, strongest peak first.

    Voxels that touch at a face, edge or corner belong together. A region takes the name of the highest level that its
    peak reaches; its volume, mean and centroid (weighted by the evidence above the threshold) are those of the whole
    component.

    Parameters
    ----------
    evidence : float32 KJI, logits.
    geometry : its grid.
    levels : lowest threshold first.
    plane : plane whose slice through the peak is reported; None: the acquisition plane.
    minimum_ml : smaller components are left out.
    """
    threshold = levels[0].threshold
    mask = evidence >= threshold
    if not mask.any():
        return []
    corner, components = _components(mask)
    inside = np.nonzero(components)
    ids = components[inside].astype(np.int64)
    kji = np.stack(inside, axis=1) + corner
    values = evidence[tuple(kji.T)]
    plane = plane or geometry.acquisition_plane
    axis = geometry.axis_of(plane)
    order = np.argsort(ids, kind="stable")
    starts = np.flatnonzero(np.diff(ids[order], prepend=0))
    regions = []
    for members in np.split(order, starts[1:]):
        volume = len(members) * geometry.voxel_volume_ml
        if volume >= minimum_ml:
            regions.append(_measure(kji[members, ::-1], values[members], geometry, levels, plane, axis, volume))
    regions.sort(key=lambda region: (-region.peak, -region.volume_ml, region.peak_ras))
    return [replace(region, label=n) for n, region in enumerate(regions, start=1)]


def drop_small(
    labels: npt.NDArray[np.uint8], geometry: Geometry, minimum_ml: float
) -> npt.NDArray[np.uint8]:
    """Level numbers KJI without the components that `find_regions` leaves out."""
    if minimum_ml <= 0 or not labels.any():
        return labels
    corner, components = _components(labels > 0)
    sizes = np.bincount(components.ravel()) * geometry.voxel_volume_ml
    kept = labels.copy()
    box = tuple(slice(int(c), int(c) + n) for c, n in zip(corner, components.shape, strict=True))
    kept[box] *= (sizes >= minimum_ml)[components]
    return kept


def _components(mask: npt.NDArray[np.bool_]) -> tuple[npt.NDArray[np.int64], Components]:
    """Component numbers within the mask's bounding box (most of a scan holds no evidence), and the box's corner KJI."""
    import SimpleITK as sitk  # noqa: N813 - its customary name

    bounds = []
    for axis in range(3):
        rest = tuple(n for n in range(3) if n != axis)
        where = np.flatnonzero(mask.any(axis=rest))
        bounds.append((int(where[0]), int(where[-1]) + 1))
    box = mask[tuple(slice(start, stop) for start, stop in bounds)]
    image = sitk.GetImageFromArray(np.ascontiguousarray(box, np.uint8))
    found: Components = sitk.GetArrayFromImage(sitk.ConnectedComponent(image, True)).astype(np.uint32)
    return np.asarray([start for start, _ in bounds], np.int64), found


def _measure(
    ijk: npt.NDArray[np.int64],
    values: npt.NDArray[np.float32],
    geometry: Geometry,
    levels: Sequence[EvidenceLevel],
    plane: str,
    axis: int,
    volume_ml: float,
) -> Region:
    strongest = int(np.argmax(values))
    weights = values.astype(np.float64) - levels[0].threshold + 1e-6
    reached = [level for level in levels if values[strongest] >= level.threshold]
    return Region(
        label=1,
        level=reached[-1].name,
        volume_ml=float(volume_ml),
        peak=float(values[strongest]),
        mean=float(values.mean(dtype=np.float64)),
        centroid_ras=_point(geometry.points_to_ras(weights @ ijk / weights.sum())),
        peak_ras=_point(geometry.points_to_ras(ijk[strongest])),
        plane=plane,
        slice_index=int(ijk[strongest, axis]),
    )


def _point(position: npt.NDArray[np.float64]) -> Point:
    r, a, s = position.tolist()
    return r, a, s
