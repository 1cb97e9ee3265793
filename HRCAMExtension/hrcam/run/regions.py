"""Regions: connected components of evidence, measured where the patient is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from ..bundle.evidence_level import EvidenceLevel
from ..scan.geometry import Geometry
from .components import connected
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
    import SimpleITK as sitk  # noqa: N813 - its customary name

    box, components = connected(marked)
    del marked
    plane = plane or geometry.acquisition_plane
    axis = geometry.axis_of(plane)
    numbers, lowest = sitk.GetImageFromArray(components), levels[0].threshold - 1e-6
    found = sitk.LabelIntensityStatisticsImageFilter()
    found.ComputePerimeterOff()
    found.Execute(numbers, sitk.GetImageFromArray(evidence[box]))
    highest = sitk.LabelStatisticsImageFilter()
    highest.Execute(sitk.GetImageFromArray(labels[box]), numbers)
    corner = np.array([part.start for part in reversed(box)])
    regions = []
    for n in found.GetLabels():
        sum_, voxels = found.GetSum(n), found.GetNumberOfPixels(n)
        # Weights are the evidence above the lowest threshold: of both centers, that of evidence and that of voxels.
        moment = sum_ * np.array(found.GetCenterOfGravity(n)) - lowest * voxels * np.array(found.GetCentroid(n))
        peak_ijk = corner + found.GetMaximumIndex(n)
        regions.append(Region(
            label=1,
            level=levels[int(highest.GetMaximum(n)) - 1].name,
            volume_ml=float(voxels * geometry.voxel_volume_ml),
            peak=found.GetMaximum(n),
            mean=found.GetMean(n),
            centroid_ras=_point(geometry.points_to_ras(corner + moment / (sum_ - lowest * voxels))),
            peak_ras=_point(geometry.points_to_ras(peak_ijk)),
            plane=plane,
            slice_index=int(peak_ijk[axis]),
        ))
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


def _point(position: npt.NDArray[np.float64]) -> Point:
    r, a, s = position.tolist()
    return r, a, s
