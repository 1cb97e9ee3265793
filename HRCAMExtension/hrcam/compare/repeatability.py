"""How far two localizations of one scan differ: what a change must exceed to be one.

The scan is moved by a few degrees and parts of a voxel, re-sampled on its own grid, given its own noise once more, and
localized again. Regions of both runs are matched, and their sizes and peaks compared. One scan shows few regions, so
an assumed amount stands in as so many observations more (`PRIOR`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy.spatial.transform import Rotation

from ..align.transforms import Matrix, carried, inverse
from ..run.result import Result
from ..scan.geometry import Geometry
from ..scan.volume import Volume
from .matching import by_label, match_regions, numbered

PRIOR_DIAMETER_MM, PRIOR_LOG_PEAK, PRIOR_WEIGHT = 1.0, 0.1, 8.0
"""Assumed, not measured: standard deviations within one scan, and how many observations they count as."""

_COVERAGE = 1.96 * math.sqrt(2)
"""Of 100 differences of two runs, 95 are smaller than this many standard deviations (Bland and Altman)."""

_TURN, _SHIFT_MM = math.radians(3.0), 1.5


@dataclass(frozen=True)
class Repeatability:
    """Differences that two runs on copies of one scan exceed in 5 of 100 regions.

    Parameters
    ----------
    diameter_mm : of the diameters of two balls of the regions' volumes.
    log_peak : of the natural logarithms of their peaks.
    regions : how many were measured on this scan; the rest is the assumed amount.
    """

    diameter_mm: float
    log_peak: float
    regions: int = 0


def diameter_of(volume_ml: float) -> float:
    """Diameter in mm of a ball of so many ml."""
    return float((6000.0 * volume_ml / math.pi) ** (1 / 3))


def measure_repeatability(
    volume: Volume, result: Result, localize: Callable[[Volume], Result], copies: int = 1, seed: int = 0
) -> Repeatability:
    """Localize copies of a scan and compare their regions with those of the scan itself.

    Parameters
    ----------
    volume, result : the scan, and what was found in it.
    localize : the same model with the same options.
    copies : more make it more certain, and take as much longer.
    """
    differences: list[tuple[float, float]] = []
    for number in range(copies if result.regions else 0):
        copy, there = copy_of(volume, seed + number)
        differences += differences_of(result, localize(copy), there)
    return from_differences(differences)


def from_differences(differences: Sequence[tuple[float, float]]) -> Repeatability:
    """Pool differences (of diameters in mm, of log peaks) with the assumed ones.

    The variance within one scan is half the mean square of differences; the assumed one counts `PRIOR_WEIGHT` times.
    """
    sums = np.square(np.asarray(differences, float).reshape(-1, 2)).sum(axis=0) / 2
    prior = np.square([PRIOR_DIAMETER_MM, PRIOR_LOG_PEAK])
    pooled = np.sqrt((PRIOR_WEIGHT * prior + sums) / (PRIOR_WEIGHT + len(differences)))
    return Repeatability(float(_COVERAGE * pooled[0]), float(_COVERAGE * pooled[1]), len(differences))


def differences_of(result: Result, again: Result, there: Matrix) -> list[tuple[float, float]]:
    """Differences (second minus first) of matched regions' diameters in mm and log peaks.

    ``there`` leads from a place in the first scan to the same place in the second, 4x4 LPS mm.
    """
    first = numbered(result)
    second = carried(numbered(again), again.geometry, result.geometry,
                     there, nearest=True)
    regions, regions_again = by_label(result.regions), by_label(again.regions)
    found = []
    for match in match_regions(first, second.astype(np.uint16), result.geometry):
        if match.earlier and match.later:
            one, other = [regions[n] for n in match.earlier], [regions_again[n] for n in match.later]
            found.append((
                diameter_of(sum(r.volume_ml for r in other)) - diameter_of(sum(r.volume_ml for r in one)),
                math.log(max(r.peak for r in other)) - math.log(max(r.peak for r in one)),
            ))
    return found


def copy_of(volume: Volume, seed: int) -> tuple[Volume, Matrix]:
    """The scan moved a little, on its own grid, with its own noise once more.

    Returns
    -------
    The copy, and the motion from a place in the scan to the same place in the copy (4x4, LPS mm).
    """
    rng = np.random.default_rng(seed)
    motion = _motion(rng, volume.geometry)
    moved = carried(volume.array, volume.geometry, volume.geometry, inverse(motion)).astype(np.float32)
    moved += noise_of(volume.array) * rng.standard_normal(moved.shape, dtype=np.float32)
    return replace(volume, array=np.maximum(moved, min(0.0, float(volume.array.min())), dtype=np.float32)), motion


def noise_of(array: npt.NDArray[np.float32]) -> float:
    """Standard deviation of a scan's noise: the median size of second differences along rows.

    Voxels at the scan's lowest value (air that was cut to 0) hold none.
    """
    middle = array[:, :, 1:-1]
    second = array[:, :, :-2] - 2 * middle + array[:, :, 2:]
    kept = second[middle > array.min()]
    return float(np.median(np.abs(kept)) / (0.6745 * math.sqrt(6))) if kept.size else 0.0


def _motion(rng: np.random.Generator, geometry: Geometry) -> Matrix:
    """Turn by up to 3° in the slices' plane; out of it, and across it, by no more than parts of a slice."""
    axis = geometry.acquisition_axis
    angles, shift = rng.uniform(-1, 1, (2, 3))
    half = max(length for n, length in enumerate(geometry.extent_mm) if n != axis) / 2
    most = np.full(3, min(_TURN, 0.5 * geometry.spacing[axis] / half))
    most[axis] = _TURN
    far = np.full(3, _SHIFT_MM)
    far[axis] = min(_SHIFT_MM, 0.5 * geometry.spacing[axis])
    turned = np.eye(4)
    turned[:3, :3] = Rotation.from_rotvec(geometry.direction_lps @ (angles * most)).as_matrix()
    turned[:3, 3] = geometry.direction_lps @ (shift * far)
    to_center = np.eye(4)
    to_center[:3, 3] = -geometry.points_to_lps([(n - 1) / 2 for n in geometry.size_ijk])
    return np.asarray(inverse(to_center) @ turned @ to_center)
