"""Match the regions of two dates: by overlap, then by distance, one to one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..run.regions import number_regions
from ..run.result import Region, Result
from ..scan.geometry import Geometry

NEAR_MM = 8.0
"""Regions that do not overlap can still be the same if their surfaces are no farther apart."""

MOSTLY = 0.5
"""Share of a region that must lie in a matched one of the other date to count as a part of it."""

_NEARNESS = 1e-6
"""What the nearest pair that does not touch is worth, as a Dice coefficient: less than any overlap."""

Numbers = npt.NDArray[np.uint16]


@dataclass(frozen=True)
class Match:
    """Regions of both dates that are the same: usually one each; several where they merged or split; none, where one
    side has no counterpart.

    Parameters
    ----------
    earlier, later : labels of the regions, the matched one first.
    overlap : Dice coefficient of the two; 0 where they do not touch.
    """

    earlier: tuple[int, ...]
    later: tuple[int, ...]
    overlap: float = 0.0


def match_regions(earlier: Numbers, later: Numbers, geometry: Geometry) -> list[Match]:
    """Match regions one to one, so that the sum of overlaps (then of nearness) is greatest: the Hungarian method.

    A region left over that lies mostly in a matched region of the other date is a part of it: it merged or split.

    Parameters
    ----------
    earlier, later : label of the region of each voxel (0: none), KJI, both on this grid.
    """
    from scipy.optimize import linear_sum_assignment

    later_labels, earlier_labels = _labels(later), _labels(earlier)
    common = _common_voxels(earlier, later)
    size_e, size_l = np.bincount(earlier.ravel(), minlength=1), np.bincount(later.ravel(), minlength=1)
    worth = np.zeros((len(earlier_labels), len(later_labels)))
    for row, e in enumerate(earlier_labels):
        for column, v in enumerate(later_labels):
            shared = common.get((e, v), 0)
            worth[row, column] = 2 * shared / (size_e[e] + size_l[v])
    _add_nearness(worth, earlier, later, earlier_labels, later_labels, geometry)
    rows, columns = linear_sum_assignment(worth, maximize=True)
    pairs = {earlier_labels[r]: later_labels[c] for r, c in zip(rows, columns, strict=True) if worth[r, c] > 0}
    parts_e: dict[int, list[int]] = {v: [] for v in pairs.values()}
    parts_l: dict[int, list[int]] = {e: [] for e in pairs}
    alone_e: list[int] = []
    alone_l: list[int] = []
    for e in (e for e in earlier_labels if e not in pairs):
        whole = max(pairs.values(), key=lambda v: common.get((e, v), 0), default=0)
        inside = whole and common.get((e, whole), 0) >= MOSTLY * size_e[e]
        (parts_e[whole] if inside else alone_e).append(e)
    for v in (v for v in later_labels if v not in pairs.values()):
        whole = max(pairs, key=lambda e: common.get((e, v), 0), default=0)
        inside = whole and common.get((whole, v), 0) >= MOSTLY * size_l[v]
        (parts_l[whole] if inside else alone_l).append(v)
    found = [
        Match((e, *parts_e[v]), (v, *parts_l[e]), 2 * common.get((e, v), 0) / float(size_e[e] + size_l[v]))
        for e, v in pairs.items()
    ]
    found += [Match((), (v,)) for v in alone_l] + [Match((e,), ()) for e in alone_e]
    return found


def numbered(result: Result) -> Numbers:
    """Label of the region that each voxel of a result belongs to, KJI on its grid; 0: none."""
    return number_regions(result.labels, result.geometry, result.regions)


def by_label(regions: Sequence[Region]) -> dict[int, Region]:
    """Regions by their labels."""
    return {region.label: region for region in regions}


def _labels(numbers: Numbers) -> list[int]:
    return [int(n) for n in np.unique(numbers) if n]


def _common_voxels(earlier: Numbers, later: Numbers) -> dict[tuple[int, int], int]:
    both = (earlier > 0) & (later > 0)
    pairs, counts = np.unique(np.stack([earlier[both], later[both]]), axis=1, return_counts=True)
    return {(int(e), int(v)): int(n) for (e, v), n in zip(pairs.T, counts, strict=True)}


def _add_nearness(
    worth: npt.NDArray[np.float64], earlier: Numbers, later: Numbers,
    earlier_labels: Sequence[int], later_labels: Sequence[int],
    geometry: Geometry,
) -> None:
    """Up to `_NEARNESS` for pairs that do not overlap but whose surfaces are near."""
    from scipy.ndimage import distance_transform_edt

    for column, v in enumerate(later_labels):
        if worth[:, column].any() or not len(earlier_labels):
            continue
        away = distance_transform_edt(later != v, sampling=geometry.spacing[::-1])
        for row, e in enumerate(earlier_labels):
            gap = float(away[earlier == e].min())
            worth[row, column] = _NEARNESS * max(0.0, 1 - gap / NEAR_MM)
