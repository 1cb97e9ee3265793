"""What a scanner adds: coil sensitivity, resolution, thick slices, gray-scale curve and Rician noise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from .fields import smooth_field

Array = np.ndarray


@dataclass(frozen=True)
class Appearance:
    """One scanner's look.

    Attributes
    ----------
    bias : standard deviation of the logarithm of the coil's sensitivity; ``bias_mm`` its scale.
    blur_mm : standard deviation of the point-spread function.
    thick_axis, thick_mm : axis along which slices are thick, and their thickness; 0 mm is none.
    gamma : exponent of the gray-scale curve.
    noise : standard deviation of the noise in each channel, as a fraction of the 99th percentile.
    """

    bias: float = 0.15
    bias_mm: float = 80.0
    blur_mm: float = 0.6
    thick_axis: int = 0
    thick_mm: float = 0.0
    gamma: float = 1.0
    noise: float = 0.02


def random_appearance(rng: np.random.Generator, ndim: int) -> Appearance:
    """Draw a look; in 3D a third of the volumes has thick slices of 3 to 6 mm."""
    thick = ndim == 3 and rng.random() < 0.33
    return Appearance(
        bias=rng.uniform(0.0, 0.3),
        bias_mm=rng.uniform(50, 150),
        blur_mm=rng.uniform(0.4, 1.1),
        thick_axis=int(rng.integers(3)),
        thick_mm=rng.uniform(3, 6) if thick else 0.0,
        gamma=float(np.exp(rng.uniform(-0.25, 0.25))),
        noise=float(np.exp(rng.uniform(np.log(0.004), np.log(0.05)))),
    )


def apply_appearance(
    image: Array,
    spacing_mm: Sequence[float],
    rng: np.random.Generator,
    look: Appearance,
    reference: float | None = None,
) -> Array:
    """Degrade a clean image; float32, not negative.

    The same state of ``rng`` gives the same bias and noise, so that pairs differ only where their clean images do.
    ``reference`` is the intensity that noise and gray-scale curve refer to (default: the image's 99th percentile); give
    counterparts the same.
    """
    top = float(reference if reference is not None else np.percentile(image, 99))
    result = np.asarray(image, np.float32)
    if look.bias > 0:
        result = result * np.exp(np.float32(look.bias) * smooth_field(rng, image.shape, spacing_mm, look.bias_mm))
    if look.blur_mm > 0:
        result = ndimage.gaussian_filter(result, [look.blur_mm / s for s in spacing_mm], truncate=3.0)
    if look.thick_mm > 0:
        result = _thicken(result, look.thick_axis, max(1, round(look.thick_mm / spacing_mm[look.thick_axis])))
    if look.gamma != 1:
        result = np.float32(top) * np.power(np.maximum(result, 0) / np.float32(top), np.float32(look.gamma))
    if look.noise > 0:
        sigma = np.float32(look.noise * top)
        real = result + sigma * rng.standard_normal(image.shape, dtype=np.float32)
        imaginary = sigma * rng.standard_normal(image.shape, dtype=np.float32)
        result = np.sqrt(np.square(real) + np.square(imaginary))
    return np.asarray(np.maximum(result, 0), np.float32)


def _thicken(image: Array, axis: int, count: int) -> Array:
    """Average ``count`` slices into one, and interpolate back to the grid as a resampled scan would be."""
    if count < 2:
        return image
    size = image.shape[axis]
    centers = np.arange(count // 2, size, count)
    thick = np.take(ndimage.uniform_filter1d(image, count, axis), centers, axis)
    position = np.clip((np.arange(size) - centers[0]) / count, 0, len(centers) - 1)
    first = np.minimum(position.astype(int), max(len(centers) - 2, 0))
    second = np.minimum(first + 1, len(centers) - 1)
    weight = (position - first).astype(np.float32).reshape([-1 if k == axis else 1 for k in range(image.ndim)])
    return np.asarray(np.take(thick, first, axis) * (1 - weight) + np.take(thick, second, axis) * weight)
