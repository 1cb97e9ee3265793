"""Regions: connected components of evidence, measured where the patient is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from ..scan.geometry import Geometry
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
    del mask
    plane = plane or geometry.acquisition_plane
    axis = geometry.axis_of(plane)
    found = _measure(evidence, corner, components, threshold)
    regions = []
    for n in range(1, len(found.voxels)):
        volume = float(found.voxels[n] * geometry.voxel_volume_ml)
        if volume < minimum_ml:
            continue
        peak = found.peak[n]  # float32, as the mask was found: in double precision it might miss the threshold
        regions.append(Region(
            label=1,
            level=[level for level in levels if peak >= level.threshold][-1].name,
            volume_ml=volume,
            peak=float(peak),
            mean=float(found.sum[n] / found.voxels[n]),
            centroid_ras=_point(geometry.points_to_ras(found.moment[n] / found.weight[n])),
            peak_ras=_point(geometry.points_to_ras(found.peak_ijk[n])),
            plane=plane,
            slice_index=int(found.peak_ijk[n, axis]),
        ))
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
    image = sitk.GetImageFromArray(np.ascontiguousarray(box).view(np.uint8))
    found: Components = sitk.GetArrayFromImage(sitk.ConnectedComponent(image, True))
    return np.asarray([start for start, _ in bounds], np.int64), found


@dataclass(frozen=True)
class _Measures:
    """Of each component by its number (0 is background): voxels, sums, and where its first greatest voxel lies."""

    voxels: npt.NDArray[np.int64]
    sum: npt.NDArray[np.float64]
    weight: npt.NDArray[np.float64]
    moment: npt.NDArray[np.float64]
    peak: npt.NDArray[np.float32]
    peak_ijk: npt.NDArray[np.int64]


def _measure(
    evidence: npt.NDArray[np.float32], corner: npt.NDArray[np.int64], components: Components, threshold: float
) -> _Measures:
    """Measure all components slice by slice: lists of a large volume's voxels would be larger than the volume."""
    count = int(components.max()) + 1
    found = _Measures(np.zeros(count, np.int64), np.zeros(count), np.zeros(count), np.zeros((count, 3)),
                      np.full(count, -np.inf, np.float32), np.zeros((count, 3), np.int64))
    for k, ids in enumerate(components, start=int(corner[0])):
        rows, columns = np.nonzero(ids)
        if not len(rows):
            continue
        ijk = np.stack([columns + corner[2], rows + corner[1], np.full_like(rows, k)], axis=1)
        values = evidence[k, ijk[:, 1], ijk[:, 0]]
        present, own = np.unique(ids[rows, columns], return_inverse=True)
        weights = values.astype(np.float64) - threshold + 1e-6
        found.voxels[present] += np.bincount(own)
        found.sum[present] += np.bincount(own, values.astype(np.float64))
        found.weight[present] += np.bincount(own, weights)
        for axis in range(3):
            found.moment[present, axis] += np.bincount(own, weights * ijk[:, axis])
        order = np.lexsort((-np.arange(len(own)), values, own))
        greatest = order[np.flatnonzero(np.diff(own[order], append=-1))]
        higher = values[greatest] > found.peak[present]
        found.peak[present[higher]] = values[greatest[higher]]
        found.peak_ijk[present[higher]] = ijk[greatest[higher]]
    return found


def _point(position: npt.NDArray[np.float64]) -> Point:
    r, a, s = position.tolist()
    return r, a, s
