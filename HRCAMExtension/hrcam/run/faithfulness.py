"""A deletion test, on request: whether the network's class for a scan rests on the region that the map shows.

The strongest region is filled with the mean of the tissue around it and the scan is localized again: a map that shows
what the network used points to where this lowers the evidence, and the same hole elsewhere does not. After the
deletion metric of Petsiuk et al., *RISE*, BMVC 2018, §4.2, with places of equal size and shape as the control, because
a hole is an appearance of its own.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk  # noqa: N813 - its customary name

from ..scan.intensity import otsu_of
from ..scan.volume import Volume, to_sitk
from .result import Faithfulness, Result

Mask = npt.NDArray[np.bool_]

PLACES = 4
"""Other places where the same hole is made."""

SHELL_MM = 10.0
"""Width of the tissue around a region whose mean fills it."""

_TRIES = 400
_TISSUE_SHARE = 0.9
_SMALLEST = 1e-12


def deletion_test(
    volume: Volume,
    result: Result,
    localize_again: Callable[[Volume], Mapping[str, float]],
    places: int = PLACES,
    seed: int = 0,
) -> Faithfulness | None:
    """Fill the strongest region, and as many voxels of the same shape at other places, and see what the answer loses.

    Parameters
    ----------
    volume, result : a scan and what was found in it.
    localize_again : the probability of each class that the same model with the same options gives a changed scan.
    places : other places, drawn in tissue outside all regions; fewer where there is no room for the shape.
    seed : of the places.

    Returns
    -------
    Faithfulness : what the log-odds of the shown class lose; None where no voxel reaches the lowest evidence level, or
        all do.
    """
    found = result.labels > 0
    if not found.any() or found.all():
        return None
    region = _strongest(found, result.map)
    tissue = volume.array >= otsu_of(volume.ordered)
    before = log_odds(result.probabilities, result.shown_class)

    def drop(hole: Mask) -> float:
        filled = replace(volume, array=fill(volume, hole, tissue & ~found))
        return before - log_odds(localize_again(filled), result.shown_class)

    others = _other_places(region, tissue, found, places, np.random.default_rng(seed))
    milliliters = float(np.count_nonzero(region)) * volume.geometry.voxel_volume_ml
    return Faithfulness(drop(region), tuple(drop(hole) for hole in others), milliliters, seed)


def log_odds(probabilities: Mapping[str, float], class_name: str) -> float:
    """Natural log-odds of a class against all others, within what double precision tells apart."""
    others = math.fsum(p for name, p in probabilities.items() if name != class_name)
    return math.log(max(probabilities[class_name], _SMALLEST) / max(others, _SMALLEST))


def fill(volume: Volume, hole: Mask, tissue: Mask) -> npt.NDArray[np.float32]:
    """A copy of the voxels KJI whose hole holds the mean of the tissue within ``SHELL_MM`` of it, or of all tissue."""
    distance = sitk.SignedMaurerDistanceMap(
        to_sitk(hole.astype(np.uint8), volume.geometry), squaredDistance=False, useImageSpacing=True
    )
    shell = tissue & ~hole & (sitk.GetArrayViewFromImage(distance) <= SHELL_MM)
    around = volume.array[shell if shell.any() else ~hole]
    filled = volume.array.copy()
    filled[hole] = around.mean(dtype=np.float64)
    return filled


def _strongest(found: Mask, evidence: npt.NDArray[np.float32]) -> Mask:
    """The component (neighbors at face, edge or corner) of the highest evidence among the voxels found."""
    components = sitk.GetArrayFromImage(sitk.ConnectedComponent(sitk.GetImageFromArray(found.astype(np.uint8)), True))
    peak = int(np.argmax(np.where(found, evidence, -np.inf)))
    return np.asarray(components == components.flat[peak])


def _other_places(region: Mask, tissue: Mask, found: Mask, count: int, rng: np.random.Generator) -> list[Mask]:
    """The region's shape moved to random places in tissue, off all regions."""
    voxels = np.argwhere(region)
    targets = np.argwhere(tissue & ~found)
    holes: list[Mask] = []
    if not len(targets):
        return holes
    middle = voxels[len(voxels) // 2]
    for target in targets[rng.integers(len(targets), size=_TRIES)]:
        moved = voxels + (target - middle)
        if len(holes) == count:
            break
        if (moved < 0).any() or (moved >= region.shape).any():
            continue
        place = tuple(moved.T)
        if not found[place].any() and tissue[place].mean() >= _TISSUE_SHARE:
            holes.append(np.zeros_like(region))
            holes[-1][place] = True
    return holes
