"""Another view of a slice: posed, shaded, blurred, noisy, then its ranks as the network sees them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from hrcam.sequence.slices import equalized
from scipy import ndimage

from ..brain_lesion.fields import smooth_noise

Image = npt.NDArray[np.float32]


def augmented(rng: np.random.Generator, image: Image, changed: bool) -> Image:
    """Draw a view of a square slice; `changed`: also in another pose and by another scanner."""
    if rng.random() < 0.5:
        image = image[:, ::-1]
    if changed:
        image = _scanned(rng, _posed(rng, image))
    if rng.random() < 0.08:  # a header that tells the wrong plane
        image = np.rot90(image, int(rng.integers(1, 4)))
    ranks = equalized(image)
    if rng.random() < 0.3:  # a window that cuts off what is bright
        ranks = np.minimum(ranks, np.float32(rng.uniform(0.85, 1)))
    return np.ascontiguousarray(ranks)


def _posed(rng: np.random.Generator, image: Image) -> Image:
    angle, scale = rng.uniform(-0.3, 0.3), rng.uniform(0.8, 1.2)
    cos, sin = np.cos(angle) / scale, np.sin(angle) / scale
    matrix = np.array([[cos, -sin], [sin, cos]]) * [[1], [rng.uniform(0.9, 1.1)]]
    middle = np.array(image.shape) / 2 - 0.5
    offset = middle - matrix @ middle + rng.uniform(-8, 8, 2)
    return np.asarray(ndimage.affine_transform(image, matrix, offset, order=1), np.float32)


def _scanned(rng: np.random.Generator, image: Image) -> Image:
    if rng.random() < 0.5:
        shade = smooth_noise(rng, len(image), rng.uniform(30, 80))
        image = image * np.exp(np.float32(rng.uniform(0, 0.3)) * shade)
    if rng.random() < 0.5:
        image = ndimage.gaussian_filter(image, [rng.uniform(0, 0.9), rng.uniform(0, 0.9)])
    if rng.random() < 0.5:
        level = np.float32(rng.uniform(0, 0.06))
        real, imaginary = level * rng.standard_normal((2, *image.shape), np.float32)
        image = np.hypot(image + real, imaginary)
    return np.asarray(image, np.float32)
