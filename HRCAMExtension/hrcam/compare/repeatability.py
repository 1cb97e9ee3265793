"""How far two localizations of one scan differ, and the mean of several, which differs less.

A scan is re-sampled on another grid, given its own noise once more, and localized again. Regions of both runs are
matched, and their sizes and peaks compared. One scan shows few regions, so what was measured on many scans stands in as
so many observations more (`USUAL_WEIGHT`). The mean of the runs' maps is what a comparison looks at.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib import resources

import numpy as np
import numpy.typing as npt
from scipy.spatial.transform import Rotation

from ..align.transforms import Matrix, carried, inverse
from ..run.result import Result
from ..scan.geometry import Geometry
from ..scan.volume import Volume
from .matching import by_label, match_regions, numbered
from .withheld import marked_again

USUAL_FILE = "usual.json"
"""Standard deviations of one run within one scan; ``hrcam_research.evaluate.follow_ups usual`` measures them."""

USUAL_WEIGHT = 8.0
"""How many regions of the scan itself they count as; chosen, not measured."""

_COVERAGE = 1.96 * math.sqrt(2)
"""Of 100 differences of two runs, 95 are smaller than this many standard deviations (Bland and Altman)."""

_TURN, _SHIFT_MM = math.radians(3.0), 1.5

_ALIKE = 1.25
"""Slices of two scans are alike where no spacing is greater than the other's by more than this factor."""

Differences = list[tuple[float, float]]


@dataclass(frozen=True)
class Repeatability:
    """Differences that two measurements of one scan exceed in 5 of 100 regions.

    Parameters
    ----------
    diameter_mm : of the diameters of two balls of the regions' volumes.
    log_peak : of the natural logarithms of their peaks.
    regions : how many were measured on these scans; the rest is the usual amount.
    """

    diameter_mm: float
    log_peak: float
    regions: int = 0


def diameter_of(volume_ml: float) -> float:
    """Diameter in mm of a ball of so many ml."""
    return float((6000.0 * volume_ml / math.pi) ** (1 / 3))


def localized_again(
    volume: Volume, result: Result, localize: Callable[[Volume], Result], copies: int, grid: Geometry, there: Matrix,
    minimum_ml: float, seed: int = 0,
) -> tuple[Result, Differences]:
    """Localize copies of a scan; returns the result with the mean of all maps, and how far the copies differ from it.

    The first copy lies on the grid of the scan that it is compared with, where the slices of both are alike, so that
    both dates were seen in the same slices once; all others are moved a little.

    Parameters
    ----------
    volume, result : the scan, and what was found in it.
    localize : the same model with the same options.
    copies : more make the mean more certain, and take as much longer.
    grid, there : of the scan that it is compared with; ``there`` leads from a place in this scan to that one, LPS mm.
    minimum_ml : smaller regions are not marked.
    """
    differences: Differences = []
    total = np.zeros(result.map.shape, np.float32)
    for number in range(copies):
        if number == 0 and _alike(volume.geometry, grid):
            copy, motion = copy_on(volume, grid, there, seed), there
        else:
            copy, motion = copy_of(volume, seed + number)
        again = localize(copy)
        differences += differences_of(result, again, motion)
        seen = carried(np.ones(again.map.shape, np.uint8), again.geometry, result.geometry, motion, nearest=True)
        total += np.where(seen.astype(bool), carried(again.map, again.geometry, result.geometry, motion), result.map)
    if not copies:
        return result, differences
    mean = np.asarray((total + result.map) / (1 + copies), np.float32)
    return marked_again(replace(result, map=mean), minimum_ml, every=False), differences


@lru_cache(maxsize=1)
def usual_deviations() -> tuple[float, float]:
    """Usual standard deviations of one run: of a diameter in mm, and of a log peak."""
    measured = json.loads(resources.files(__package__).joinpath(USUAL_FILE).read_text(encoding="utf-8"))
    return measured["sd_diameter_mm"], measured["sd_log_peak"]


def from_differences(differences: Sequence[tuple[float, float]], runs: int = 1) -> Repeatability:
    """Pool differences of two runs (of diameters in mm, of log peaks) with the usual ones.

    The variance of one run is half the mean square of differences; the usual one counts `USUAL_WEIGHT` times.

    Parameters
    ----------
    runs : of how many the mean map is; its variance is as many times smaller.
    """
    sums = np.square(np.asarray(differences, float).reshape(-1, 2)).sum(axis=0) / 2
    pooled = np.sqrt((USUAL_WEIGHT * np.square(usual_deviations()) + sums) / (USUAL_WEIGHT + len(differences)) / runs)
    return Repeatability(float(_COVERAGE * pooled[0]), float(_COVERAGE * pooled[1]), len(differences))


def differences_of(result: Result, again: Result, there: Matrix) -> Differences:
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
    motion = _motion(np.random.default_rng(seed), volume.geometry)
    return copy_on(volume, volume.geometry, motion, seed), motion


def copy_on(volume: Volume, grid: Geometry, there: Matrix, seed: int) -> Volume:
    """The scan on another grid, with its own noise once more; ``there`` leads from the scan to that grid's space."""
    rng = np.random.default_rng((seed, 1))
    moved = carried(volume.array, volume.geometry, grid, inverse(there)).astype(np.float32)
    moved += noise_of(volume.array) * rng.standard_normal(moved.shape, dtype=np.float32)
    array = np.maximum(moved, min(0.0, float(volume.array.min())), dtype=np.float32)
    return replace(volume, array=array, geometry=grid)


def noise_of(array: npt.NDArray[np.float32]) -> float:
    """Standard deviation of a scan's noise: the median size of second differences along rows.

    Voxels at the scan's lowest value (air that was cut to 0) hold none.
    """
    middle = array[:, :, 1:-1]
    second = array[:, :, :-2] - 2 * middle + array[:, :, 2:]
    kept = second[middle > array.min()]
    return float(np.median(np.abs(kept)) / (0.6745 * math.sqrt(6))) if kept.size else 0.0


def _alike(one: Geometry, other: Geometry) -> bool:
    """Whether two scans were taken in the same plane, with slices of about the same thickness."""
    ratios = np.divide(one.spacing, other.spacing)
    return one.acquisition_plane == other.acquisition_plane and bool(
        ratios.max() <= _ALIKE and ratios.min() >= 1 / _ALIKE)


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
