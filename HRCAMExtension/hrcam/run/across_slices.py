"""Evidence shared between neighboring slices: what is real mostly goes on in the next slice, false peaks do not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from ..cam.level_maps import Maps, Output

Weights = Sequence[tuple[int, npt.NDArray[np.float32]]]
"""Of each slice: the first slice that counts, and the weights of it and those that follow."""


def share_evidence(output: Output, indices: Sequence[int], neighbor_weight: float) -> Output:
    """Make each slice's evidence and logits a weighted mean of its own and its two neighbors'.

    Weights sum to 1 over the slices that there are, so every map stays complete: its mean and the bias are the slice's
    logit. Distances do not count: headers state false ones, and a blur as wide as they say can smear a lesion away.

    Parameters
    ----------
    output : of a plan of slices.
    indices : number of each slice in the scan, growing; a skipped slice is no neighbor.
    neighbor_weight : of each neighbor, where the slice's own is 1.
    """
    weights = _weights(indices, neighbor_weight)
    if all(len(one) == 1 for _, one in weights):
        return output
    return replace(
        output, logits=_weighted(output.logits, 0, weights),
        levels={name: _SharedMaps(maps, weights) for name, maps in output.levels.items()},
    )  # fmt: skip


def _weights(indices: Sequence[int], neighbor_weight: float) -> Weights:
    found = []
    for place, index in enumerate(indices):
        near = [n for n in (place - 1, place, place + 1) if 0 <= n < len(indices) and abs(indices[n] - index) <= 1]
        one = np.array([1.0 if n == place else neighbor_weight for n in near])
        found.append((near[0], (one / one.sum()).astype(np.float32)))
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
