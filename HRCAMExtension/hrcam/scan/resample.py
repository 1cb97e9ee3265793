"""Linear resampling and padding of one axis, and the way back: a pair of matrices, so that both directions agree.

Of a row only the few weights that are not 0 are multiplied. That is half the work of numpy's matrix product, whose
threads also go on spinning after every call and take the cores from the network.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]
Rows = tuple[npt.NDArray[np.intp], Array]
"""Of a matrix, the columns with weights and these weights, each rows × the most that a row has."""


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

    def forward(self, array: Array, axis: int) -> Array:
        """Replace axis ``axis`` of length ``source`` by one of length ``padded``."""
        if self.source == self.resampled == self.padded:
            return array
        if self.source == self.resampled:
            margins = [(0, 0)] * array.ndim
            margins[axis] = (self.offset, self.padded - self.resampled - self.offset)
            return np.pad(array, margins)
        return _along(_there(self), array, axis)

    def backward(self, array: Array, axis: int) -> Array:
        """Replace axis ``axis`` of length ``padded`` by one of length ``source``.

        A length other than ``padded`` is that of a coarser grid over the same extent, which is up-sampled on the way.
        """
        samples = array.shape[axis]
        if samples == self.padded and self.source == self.resampled:
            kept = [slice(None)] * array.ndim
            kept[axis] = slice(self.offset, self.offset + self.resampled)
            return array[tuple(kept)]
        return _along(_back(self, samples), array, axis)


def fit_axis(source: int, spacing: float, target_spacing: float, size: int, multiple: int) -> AxisFit:
    """Fit an axis of ``source`` samples ``spacing`` apart (any unit) to a network's spacing and size.

    Nothing is cut off: what is longer than ``size`` makes the input longer, in steps of ``multiple``.
    """
    resampled = max(1, round(source * spacing / target_spacing))
    padded = size if resampled <= size else -(-resampled // multiple) * multiple
    return AxisFit(source, resampled, padded)


@lru_cache(maxsize=32)
def _there(fit: AxisFit) -> Rows:
    matrix = np.zeros((fit.padded, fit.source), np.float32)
    matrix[fit.offset : fit.offset + fit.resampled] = linear_weights(fit.source, fit.resampled)
    return _rows(matrix)


@lru_cache(maxsize=32)
def _back(fit: AxisFit, samples: int) -> Rows:
    """From so many samples, which may be a coarser grid's: up-sampling to ``padded`` and the way back in one."""
    matrix = np.zeros((fit.source, fit.padded), np.float32)
    matrix[:, fit.offset : fit.offset + fit.resampled] = linear_weights(fit.resampled, fit.source)
    return _rows(matrix if samples == fit.padded else matrix @ linear_weights(samples, fit.padded))


def _rows(matrix: Array) -> Rows:
    """The weights of every row lie side by side."""
    most = int(np.count_nonzero(matrix, axis=1).max())
    first = np.minimum((matrix != 0).argmax(axis=1), matrix.shape[1] - most)
    columns = first[:, None] + np.arange(most)
    return columns, np.take_along_axis(matrix, columns, axis=1)


def _along(rows: Rows, array: Array, axis: int) -> Array:
    """Multiply a matrix into one axis."""
    axis %= array.ndim
    trailing = (slice(None), *[None] * (array.ndim - 1 - axis))
    columns, weights = rows
    total = np.zeros(1, np.float32)
    for column, weight in zip(columns.T, weights.T, strict=True):
        total = total + array.take(column, axis) * weight[trailing]
    return total
