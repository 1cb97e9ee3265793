"""Regions: connected components of evidence, measured where the patient is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from ..bundle.evidence_level import EvidenceLevel
from ..scan.geometry import Geometry
from .marking import Box, Components, connected
from .result import LabelArray, Point, Region


def find_regions(
    evidence: npt.NDArray[np.float32],
    labels: LabelArray,
    geometry: Geometry,
    levels: Sequence[EvidenceLevel],
    plane: str | None = None,
) -> list[Region]:
    """Connected components of what is marked, strongest peak first.

    Voxels that touch at a face, edge or corner belong together. A region takes the name of the highest level that marks
    one of its voxels; its volume, mean and centroid (weighted by the evidence above the lowest threshold) are those of
    the whole component.

    Parameters
    ----------
    evidence : float32 KJI, logits.
    labels : what is marked of it, see ``marking.mark``.
    geometry : their grid.
    levels : lowest threshold first.
    plane : plane whose slice through the peak is reported; None: the acquisition plane.
    """
    marked = labels > 0
    if not marked.any():
        return []
    box, components = connected(marked)
    del marked
    plane = plane or geometry.acquisition_plane
    axis = geometry.axis_of(plane)
    found = _measure(evidence, labels, box, components, levels[0].threshold)
    regions = [
        Region(
            label=1,
            level=levels[int(found.level[n]) - 1].name,
            volume_ml=float(found.voxels[n] * geometry.voxel_volume_ml),
            peak=float(found.peak[n]),
            mean=float(found.sum[n] / found.voxels[n]),
            centroid_ras=_point(geometry.points_to_ras(found.moment[n] / found.weight[n])),
            peak_ras=_point(geometry.points_to_ras(found.peak_ijk[n])),
            plane=plane,
            slice_index=int(found.peak_ijk[n, axis]),
        )
        for n in range(1, len(found.voxels))
    ]
    regions.sort(key=lambda region: (-region.peak, -region.volume_ml, region.peak_ras))
    return [replace(region, label=n) for n, region in enumerate(regions, start=1)]


def number_regions(
    labels: LabelArray, geometry: Geometry, regions: Sequence[Region]
) -> npt.NDArray[np.uint16]:
    """Number of the region (its ``label``) that each marked voxel belongs to, KJI; 0 where nothing is marked.

    Parameters
    ----------
    labels, geometry : what is marked, and its grid.
    regions : what `find_regions` found in it.
    """
    numbers = np.zeros(labels.shape, np.uint16)
    marked = labels > 0
    if not marked.any() or not regions:
        return numbers
    box, components = connected(marked)
    names = np.zeros(int(components.max()) + 1, np.uint16)
    for region in regions:
        i, j, k = np.rint(geometry.points_from_ras(region.peak_ras)).astype(int)
        names[components[tuple(n - part.start for n, part in zip((k, j, i), box, strict=True))]] = region.label
    numbers[box] = names[components]
    return numbers


@dataclass(frozen=True)
class _Measures:
    """Of each component by its number (0 is background): voxels, sums, and where its first greatest voxel lies."""

    voxels: npt.NDArray[np.int64]
    level: LabelArray
    sum: npt.NDArray[np.float64]
    weight: npt.NDArray[np.float64]
    moment: npt.NDArray[np.float64]
    peak: npt.NDArray[np.float32]
    peak_ijk: npt.NDArray[np.int64]


def _measure(
    evidence: npt.NDArray[np.float32], labels: LabelArray, box: Box, components: Components, threshold: float
) -> _Measures:
    """Measure all components slice by slice: lists of a large volume's voxels would be larger than the volume."""
    count = int(components.max()) + 1
    corner = [part.start for part in box]
    found = _Measures(np.zeros(count, np.int64), np.zeros(count, np.uint8), np.zeros(count), np.zeros(count),
                      np.zeros((count, 3)), np.full(count, -np.inf, np.float32),
                      np.zeros((count, 3), np.int64))
    for k, ids in enumerate(components, start=corner[0]):
        rows, columns = np.nonzero(ids)
        if not len(rows):
            continue
        ijk = np.stack([columns + corner[2], rows + corner[1], np.full_like(rows, k)], axis=1)
        values = evidence[k, ijk[:, 1], ijk[:, 0]]
        present, own = np.unique(ids[rows, columns], return_inverse=True)
        weights = values.astype(np.float64) - threshold + 1e-6
        found.voxels[present] += np.bincount(own)
        np.maximum.at(found.level, ids[rows, columns], labels[k, ijk[:, 1], ijk[:, 0]])
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
