"""Several planes of one scan together: their weighted mean map, and where they agree.

A lesion is seen whichever way a scan is cut; false evidence mostly stands in the slices of one plane. What all planes
see decides what a scan is called and which regions are marked. The map stays a weighted mean of the planes, which is
complete.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from .components import touching, trim
from .result import FloatArray

if TYPE_CHECKING:
    from ..cam.level_maps import Parts
    from ..scan.sampling import Plan

HalfArray = npt.NDArray[np.float16]

_LEAST, _MOST = 1.0, 6e4
"""Logits of agreement that count as none, since its logarithm is taken, and the most that half precision holds."""


_EXTENT, _OF_PEAK = 0.5, 0.1
"""Shares of the limit and of the region's peak that voxels around those that reach the limit must have: what planes
hardly agree on is marked farther around, what they are sure of is not (chosen on `ms` and simulated lesions)."""


@dataclass(frozen=True, eq=False)
class Joined:
    """The maps of all planes as one.

    Attributes
    ----------
    evidence : float32 KJI on the volume's grid, logits: the planes' weighted mean.
    item_means : of each plane the mean of each item's map.
    agreement : KJI, logits: the planes' geometric mean, 0 where one of them holds no evidence; None where nobody asked.
        In half precision: large scans would take a GiB more.
    """

    evidence: FloatArray
    item_means: list[npt.NDArray[np.float64]]
    agreement: HalfArray | None


def join_planes(
    plans: Sequence[Plan], maps: Sequence[Parts], weights: Sequence[float], agreement: bool
) -> Joined:
    """The planes' maps on the volume's grid, with weights of sum 1; ``agreement``: also where they agree."""
    shape = plans[0].volume.geometry.shape_kji
    total, means = np.zeros(shape, np.float32), []
    agreed = np.ones(shape, np.float16) if agreement else None
    for plan, parts, weight in zip(plans, maps, weights, strict=True):
        of_items = np.empty(plan.count)
        grid = total if agreed is None else np.zeros(shape, np.float32)
        for chosen, part in parts:
            of_items[chosen] = [one.mean(dtype=np.float64) for one in part]
            plan.add(grid, chosen, part * np.float32(weight))
        means.append(of_items)
        if agreed is not None:
            total += grid
            np.clip(grid / np.float32(weight), 0, _MOST, out=grid)
            agreed *= np.power(grid, np.float32(1 / len(plans)), out=grid)
    return Joined(total, means, agreed)


def plane_weights(plans: Sequence[Plan], given: Mapping[str, float]) -> tuple[float, ...]:
    """What each plan counts in the mean map, sum 1: alike, unless the bundle gives planes other weights."""
    weights = [given.get(getattr(plan, "plane", ""), 1.0) for plan in plans]
    return tuple(weight / sum(weights) for weight in weights)


def agreed_logits(
    agreement: HalfArray, rule: Mapping[str, Any], pathology: Sequence[bool]
) -> npt.NDArray[np.float64]:
    """Logits of a scan from what all planes see: the bundle's ``agreement``.

    The log-odds of pathology are ``ln(strongest agreement / limit) / temperature``, so that a scan is called ill
    exactly where `agreed_voxels` has some.

    Parameters
    ----------
    agreement : logits, of `join_planes`.
    rule : ``{"limit": logits, "temperature": t}``.
    pathology : of the two classes.
    """
    strongest = max(float(agreement.max()), _LEAST)
    odds = np.log(strongest / float(rule["limit"])) / float(rule["temperature"])
    return np.where(pathology, odds, 0.0)


def agreed_voxels(agreement: HalfArray, rule: Mapping[str, Any]) -> npt.NDArray[np.bool_]:
    """Where all planes see enough, and connected voxels of `_EXTENT` of that and `_OF_PEAK` of the strongest among
    them: a region without such a voxel is not marked.
    """
    limit = float(rule["limit"])
    enough = np.asarray(agreement >= np.float32(limit))
    if not enough.any():
        return enough
    around = touching(agreement >= np.float32(_EXTENT * limit), enough)
    trim(agreement, around, _OF_PEAK)
    return around | enough
