"""Outlines of lesions: smooth, lobulated, spiky or ragged forms, of exactly the size asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .fields import smooth_field

Array = np.ndarray


@dataclass(frozen=True)
class Outline:
    """What makes a form: bumps on an ellipsoid, and a warp of its surface.

    Attributes
    ----------
    bumps : number of bumps at random places of the surface.
    height : their height as a fraction of the radius.
    sharpness : their narrowness (concentration of a von Mises-Fisher bump).
    warp : strength of the random displacement of the surface, as a fraction of the radius.
    elongation : largest ratio between two axes of the ellipsoid.
    """

    bumps: int
    height: float
    sharpness: float
    warp: float
    elongation: float


OUTLINES = {
    "smooth": Outline(4, 0.08, 2.0, 0.03, 1.35),
    "lobulated": Outline(9, 0.40, 9.0, 0.08, 1.4),
    "spiculated": Outline(16, 0.75, 60.0, 0.10, 1.2),
    "ring": Outline(6, 0.25, 4.0, 0.16, 1.5),
    "diffuse": Outline(6, 0.30, 3.0, 0.35, 1.7),
}


def patch_axes(center: Array, low: Sequence[int], high: Sequence[int], spacing_mm: Sequence[float]) -> list[Array]:
    """Open (broadcastable) axes of a patch in mm from the center."""
    axes = []
    for k, (start, stop) in enumerate(zip(low, high, strict=True)):
        axis = ((np.arange(start, stop) - center[k]) * spacing_mm[k]).astype(np.float32)
        axes.append(axis.reshape([-1 if j == k else 1 for j in range(len(low))]))
    return axes


def radial(rng: np.random.Generator, axes: Sequence[Array], outline: Outline, spacing_mm: Sequence[float],
           radius_mm: float) -> Array:  # fmt: skip
    """Radial function of a random form: below some threshold inside, above it outside; about 1 on the surface."""
    ndim = len(axes)
    rotation = np.linalg.qr(rng.standard_normal((ndim, ndim)))[0]
    scale = np.exp(rng.uniform(-0.5, 0.5, ndim) * np.log(outline.elongation))
    matrix = (rotation / (scale / scale.prod() ** (1 / ndim))[:, None]).astype(np.float32)
    moved = [sum(matrix[i, k] * axes[k] for k in range(ndim)) for i in range(ndim)]
    distance = np.sqrt(sum(np.square(m) for m in moved)).astype(np.float32)
    unit = [m / np.maximum(distance, 1e-3) for m in moved]
    surface = np.ones_like(distance)
    for _ in range(outline.bumps):
        pole = rng.standard_normal(ndim)
        pole /= np.linalg.norm(pole)
        height, sharpness = outline.height * rng.uniform(0.4, 1.0), outline.sharpness * rng.uniform(0.7, 1.4)
        cosine = sum(float(pole[k]) * unit[k] for k in range(ndim))
        surface += np.float32(height) * np.exp(np.float32(sharpness) * (cosine - 1))
    field = smooth_field(rng, distance.shape, spacing_mm, max(0.5 * radius_mm, min(spacing_mm)))
    return np.asarray(distance / (radius_mm * surface) + np.float32(outline.warp) * field, np.float32)


def size_threshold(values: Array, allowed: Array, spacing_mm: Sequence[float], diameter_mm: float) -> float:
    """Threshold under which the allowed voxels have the area (2D) or volume (3D) of a disc or ball of that diameter."""
    ndim = len(spacing_mm)
    wanted = (np.pi / 4 if ndim == 2 else np.pi / 6) * diameter_mm**ndim / float(np.prod(spacing_mm))
    inside = np.sort(values[allowed], axis=None)
    if not len(inside):
        return float(values.min())
    # Half-way to the next value, so that the voxel that closes the size is inside.
    last = min(max(round(wanted), 1), len(inside)) - 1
    following = inside[min(last + 1, len(inside) - 1)]
    # Where the allowed room is too small, do not creep along it: a lesion stays a lump.
    return float(min(0.5 * (inside[last] + following) + 1e-6, 1.8))
