"""Scanner units to the network's range: the one scaling that training and inference share. Pure numpy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import BundleError
from .thinning import thin

Array = npt.NDArray[np.float32]

CEILING = 1.5
"""Normalized values end here: vessels and artifacts brighter than the scaling's high percentile keep some contrast."""

LOW_PERCENTILE, HIGH_PERCENTILE = 1.0, 99.5
"""Of a scaling that names none."""

FOREGROUNDS = ("otsu", "nonzero", "none")

_BINS = 256


@dataclass(frozen=True)
class Scale:
    """A linear map of intensities: ``low`` becomes 0, ``high`` becomes 1."""

    low: float
    high: float

    def apply(self, array: npt.ArrayLike) -> Array:
        """Float32 copy of ``array`` in [0, `CEILING`]; values that are not finite become 0."""
        values = np.array(array, dtype=np.float32)
        values -= np.float32(self.low)
        values *= np.float32(1.0 / (self.high - self.low)) if self.high > self.low else np.float32(0.0)
        np.nan_to_num(values, copy=False, nan=0.0, posinf=0.0, neginf=0.0)
        return np.clip(values, 0.0, CEILING, out=values)


def normalize(array: npt.ArrayLike, scaling: Mapping[str, Any]) -> Array:
    """Normalize one image or volume of any shape by a bundle's ``input.intensity``.

    The scaling's ``high`` percentile of the *foreground* becomes 1 and its ``low`` percentile of *all* voxels (air in a
    scan of a head) becomes 0. The low one is not taken within the foreground on purpose: there it would be Otsu's
    threshold itself, and dark tissue such as ventricles would turn into background.

    Parameters
    ----------
    array : any shape and axis order, scanner units.
    scaling : ``{"kind": "percentile", "low": 1.0, "high": 99.5, "foreground": "otsu" | "nonzero" | "none", …}``; its
        "per" ("volume" or "slice") is the caller's matter: give what belongs together.

    Returns
    -------
    float32 array of the same shape in [0, 1.5], tissue mostly below 1; all 0 where the image is constant.

    Raises
    ------
    BundleError : the scaling is of an unknown kind.
    """
    return find_scale(array, scaling).apply(array)


def find_scale(array: npt.ArrayLike, scaling: Mapping[str, Any]) -> Scale:
    """The scale that `normalize` applies, to be measured once on a volume and applied slice by slice.

    Percentiles of more than `thinning.MOST` voxels are those of a sample, whose ranks are exact to 0.12 %.
    """
    return scale_of(in_order(array), scaling)


def scale_of(ordered: Array, scaling: Mapping[str, Any]) -> Scale:
    """The scale of what `in_order` returned of an image or volume; `find_scale` is both."""
    if scaling.get("kind") != "percentile":
        raise BundleError(f"The model's intensity scaling is of the unknown kind {scaling.get('kind')!r}.",
                          "Use a bundle made for this version of hrcam.")
    if ordered.size == 0:
        return Scale(0.0, 0.0)
    low = percentile(ordered, float(scaling.get("low", LOW_PERCENTILE)))
    foreground = _foreground(ordered, str(scaling.get("foreground", "otsu")))
    high = percentile(foreground, float(scaling.get("high", HIGH_PERCENTILE))) if foreground.size else low
    return Scale(low, high)


def in_order(array: npt.ArrayLike) -> Array:
    """The finite values of an array of any shape, at most `thinning.MOST` of them, float32 and ascending.

    Sorted once, all percentiles and thresholds are looked up.
    """
    values = thin(array).astype(np.float32)
    values = values[np.isfinite(values)]
    values.sort()
    return values


def percentile(ordered: Array, percent: float) -> float:
    """A percentile of ascending values, at least one, linear between two of them."""
    rank = percent / 100 * (ordered.size - 1)
    below = int(rank)
    low, high = (float(ordered[min(n, ordered.size - 1)]) for n in (below, below + 1))
    return low + (high - low) * (rank - below)


def otsu_threshold(values: npt.ArrayLike) -> float:
    """`otsu_of` an array of any shape."""
    return otsu_of(in_order(values))


def otsu_of(ordered: Array) -> float:
    """Otsu's threshold (1979) over 256 bins: the value that best separates two groups by their between-variance.

    Of ascending values, such as `in_order` returns. The histogram ends at the 99.9th percentile, so that one bright
    voxel cannot squeeze all tissue into a few bins. Returns the lowest value for a constant array.
    """
    lowest, high = float(ordered[0]), percentile(ordered, 99.9)
    if not high > lowest:
        high = float(ordered[-1])
    edges = np.histogram_bin_edges(ordered[:0], bins=_BINS, range=(lowest, high)).astype(np.float32)
    counts = np.diff(np.searchsorted(ordered, edges[1:-1]), prepend=0, append=ordered.size)
    return _otsu(counts, edges) if lowest < high else lowest


def _otsu(counts: npt.NDArray[np.int64], edges: npt.NDArray[np.floating]) -> float:
    """The edge of the bins that separates best."""
    centers = (edges[:-1] + edges[1:]) / 2
    below = np.cumsum(counts, dtype=np.float64)
    above = below[-1] - below
    sum_below = np.cumsum(counts * centers)
    with np.errstate(divide="ignore", invalid="ignore"):
        between = below * above * (sum_below / below - (sum_below[-1] - sum_below) / above) ** 2
    return float(edges[1 + int(np.nanargmax(between[:-1]))])


def _foreground(ordered: Array, kind: str) -> Array:
    if kind == "otsu":
        return ordered[np.searchsorted(ordered, np.float32(otsu_of(ordered))) :]
    if kind == "nonzero":
        return ordered[ordered != 0]
    if kind == "none":
        return ordered
    raise BundleError(f"The model's intensity scaling names an unknown foreground {kind!r}.",
                      f"Known are: {', '.join(FOREGROUNDS)}.")
