"""Smooth random fields and outlines on a square grid of pixels, fast enough to be drawn anew for every image."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]


@lru_cache(maxsize=512)
def _basis(size: int, knots: int, shift: int) -> Floats:
    """Cubic B-splines, size × (knots + 3); the first pixel lies shift / 8 of a knot's distance in."""
    position = (np.arange(size) + 0.5) / size * (knots - 1) + shift / 8
    first = np.floor(position).astype(int)
    t = position - first
    weights = np.stack([(1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3]) / 6
    basis = np.zeros((size, knots + 3), np.float32)
    for k in range(4):
        basis[np.arange(size), first + k] += weights[k].astype(np.float32)
    return basis


def smooth_noise(rng: np.random.Generator, size: int, scale: float) -> Floats:
    """Field of mean 0 and standard deviation about 1, size × size, without structure finer than `scale` pixels."""
    knots = max(2, round(size / scale) + 1)
    rows, columns = (_basis(size, knots, int(rng.integers(8))) for _ in range(2))
    grid = rng.standard_normal((knots + 3, knots + 3), np.float32)
    return np.asarray(rows @ grid @ columns.T * np.float32(2.1))


@lru_cache(maxsize=4)
def pixel_axes(size: int) -> tuple[Floats, Floats]:
    """Row and column of each pixel, size × 1 and 1 × size."""
    axis = np.arange(size, dtype=np.float32)
    return axis[:, None], axis[None, :]


def blob(
    rng: np.random.Generator, size: int, center: tuple[float, float], radius: float, *,
    edge: float, roughness: float = 0.25, elongation: float = 1.5, attraction: Floats | None = None,
) -> Floats:  # fmt: skip
    """Share of a lesion in each pixel, size × size in [0, 1].

    Parameters
    ----------
    center : row and column in pixels.
    radius : mean radius in pixels.
    edge : width over which it fades, in pixels.
    roughness : how far its outline strays from an ellipse, as a part of the radius.
    elongation : greatest ratio of its axes.
    attraction : what it grows along (positive) or spares (negative), as a part of the radius.
    """
    rows, columns = pixel_axes(size)
    y, x = rows - np.float32(center[0]), columns - np.float32(center[1])
    angle, ratio = rng.uniform(0, np.pi), np.sqrt(rng.uniform(1.0, elongation))
    a, b = np.cos(angle), np.sin(angle)
    distance = np.sqrt(((a * x + b * y) / ratio) ** 2 + ((a * y - b * x) * ratio) ** 2) / np.float32(radius)
    if roughness:
        distance += np.float32(roughness) * smooth_noise(rng, size, max(3.0, 0.7 * radius))
        distance += np.float32(roughness / 3) * smooth_noise(rng, size, max(2.0, 0.25 * radius))
    if attraction is not None:
        distance -= attraction
    return np.clip((1 - distance) * np.float32(radius / max(edge, 0.5)) + 0.5, 0, 1)
