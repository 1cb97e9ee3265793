"""Parts of scans, as scans of their own at their place."""

from __future__ import annotations

import numpy as np
from hrcam.scan.geometry import Geometry
from hrcam.scan.intensity import otsu_threshold
from hrcam.scan.volume import Volume

_SHOWN = 0.01
"""A slice that shows the head has at least such a share of voxels brighter than half of Otsu's threshold."""

Where = tuple[slice, slice, slice]
"""KJI."""


def cut(volume: Volume, where: Where) -> Volume:
    """The part of a volume in a box; its slices have a start and an end each."""
    matrix = volume.geometry.ijk_to_ras.copy()
    matrix[:3, 3] = volume.geometry.points_to_ras([[part.start for part in reversed(where)]])[0]
    array = np.ascontiguousarray(volume.array[where])
    return Volume(array, Geometry.from_ijk_to_ras(matrix, array.shape[::-1]), volume.name,
                  spacing_known=volume.spacing_known)


def cut_to_head(volume: Volume) -> Volume:
    """The smallest box around what is shown, as of a scan that someone cropped; all slices with background alone go."""
    lowest = float(volume.array.min())
    shown = volume.array > lowest + 0.5 * (otsu_threshold(volume.array) - lowest)
    spans = []
    for axis in range(3):
        found = np.flatnonzero(shown.mean(tuple(n for n in range(3) if n != axis)) >= _SHOWN)
        spans.append(slice(int(found[0]), int(found[-1]) + 1) if len(found) else slice(0, shown.shape[axis]))
    return cut(volume, (spans[0], spans[1], spans[2]))
