"""Evidence shared between neighboring slices: what is real mostly goes on in the next slice, false peaks do not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from ..cam.level_maps import Maps, Output

_FARTHEST = 3.0
"""Standard deviations beyond which a slice counts for nothing."""

Weights = Sequence[tuple[int, npt.NDArray[np.float32]]]
"""Of each slice: the first slice that counts, and the weights of it and those that follow."""


def share_evidence(output: Output, positions_mm: Sequence[float], sigma_mm: float) -> Output:
    """Make each slice's evidence and logits a weighted mean over slices nearby.

    Weights fall with the distance as a Gaussian does and sum to 1 over the slices that there are, so every map stays
    complete: its mean and the bias are the slice's logit.

    Parameters
    ----------
    output : of a plan of slices.
    positions_mm : of each slice, growing.
    sigma_mm : standard deviation. Slices far thicker than it are left as they are.
    """
    weights = _weights(np.asarray(positions_mm, float), sigma_mm)
    if all(len(one) == 1 for _, one in weights):
        return output
    return replace(
        output, logits=_weighted(output.logits, 0, weights),
        levels={name: _SharedMaps(maps, weights) for name, maps in output.levels.items()},
    )  # fmt: skip


def _weights(positions: npt.NDArray[np.float64], sigma: float) -> Weights:
    found = []
    for position in positions:
        first, end = np.searchsorted(positions, [position - _FARTHEST * sigma, position + _FARTHEST * sigma])
        end = max(end, first + 1)
        one = np.exp(-0.5 * ((positions[first:end] - position) / sigma) ** 2)
        found.append((int(first), (one / one.sum()).astype(np.float32)))
    return found


def _weighted(values: npt.NDArray[Any], offset: int, weights: Weights) -> npt.NDArray[np.float32]:
    """Weighted means along the first axis; `offset`: the number of the first slice in `values`."""
    return np.stack([np.tensordot(one, values[first - offset : first - offset + len(one)].astype(np.float32), 1)
                     for first, one in weights])  # fmt: skip


class _SharedMaps:
    """Maps that are shared when they are looked up: they may be too many for the memory."""

    def __init__(self, maps: Maps, weights: Weights) -> None:
        self._maps, self._weights = maps, weights

    def __getitem__(self, chosen: slice) -> npt.NDArray[np.float32]:
        weights = self._weights[chosen]
        start, end = weights[0][0], max(first + len(one) for first, one in weights)
        return _weighted(self._maps[slice(start, end)], start, weights)
