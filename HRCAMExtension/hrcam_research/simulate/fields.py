"""Smooth random fields, for texture, bias and deformation: cubic B-splines on a coarse grid of random values."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

Array = np.ndarray


def _spline_matrix(size: int, step: float, phase: float) -> Array:
    """Cubic B-spline weights, size × nodes; the nodes lie ``step`` samples apart."""
    position = np.arange(size, dtype=np.float32) / step + phase
    first = np.floor(position).astype(int)
    t = position - first
    weights = np.stack([(1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3], 1) / 6
    matrix = np.zeros((size, int(first[-1]) + 4), np.float32)
    for k in range(4):
        matrix[np.arange(size), first + k] = weights[:, k]
    return matrix


def smooth_field(rng: np.random.Generator, shape: Sequence[int], spacing_mm: Sequence[float], scale_mm: float) -> Array:
    """Draw a smooth random field of mean about 0 and standard deviation about 1, float32.

    Interpolated axis by axis with matrix products: its cost does not grow with ``scale_mm`` as a filter's would.

    Parameters
    ----------
    rng : source of the randomness.
    shape : size of the field, any number of axes.
    spacing_mm : mm between samples along each axis of ``shape``.
    scale_mm : distance over which the field varies.
    """
    matrices = []
    for size, spacing in zip(shape, spacing_mm, strict=True):
        step = max(scale_mm / spacing, 1.0)
        matrices.append(_spline_matrix(size, step, float(rng.random())))
    field: Array = rng.standard_normal([matrix.shape[1] for matrix in matrices], dtype=np.float32)
    for matrix in matrices:
        # The contracted axis comes back last, so that after all axes the order is the original one.
        field = np.tensordot(field, matrix, axes=(0, 1))
    # A cubic B-spline of white noise has variance (151/315) per axis, averaged over positions.
    return np.asarray(field / (151 / 315) ** (len(shape) / 2), np.float32)
