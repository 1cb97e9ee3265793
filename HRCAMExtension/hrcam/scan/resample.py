"""Linear resampling and padding of one axis, and the way back: a pair of matrices, so that both directions agree."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]


def linear_weights(source: int, target: int) -> Array:
    """Matrix target×source that resamples an axis linearly with half-pixel centers.

    Both grids span the same length. Down-sampling widens the triangle to the step, so that thin structures are
    averaged instead of skipped; rows sum to 1, and the ends repeat the edge.
    """
    step = source / target
    centers = (np.arange(target) + 0.5) * step - 0.5
    distance = np.abs(np.arange(source)[None, :] - centers[:, None])
    weights = np.maximum(0.0, 1.0 - distance / max(1.0, step))
    return (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)


@dataclass(frozen=True)
class AxisFit:
    """How one axis of an image becomes one axis of the network's input.

    Parameters
    ----------
    source : samples of the image.
    resampled : samples at the network's spacing, over the same length.
    padded : samples of the network's input, ≥ ``resampled``; the image lies centered in it, background (0) around.
    """

    source: int
    resampled: int
    padded: int

    @property
    def offset(self) -> int:
        """First sample of the image in the network's input."""
        return (self.padded - self.resampled) // 2

    @cached_property
    def _there(self) -> Array:
        matrix = np.zeros((self.padded, self.source), np.float32)
        matrix[self.offset : self.offset + self.resampled] = linear_weights(self.source, self.resampled)
        return matrix

    @cached_property
    def _back(self) -> Array:
        matrix = np.zeros((self.source, self.padded), np.float32)
        matrix[:, self.offset : self.offset + self.resampled] = linear_weights(self.resampled, self.source)
        return matrix

    def forward(self, array: Array, axis: int) -> Array:
        """Replace axis ``axis`` of length ``source`` by one of length ``padded``."""
        if self.source == self.resampled == self.padded:
            return array
        if self.source == self.resampled:
            margins = [(0, 0)] * array.ndim
            margins[axis] = (self.offset, self.padded - self.resampled - self.offset)
            return np.pad(array, margins)
        return _along(self._there, array, axis)

    def backward(self, array: Array, axis: int) -> Array:
        """Replace axis ``axis`` of length ``padded`` by one of length ``source``.

        A length other than ``padded`` is that of a coarser grid over the same extent, which is up-sampled on the way.
        """
        samples = array.shape[axis]
        if samples != self.padded:
            return _along(_from_coarse(self, samples), array, axis)
        if self.source == self.resampled:
            kept = [slice(None)] * array.ndim
            kept[axis] = slice(self.offset, self.offset + self.resampled)
            return array[tuple(kept)]
        return _along(self._back, array, axis)


@lru_cache(maxsize=32)
def _from_coarse(fit: AxisFit, samples: int) -> Array:
    """Matrix source×samples: up-sampling to ``padded`` and the way back in one, which is far less to compute."""
    return fit._back @ linear_weights(samples, fit.padded)


def fit_axis(source: int, spacing: float, target_spacing: float, size: int, multiple: int) -> AxisFit:
    """Fit an axis of ``source`` samples ``spacing`` apart (any unit) to a network's spacing and size.

    Nothing is cut off: what is longer than ``size`` makes the input longer, in steps of ``multiple``.
    """
    resampled = max(1, round(source * spacing / target_spacing))
    padded = size if resampled <= size else -(-resampled // multiple) * multiple
    return AxisFit(source, resampled, padded)


def _along(matrix: Array, array: Array, axis: int) -> Array:
    """Multiply a matrix into one axis; matmul on the last two axes spares the transposition."""
    axis %= array.ndim
    if axis == array.ndim - 1:
        return np.asarray(array @ matrix.T, np.float32)
    if axis == array.ndim - 2:
        return np.asarray(matrix @ array, np.float32)
    return np.moveaxis(np.moveaxis(array, axis, -1) @ matrix.T, -1, axis)
